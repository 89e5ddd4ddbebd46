"""What slow requests do to fast ones: stats beside a process that syncs, or reads what is cold.

A daemon that waits for the disk on its loop answers nobody meanwhile, which shows in the fast
requests' 99th percentile before it shows in their median.

usage: python -m benchmarks.beside_slow [--quick] [--json FILE]
"""

import contextlib
import mmap
import multiprocessing
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks import report, systems
from benchmarks.caches import drop_everything
from benchmarks.commandline import end_on_sigterm, parser, progress
from benchmarks.harness import run_load
from benchmarks.machine import BusinessMeter, machine

FAST: Final = "stat_uncached"
POOL_OPTION: Final = "pool_bytes=16M"
"""So small a pool that the cold file does not fit."""
COLD_BYTES: Final = 256 << 20
PIECE_BYTES: Final = 1 << 20
PAGE_BYTES: Final = 4096
SLOWED: Final = 1.25
"""The most that the median of the fast requests may grow."""

Slow = Callable[[Path], None]


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = parser(__doc__, quick="fewer rounds")
    arguments = options.parse_args()
    arguments.options += f",{POOL_OPTION}"
    end_on_sigterm()
    meter = BusinessMeter()
    rounds = 3 if arguments.quick else 9
    with tempfile.TemporaryDirectory(prefix="vexfs-beside-", dir=arguments.work) as work:
        described = machine(Path(work))
        with systems.named("vexfs", arguments).mounted(Path(work)) as mounted:
            _make_cold_file(mounted.directory / "cold")
            found = _measure(mounted, rounds)
    results = report.document("beside_slow", described, meter.end(), {"fast": FAST})
    report.tell(results, found, readable(found), arguments.json)


def _make_cold_file(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for _ in range(COLD_BYTES // PIECE_BYTES):
            file.write(os.urandom(PIECE_BYTES))
        os.fsync(file)


def _sync_for_ever(directory: Path) -> None:
    file = os.open(directory / "synced", os.O_CREAT | os.O_WRONLY)
    while True:
        os.pwrite(file, bytes(PAGE_BYTES), 0)
        os.fsync(file)


def _read_cold_for_ever(directory: Path) -> None:
    rng = random.Random()
    file = os.open(directory / "cold", os.O_RDONLY | os.O_DIRECT)
    page = mmap.mmap(-1, PAGE_BYTES)  # aligned, as O_DIRECT wants it
    while True:
        os.preadv(file, [page], rng.randrange(COLD_BYTES // PAGE_BYTES) * PAGE_BYTES)


SLOW: Final[dict[str, Slow | None]] = {
    "alone": None,
    "beside write + fsync": _sync_for_ever,
    "beside cold reads": _read_cold_for_ever,
}


@contextlib.contextmanager
def _running(slow: Slow | None, directory: Path) -> Iterator[None]:
    if slow is None:
        yield
        return
    process = multiprocessing.get_context("spawn").Process(target=slow, args=(directory,))
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _measure(mounted: systems.Mounted, rounds: int) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {title: [] for title in SLOW}
    for _ in range(rounds):
        for title, slow in SLOW.items():
            progress(title)
            if slow is _read_cold_for_ever:
                drop_everything()
            with _running(slow, mounted.directory):
                run_load(FAST, mounted, 1, 1_000)  # until the slow one is at work
                found[title].append(run_load(FAST, mounted, 1, 10_000))
            mounted.settle()
    progress("")
    return found


def readable(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table: medians of the rounds, and the growth from `alone`."""
    rows = []
    alone = _median(found["alone"], "p50_ns")
    for title, samples in found.items():
        p50, p99 = _median(samples, "p50_ns"), _median(samples, "p99_ns")
        verdict = "" if title == "alone" else "pass" if p50 <= alone * SLOWED else "MISS"
        worst = max(sample["max_ns"] for sample in samples)
        rows.append(
            [
                f"stat, {title}",
                *map(report.microseconds, (p50, p99, worst)),
                f"{p50 / alone:.2f}",
                "" if title == "alone" else f"<= {SLOWED}",
                verdict,
            ]
        )
    return report.table(["", "p50", "p99", "max", "p50 / alone", "target", ""], rows)


def _median(samples: list[dict[str, Any]], field: str) -> float:
    median: float = statistics.median(sample[field] for sample in samples)
    return median


if __name__ == "__main__":
    main()
