"""What a page of the pool costs, beside np.empty and bytearray, bare and with data copied in.

Nanoseconds for taking one and giving it back, at sizes from 64 B to 1 MiB (the pool rounds up to
its page sizes), when as many are held as a cache would hold: all are taken, filled if at all, and
freed in an order of their own.

usage: python -m benchmarks.pool [--quick] [--json FILE]
"""

import gc
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import report
from benchmarks.commandline import parser, progress
from benchmarks.machine import BusinessMeter, machine
from vexfs_fuse.storage.pool import PAGE_BYTES, SLOT_SHIFT, Pool
from vexfs_fuse.units import KIB, MIB

SIZES: Final = (64, KIB, 4 * KIB, 64 * KIB, MIB)
POOL_BYTES: Final = 128 * MIB
HELD_MAX: Final = 512
HELD_BYTES_MAX: Final = 64 * MIB
SAMPLE_NS: Final = 2_000_000
TARGET_NS: Final = 200
"""The most that taking a page, or freeing one, may take."""

Turn = Callable[[], None]
"""Takes as many as are held at a time, and frees them."""


def main() -> None:
    """Measure, print the table, write the JSON."""
    arguments = parser(__doc__, quick="fewer rounds").parse_args()
    meter = BusinessMeter()
    rounds = 9 if arguments.quick else 51
    with tempfile.TemporaryDirectory(prefix="vexfs-pool-", dir=arguments.work) as work:
        described = machine(Path(work))
    found = _measure(rounds)
    settings = {"rounds": rounds, "held": {str(size): _held(size) for size in SIZES}}
    results = report.document("pool", described, meter.end(), settings)
    report.tell(results, {"nanoseconds": found}, readable(found), arguments.json)


def _measure(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return samples by contender and size; the contenders take turns within a round."""
    pool = Pool(POOL_BYTES)
    for start in range(0, len(pool.view), MIB):  # a pool in use has touched its memory
        pool.view[start : start + MIB] = bytes(MIB)
    found: dict[str, dict[str, list[float]]] = {
        name + how: {str(size): [] for size in SIZES}
        for how in ("", ", filled")
        for name in _CONTENDERS
    }
    for size in SIZES:
        turns = {
            name + how: contender(size, _order(size), data, pool)
            for how, data in (("", None), (", filled", random.randbytes(size)))
            for name, contender in _CONTENDERS.items()
        }
        for number in range(rounds + 1):
            progress(f"{size:,} B: round {number} of {rounds}")
            for name, turn in turns.items():
                sample = _time(turn) / _held(size)
                if number:  # the first is thrown away
                    found[name][str(size)].append(sample)
    progress("")
    return found


def _time(turn: Turn) -> float:
    """Return the nanoseconds of one turn, from as many as make a sample long enough."""
    gc.disable()
    turns = 0
    start = now = time.perf_counter_ns()
    while now - start < SAMPLE_NS:
        turn()
        turns += 1
        now = time.perf_counter_ns()
    gc.enable()
    return (now - start) / turns


def _held(size: int) -> int:
    return min(HELD_MAX, HELD_BYTES_MAX // size)


def _order(size: int) -> list[int]:
    order = list(range(_held(size)))
    random.Random(size).shuffle(order)
    return order


def _arrays(size: int, order: list[int], data: bytes | None, pool: Pool) -> Turn:
    filling = None if data is None else np.frombuffer(data, np.uint8)

    def turn() -> None:
        held: list[Any] = [np.empty(size, np.uint8) for _ in order]
        if filling is not None:
            for array in held:
                array[:] = filling
        for index in order:
            held[index] = None

    return turn


def _bytearrays(size: int, order: list[int], data: bytes | None, pool: Pool) -> Turn:
    def turn() -> None:
        held: list[Any] = [bytearray(size if data is None else data) for _ in order]
        for index in order:
            held[index] = None

    return turn


def _pages(size: int, order: list[int], data: bytes | None, pool: Pool) -> Turn:
    page_bytes = next(page for page in PAGE_BYTES if page >= size)
    view = pool.view

    def turn() -> None:
        held = [pool.allocate(page_bytes) for _ in order]
        if data is not None:
            for slot in held:
                start = slot << SLOT_SHIFT
                view[start : start + size] = data
        for index in order:
            pool.free(held[index], page_bytes)

    return turn


_CONTENDERS: Final = {"np.empty": _arrays, "bytearray": _bytearrays, "pool": _pages}


def readable(found: dict[str, dict[str, list[float]]]) -> str:
    """Return the medians and quartiles, with the verdict on the pool."""
    rows = [[name, *map(_figure, by_size.values())] for name, by_size in found.items()]
    header = ["take and free, ns: median (quartiles)", *(f"{size:,} B" for size in SIZES)]
    each = max(statistics.median(samples) for samples in found["pool"].values()) / 2
    verdict = "pass" if each <= TARGET_NS else "MISS"
    return (
        report.table(header, rows)
        + f"\n\none page taken, or freed: {each:.0f} ns (target <= {TARGET_NS}: {verdict})"
    )


def _figure(samples: list[float]) -> str:
    low, middle, high = statistics.quantiles(samples, n=4)
    return f"{middle:,.0f} ({low:,.0f}-{high:,.0f})"


if __name__ == "__main__":
    main()
