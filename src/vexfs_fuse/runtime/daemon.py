"""The composition root: the one place that knows every class, and how they start and end."""

import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import trio

from vexfs_fuse import __version__
from vexfs_fuse.errors import MountFailed, VexfsError
from vexfs_fuse.fuse.affinity import Follower
from vexfs_fuse.fuse.direct import Direct
from vexfs_fuse.fuse.guard import Guard
from vexfs_fuse.fuse.invalidation import Invalidation
from vexfs_fuse.fuse.mounting import MountOptions
from vexfs_fuse.fuse.operations import Operations
from vexfs_fuse.fuse.reader import Way
from vexfs_fuse.fuse.session import WISHES, Session
from vexfs_fuse.observe.log import start_logging
from vexfs_fuse.observe.metrics import exposition
from vexfs_fuse.observe.recorder import Recorder
from vexfs_fuse.observe.summary import requests_summary, searches_summary
from vexfs_fuse.runtime.allocator import keep_buffers
from vexfs_fuse.runtime.durability import promise
from vexfs_fuse.runtime.garbage import settle_garbage
from vexfs_fuse.runtime.index_told import index_cut, index_error, index_pending
from vexfs_fuse.runtime.indexing import INDEX, IndexerHost, off_status
from vexfs_fuse.runtime.scrape import serve_metrics
from vexfs_fuse.runtime.searching import text_search
from vexfs_fuse.runtime.settings import MountSettings
from vexfs_fuse.runtime.settling import Settling
from vexfs_fuse.runtime.syncer import Syncer
from vexfs_fuse.runtime.tasks import Maintenance, heartbeat, tend_questions
from vexfs_fuse.runtime.workers import Workers
from vexfs_fuse.text.lookup import TextLookup
from vexfs_fuse.text.query_client import QueryEmbedder
from vexfs_fuse.vfs import control
from vexfs_fuse.vfs.posix import Vfs
from vexfs_fuse.vfs.search.tree import SearchTree
from vexfs_fuse.vfs.virtual import VirtualTrees
from vexfs_fuse.volume.indexing import Indexing
from vexfs_fuse.volume.opening import open_volume
from vexfs_fuse.volume.volume import Volume

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_log = logging.getLogger(__name__)


def run(settings: MountSettings) -> int:
    """Open the volume, mount it, and serve it until it is unmounted or a signal says to stop.

    Whichever way it ends, everything that was written is durable then.  Returns the exit status: 1
    when the volume had to turn read-only meanwhile.

    Raises
    ------
    StoreLocked, StoreTooNew, StoreDamaged, NoSpace, AccessDenied
        The store cannot be opened.
    MountFailed
    """
    config = settings.config
    _refuse_to_hide_store(settings)
    start_logging(config, foreground=settings.foreground)
    volume = open_volume(config.store, config)
    try:
        recorder = Recorder()
        daemon = Daemon(volume, settings, recorder, partial(_vfs, volume, settings))
        trio.run(daemon.main)
    except VexfsError:
        raise
    except BaseException:
        _log.critical(
            "the daemon fails; the mount stays, so that nothing takes its place", exc_info=True
        )
        raise
    finally:
        volume.close()
    return 0 if config.ro or volume.failure is None else 1


def _vfs(volume: Volume, settings: MountSettings, daemon: "Daemon") -> Vfs:
    config = settings.config
    tree = control.control_tree(
        owner=(os.getuid(), os.getgid()),
        clock=volume.clock,
        journal=volume.journal,
        status=daemon.status,
        spaces=volume.applier.vectors.statistics,
        metrics=daemon.metrics,
        config_toml=lambda: config.toml(settings.origins).encode(),
    )
    virtual = VirtualTrees([tree])
    vfs = Vfs(volume, virtual, open_max=config.max_open_files, atime=config.atime)
    vfs.changed_behind = daemon.invalidation.forget
    if config.index:
        lookup = TextLookup(config.store / INDEX)
        volume.text = text_search(volume, lookup, daemon.questions, daemon.indexed)
        volume.vectors.told |= {
            b"index_error": partial(index_error, lookup),
            b"index_cut": partial(index_cut, lookup),
            b"index_pending": partial(index_pending, lookup),
        }
    virtual.add(
        SearchTree(
            volume,
            owner=(os.getuid(), os.getgid()),
            open_real=vfs.open_real,
            changed_behind=daemon.invalidation.forget,
            forget_entry=daemon.invalidation.forget_entry,
            is_visible=config.searchdir == "visible",
            counted=daemon.recorder.search,
        )
    )
    promise(config.durability, vfs, volume)
    return vfs


def _refuse_to_hide_store(settings: MountSettings) -> None:
    """Raise if the mount would cover the store: the daemon would wait for itself."""
    store = settings.config.store.resolve()
    if store.is_relative_to(settings.mountpoint.resolve()):
        raise MountFailed(f"{settings.mountpoint} would hide the store, {store}")


