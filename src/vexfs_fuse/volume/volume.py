"""A volume: its parts, its group commits, and the state view that follows behind.

Knows no handles, no kernel and no virtual trees.  Everything runs on the loop, between two checkpoints,
but for `Batch.run` and what `maintain` hands out.
"""

import logging
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from vexfs_fuse.clock import Clock
from vexfs_fuse.config import Config
from vexfs_fuse.errors import CorruptData, StoreFailed, VexfsError
from vexfs_fuse.pending import Pending, caught
from vexfs_fuse.storage.disk import Disk
from vexfs_fuse.storage.journal import Journal
from vexfs_fuse.storage.pool import Pool
from vexfs_fuse.storage.segments import Segments
from vexfs_fuse.storage.state import State
from vexfs_fuse.tree.node import Node
from vexfs_fuse.tree.tree import Tree
from vexfs_fuse.units import NAME_BYTES_MAX, NS_PER_S, ROOT, Inode, Lsn, Segment
from vexfs_fuse.volume.apply import Applier
from vexfs_fuse.volume.attributes import AttributeChanges
from vexfs_fuse.volume.batch import Batch
from vexfs_fuse.volume.changes import Unmounted
from vexfs_fuse.volume.compaction import Compactor
from vexfs_fuse.volume.contents import Contents
from vexfs_fuse.volume.damaged import Damage
from vexfs_fuse.volume.files import Files
from vexfs_fuse.volume.namespace import Namespace
from vexfs_fuse.volume.room import Room, fitting
from vexfs_fuse.volume.search import Search
from vexfs_fuse.volume.text_search import TextSearch
from vexfs_fuse.volume.vector_changes import PREFIX as VECTOR_PREFIX
from vexfs_fuse.volume.vector_changes import VectorChanges
from vexfs_fuse.volume.vector_indexes import VectorIndexes
from vexfs_fuse.volume.writer import Writer

log = logging.getLogger(__name__)

CHECKPOINT_ROWS: Final = 20_000
"""So many uncommitted rows of the state view begin a commit."""

CHECKPOINT_S: Final = 10.0
"""After so many seconds the state view commits whatever it has."""

SHORT_CHECKPOINT_S: Final = 1.0
"""The same while the disk is short of room: segments go only when the view does without them."""

OVERLAY_ROWS_MAX: Final = 400_000
"""Beyond so many uncommitted rows, maintenance goes before requests."""

UNUSED_INODES_MAX: Final = 50_000
"""Beyond so many inodes that nobody uses, too."""

CATCH_UP_STEPS: Final = 1_024
"""Slices of taking in what searches must know of files before other maintenance has its turn."""

BLOCK_BYTES: Final = 4096


class Space(NamedTuple):
    """What statfs tells; blocks of `block_bytes`."""

    block_bytes: int
    blocks: int
    blocks_free: int
    blocks_available: int
    files: int
    files_free: int
    name_max: int


