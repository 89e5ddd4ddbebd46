"""The indexer's process: its composition root.

It is started by the daemon with the number of a socket, has all it needs from there, and ends when the
daemon does.  Whatever happens to it, nothing is lost: it begins again where its index says.
"""

import fcntl
import os
import resource
import select
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Final, NamedTuple

from vexfs_fuse.errors import EmbedderFailed, InvalidArgument, ModelMissing, VexfsError
from vexfs_fuse.runtime.journal_follower import JournalFollower
from vexfs_fuse.runtime.remote_desk import RemoteDesk
from vexfs_fuse.storage.disk import LocalDisk
from vexfs_fuse.text.embedder import Embedder
from vexfs_fuse.text.filing import Limits
from vexfs_fuse.text.index import TextIndex
from vexfs_fuse.text.indexer import Indexer
from vexfs_fuse.text.providers import open_embedder
from vexfs_fuse.text.sandbox import Extractor, limits_for
from vexfs_fuse.units import Inode
from vexfs_fuse.volume.room import headroom_bytes

LOCK: Final = "text.lock"

NICE: Final = 10

REPORT_S: Final = 0.5
"""The daemon is told so often how it goes."""

ROOM_S: Final = 1.0
"""How often it is looked for room on a disk that has little left."""

WAIT_S_MAX: Final = 30.0
"""The longest time that the daemon is asked to wait for news."""


class Order(NamedTuple):
    """What the daemon says at the beginning."""

    store: str
    file: str
    """Where the index is in the store."""
    embedder: str
    file_bytes_max: int
    memory_bytes: int
    distrusted: list[int]
    """Files during which an indexer has ended more than once."""
    is_anew: bool
    """Whether the index is to be made anew."""


def main(arguments: list[str]) -> int:
    """Index until the daemon is gone; return the exit status."""
    channel = socket.socket(fileno=int(arguments[0]))
    _end_with(channel)
    desk = RemoteDesk(channel, JournalFollower(LocalDisk(Path("/nowhere"))))
    try:
        order = Order(*desk.ask("hello"))
        _be_modest(order.memory_bytes)
        _index(channel, order)
    except ConnectionError:
        return 0
    except VexfsError as failure:
        desk.ask("give up", str(failure))
        return 1
    except BaseException:
        desk.ask("fail", traceback.format_exc())
        raise
    return 0


def _end_with(channel: socket.socket) -> None:
    """End this process, whatever it is at, when the daemon has gone."""
    poll = select.poll()
    poll.register(channel.fileno(), 0)  # hang-ups alone

    def watch() -> None:
        poll.poll()
        os._exit(0)

    threading.Thread(target=watch, name="vexfs-watch", daemon=True).start()


def _be_modest(memory_bytes: int) -> None:
    """Leave the processor to all others, and keep within the memory that was granted."""
    os.nice(NICE)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _index(channel: socket.socket, order: Order) -> None:
    store = Path(order.store)
    lock = _lock(store / LOCK)
    desk = RemoteDesk(channel, JournalFollower(LocalDisk(store)))
    embedder, reason = _embedder(order.embedder)
    is_anew = order.is_anew
    if embedder is not None:
        reason = desk.ask("space", embedder.dim, embedder.fingerprint, embedder.name)
        if reason:
            embedder, is_anew = None, False
    desk.ask("model", reason or None)
    index = TextIndex(store / order.file)
    if is_anew:
        index.begin_anew("it was asked for")
    extractor = Extractor(limits_for(order.file_bytes_max))
    indexer = Indexer(
        desk,
        index,
        extractor,
        embedder,
        Limits(order.file_bytes_max),
        time.monotonic,
        frozenset(map(Inode, order.distrusted)),
    )
    try:
        _run(desk, indexer, extractor, LocalDisk(store))
    finally:
        extractor.close()
        index.close()
        os.close(lock)


def _run(desk: RemoteDesk, indexer: Indexer, extractor: Extractor, disk: LocalDisk) -> None:
    reported_s = -REPORT_S
    spared_bytes = 2 * headroom_bytes(disk)  # the last of a disk is for who writes to the volume
    while True:
        is_full = disk.free_bytes() < spared_bytes
        worked = not is_full and indexer.step()
        now_s = time.monotonic()
        if not worked or now_s - reported_s >= REPORT_S:
            report = indexer.report()
            told = {"rss_bytes": _rss_bytes(), "sandbox": extractor.confinement, "is_full": is_full}
            desk.ask("report", report._asdict() | told)
            reported_s = now_s
        if is_full:
            time.sleep(ROOM_S)
        elif not worked:
            # For news since what was followed: the answer to the report may have told of some.
            desk.ask("wait", min(indexer.wait_s(), WAIT_S_MAX), report.position)


def _embedder(setting: str) -> tuple[Embedder | None, str]:
    """Return the embedder, or why there is none."""
    try:
        return open_embedder(setting), ""
    except (ModelMissing, EmbedderFailed, InvalidArgument) as failure:
        return None, str(failure)


def _lock(path: Path) -> int:
    """Wait until the indexer of before has ended, if there is still one; return what holds the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _rss_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
