"""`vexfs restore`: makes a store of a backup, once it has been checked."""

import argparse
import dataclasses
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.cli.fsck import problems_of
from vexfs_fuse.cli.options import add_store, effective_options
from vexfs_fuse.cli.progress import Progress
from vexfs_fuse.config import Config
from vexfs_fuse.errors import StoreDamaged
from vexfs_fuse.quantities import approximate_size


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="FILE", help="a backup; - is standard input")
    parser.add_argument(
        "--keep-damaged",
        action="store_true",
        help="make a store of a damaged backup, too: it is all that there is",
    )
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Restore into an empty or missing store directory."""
    config = effective_options(arguments).config
    with ExitStack() as cleanup:
        source: BinaryIO = sys.stdin.buffer
        if arguments.source != "-":
            source = cleanup.enter_context(Path(arguments.source).open("rb"))
        return _restore(source, config, keep_damaged=arguments.keep_damaged)


def _restore(source: BinaryIO, config: Config, *, keep_damaged: bool) -> int:
    from vexfs_fuse.volume.restoration import restoration

    progress = Progress("restore")
    try:
        with restoration(
            source, config.store, lambda n: progress.show(approximate_size(n))
        ) as draft:
            problems = problems_of(dataclasses.replace(config, store=draft.path))
            for problem in problems:
                print(problem)
            if problems and not keep_damaged:
                raise StoreDamaged("the backup is damaged, and nothing was restored")
    finally:
        progress.done()
    what = "damaged" if problems else "sound"
    print(f"restored {approximate_size(draft.size_bytes)} to {config.store}; it is {what}")
    return Exit.FAILED if problems else Exit.OK


COMMAND = Command(
    "restore",
    "Make a store of a backup, after checking all of it; a failure leaves nothing behind.",
    """
    vexfs restore --store /srv/notes notes.tar
    zstd -dc notes.tar.zst | vexfs restore --store /srv/notes -
    """,
    _add_arguments,
    run,
)
