"""What a trip away from the event loop costs, and what keeps others from it meanwhile.

`trips` are medians of wall time for one round trip with nothing to do at its end, on a loop that has
nothing else to do.  `held` is CPU time of one call in the thread that has the loop: nobody else is
answered in it.

usage: python -m benchmarks.loop_costs [--quick] [--json FILE]
"""

import gc
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import trio

from benchmarks import report
from benchmarks.commandline import parser
from benchmarks.machine import BusinessMeter, machine
from vexfs_fuse.clock import SystemClock
from vexfs_fuse.config import Config
from vexfs_fuse.fuse.affinity import Follower
from vexfs_fuse.observe.recorder import TOTAL, Recorder
from vexfs_fuse.runtime.syncer import Syncer
from vexfs_fuse.runtime.workers import Workers
from vexfs_fuse.storage.frames import sums_of
from vexfs_fuse.units import KIB, MIB, ROOT, Inode, Lsn
from vexfs_fuse.vfs.control import JSONL_RECORDS_MAX, json_line
from vexfs_fuse.volume.changes import Created
from vexfs_fuse.volume.opening import open_volume
from vexfs_fuse.volume.volume import Volume
from vexfs_fuse.volume.writer import SYSTEM

FILES: Final = 5_000
Found = dict[str, list[float]]


class InstantBatch:
    """A batch that is written as soon as it is run."""

    segments = None

    def __init__(self, lsn: Lsn) -> None:
        self.lsn = lsn

    def run(self) -> None:
        """Write nothing."""


class InstantVolume:
    """A volume on a disk that takes no time."""

    failure = None

    def __init__(self) -> None:
        self.logged_lsn = self.durable_lsn = Lsn(0)

    def seal(self) -> InstantBatch | None:
        return InstantBatch(self.logged_lsn) if self.logged_lsn > self.durable_lsn else None

    def settle(self, batch: InstantBatch, error: BaseException | None) -> None:
        self.durable_lsn = batch.lsn

    def when_pressed(self, relief: Callable[[], None]) -> None:
        """Never."""

    def relieve(self) -> None:
        """Nothing is dirty."""

    def flush_aged(self, *, older_than_s: float = 0.0) -> tuple[()]:
        return ()


def main() -> None:
    """Measure, print, write the JSON."""
    arguments = parser(__doc__, quick="fewer rounds").parse_args()
    meter = BusinessMeter()
    rounds = 300 if arguments.quick else 2_000
    gc.disable()  # as the daemon, all but
    with tempfile.TemporaryDirectory(prefix="vexfs-loop-", dir=arguments.work) as work:
        described = machine(Path(work))
        trips = trio.run(_trips, rounds)
        held = _held(Path(work), max(5, rounds // 50))
    results = report.document("loop_costs", described, meter.end(), {"rounds": rounds})
    report.tell(
        results, {"trips_us": trips, "held_us": held}, readable(trips, held), arguments.json
    )


async def _trips(rounds: int) -> Found:
    workers = Workers(Follower())
    volume = InstantVolume()
    syncer = Syncer(volume, Follower(), interval_s=60.0)
    syncer.start()

    async def sync() -> None:
        volume.logged_lsn = Lsn(volume.logged_lsn + 1)
        await syncer.durable(volume.logged_lsn)

    ways: dict[str, Callable[[], Awaitable[Any]]] = {
        "a checkpoint of trio": trio.lowlevel.checkpoint,
        "to a worker thread and back": lambda: workers.run(_nothing),
        "trio.to_thread.run_sync, for comparison": lambda: trio.to_thread.run_sync(_nothing),
        "to the writer thread and back (a group commit)": sync,
    }
    found = {title: [await _wall_us(way) for _ in range(rounds)] for title, way in ways.items()}
    await syncer.drain()
    syncer.stop()
    workers.stop()
    return found


async def _wall_us(way: Callable[[], Awaitable[Any]]) -> float:
    start = time.perf_counter_ns()
    await way()
    return (time.perf_counter_ns() - start) / 1e3


def _nothing() -> None:
    """Do nothing, elsewhere."""


def _held(work: Path, rounds: int) -> Found:
    volume = open_volume(work / "store", Config(store=work / "store"), SystemClock())
    try:
        _fill(volume)
        mebibyte = [memoryview(bytes(MIB))]
        found = {
            "copy 128 KiB into a page": _cpu_us(_copier(128 * KIB), rounds),
            "checksums of 1 MiB": _cpu_us(lambda: sums_of(mebibyte), rounds),
            "status of a volume": _cpu_us(volume.status, rounds),
            f"{JSONL_RECORDS_MAX} records as JSON": _cpu_us(lambda: _latest(volume), rounds),
            "the first page of a large directory": _cpu_us(lambda: _page(volume), rounds),
            f"seal a batch of {FILES:,} records": _seals(volume, rounds),
            f"time and count {FILES:,} requests": _cpu_us(_counting(), rounds),
        }
    finally:
        volume.close()
    return found


def _fill(volume: Volume) -> None:
    _create(volume, 0)
    volume.commit_all()


def _create(volume: Volume, first: int) -> None:
    for number in range(first, first + FILES):
        name = b"file-%d" % number
        change = Created(ROOT, name, 0o100644, 1000, 1000, 0, None, None)
        volume.writer.admit()
        volume.writer.commit(Inode(number + 2), change, SYSTEM)


def _counting() -> Callable[[], None]:
    """Return what `fuse.direct` does around each request for the metrics, for many requests."""
    row = Recorder().row("getattr")

    def count() -> None:
        for _ in range(FILES):
            began = time.perf_counter_ns()
            took = time.perf_counter_ns() - began
            row[took.bit_length()] += 1
            row[TOTAL] += took

    return count


def _copier(size: int) -> Callable[[], None]:
    source, target = bytes(size), memoryview(bytearray(size))

    def copy() -> None:
        target[:] = source

    return copy


def _latest(volume: Volume) -> bytes:
    first = volume.durable_lsn - JSONL_RECORDS_MAX
    return b"".join(json_line(entry) for entry in volume.journal.replay(first))


def _page(volume: Volume) -> list[Any]:
    return volume.view.dentries_after(ROOT, 0, 512)


def _seals(volume: Volume, rounds: int) -> list[float]:
    found = []
    for turn in range(1, min(rounds, 10) + 1):
        _create(volume, turn * FILES)
        start = time.thread_time_ns()
        batch = volume.seal()
        found.append((time.thread_time_ns() - start) / 1e3)
        assert batch is not None
        batch.run()
        volume.settle(batch, None)
    return found


def _cpu_us(call: Callable[[], object], rounds: int) -> list[float]:
    found = []
    for _ in range(rounds + 1):
        start = time.thread_time_ns()
        call()
        found.append((time.thread_time_ns() - start) / 1e3)
    return found[1:]  # the first touches the memory


def readable(trips: Found, held: Found) -> str:
    """Return both tables."""
    parts = []
    for title, found in (("one round trip, us", trips), ("the loop is held, us", held)):
        rows = [
            [what, f"{statistics.median(us):,.1f}", f"{min(us):,.1f}-{_p95(us):,.1f}"]
            for what, us in found.items()
        ]
        parts.append(report.table([title, "median", "least to 95 %"], rows))
    return "\n\n".join(parts)


def _p95(samples: list[float]) -> float:
    return sorted(samples)[int(0.95 * (len(samples) - 1))]


if __name__ == "__main__":
    main()
