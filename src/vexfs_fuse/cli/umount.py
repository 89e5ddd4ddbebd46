"""`vexfs umount`: unmounts, and returns when everything is on disk."""

import argparse
import fcntl
import os
import time
from pathlib import Path
from typing import Final

from vexfs_fuse.cli import mounted
from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.errors import NotFound, StoreLocked
from vexfs_fuse.fuse import mounting

CLOSE_TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.02


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "mount_point", metavar="MOUNTPOINT", nargs="?", type=Path, help="which volume, if several"
    )
    parser.add_argument(
        "--lazy",
        action="store_true",
        help="detach the name at once; programs that have files open may finish with them",
    )


def run(arguments: argparse.Namespace) -> int:
    """Unmount one volume."""
    there = mounted.only_volume(arguments.mount_point)
    store = _store_if_alive(there)
    mounting.unmount(there, lazy=arguments.lazy or store is None)
    if store is not None and not arguments.lazy:
        _wait_until_closed(store)
    return Exit.OK


def _store_if_alive(mount_point: Path) -> Path | None:
    try:
        return mounted.store_of(mount_point)
    except NotFound:
        return None  # the daemon is gone: there is a name to remove and nothing to wait for


def _wait_until_closed(store: Path) -> None:
    """Wait until the daemon lets go of the store: then all of it is durable.

    Raises
    ------
    StoreLocked
        It takes longer than `CLOSE_TIMEOUT_S`.
    """
    try:
        lock = os.open(store / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return  # somebody else's store: we may not look
    deadline_s = time.monotonic() + CLOSE_TIMEOUT_S
    try:
        while not _is_free(lock):
            if time.monotonic() > deadline_s:
                raise StoreLocked(f"{store}: the daemon is still writing; its log tells more")
            time.sleep(POLL_S)
    finally:
        os.close(lock)


def _is_free(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


COMMAND = Command(
    "umount",
    "Unmount a volume; returns when all of it is on disk.",
    """
    vexfs umount /mnt/vex
    vexfs umount                 the only volume mounted
    vexfs umount --lazy /mnt/vex
    """,
    _add_arguments,
    run,
)
