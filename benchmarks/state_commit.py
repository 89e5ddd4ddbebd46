"""What the state view costs: changes and look-ups on the loop, commits in slices, opening.

A create is a new inode, a name, and the changed directory.  What runs on the loop is measured in
CPU time, so that a busy machine tells nearly the same; COMMIT, checkpoint and opening in wall time.
The view holds that many names before (`--names`); creates go to directories of 1,000.

usage: python -m benchmarks.state_commit [--quick] [--names N] [--json FILE]
"""

import gc
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks import report
from benchmarks.commandline import end_on_sigterm, parser, progress
from benchmarks.machine import BusinessMeter, machine
from vexfs_fuse.storage.state import State
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import Inode, Lsn

BATCHES: Final = (100, 2_000, 20_000)
LOOK_UPS: Final = 20_000
DIRECTORY_NAMES: Final = 1_000
LACKING: Final = 100
PAGE_NAMES: Final = 100
TARGETS_NS: Final = {"touch again": 150, "set a name": 400, "name, changed": 250}
SLICE_MS: Final = 2.0
"""The most that one slice may take from the loop, as a median of the longest."""
OPEN_MS: Final = 50.0

FILE: Final = 0o100644
KIND: Final = 0o100000


class Bench:
    """A view on a real file, and how far its numbers have come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = State.open(path)
        self.lsn = 0
        self.names: list[tuple[Inode, bytes]] = []
        self.directories: dict[Inode, Node] = {}

    def make(self) -> tuple[Node, Node, bytes]:
        """Return a directory, a new file and a name for it, none of which the view has."""
        self.lsn += 1
        parent = Inode(self.lsn // DIRECTORY_NAMES + 1)
        directory = self.directories.get(parent) or _node(parent)
        self.directories[parent] = directory
        name = b"file-%x" % random.getrandbits(48)
        self.names.append((parent, name))
        return directory, _node(Inode(1_000_000 + self.lsn)), name

    def create(self, made: tuple[Node, Node, bytes], lsn: int) -> None:
        """Do what applying `Created` does to the view."""
        directory, node, name = made
        state = self.state
        state.touch(node)
        state.touch(directory)
        state.put_dentry(directory.ino, name, (node.ino, lsn, KIND))
        directory.children += 1

    def commit(self) -> dict[str, float]:
        """Commit what has changed, as the volume does, and return what it cost."""
        freeze, commit = _timed(lambda: self.state.freeze(Lsn(self.lsn)), time.thread_time)
        slices = list(_slices(commit.step))
        finish, _ = _timed(commit.finish, time.perf_counter)
        settle, _ = _timed(lambda: self.state.settle(commit), time.thread_time)
        released = list(_slices(commit.release))
        checkpoint, _ = _timed(self.state.checkpoint, time.perf_counter)
        return {
            "freeze_ms": freeze * 1e3,
            "slices_cpu_us": sum(cpu for cpu, _ in slices) * 1e6,
            "slice_median_ms": statistics.median(cpu for cpu, _ in slices) * 1e3,
            "slice_max_ms": max(cpu for cpu, _ in slices) * 1e3,
            "slice_max_wall_ms": max(wall for _, wall in slices) * 1e3,
            "release_cpu_ms": sum(cpu for cpu, _ in released) * 1e3,
            "release_max_ms": max(cpu for cpu, _ in released) * 1e3,
            "commit_ms": finish * 1e3,
            "settle_ms": settle * 1e3,
            "checkpoint_ms": checkpoint * 1e3,
            "rows": commit.rows,
        }


def _node(ino: Inode) -> Node:
    times = (time.time_ns(),) * 4
    return Node(ino, FILE, 1000, 1000, 1, 0, 0, 0, *times, 0, Inode(0), None, 0)


def _timed(work: Callable[[], Any], clock: Callable[[], float]) -> tuple[float, Any]:
    start = clock()
    result = work()
    return clock() - start, result


def _slices(step: Callable[[], bool]) -> Iterator[tuple[float, float]]:
    done = False
    while not done:
        cpu, wall = time.thread_time(), time.perf_counter()
        done = step()
        yield time.thread_time() - cpu, time.perf_counter() - wall


def main() -> None:
    """Measure, print, write the JSON."""
    options = parser(__doc__, quick="fewer rounds, a tenth of the names")
    options.add_argument("--names", type=int, help="names in the view before: 1,000,000")
    arguments = options.parse_args()
    end_on_sigterm()
    meter = BusinessMeter()
    names = arguments.names or (100_000 if arguments.quick else 1_000_000)
    rounds = 3 if arguments.quick else 9
    gc.disable()  # as the daemon: its thresholds are far away
    with tempfile.TemporaryDirectory(prefix="vexfs-state-", dir=arguments.work) as work:
        described = machine(Path(work))
        bench = Bench(Path(work, "state.sqlite3"))
        _fill(bench, names)
        found = {
            "commits": {str(size): _commits(bench, size, rounds) for size in BATCHES},
            "ns": _calls(bench),
            "open_ms": _opens(bench, rounds),
        }
        bench.state.close()
    progress("")
    results = report.document("state_commit", described, meter.end(), {"names": names})
    report.tell(results, found, readable(found), arguments.json)


def _fill(bench: Bench, names: int) -> None:
    while bench.lsn < names:
        progress(f"filling: {bench.lsn} of {names} names")
        for _ in range(min(BATCHES[-1], names - bench.lsn)):
            bench.create(bench.make(), bench.lsn)
        bench.commit()


def _commits(bench: Bench, size: int, rounds: int) -> list[dict[str, float]]:
    """Return what commits of so many creates cost, a round each."""
    samples = []
    for _ in range(rounds):
        progress(f"committing {size} creates")
        made = [(bench.make(), bench.lsn) for _ in range(size)]
        start = time.thread_time()
        for one, lsn in made:
            bench.create(one, lsn)
        changes = (time.thread_time() - start) * 1e6
        del made
        sample = bench.commit()
        sample["changes_us_per_create"] = changes / size
        sample["slices_us_per_create"] = sample.pop("slices_cpu_us") / size
        samples.append(sample)
    return samples


def _calls(bench: Bench) -> dict[str, float]:
    """Return nanoseconds of CPU time for single calls."""
    progress("calls")
    state = bench.state
    held = random.sample(bench.names, min(LOOK_UPS, len(bench.names)))
    inodes = [Inode(1_000_000 + random.randint(1, bench.lsn)) for _ in held]
    figures = {
        "name, SQLite": _each(held, lambda one: state.dentry(*one)),
        "name, absent": _each(held, lambda one: state.dentry(one[0], b"absent")),
        "inode, SQLite": _each(inodes, state.node_row),
    }
    for when in ("first", "again"):
        figures[f"name, known to be absent, {when}"] = _each(
            list(bench.directories)[:LACKING], lambda parent: state.lacks(parent, b"absent")
        )
    parents = list(bench.directories)[: LOOK_UPS // PAGE_NAMES]
    page = _each(parents, lambda parent: state.dentries_after(parent, 0, PAGE_NAMES))
    figures["listing, a name"] = page / PAGE_NAMES
    made = [bench.make() for _ in range(LOOK_UPS)]
    first = bench.lsn - LOOK_UPS + 1
    names = [
        (directory.ino, name, (node.ino, first + index, KIND))
        for index, (directory, node, name) in enumerate(made)
    ]
    figures["touch first"] = _each(made, lambda one: state.touch(one[1]))
    figures["touch again"] = _each(made, lambda one: state.touch(one[1]))
    figures["set a name"] = _each(names, lambda one: state.put_dentry(*one))
    figures["name, changed"] = _each(names, lambda one: state.dentry(one[0], one[1]))
    return figures


def _each(things: list[Any], call: Callable[[Any], Any]) -> float:
    """Return nanoseconds of CPU time for a call, without those of the loop around it."""
    start = time.thread_time()
    for thing in things:
        call(thing)
    called = time.thread_time() - start
    start = time.thread_time()
    for thing in things:
        _nothing(thing)
    return max(called - (time.thread_time() - start), 0.0) / len(things) * 1e9


def _nothing(thing: Any) -> None:
    """Cost what calling anything costs."""


def _opens(bench: Bench, rounds: int) -> list[float]:
    """Return milliseconds for opening the view as it is found after a clean end."""
    samples = []
    for _ in range(rounds):
        bench.state.close()
        taken, bench.state = _timed(lambda: State.open(bench.path), time.perf_counter)
        samples.append(taken * 1e3)
    return samples


def readable(found: dict[str, Any]) -> str:
    """Return the figures, those with a target with their verdict."""
    rows = []
    for size, samples in found["commits"].items():
        median = {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}
        rows.append(
            [
                size,
                f"{median['changes_us_per_create']:.2f}",
                f"{median['slices_us_per_create']:.2f}",
                f"{median['commit_ms'] * 1e3 / int(size):.2f}",
                f"{median['slice_median_ms']:.2f}",
                f"{median['slice_max_ms']:.2f} {_verdict(median['slice_max_ms'], SLICE_MS)}",
                f"{median['freeze_ms']:.2f}",
                f"{median['settle_ms']:.2f}",
                f"{median['release_cpu_ms']:.2f}",
                f"{median['release_max_ms']:.2f}",
                f"{median['checkpoint_ms']:.1f}",
            ]
        )
    header = ["creates", "changes us", "slices us", "COMMIT us", "slice ms", "longest ms"]
    header += ["freeze ms", "settle ms", "release ms", "longest", "checkpoint ms"]
    calls = [
        [name, f"{value:,.0f}", _verdict(value, TARGETS_NS.get(name))]
        for name, value in found["ns"].items()
    ]
    opened = statistics.median(found["open_ms"])
    return "\n\n".join(
        [
            report.table(header, rows),
            report.table(["call", "ns", ""], calls),
            f"opening takes {opened:.1f} ms ({_verdict(opened, OPEN_MS)})",
        ]
    )


def _verdict(value: float, target: float | None) -> str:
    return "" if target is None else "pass" if value <= target else f"MISS (<= {target:g})"


if __name__ == "__main__":
    main()
