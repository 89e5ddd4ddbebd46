"""The mounted volumes of this machine, and what their control trees tell."""

import json
import os
import tomllib
from pathlib import Path
from typing import Any

from vexfs_fuse.errors import InvalidArgument, NotFound
from vexfs_fuse.fuse import mounting


def mount_points() -> list[Path]:
    """Return where vexfs volumes are mounted, in the order they were."""
    return [there.path for there in mounting.mounts() if there.kind == mounting.FILE_SYSTEM_TYPE]


def volume_at(path: Path) -> Path:
    """Return the mount point of the volume that `path` is in.

    Raises
    ------
    NotFound
        `path` is in no mounted volume.
    """
    # No stat: on the mount point of a dead daemon it fails.
    whole = Path(os.path.realpath(path))
    points = set(mount_points())
    for candidate in (whole, *whole.parents):
        if candidate in points:
            return candidate
    raise NotFound(f"{path} is not in a mounted vexfs volume")


def only_volume(path: Path | None) -> Path:
    """Return the volume at `path`, or the only one mounted when there is no path.

    Raises
    ------
    NotFound, InvalidArgument
        None is mounted, or several are.
    """
    if path is not None:
        return volume_at(path)
    points = mount_points()
    if not points:
        raise NotFound("no vexfs volume is mounted")
    if len(points) > 1:
        raise InvalidArgument(f"name one of the mounted volumes: {', '.join(map(str, points))}")
    return points[0]


def read_control(mount_point: Path, name: str) -> bytes:
    """Return what the volume's control file `name` holds.

    Raises
    ------
    NotFound
        The daemon is gone.
    """
    if not mounting.answers(mount_point):
        raise NotFound(
            f"the daemon of {mount_point} is gone; mount again, or: vexfs umount {mount_point}"
        )
    return (mount_point / ".vexfs" / name).read_bytes()


def read_status(mount_point: Path) -> dict[str, Any]:
    """Return the volume's status."""
    status: dict[str, Any] = json.loads(read_control(mount_point, "status.json"))
    return status


def sync(mount_point: Path) -> None:
    """Return when all that was written to the volume is durable."""
    control = os.open(mount_point / ".vexfs/README", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(control)
    finally:
        os.close(control)


def store_of(mount_point: Path) -> Path:
    """Return the store directory of a mounted volume."""
    config = tomllib.loads(read_control(mount_point, "config.toml").decode())
    return Path(config["store"])
