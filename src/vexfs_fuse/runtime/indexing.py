"""The daemon's side of indexing: starts the indexer's process, answers it, and starts it again.

The indexer asks and the daemon answers, one question at a time, between requests: what it does not ask
for costs nothing, and while requests come it waits for its answers.  Ending its process loses nothing.
"""

import logging
import os
import socket
import subprocess
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Protocol

import trio

import vexfs_fuse
from vexfs_fuse.config import Config
from vexfs_fuse.errors import InvalidArgument, VexfsError
from vexfs_fuse.observe.recorder import TOTAL, Recorder
from vexfs_fuse.runtime.frames import LENGTH, Answer, frame_bytes, pack, unpack
from vexfs_fuse.text import schema
from vexfs_fuse.units import MIB, Inode
from vexfs_fuse.volume.indexing import READ_BYTES_MAX, Indexing
from vexfs_fuse.volume.volume import Volume

INDEX: Final = schema.FILE

HINTS_MAX: Final = 4_096
"""Files closed of late that the indexer has not been told of; the journal tells of all."""

BUSY_SHARE: Final = 4
"""While requests come, an answer is followed by this many times its length without another one."""

PAUSE_S_MAX: Final = 0.2

NEWS_S: Final = 0.25
"""How often it is looked whether something has become durable, while the indexer waits for that."""

RESTART_S: Final = 1.0
"""Pause before the first new start, twice as long before each further one."""

RESTART_S_MAX: Final = 60.0

LONG_RUN_S: Final = 120.0
"""An indexer that has run for so long starts again as if for the first time."""

CRASHES_MAX: Final = 2
"""A file that was worked on at so many ends of the indexer is not tried again."""

OFF, STARTING, IDLE, INDEXING, FAILED = "off", "starting", "idle", "indexing", "failed"
FULL: Final = "waiting for room"

_log = logging.getLogger(__name__)


class Settles(Protocol):
    """What turns slow answers into answers."""

    async def settle(self, answer: Any) -> Any:
        """Return what a slow answer becomes."""
        ...


