"""`vexfs reindex`: has what is derived made anew, of a mounted volume or a store at rest."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vexfs_fuse.cli import index, mounted
from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.cli.options import add_store
from vexfs_fuse.cli.progress import Progress
from vexfs_fuse.cli.space import opened
from vexfs_fuse.errors import NotFound, NotPermitted, NotSupported, TimedOut
from vexfs_fuse.pending import Pending

if TYPE_CHECKING:
    from vexfs_fuse.volume.volume import Volume

LOOK_S: Final = 0.5
"""Time between two looks at how far it is."""

STALLED_S: Final = 120.0
"""When no vector has found its way into a graph for so long, waiting ends."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "mount_point", metavar="MOUNTPOINT", nargs="?", type=Path, help="which volume, if several"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--space", metavar="NAME", help="only this vector space")
    what.add_argument(
        "--text",
        action="store_true",
        help="the index of texts instead: every file is read again, and embedded again if the embedder is"
        " another one than before",
    )
    parser.add_argument(
        "--no-wait", action="store_true", help="let a mounted volume go on by itself"
    )
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make the graphs of vectors anew, or the index of texts."""
    if arguments.text:
        return _texts(arguments)
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


def _texts(arguments: argparse.Namespace) -> int:
    if arguments.option_store is not None:
        with opened(arguments, read_only=False) as volume:
            _drop_texts(volume)
        print("the files are indexed when the store is mounted again")
        return Exit.OK
    root = mounted.only_volume(arguments.mount_point)
    if mounted.read_status(root)["indexing"]["state"] == "off":
        raise NotSupported(f"{root} is not indexed: it is mounted with index=off or ro")
    os.setxattr(root, "user.vexfs.reindex", b"text")
    if arguments.no_wait:
        return Exit.OK
    index.wait(root, root, None)
    status = mounted.read_status(root)["indexing"]
    print(
        f"{status['indexed']:,} files are indexed, {status['failed']:,} of them by their names only"
    )
    if status["model_missing"]:
        print(f"vexfs: no file was embedded: {status['model_missing']}", file=sys.stderr)
        return Exit.FAILED
    return Exit.OK


def _drop_texts(volume: "Volume") -> None:
    """Remove what is derived from the texts of a store at rest.

    Raises
    ------
    NotPermitted
        Users have set vectors in the space of texts.
    """
    from vexfs_fuse.volume import text_index
    from vexfs_fuse.volume.indexing import Indexing
    from vexfs_fuse.volume.slices import in_slices

    refusal = in_slices(Indexing(volume, lambda ino: 0).drop_space())
    while isinstance(refusal, Pending):
        refusal = refusal.resume(refusal.work())
    if refusal is not None:
        raise NotPermitted(refusal)
    text_index.remove(volume.config.store)


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
    "Make indexes anew: of vectors, from those that are stored, or of texts, from the files.",
    """
    vexfs reindex                        the only volume mounted; searches go on
    vexfs reindex /mnt/vex --space clip
    vexfs reindex --store /srv/notes     a volume that is not mounted: its files are made anew, too
    vexfs reindex --text /mnt/vex        every file is read again; needed after a change of the embedder
    """,
    _add_arguments,
    run,
)
