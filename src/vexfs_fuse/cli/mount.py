"""`vexfs mount`: checks what can be checked, starts the daemon, returns when the mount answers."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from vexfs_fuse.cli import mounted
from vexfs_fuse.cli.background import launch
from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.cli.options import add_options, effective_options
from vexfs_fuse.config import Effective
from vexfs_fuse.errors import MountFailed, VexfsError
from vexfs_fuse.fuse import mounting
from vexfs_fuse.observe.log import log_file

STORE_UMASK: Final = 0o077
"""What the daemon writes, store and log, is its user's alone: who may see what is in the volume."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mount_point", metavar="MOUNTPOINT", type=Path, help="an empty directory")
    parser.add_argument(
        "--foreground",
        action="store_true",
        help="do not become a daemon; log to standard error; Ctrl-C unmounts",
    )
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Mount."""
    effective = effective_options(arguments)
    mount_point = checked_mount_point(arguments.mount_point)
    os.umask(STORE_UMASK)
    if arguments.foreground:
        return _serve(effective, mount_point, None)
    launch(
        lambda ready: _serve(effective, mount_point, ready), str(log_file(effective.config.store))
    )
    _tell_if_damaged(effective, mount_point)
    return Exit.OK


def checked_mount_point(path: Path) -> Path:
    """Return the mount point without symlinks; a dead vexfs mount on it has been cleared away.

    Raises
    ------
    MountFailed
        It is missing, not a directory, not empty or in use, or this machine lacks FUSE.
    """
    if not Path(mounting.DEVICE).exists():
        raise MountFailed(f"{mounting.DEVICE} is missing; `vexfs doctor` tells more")
    whole = mounting.prepare(path)
    try:
        with os.scandir(whole) as entries:
            is_empty = next(entries, None) is None
    except PermissionError:
        raise MountFailed(f"{whole}: permission denied") from None
    if not is_empty:
        raise MountFailed(f"{whole} is not empty")
    return whole


def _serve(effective: Effective, mount_point: Path, ready_fd: int | None) -> int:
    # Imported here: after the fork, as numpy starts threads, and only for this command.
    from vexfs_fuse.runtime import daemon
    from vexfs_fuse.runtime.settings import MountSettings

    return daemon.run(
        MountSettings(
            config=effective.config,
            origins=effective.origins,
            mountpoint=mount_point,
            ready_fd=ready_fd,
            foreground=ready_fd is None,
        )
    )


def _tell_if_damaged(effective: Effective, mount_point: Path) -> None:
    """Say that a volume came up read-only although nobody asked for it."""
    try:
        failure = mounted.read_status(mount_point)["volume"]["failure"]
    except (OSError, VexfsError):
        return  # unmounted again by now, or another user's
    if failure and not effective.config.ro:
        print(f"vexfs: {mount_point} is read-only: {failure}", file=sys.stderr)


COMMAND = Command(
    "mount",
    "Mount a volume; its store is made on first use. Returns when the mount answers.",
    """
    vexfs mount /mnt/vex
    vexfs mount --store /srv/notes -o allow_other,noatime /mnt/vex
    vexfs mount --foreground --metrics none /mnt/vex

    /etc/fstab:  /srv/notes  /mnt/vex  fuse.vexfs  allow_other,nofail  0 0
    """,
    _add_arguments,
    run,
)
