"""`vexfs restore`: makes a store of a backup, and checks it."""

import argparse
import sys
from pathlib import Path
from typing import BinaryIO

from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.cli.fsck import problems_of
from vexfs_fuse.cli.options import add_store, effective_options
from vexfs_fuse.cli.progress import Progress
from vexfs_fuse.quantities import approximate_size


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="FILE", help="a backup; - is standard input")
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Restore into an empty or missing store directory."""
    config = effective_options(arguments).config
    if arguments.source == "-":
        size_bytes = _copy(sys.stdin.buffer, config.store)
    else:
        with Path(arguments.source).open("rb") as source:
            size_bytes = _copy(source, config.store)
    problems = problems_of(config)
    for problem in problems:
        print(problem)
    if problems:
        return Exit.FAILED
    print(f"restored {approximate_size(size_bytes)} to {config.store}; it is sound")
    return Exit.OK


def _copy(source: BinaryIO, store: Path) -> int:
    from vexfs_fuse.volume.backup import read_backup

    progress = Progress("restore")
    try:
        return read_backup(source, store, lambda n: progress.show(approximate_size(n)))
    finally:
        progress.done()


COMMAND = Command(
    "restore",
    "Make a store of a backup, and check all of it.",
    """
    vexfs restore --store /srv/notes notes.tar
    zstd -dc notes.tar.zst | vexfs restore --store /srv/notes -
    """,
    _add_arguments,
    run,
)
