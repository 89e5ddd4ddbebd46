"""What an operation costs on volumes of a thousand to a million files, and how long they mount.

Volumes of all sizes are mounted beside each other, and each operation goes round them in turn; a
growth of 1.0 is a cost that does not depend on the size.  The C floor is taken along, for what
grows there is the kernel's and the processor caches' doing.

usage: python -m benchmarks.scale [--quick] [--sizes 1000,100000,1000000] [--layout spread|flat]
       [--systems c,vexfs] [--json FILE]
"""

import argparse
import contextlib
import dataclasses
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import report, systems
from benchmarks.caches import drop_names
from benchmarks.commandline import end_on_sigterm, numbers, parser, progress, words
from benchmarks.harness import Plan, Row, compare
from benchmarks.machine import BusinessMeter, machine
from benchmarks.placement import placement

MOUNT_S_MAX: Final = 2.0
"""A volume of a million files is to mount in less."""
DIRECTORY_FILES: Final = 1_000
"""Files in each directory of the layout `spread`."""
TOUCHED: Final = 500
"""Files of the population that one round looks up, and makes."""

OPERATIONS: Final = (
    Row("create + close", "create_close"),
    Row("stat, uncached", "stat_uncached"),
    Row("open + close", "open_close"),
    Row("rename", "rename"),
    Row("unlink", "unlink"),
    Row("setxattr 1.5 KiB", "setxattr"),
    Row("getxattr 1.5 KiB", "getxattr"),
    Row("write 4 KiB", "write_4k"),
    Row("read 4 KiB, direct", "read_4k_direct"),
)


class Population:
    """The files of one volume, all empty, in one directory or a thousand to each."""

    def __init__(self, mounted: systems.Mounted, size: int, layout: str) -> None:
        self.mounted = mounted
        self.size = size
        self._each = size if layout == "flat" else DIRECTORY_FILES

    def path(self, number: int) -> str:
        """Return the path of one file."""
        return f"{self.mounted.directory}/d{number // self._each}/f{number}"

    def make(self) -> float:
        """Make all files, and return the seconds that it took."""
        start = time.perf_counter()
        for number in range(self.size):
            if number % self._each == 0:
                os.mkdir(os.path.dirname(self.path(number)))
            os.mknod(self.path(number), 0o644)
        return time.perf_counter() - start

    def look_up(self, numbers: Iterable[int]) -> float:
        """Return the median of the microseconds that a stat takes."""
        return _median_us(os.stat, map(self.path, numbers))

    def make_and_remove(self, numbers: Iterable[int]) -> float:
        """Return the median of the microseconds that a new name in a full directory takes."""
        paths = [self.path(number) + "-more" for number in numbers]
        median_us = _median_us(lambda path: os.mknod(path, 0o644), paths)
        for path in paths:
            os.unlink(path)
        return median_us


def _median_us(call: Callable[[str], object], paths: Iterable[str]) -> float:
    times_ns = []
    for path in paths:
        start = time.perf_counter_ns()
        call(path)
        times_ns.append(time.perf_counter_ns() - start)
    return statistics.median(times_ns) / 1_000


def main() -> None:
    """Build the volumes, measure, print the tables, write the JSON."""
    arguments = _arguments()
    end_on_sigterm()
    meter = BusinessMeter()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="vexfs-scale-", dir=arguments.work) as work:
        described = machine(Path(work))
        for name in arguments.systems:
            found[name] = _measure(name, arguments, Path(work))
    settings = {"sizes": arguments.sizes, "layout": arguments.layout, "quick": arguments.quick}
    results = report.document("scale", described, meter.end(), settings)
    results["results"] = found
    report.write_json(arguments.json, results)
    print(report.heading(results))
    for name, result in found.items():
        print(f"\n{name}: microseconds, and growth from the smallest size")
        print(readable(result, arguments.sizes))


def _arguments() -> argparse.Namespace:
    options = parser(__doc__, quick="up to 20,000 files only")
    options.add_argument("--sizes", type=numbers)
    options.add_argument("--rounds", type=int)
    options.add_argument("--layout", choices=["spread", "flat"], default="spread")
    options.add_argument("--systems", default=["c", "vexfs"], type=words)
    arguments = options.parse_args()
    if not arguments.sizes:
        arguments.sizes = [1_000, 20_000] if arguments.quick else [1_000, 100_000, 1_000_000]
    return arguments


