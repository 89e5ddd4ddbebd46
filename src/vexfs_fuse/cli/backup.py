"""`vexfs backup`: one file that holds a whole volume, made while it is mounted or at rest."""

import argparse
import os
import sys
from pathlib import Path
from typing import BinaryIO

from vexfs_fuse.cli import mounted
from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.cli.options import add_store, effective_options
from vexfs_fuse.cli.progress import Progress
from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.quantities import approximate_size


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "mount_point",
        metavar="MOUNTPOINT",
        nargs="?",
        type=Path,
        help="a mounted volume; or give --store",
    )
    parser.add_argument("target", metavar="FILE", help="where to write it; - is standard output")
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write a backup."""
    store = _store(arguments)
    if arguments.target == "-":
        if sys.stdout.isatty():
            raise InvalidArgument("a backup is not for a terminal: redirect standard output")
        size_bytes = _copy(store, sys.stdout.buffer)
    else:
        size_bytes = _write_file(store, Path(arguments.target))
    print(f"backed up {approximate_size(size_bytes)} of {store}", file=sys.stderr)
    return Exit.OK


def _store(arguments: argparse.Namespace) -> Path:
    if arguments.option_store is not None:
        return effective_options(arguments).config.store
    there = mounted.only_volume(arguments.mount_point)
    mounted.sync(there)
    return mounted.store_of(there)


def _write_file(store: Path, target: Path) -> int:
    """Write to a file that gets its name when it is whole and on disk, or into what is no file."""
    target = Path(os.path.realpath(target))
    if target.exists() and not target.is_file():
        with target.open("wb") as device:
            return _copy(store, device)
    draft = target.with_name(f"{target.name}.partial")
    try:
        with draft.open("wb") as file:
            size_bytes = _copy(store, file)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return size_bytes


def _copy(store: Path, target: BinaryIO) -> int:
    from vexfs_fuse.volume.backup import write_backup

    progress = Progress("backup")
    try:
        return write_backup(store, target, lambda n: progress.show(approximate_size(n)))
    finally:
        progress.done()


COMMAND = Command(
    "backup",
    "Write a volume to one tar file, consistent also while it is mounted.",
    """
    vexfs backup /mnt/vex notes.tar
    vexfs backup /mnt/vex - | zstd | ssh elsewhere 'cat > notes.tar.zst'
    vexfs backup --store /srv/notes notes.tar
    """,
    _add_arguments,
    run,
    is_of_use_in_part=False,
)
