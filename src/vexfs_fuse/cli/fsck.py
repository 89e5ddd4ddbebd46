"""`vexfs fsck`: checks every rule and every checksum of a store that is not mounted."""

import argparse
import json
import sys
from enum import IntEnum

from vexfs_fuse.cli.command import Command
from vexfs_fuse.cli.options import add_store, effective_options
from vexfs_fuse.cli.progress import Progress
from vexfs_fuse.config import Config
from vexfs_fuse.errors import NotFound, StoreDamaged, VexfsError


class Verdict(IntEnum):
    """Exit codes, those of fsck(8)."""

    SOUND = 0
    DAMAGED = 4
    NOT_CHECKED = 8


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the problems as JSON")
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check one store."""
    config = effective_options(arguments).config
    try:
        problems = problems_of(config)
    except VexfsError as error:
        print(f"vexfs: {error}", file=sys.stderr)
        return Verdict.NOT_CHECKED
    if arguments.json:
        print(json.dumps({"store": str(config.store), "problems": problems}, indent=1))
    elif problems:
        print("\n".join(problems))
    else:
        print(f"{config.store} is sound")
    return Verdict.DAMAGED if problems else Verdict.SOUND


def problems_of(config: Config) -> list[str]:
    """Return every problem of the store at rest, as sentences.

    Raises
    ------
    NotFound
        There is no volume.
    VexfsError
        It cannot be opened, because it is mounted for example.
    """
    from vexfs_fuse.volume.check import check
    from vexfs_fuse.volume.opening import IDENTITY, open_volume

    if not (config.store / IDENTITY).exists():
        raise NotFound(f"{config.store} holds no volume")
    progress = Progress("checking files")
    try:
        volume = open_volume(config.store, config)
    except StoreDamaged as error:
        return [str(error)]
    try:
        return check(volume, progress=progress.share)
    finally:
        progress.done()
        volume.close()


COMMAND = Command(
    "fsck",
    "Check a volume that is not mounted: its records, its names, the checksums of all contents.",
    """
    vexfs fsck --store /srv/notes
    vexfs fsck --store /srv/notes --json
    """,
    _add_arguments,
    run,
    "0 sound, 2 wrong usage, 4 damaged, 8 not checked (standard error says why)",
)