class Volume:
    """One open volume.  Made by `volume.opening.open_volume`."""

    def __init__(
        self,
        *,
        disk: Disk,
        journal: Journal,
        segments: Segments,
        pool: Pool,
        view: State,
        config: Config,
        clock: Clock,
    ) -> None:
        self.disk = disk
        self.journal = journal
        self.segments = segments
        self.pool = pool
        self.view = view
        self.config = config
        self.clock = clock
        self.tree = Tree(view, nodes_max=config.cache_inodes, names_max=config.cache_names)
        self.contents = Contents(pool, segments, view.extents)
        self.room = Room(disk, segments, lambda: self.view.owed_bytes)
        journal.owed_bytes = lambda: self.view.owed_bytes
        self._look_for_room()
        self.applier = Applier(self.tree, view, self.contents, segments)
        self.writer = Writer(journal, self.applier, clock)
        self.attributes = AttributeChanges(self.tree, self.writer)
        self.files = Files(self.contents, self.writer, self.attributes)
        self.vectors = VectorChanges(self.applier.vectors, self.writer, self.files)
        self.names = Namespace(self.tree, self.writer, self.files, self.vectors)
        self.catalogue = self.applier.catalogue
        self.search = Search(
            self.applier.vectors,
            self.catalogue,
            self._get_xattr,
            self.files.size_times,
            self.contents.dirty_inodes,
        )
        self.text: TextSearch | None = None  # whoever has a full text gives it
        self.durable_lsn = journal.durable_lsn
        self.indexes = VectorIndexes(
            self.applier.vectors, disk, self.writer, self.room, lambda: self.durable_lsn
        )
        self.vectors.reindexes["vectors"] = self.indexes.reindex
        self.orphans = self.applier.orphans
        self.damaged: list[Damage] = []  # found when it was opened
        self.on_close: list[Callable[[], None]] = []
        self.chores: list[Callable[[], Iterator[None]]] = []  # others' background work, in slices
        self.compactor = Compactor(self)
        self._committing: Any = None  # the state commit under way, None between two
        self._commit_ready = False  # whether its journal prefix is durable
        self._committed_at_s = clock.monotonic_s()
        self._drop_journal: Callable[[], None] | None = None  # removes files nobody needs

    # -- group commit --------------------------------------------------------------------------

    @property
    def logged_lsn(self) -> Lsn:
        """The last record there is, durable or not."""
        return Lsn(self.journal.next_lsn - 1)

    @property
    def changes(self) -> int:
        """Grows with every record, but for those of searches."""
        return self.writer.changes

    def get_xattr(self, ino: Inode, name: bytes) -> bytes:
        """Return an extended attribute, or what is told of a vector.

        Raises
        ------
        NoAttribute, NotFound
        """
        return self._get_xattr(self.tree.node(ino), name)

    def _get_xattr(self, node: Node, name: bytes) -> bytes:
        if name.startswith(VECTOR_PREFIX):
            return self.vectors.get(node, name)
        return self.attributes.get_xattr(node, name)

    @property
    def failure(self) -> str | None:
        """Why the volume takes no changes; None while it does."""
        return self.writer.refusal

    def refuse_changes(self, reason: str) -> None:
        """Turn the volume read-only, for good."""
        if self.writer.refusal is None:
            self.writer.refusal = reason

    def missing_segments(self) -> list[Segment]:
        """Return the segments that hold contents of files and are not there."""
        return self.segments.missing()

    def _fail(self, reason: str) -> None:
        self.refuse_changes(reason)
        log.critical("the volume turns read-only: %s", self.failure)

    def seal(self) -> Batch | None:
        """Return what the writer thread must do so that all that is logged now is durable; None if nothing.

        Batches run one after the other, and are settled in that order; after a failed one there is none.
        """
        if self.failure is not None:
            return None
        lsn = self.logged_lsn
        self._begin_commit(lsn)
        segments, journal = self.segments.seal(), self.journal.seal()
        if segments is None and journal is None:
            return None
        return Batch(lsn, segments, journal)

    def _begin_commit(self, lsn: Lsn) -> None:
        """Freeze the state as of `lsn`, the last record there is, when a commit of it is due."""
        if self._committing is None and self._checkpoint_is_due():
            self._committing = self.view.freeze(lsn)
            self._commit_ready = lsn <= self.durable_lsn

    def settle(self, batch: Batch, error: BaseException | None) -> None:
        """Take note that a batch has run; after an error the volume is read-only."""
        if error is not None:
            self._fail(f"a sync of the store failed: {error}")
            return
        if batch.segments is not None:
            self.segments.settle(batch.segments)
        if batch.journal is not None:
            self.journal.settle(batch.journal)
        self.durable_lsn = max(self.durable_lsn, batch.lsn)
        if self._committing is not None and self._committing.lsn <= self.durable_lsn:
            self._commit_ready = True

    def flush_aged(self, *, older_than_s: float = 0.0) -> Iterator[None]:
        """Flush the contents that have been dirty for so long; yields after each file.

        The loop may serve requests between two steps.
        """
        before = self.clock.now_ns() - round(older_than_s * NS_PER_S) + 1  # now is old enough for 0
        for node in list(self.contents.dirty_nodes(before)):
            if self.failure is not None:
                return
            if node.content is not None:
                self._flush_quietly(node)
            yield
        self._look_for_room()

    def _look_for_room(self) -> None:
        """Let writers know what the disk can take; between two looks they count for themselves."""
        try:
            self.contents.set_room(self.room.look())
        except StoreFailed as failure:
            self._fail(str(failure))

    def when_pressed(self, relief: Callable[[], None]) -> None:
        """Have `relief` called whenever much of the pool is dirty; it should see to `relieve`."""
        self.contents.on_pressure = relief

    def relieve(self) -> Pending[None] | None:
        """Stage what is dirty, and return the work that writes it out so that its pages can be evicted.

        Nothing becomes durable by that: segments are synced with the next batch.  One at a time.
        """
        for _ in self.flush_aged():
            pass
        batch = self.segments.take_out()
        if batch is None:
            return None

        def settle(error: VexfsError | None) -> None:
            if error is None:
                self.segments.settle_out(batch)
            else:
                self._fail(f"a write to the store failed: {error}")

        return Pending(caught(batch.write_out), settle)

    def _flush_quietly(self, node: Node) -> None:
        """Flush one file; what there is no space for, or no sound extents, stays dirty."""
        try:
            self.files.flush(node)
        except StoreFailed as failure:
            self._fail(f"a write to the store failed: {failure}")
        except VexfsError as reason:
            log.warning("inode %d cannot be flushed: %s", node.ino, reason)

    # -- maintenance ---------------------------------------------------------------------------

    def _checkpoint_is_due(self) -> bool:
        rows = self.view.dirty_count
        age_s = self.clock.monotonic_s() - self._committed_at_s
        age_max_s = SHORT_CHECKPOINT_S if self.room.is_short else CHECKPOINT_S
        return rows >= CHECKPOINT_ROWS or self.room.owes_much or (rows > 0 and age_s >= age_max_s)

    @property
    def is_urgent(self) -> bool:
        """Whether maintenance must not wait for an idle moment."""
        return (
            self.view.dirty_count > OVERLAY_ROWS_MAX or len(self.names.unused) > UNUSED_INODES_MAX
        )

    def maintain(
        self, is_quiet: Callable[[], bool] = lambda: True
    ) -> Iterator[Pending[None] | None]:
        """Do what is due in the background, in steps of about a millisecond.

        Yields None between two steps, or a `Pending` whose work belongs in a thread and must have been
        resumed before the next step.  Ends when nothing is due.  `is_quiet` says whether now is a
        moment for what can wait.
        """
        if is_quiet():
            yield from islice(self.search.catch_up(), CATCH_UP_STEPS)
        yield from self.indexes.load()
        for chore in self.chores:
            yield from self._quietly(chore)
        yield from self._purge_quietly()
        yield from self._commit_state()
        if self.failure is None:
            yield from self._compact()
        yield from self.indexes.tend(is_quiet)

    def _compact(self) -> Iterator[Pending[None] | None]:
        try:
            yield from self.compactor.steps()
        except StoreFailed as failure:
            self._fail(f"the store failed under compaction: {failure}")
        except VexfsError as reason:
            log.warning("segments cannot be compacted now: %s", reason)

    @staticmethod
    def _quietly(chore: Callable[[], Iterator[None]]) -> Iterator[None]:
        try:
            yield from chore()
        except VexfsError as reason:
            log.warning("background work came to an end: %s", reason)

    def _purge_quietly(self) -> Iterator[None]:
        try:
            yield from self.names.purge()
        except StoreFailed as failure:
            self._fail(str(failure))
        except VexfsError as reason:
            log.warning("inodes without names cannot be let go of: %s", reason)

    def _commit_state(self) -> Iterator[Pending[None] | None]:
        if not self._commit_ready:
            return
        commit = self._committing
        try:
            while not commit.step():
                yield None
        except VexfsError as error:
            self._give_up_commit(error)
            return
        yield Pending(caught(commit.finish), self._state_committed)
        while not commit.release():  # freeing what it held takes as long as a slice
            yield None
        if self._committing is None:
            yield Pending(caught(self.view.checkpoint), self._state_checkpointed)
        if self._drop_journal is not None:
            drop, self._drop_journal = self._drop_journal, None
            yield Pending(caught(drop), _told)

    def _state_committed(self, error: VexfsError | None) -> None:
        if error is not None:
            self._give_up_commit(error)
            return
        self.view.settle(self._committing)
        self._committing, self._commit_ready = None, False
        self._committed_at_s = self.clock.monotonic_s()

    def _give_up_commit(self, error: VexfsError) -> None:
        """Take the rows back into the overlay; nothing is lost, the journal has it all."""
        self.view.discard(self._committing)
        self._committing, self._commit_ready = None, False
        self._committed_at_s = self.clock.monotonic_s()
        self._tell_of_view(error)

    def _tell_of_view(self, error: VexfsError) -> None:
        """What a full or busy disk refuses is tried again; what a broken one does, never."""
        if isinstance(error, (StoreFailed, CorruptData)):
            self._fail(f"the state view cannot be written: {error}")
        else:
            log.warning("the state view cannot be written now: %s", error)

    def _state_checkpointed(self, error: VexfsError | None) -> None:
        if error is not None:
            self._tell_of_view(error)
            return
        keep_since = self.clock.now_ns() - round(self.config.journal_keep_age * NS_PER_S)
        drop = self.journal.drop_through(
            self.view.durable,
            keep_bytes=0
            if self.room.is_short
            else fitting(self.config.journal_keep_bytes, self.disk),
            keep_since_ns=keep_since,
        )
        self._drop_journal = drop

    # -- the whole -----------------------------------------------------------------------------

    def space(self) -> Space:
        """Return the store's space, and the inodes in use; the headroom is free and not available."""
        total, free = self.disk.total_bytes(), self.disk.free_bytes()
        used = self.view.counts().inodes
        blocks_free = free // BLOCK_BYTES
        available = max(0, self.room.look() - self.contents.dirty_bytes)
        return Space(
            BLOCK_BYTES,
            total // BLOCK_BYTES,
            blocks_free,
            min(blocks_free, available // BLOCK_BYTES),
            used + blocks_free,
            blocks_free,
            NAME_BYTES_MAX,
        )

    def commit_all(self) -> None:
        """Make everything durable and bring the state view up to date; blocks."""
        for _ in self.flush_aged():
            pass
        for _ in self._purge_quietly():
            pass
        for _ in range(2):  # the commit that is under way, and what has come after its beginning
            self._committed_at_s = -CHECKPOINT_S
            self._run_batches()
            for step in self._commit_state():
                if step is not None:
                    step.resume(step.work())

    def _run_batches(self) -> None:
        while self.failure is None and (batch := self.seal()) is not None:
            error: BaseException | None = None
            try:
                batch.run()
            except VexfsError as failed:
                error = failed
            self.settle(batch, error)

    def purge_orphans(self) -> None:
        """Let go of the inodes that had lost their last link when the daemon ended."""
        for ino in self.view.orphans():
            self.orphans.add(Inode(ino))
        self.names.unused.extend(self.orphans)
        for _ in self._purge_quietly():
            pass

    def status(self) -> dict[str, Any]:
        """Return what there is to know, for people and for metrics; sizes in bytes."""
        counts = self.view.counts()
        return {
            "read_only": self.failure is not None,
            "failure": self.failure,
            "logged_lsn": self.logged_lsn,
            "durable_lsn": self.durable_lsn,
            "state_lsn": self.view.applied,
            "damage": {
                "rows": self.view.damage.count,
                "contents": self.segments.damage.count,
                "last": self.view.damage.last or self.segments.damage.last,
            },
            "inodes": counts.inodes,
            "journal": self.journal.statistics._asdict(),
            "segments": {
                **self.segments.statistics()._asdict(),
                "dead_bytes": sum(use.size_bytes - use.live_bytes for use in self.segments.uses()),
            },
            "pool": self.contents.statistics(),
            "state": {"uncommitted_rows": self.view.dirty_count, **self.tree.statistics()},
            "spaces": self.applier.vectors.statistics(),
            "disk": {"free": self.disk.free_bytes(), "total": self.disk.total_bytes()},
        }

    def close(self) -> None:
        """Make everything durable and let go of the store."""
        try:
            if self.failure is None:
                self.writer.note(ROOT, Unmounted())
                self.commit_all()
                self.indexes.save(self.clock.monotonic_s)
            if self.contents.dirty_bytes:
                self._tell_what_is_lost()
        finally:
            self.view.close()
            self.journal.close()
            self.segments.close()
            for release in self.on_close:
                release()

    def _tell_what_is_lost(self) -> None:
        """Say that something was accepted and is gone now, although nobody asks any more."""
        lost = f"{self.contents.dirty_bytes} bytes of contents could not be written"
        log.error("%s", lost)
        self.refuse_changes(lost)


def _told(error: VexfsError | None) -> None:
    """Tell of old files that could not be removed; they go at the next time."""
    if error is not None:
        log.warning("old journal files cannot be removed now: %s", error)