class Daemon:
    """One mounted volume and everything that runs for it; `main` is its life.

    `make_vfs` gets the daemon, which tells the status, and returns the mounted view of `volume`.
    """

    def __init__(
        self,
        volume: Any,
        settings: MountSettings,
        recorder: Recorder,
        make_vfs: Callable[["Daemon"], Any],
    ) -> None:
        config = settings.config
        self._volume = volume
        self._settings = settings
        self.recorder = recorder
        self._follower = Follower()
        self._workers = Workers(self._follower)
        self.invalidation = Invalidation(self._follower)
        self._syncer = Syncer(volume, self._follower, interval_s=config.commit_interval)
        self.questions = QueryEmbedder(config.embedder) if config.index else None
        self._indexer: IndexerHost | None = None
        self._vfs = make_vfs(self)
        self._session = Session(settings.mountpoint, _mount_options(settings), self._negotiated)
        self._vfs.on_stale = self._session.forget_attributes
        self._settling = Settling(self._workers, self._syncer)

    def _negotiated(self) -> None:
        self._vfs.clears_set_id = self._session.clears_set_id

    def status(self) -> dict[str, Any]:
        """Return what there is to know of the daemon and its volume."""
        return {
            "daemon": {
                "pid": os.getpid(),
                "version": __version__,
                "store": str(self._settings.config.store),
                "batches": self._syncer.batches,
                "follows_cpu": self._follower.cpu,
            },
            "mount": self._session.describe(),
            "requests": requests_summary(self.recorder),
            "searches": searches_summary(self.recorder),
            "indexing": self._indexing(),
            "volume": self._volume.status(),
        }

    def _indexing(self) -> dict[str, Any]:
        return off_status() if self._indexer is None else self._indexer.status()

    def indexed(self) -> dict[str, Any]:
        """Return how far indexing is, for the header of results."""
        status = self._indexing()
        return {"state": status["state"], "pending": status["pending"], "lag_s": status["lag_s"]}

    def metrics(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return exposition(self.recorder, self.status())

    async def main(self) -> None:
        """Mount, serve, and end with nothing under way."""
        self._syncer.start()
        try:
            with trio.open_signal_receiver(*STOP_SIGNALS) as signals:
                await self._mount()
                try:
                    await self._serve(signals)
                finally:
                    self.invalidation.stop()
                    self._session.close()
                    if self.questions is not None:
                        self.questions.close()
        finally:
            with trio.CancelScope(shield=True):
                await self._syncer.drain()
            self._syncer.stop()
            self._workers.stop()

    async def _serve(self, signals: AsyncIterator[int]) -> None:
        config = self._settings.config
        maintenance = Maintenance(self._volume, self._workers, self.recorder)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._obey, signals)
            nursery.start_soon(self._announce)
            nursery.start_soon(self._syncer.run)
            nursery.start_soon(self._syncer.relieve, self._workers)
            nursery.start_soon(heartbeat, self.recorder, self._follower)
            nursery.start_soon(serve_metrics, config.metrics, self.metrics)
            nursery.start_soon(maintenance.run)
            if self.questions is not None:
                nursery.start_soon(tend_questions, self.questions)
            if config.index and not config.ro and self._volume.failure is None:
                self._start_indexer(nursery)
            await self._session.serve()
            nursery.cancel_scope.cancel()

    def _start_indexer(self, nursery: trio.Nursery) -> None:
        writing = self._vfs.writing
        self._indexer = IndexerHost(
            self._volume,
            Indexing(self._volume, writing.handles),
            self._settings.config,
            self.recorder,
            self._settling,
        )
        writing.on_end = self._indexer.hint
        self._volume.vectors.reindexes["text"] = self._indexer.reindex
        nursery.start_soon(self._indexer.run)

    async def _mount(self) -> None:
        config = self._settings.config
        operations = Operations(
            self._vfs,
            self.recorder,
            attr_timeout_s=config.attr_timeout,
            entry_timeout_s=config.entry_timeout,
        )
        settler = self._settling
        guard = Guard(operations, settler, self.recorder, self._follower)
        direct = Direct(
            self._vfs,
            settler,
            self.recorder,
            self._follower,
            attr_timeout_s=config.attr_timeout,
            entry_timeout_s=config.entry_timeout,
        )
        wishes = WISHES if self._settings.init_relay else None
        best = Way(self._settings.reader)
        await self._session.mount(guard, direct, wishes=wishes, best_reader=best)
        settle_garbage()
        keep_buffers()

    async def _announce(self) -> None:
        """Tell whoever started us that the mount answers.

        If nobody serves any more the thread waits until the session is closed, which we must not.
        """
        path = self._session.path
        await trio.to_thread.run_sync(os.statvfs, path, abandon_on_cancel=True)
        _log.info("mounted: %s", self._session.describe())
        if self._settings.ready_fd is not None:
            os.write(self._settings.ready_fd, b"%d\n" % os.getpid())
            os.close(self._settings.ready_fd)

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        """Stop at the first signal, without grace at the second; both lose nothing."""
        async with trio.open_nursery() as nursery:
            async for number in signals:
                _log.info("%s: unmounting", signal.Signals(number).name)
                nursery.start_soon(self._stop)
                break
            async for _ in signals:
                self._session.end()

    async def _stop(self) -> None:
        await self._syncer.flush()
        try:
            await self._session.unmount()
        except MountFailed:
            await self._leave()

    async def _leave(self) -> None:
        """Take the mount point away although files are open on it, and serve those for a while."""
        try:
            await self._session.unmount(lazy=True)
        except MountFailed as why:
            _log.warning("%s", why)
        await trio.sleep(self._settings.stop_grace_s)
        _log.info("ending although files are open")
        self._session.end()


def _mount_options(settings: MountSettings) -> MountOptions:
    config = settings.config
    return MountOptions(
        source=config.fsname,
        read_only=config.ro,
        allow_other=config.allow_other,
        suid=config.suid,
        dev=config.dev,
        executable=config.exec,
    )
