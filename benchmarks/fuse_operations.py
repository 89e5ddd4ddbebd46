"""Operations per second of vexfs, of a C floor and of a Python floor, in one run; targets beside.

usage: python -m benchmarks.fuse_operations [--quick] [--clients 1,8] [--placement pinned|free]
       [--systems c,python,vexfs] [--only OPERATION,...] [--json FILE]
"""

import argparse
import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import report, systems
from benchmarks.commandline import end_on_sigterm, numbers, parser, progress, words
from benchmarks.harness import Comparison, Plan, Row, compare
from benchmarks.machine import BusinessMeter, machine
from benchmarks.placement import placement

REQUEST: Final = 0.6
STREAM: Final = 0.7
SMALL_FILES: Final = 0.5
FSYNC: Final = 2.5
IN_POOL: Final = 128
"""MiB of a file that is still in vexfs's pool when it is read; the C floor has all of any file."""

ROWS: Final = (
    Row("stat, uncached", "stat_uncached", REQUEST),
    Row("stat, name cold", "stat_name", REQUEST),
    Row("failed lookup", "lookup_missing", REQUEST),
    Row("open + close", "open_close", REQUEST),
    Row("create + close", "create_close", REQUEST),
    Row("unlink", "unlink", REQUEST),
    Row("rename", "rename", REQUEST),
    Row("read 4 KiB, cold", "read_4k_cold", REQUEST),
    Row("read 4 KiB, direct", "read_4k_direct", REQUEST),
    Row("write 4 KiB", "write_4k", REQUEST),
    Row("getxattr 1.5 KiB", "getxattr", REQUEST),
    Row("setxattr 1.5 KiB", "setxattr", REQUEST),
    Row("write 1 MiB, MiB/s", "write_1m", STREAM, "mib_per_second", count_first=32, count_max=512),
    Row(
        "read 1 MiB, MiB/s", "read_1m", STREAM, "mib_per_second", count_first=32, count_max=IN_POOL
    ),
    Row("10,000 files of 1 KiB", "small_files", SMALL_FILES, count_fixed=10_000),
    Row(
        "fsync of a small file",
        "fsync",
        FSYNC,
        "p50_ns",
        reference="disk",
        operations={"disk": "fdatasync"},
        count_first=80,
        count_max=2_000,
    ),
    Row(
        "read 1 MiB, from the disk, MiB/s",
        "read_1m",
        metric="mib_per_second",
        count_first=32,
        count_fixed=4 * IN_POOL,
    ),
    Row("mkdir", "mkdir"),
    Row("readdir of 1,000", "readdir", count_first=16),
    Row("stat, cached", "stat_cached"),
    Row("failed lookup, again", "lookup_missing_again"),
)
QUICK_ROWS: Final = tuple(row for row in ROWS if row.target is not None)

ON_DISK: Final = {"fsync"}
"""Operations that are compared with the disk itself too."""


def main() -> None:
    """Measure, print the table, write the JSON."""
    arguments = _arguments()
    end_on_sigterm()
    rows = (
        [row for row in ROWS if row.operation in arguments.only]
        if arguments.only
        else (QUICK_ROWS if arguments.quick else ROWS)
    )
    meter = BusinessMeter()
    comparisons: list[Comparison] = []
    with tempfile.TemporaryDirectory(prefix="vexfs-bench-", dir=arguments.work) as work:
        described = machine(Path(work))
        for clients in arguments.clients:
            comparisons += _measure(arguments, rows, clients, Path(work))
    settings = {"quick": arguments.quick, "placement": arguments.placement}
    results = report.document("fuse_operations", described, meter.end(), settings)
    found = [comparison.as_json() for comparison in comparisons]
    report.tell(results, found, readable(found), arguments.json)


def _arguments() -> argparse.Namespace:
    options = parser(__doc__, quick="less steady, and only what has a target: three minutes")
    options.add_argument("--clients", default=[1, 8], type=numbers)
    options.add_argument("--placement", default="pinned", choices=["pinned", "free"])
    options.add_argument("--systems", default=["c", "python", "vexfs"], type=words)
    options.add_argument("--only", default=[], type=words, help="operations of clients/load --list")
    options.add_argument("--rounds", type=int)
    options.add_argument("--seconds", type=float, help="length of one measurement")
    return options.parse_args()


def _measure(
    arguments: argparse.Namespace, rows: Sequence[Row], clients: int, work: Path
) -> list[Comparison]:
    """Mount everything once, and go through the rows."""
    place = placement(arguments.placement, clients)
    plan = Plan(
        rounds=arguments.rounds or (3 if arguments.quick else 7),
        seconds=arguments.seconds or (0.12 if arguments.quick else 0.6),
        clients=clients,
        placement=place,
        quick=arguments.quick,
    )
    comparisons = []
    with contextlib.ExitStack() as stack:
        mounted = [
            stack.enter_context(systems.named(name, arguments).mounted(work, place.daemon_prefix()))
            for name in arguments.systems
        ]
        disk = stack.enter_context(systems.disk().mounted(work))
        for row in rows:
            progress(f"{row.title}, {clients} client{'s' if clients > 1 else ''}")
            beside = [disk] if row.operation in ON_DISK else []
            comparisons.append(compare(row, [*mounted, *beside], plan))
    progress("")
    return comparisons


def readable(results: Sequence[dict[str, Any]]) -> str:
    """Return the table: medians, vexfs's ratio with its range over the rounds, and the verdict.

    `by CPU` is the ratio of the CPU times of client and daemon together, C's to vexfs's: it hardly
    depends on what else the machine does.
    """
    header = (
        *("", "clients", "C", "Python", "ratio", "vexfs", "ratio", "range"),
        *("by CPU", "target", ""),
    )
    lines = [_line(result) for result in results]
    verdicts = [line[-1] for line in lines]
    failures = [
        f"{system}: {error}" for result in results for system, error in result["errors"].items()
    ]
    return "\n".join(
        [
            report.table(header, lines),
            "",
            f"{verdicts.count('pass')} targets met, {verdicts.count('MISS')} missed",
            *failures,
        ]
    )


def _line(result: dict[str, Any]) -> tuple[str, ...]:
    latency = result["metric"] == "p50_ns"
    show = report.microseconds if latency else report.rate
    empty = dict.fromkeys(("median", "cpu_ns", "ratio", "ratio_range", "met"))
    by_name = {name: result["systems"].get(name, empty) for name in ("c", "python", "vexfs")}
    ours = by_name["vexfs"]
    reference = result["systems"].get(result["reference"], empty)
    target = result["target"]
    c_cpu, our_cpu = by_name["c"]["cpu_ns"], ours["cpu_ns"]
    cpu_ratio = c_cpu / our_cpu if c_cpu and our_cpu else None
    title = result["title"]
    if latency:
        title += f" (disk: {show(reference['median'])})"
    return (
        title,
        str(result["clients"]),
        show(by_name["c"]["median"]),
        show(by_name["python"]["median"]),
        _ratio(by_name["python"]["ratio"]),
        show(ours["median"]),
        _ratio(ours["ratio"]),
        "-".join(_ratio(bound) for bound in ours["ratio_range"]) if ours["ratio_range"] else "",
        _ratio(cpu_ratio),
        "" if target is None else f"{'<=' if latency else '>='} {target}",
        {True: "pass", False: "MISS", None: ""}[ours["met"]],
    )


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