class IndexerHost:
    """The indexer of one mounted volume."""

    def __init__(
        self,
        volume: Volume,
        indexing: Indexing,
        config: Config,
        recorder: Recorder,
        settles: Settles,
    ) -> None:
        self._volume = volume
        self._indexing = indexing
        self._config = config
        self._recorder = recorder
        self._settles = settles
        self._hints: OrderedDict[Inode, None] = OrderedDict()
        self._news = trio.Event()
        self._asked = trio.Event()  # for an index made anew
        self._served_ns = 0
        self._working_on: Inode | None = None
        self._crashes: Counter[Inode] = Counter()
        self._state = STARTING
        self._reason: str | None = None
        self._model: str | None = None
        self._missing: str | None = None
        self._report: dict[str, Any] = {}
        self._done_s = trio.current_time()
        self._restarts = 0
        self._pid: int | None = None
        self._process: trio.Process | None = None
        self._is_anew = False  # asked for, and not begun yet
        self._begins_anew = False  # the indexer that runs has been told
        self._verbs: dict[str, Callable[..., Any]] = {
            "hello": self._hello,
            "space": self._space,
            "model": self._told_model,
            "look": self._look,
            "listing": indexing.listing,
            "read": self._read,
            "set": indexing.set_passages,
            "copy": indexing.copy_passages,
            "drop": indexing.drop_passages,
            "report": self._reported,
            "fail": self._failed,
            "give up": self._gave_up,
        }

    def hint(self, ino: Inode) -> None:
        """Take note that a file was closed that may have changed."""
        self._hints[ino] = None
        if len(self._hints) > HINTS_MAX:
            self._hints.popitem(last=False)
        self._news.set()

    def reindex(self, name: str | None) -> None:
        """Have the text index made anew, and with another model than before the vectors, too.

        Raises
        ------
        InvalidArgument
        """
        if name is not None:
            raise InvalidArgument("there is one index of texts")
        self._is_anew, self._begins_anew = True, False
        self._report = self._report | {"position": 0, "pending": 1}
        self._state = STARTING
        self._asked.set()
        if self._process is not None:
            self._process.kill()

    def status(self) -> dict[str, Any]:
        """Return what there is to know of indexing, for people and for metrics."""
        report = self._report
        pending = report.get("pending", 0) + len(self._hints)
        lag_s = trio.current_time() - self._done_s if pending else 0.0
        return {
            "state": self._state,
            "pid": self._pid,
            "reason": self._reason,
            "model": self._model,
            "model_missing": self._missing,
            "pending": pending,
            "indexed": report.get("indexed", 0),
            "failed": report.get("failed", 0),
            "cut": report.get("cut", 0),
            "lag_s": round(lag_s, 3),
            "position": report.get("position", 0),
            "looked_at": report.get("looked_at", 0),
            "embedded": report.get("embedded", 0),
            "rss_bytes": report.get("rss_bytes", 0),
            "sandbox": report.get("sandbox", "not started"),
            "restarts": self._restarts,
        }

    # -- the process ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Have an indexer run until cancelled."""
        pause_s = RESTART_S
        while self._volume.failure is None:
            began = trio.current_time()
            self._asked = trio.Event()
            await self._run_one()
            if self._asked.is_set():
                _log.info("the text index is made anew")
                continue
            if self._working_on is not None:
                self._crashes[self._working_on] += 1
            if trio.current_time() - began > LONG_RUN_S:
                pause_s = RESTART_S
            self._state = FAILED
            self._restarts += 1
            _log.warning(
                "the indexer ended: %s; it starts again in %g s", self._reason or "killed", pause_s
            )
            with trio.move_on_after(pause_s):
                await self._asked.wait()
            pause_s = min(2 * pause_s, RESTART_S_MAX)

    async def _run_one(self) -> None:
        """Start a process and answer it until it ends."""
        self._state, self._reason, self._working_on = STARTING, None, None
        ours, theirs = socket.socketpair()
        with theirs:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-m", "vexfs_fuse.runtime.indexer_process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_environment(),
            )
        self._pid, self._process = process.pid, process
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        try:
            await self._serve(stream)
        except (trio.BrokenResourceError, ConnectionError) as broken:
            self._reason = self._reason or str(broken)
        except Exception as bug:  # noqa: BLE001 - it ends the indexer and must not end the mount
            _log.error("a question of the indexer could not be answered", exc_info=True)
            self._reason = f"{type(bug).__name__}: {bug}"
        finally:
            process.kill()
            self._pid = self._process = None
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)
                await process.wait()

    async def _serve(self, stream: trio.SocketStream) -> None:
        """Answer questions until there are no more."""
        while (head := await _exactly(stream, LENGTH.size)) is not None:
            body = await _exactly(stream, frame_bytes(head))
            if body is None:
                return
            verb, *arguments = unpack(body)
            began = perf_counter()
            if verb == "wait":
                await self._wait(*arguments)
                began = perf_counter()
            answer = await self._answer(verb, arguments)
            await stream.send_all(pack(answer))
            await self._give_way(perf_counter() - began)

    async def _answer(self, verb: str, arguments: list[Any]) -> Answer:
        result, failure = None, None
        try:
            if verb != "wait":
                result = await self._settles.settle(self._verbs[verb](*arguments))
        except VexfsError as refusal:
            failure = str(refusal)
        if isinstance(result, memoryview):
            result = bytes(result)
        hints, self._hints = list(self._hints), OrderedDict()
        self._news = trio.Event()
        volume = self._volume
        return Answer(volume.durable_lsn, volume.logged_lsn, list(hints), result, failure)

    async def _wait(self, seconds: float, durable: int) -> None:
        """Wait until there is something new, the process has ended, or so long."""
        until = trio.current_time() + seconds
        process = self._process
        while (
            not self._hints
            and self._volume.durable_lsn <= durable
            and process is not None
            and process.returncode is None
        ):
            rest = until - trio.current_time()
            if rest <= 0:
                return
            with trio.move_on_after(min(rest, NEWS_S)):
                await self._news.wait()

    async def _give_way(self, slice_s: float) -> None:
        """Leave the loop to requests while there are some."""
        before, self._served_ns = self._served_ns, _served_ns(self._recorder)
        if before != self._served_ns:
            await trio.sleep(min(BUSY_SHARE * slice_s, PAUSE_S_MAX))

    # -- the verbs -----------------------------------------------------------------------------

    def _hello(self) -> list[Any]:
        config = self._config
        distrusted = [ino for ino, ends in self._crashes.items() if ends >= CRASHES_MAX]
        self._begins_anew = self._is_anew
        return [
            str(config.store.resolve()),
            INDEX,
            config.embedder,
            config.index_file_bytes,
            config.index_memory,
            distrusted,
            self._is_anew,
        ]

    def _space(self, dim: int, fingerprint: str, name: str) -> Any:
        self._model = name
        return self._indexing.open_space(dim, fingerprint, is_anew=self._begins_anew)

    def _told_model(self, reason: str | None) -> None:
        self._state = INDEXING
        if reason is not None and reason != self._missing:
            _log.info("texts get no vectors: %s", reason)
        self._missing = reason
        if reason is not None:
            self._model = None

    def _look(self, inos: list[int], settle: bool) -> Any:
        return self._indexing.look([Inode(ino) for ino in inos], settle=settle)

    def _read(self, ino: int, offset: int) -> Any:
        self._working_on = Inode(ino)
        return self._indexing.read(Inode(ino), offset, READ_BYTES_MAX)

    def _reported(self, report: dict[str, Any]) -> None:
        if self._is_anew and not self._begins_anew:
            return  # by one that is about to end
        self._is_anew = False
        self._report = report
        if not report["pending"]:
            self._working_on = None
            self._done_s = trio.current_time()
        self._state = INDEXING if report["pending"] else IDLE
        if report["is_full"]:
            self._state = FULL

    def _failed(self, reason: str) -> None:
        self._reason = reason

    def _gave_up(self, reason: str) -> None:
        """The indexer ends for a reason that is no file's fault."""
        self._reason, self._working_on = reason, None


def off_status() -> dict[str, Any]:
    """Return the status of a volume that is not indexed."""
    numbers = (
        "pending",
        "indexed",
        "failed",
        "cut",
        "position",
        "looked_at",
        "embedded",
        "rss_bytes",
    )
    return {
        "state": OFF,
        "pid": None,
        "reason": None,
        "model": None,
        "model_missing": None,
        "lag_s": 0.0,
        "restarts": 0,
        **dict.fromkeys(numbers, 0),
    }


def _environment() -> dict[str, str]:
    """Return the daemon's environment, with numpy held to one thread, and where this package is.

    The daemon has left the directory in which a relative PYTHONPATH made sense.
    """
    here = str(Path(vexfs_fuse.__file__).resolve().parents[1])
    paths = [here, *filter(os.path.isabs, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return (
        {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        | os.environ
        | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
    )


def _served_ns(recorder: Recorder) -> int:
    return sum(row[TOTAL] for row in recorder.latency.values())


async def _exactly(stream: trio.SocketStream, size: int) -> bytearray | None:
    """Return so many bytes, None when the other side has gone."""
    data = bytearray()
    while len(data) < size:
        part = await stream.receive_some(min(size - len(data), MIB))
        if not part:
            return None
        data += part
    return data
