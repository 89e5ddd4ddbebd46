"""Everyday work on a source tree: unpack it, ask git for its status, list it, read it, remove it.

Compared with the disk's own file system, and with a peer that also keeps its data through FUSE, if
one is installed (apt-get install gocryptfs): every store is on the same disk.

usage: python -m benchmarks.everyday [--quick] [--tree DIRECTORY] [--systems disk,peer,c,vexfs]
       [--json FILE]
"""

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import report, systems
from benchmarks.caches import drop_everything
from benchmarks.commandline import end_on_sigterm, parser, progress, words
from benchmarks.machine import BusinessMeter, machine
from benchmarks.programs import ToolMissing

QUICK_FILES: Final = 400
"""Files of the tree in a quick run."""
TASK_TIMEOUT_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Task:
    """A shell command in the directory `$DIR`, where the archive `$TAR` unpacks to `tree`."""

    title: str
    command: str
    cold: bool = False  # with the kernel's pages and names dropped before it (root)


TASKS: Final = (
    Task("untar", 'tar -xf "$TAR" -C "$DIR"'),
    Task("git status, the first", 'git -C "$DIR/tree" status --porcelain'),
    Task("git status, again", 'git -C "$DIR/tree" status --porcelain'),
    Task("git status, cold", 'git -C "$DIR/tree" status --porcelain', cold=True),
    Task("ls -lR", 'ls -lR "$DIR/tree"'),
    Task("ls -lR, cold", 'ls -lR "$DIR/tree"', cold=True),
    Task("read it all, cold", 'tar -cf - -C "$DIR" tree | cat', cold=True),
    Task("rm -r", 'rm -r "$DIR/tree"'),
)


def main() -> None:
    """Measure, print the table, write the JSON."""
    arguments = _arguments()
    end_on_sigterm()
    meter = BusinessMeter()
    with tempfile.TemporaryDirectory(prefix="vexfs-everyday-", dir=arguments.work) as work:
        described = machine(Path(work))
        files, archive = make_archive(arguments.tree, Path(work), quick=arguments.quick)
        times = _measure(arguments, Path(work), archive)
        settings = {"files": files, "bytes": archive.stat().st_size, "quick": arguments.quick}
    results = report.document("everyday", described, meter.end(), settings)
    results["results"] = times
    report.write_json(arguments.json, results)
    print(report.heading(results))
    print(f"a tree of {files:,} files, {settings['bytes'] / 2**20:.0f} MiB\n")
    print(readable(times))


def _arguments() -> argparse.Namespace:
    options = parser(__doc__, quick="a part of the tree, two rounds")
    options.add_argument("--rounds", type=int)
    options.add_argument("--tree", type=Path, default=Path(sysconfig.get_path("stdlib")))
    options.add_argument("--systems", default=["disk", "peer", "c", "vexfs"], type=words)
    return options.parse_args()


def make_archive(tree: Path, work: Path, *, quick: bool) -> tuple[int, Path]:
    """Pack the tree's text files as one git commit; return how many they are, and the archive."""
    copy = work / "tree"
    sources = sorted(
        path
        for path in tree.rglob("*")
        if path.suffix in {".py", ".txt", ".c", ".h", ".rst", ".md"}
        and not {"site-packages", "__pycache__", ".git"} & set(path.parts)
        and path.is_file()
    )
    for source in sources[: QUICK_FILES if quick else None]:
        target = copy / source.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    git = ["git", "-C", str(copy), "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for verb in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Tree"], ["gc", "-q"]):
        subprocess.run([*git, *verb], check=True)
    archive = work / "tree.tar"
    subprocess.run(["tar", "-cf", archive, "-C", work, "tree"], check=True)
    shutil.rmtree(copy)
    return min(len(sources), QUICK_FILES if quick else len(sources)), archive


def _measure(
    arguments: argparse.Namespace, work: Path, archive: Path
) -> dict[str, dict[str, list[float]]]:
    """Return seconds by task and system, one for each round."""
    with contextlib.ExitStack() as stack:
        mounted = []
        for name in arguments.systems:
            try:
                system = systems.named(name, arguments)
            except ToolMissing as error:
                print(f"without {name}: {error}", file=sys.stderr)
                continue
            mounted.append(stack.enter_context(system.mounted(work)))
        names = [each.system.name for each in mounted]
        times: dict[str, dict[str, list[float]]] = {
            task.title: {name: [] for name in names} for task in TASKS
        }
        for _ in range(arguments.rounds or (2 if arguments.quick else 5)):
            for task in TASKS:
                for each in mounted:
                    progress(f"{task.title}: {each.system.name}")
                    seconds = _run(task, each.directory, archive)
                    times[task.title][each.system.name].append(seconds)
                    each.settle()
    progress("")
    return times


def _run(task: Task, directory: Path, archive: Path) -> float:
    if task.cold:
        drop_everything()
    start = time.perf_counter()
    subprocess.run(
        ["sh", "-c", task.command],
        env={**os.environ, "DIR": str(directory), "TAR": str(archive)},
        stdout=subprocess.PIPE,  # tar reads nothing when its output is /dev/null
        check=True,
        timeout=TASK_TIMEOUT_S,
    )
    return time.perf_counter() - start


def readable(times: dict[str, dict[str, list[float]]]) -> str:
    """Return the table: medians in seconds, and vexfs's ratio to each of the others."""
    names = list(next(iter(times.values())))
    others = [name for name in names if name != "vexfs"] if "vexfs" in names else []
    rows = []
    for title, by_system in times.items():
        medians = {name: statistics.median(seconds) for name, seconds in by_system.items()}
        ratios = [f"{medians['vexfs'] / medians[other]:.2f}" for other in others]
        rows.append([title, *(f"{medians[name]:.3f} s" for name in names), *ratios])
    return report.table(["", *names, *(f"vexfs / {other}" for other in others)], rows)


if __name__ == "__main__":
    main()
