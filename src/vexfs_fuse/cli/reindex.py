"""`vexfs reindex`: has what is derived made anew, of a mounted volume or a store at rest."""

import argparse
import os
import time
from pathlib import Path
from typing import Any, Final

from vexfs_fuse.cli import mounted
from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.cli.options import add_store
from vexfs_fuse.cli.progress import Progress
from vexfs_fuse.cli.space import opened
from vexfs_fuse.errors import NotFound, TimedOut

LOOK_S: Final = 0.5
"""Time between two looks at how far it is."""

STALLED_S: Final = 120.0
"""When no vector has found its way into a graph for so long, waiting ends."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "mount_point", metavar="MOUNTPOINT", nargs="?", type=Path, help="which volume, if several"
    )
    parser.add_argument("--space", metavar="NAME", help="only this vector space")
    parser.add_argument(
        "--no-wait", action="store_true", help="let a mounted volume go on by itself"
    )
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make the graphs of vectors anew."""
    if arguments.option_store is None:
        root = mounted.only_volume(arguments.mount_point)
        _begin(root, arguments.space)
        if not arguments.no_wait:
            _wait(root, arguments.space)
        return Exit.OK
    progress = Progress("indexing")
    with opened(arguments, read_only=False) as volume:
        volume.indexes.rebuild(arguments.space, progress.share)
        progress.done()
        for space in volume.applier.vectors.statistics():
            _tell(space, arguments.space)
    return Exit.OK


def _begin(root: Path, name: str | None) -> None:
    if name is not None and not _spaces(root, name):
        raise NotFound(f"space {name}")
    os.setxattr(root, "user.vexfs.reindex", f"vectors:{name}".encode() if name else b"vectors")


def _wait(root: Path, name: str | None) -> None:
    """Return when all vectors are in graphs that will be."""
    progress = Progress("indexing")
    last: Any = None
    since_s = time.monotonic()
    while True:
        spaces = _spaces(root, name)
        waiting = sum(space["waiting"] for space in spaces)
        if not waiting:
            break
        now = [(space["waiting"], space["building"], space["loading"]) for space in spaces]
        if now != last:
            last, since_s = now, time.monotonic()
        elif time.monotonic() > since_s + STALLED_S:
            raise TimedOut(f"{waiting:,} vectors wait for a graph; vexfs status says more")
        total = sum(space["vectors"] for space in spaces)
        progress.share(total - waiting, total)
        time.sleep(LOOK_S)
    progress.done()
    for space in spaces:
        _tell(space, name)


def _spaces(root: Path, name: str | None) -> list[dict[str, Any]]:
    spaces: list[dict[str, Any]] = mounted.read_status(root)["volume"]["spaces"]
    return [space for space in spaces if name in (None, space["name"])]


def _tell(space: dict[str, Any], name: str | None) -> None:
    if name in (None, space["name"]):
        compared = f", {space['tail']:,} are compared one by one" if space["tail"] else ""
        print(
            f"{space['name']}: {space['vectors']:,} vectors in {space['shards']} graphs{compared}"
        )


COMMAND = Command(
    "reindex",
    "Make the indexes of vectors anew, from the vectors that are stored.",
    """
    vexfs reindex                        the only volume mounted; searches go on
    vexfs reindex /mnt/vex --space clip
    vexfs reindex --store /srv/notes     a volume that is not mounted: its files are made anew, too
    """,
    _add_arguments,
    run,
)
