"""`vexfs index`: waits until files are indexed, and tells how far indexing is."""

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vexfs_fuse.cli import mounted
from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.cli.progress import Progress
from vexfs_fuse.cli.status import lines
from vexfs_fuse.errors import NotSupported, TimedOut
from vexfs_fuse.quantities import parse_duration

POLL_S: Final = 0.1
PENDING: Final = "user.vexfs.index_pending"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("wait", "status"), help="what to do")
    parser.add_argument(
        "path", metavar="PATH", nargs="?", type=Path, help="a file, a directory, or a mount point"
    )
    parser.add_argument("--timeout", metavar="DURATION", help="wait no longer, e.g. 30s")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked."""
    there = mounted.only_volume(arguments.path)
    if arguments.action == "status":
        indexing = mounted.read_status(there)["indexing"]
        print(json.dumps(indexing, indent=1) if arguments.json else "\n".join(lines(indexing)))
        return Exit.OK
    until_s = None
    if arguments.timeout is not None:
        until_s = time.monotonic() + parse_duration(arguments.timeout)
    wait(there, arguments.path or there, until_s)
    return Exit.OK


def wait(there: Path, path: Path, until_s: float | None) -> None:
    """Return when everything that was written to `path` before is indexed.

    Raises
    ------
    NotSupported
        The volume is not indexed.
    TimedOut
    """
    progress = Progress("indexing")
    mounted.sync(there)
    wanted = mounted.read_status(there)["volume"]["logged_lsn"]
    whole = path.resolve() == there
    while True:
        indexing = mounted.read_status(there)["indexing"]
        if indexing["state"] == "off":
            raise NotSupported(f"{there} is not indexed: it is mounted with index=off or ro")
        if indexing["position"] >= wanted and (not whole or not indexing["pending"]):
            break
        _pause(indexing, progress, until_s)
    for file in () if whole else _files(path):
        while _is_pending(file):
            _pause(mounted.read_status(there)["indexing"], progress, until_s)
    progress.done()


def _pause(indexing: dict[str, Any], progress: Progress, until_s: float | None) -> None:
    if until_s is not None and time.monotonic() >= until_s:
        raise TimedOut(f"{indexing['pending']} files are still to be indexed")
    progress.show(f"{indexing['pending']:,} files to go")
    time.sleep(POLL_S)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for directory, _, names in os.walk(path):
        yield from (Path(directory, name) for name in names)


def _is_pending(file: Path) -> bool:
    """Whether a file is still to be indexed; what has gone meanwhile is not."""
    try:
        return os.getxattr(file, PENDING, follow_symlinks=False) == b"1"
    except OSError:
        return False


COMMAND = Command(
    "index",
    "Wait until files are indexed, or show how far indexing is.",
    """
    vexfs index wait                      until all files of the only volume mounted are indexed
    vexfs index wait /mnt/vex/notes --timeout 1m
    vexfs index status /mnt/vex --json
    """,
    _add_arguments,
    run,
)