def _measure(name: str, arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    place = placement("pinned", clients=1)
    os.sched_setaffinity(0, place.clients)  # this process is a client too
    rounds = arguments.rounds or (3 if arguments.quick else 7)
    plan = Plan(rounds, 0.1 if arguments.quick else 0.3, 1, place, quick=True)
    base = systems.named(name, arguments)
    with contextlib.ExitStack() as stack:
        populations = []
        for size in arguments.sizes:
            system = dataclasses.replace(base, name=f"{name}-{size}")
            mounted = stack.enter_context(system.mounted(work, place.daemon_prefix()))
            populations.append(Population(mounted, size, arguments.layout))
        result: dict[str, Any] = {"populations": _populate(populations)}
        result["operations"] = _operations(populations, plan)
        result["operations"] |= _among_the_population(populations, plan.rounds)
        if name == "vexfs":
            result["mounts"] = _mounts(populations, place.daemon_prefix())
    return result


def _populate(populations: Sequence[Population]) -> dict[int, dict[str, float]]:
    made = {}
    for population in populations:
        progress(f"{population.mounted.system.name}: making {population.size:,} files")
        seconds = population.make()
        population.mounted.settle()
        resident = population.mounted.resident_bytes()
        made[population.size] = {
            "seconds": seconds,
            "files_per_second": population.size / seconds,
            "resident_mib": resident / 2**20,
        }
    return made


def _operations(populations: Sequence[Population], plan: Plan) -> dict[str, dict[int, float]]:
    """Run the load generator beside the population; return microseconds by size."""
    reference = populations[0].mounted.system.name
    figures = {}
    for row in OPERATIONS:
        progress(f"{reference}: {row.title}")
        row_here = dataclasses.replace(row, reference=reference, count_max=5_000)
        comparison = compare(row_here, [population.mounted for population in populations], plan)
        medians = {p.size: comparison.median(p.mounted.system.name) for p in populations}
        figures[row.title] = {size: 1e6 / rate for size, rate in medians.items() if rate}
    return figures


def _among_the_population(
    populations: Sequence[Population], rounds: int
) -> dict[str, dict[int, float]]:
    """Look up and make names among the files that are there; return microseconds by size."""
    cold: dict[int, list[float]] = {population.size: [] for population in populations}
    made: dict[int, list[float]] = {population.size: [] for population in populations}
    rng = random.Random(1)
    for turn in range(rounds):
        progress(f"{populations[0].mounted.system.name}: names among the files, round {turn + 1}")
        drop_names()
        for population in populations:
            numbers = rng.sample(range(population.size), TOUCHED)
            cold[population.size].append(population.look_up(numbers))
            made[population.size].append(population.make_and_remove(numbers))
            population.mounted.settle()
    return {
        "stat of any file, name cold": {size: statistics.median(cold[size]) for size in cold},
        "mknod among the files": {size: statistics.median(made[size]) for size in made},
    }


def _mounts(populations: Sequence[Population], prefix: list[str]) -> dict[int, dict[str, float]]:
    """Unmount and mount again; a first stat below the root shows that the mount answers."""
    figures = {}
    for population in populations:
        mounted = population.mounted
        unmount_s = mounted.end()
        mount_s = mounted.start(prefix)
        start = time.perf_counter()
        os.stat(population.path(population.size - 1))
        figures[population.size] = {
            "unmount_seconds": unmount_s,
            "mount_seconds": mount_s,
            "first_stat_seconds": time.perf_counter() - start,
            "resident_mib": mounted.resident_bytes() / 2**20,
        }
    return figures


def readable(result: dict[str, Any], sizes: Sequence[int]) -> str:
    """Return the tables of one file system."""
    header = ["", *(f"{size:,}" for size in sizes), *(f"x {size:,}" for size in sizes[1:])]
    rows = []
    for title, by_size in result["operations"].items():
        costs = [f"{by_size[size]:.1f}" if size in by_size else "-" for size in sizes]
        growths = [
            f"{by_size[size] / by_size[sizes[0]]:.2f}" if size in by_size else "-"
            for size in sizes[1:]
        ]
        rows.append([title, *costs, *growths])
    lines = [report.table(header, rows), ""]
    for size, made in result["populations"].items():
        lines.append(
            f"{size:,} files made at {made['files_per_second']:,.0f}/s,"
            f" daemon at {made['resident_mib']:.0f} MiB"
        )
    for size, mount in result.get("mounts", {}).items():
        verdict = "pass" if mount["mount_seconds"] < MOUNT_S_MAX else "MISS"
        lines.append(
            f"{size:,} files mounted in {mount['mount_seconds']:.2f} s"
            f" (target < {MOUNT_S_MAX:g}: {verdict}), first stat"
            f" {mount['first_stat_seconds'] * 1e3:.1f} ms, unmounted in"
            f" {mount['unmount_seconds']:.2f} s, daemon at {mount['resident_mib']:.0f} MiB"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
