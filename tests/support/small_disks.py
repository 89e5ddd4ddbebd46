"""Disks that a test can fill: small file systems of their own, gone at the end."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from vexfs_fuse.units import MIB

Kind = Literal["tmpfs", "ext4"]

DISK_BYTES: Final = 64 * MIB
_CHUNK_BYTES: Final = MIB


@contextmanager
def small_disk(directory: Path, kind: Kind, size: int = DISK_BYTES) -> Iterator[Path]:
    """A mounted file system of `size` bytes in `directory`, which must be empty."""
    image = directory.with_suffix(".image")
    directory.mkdir()
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    else:
        with image.open("wb") as file:
            file.truncate(size)
        make = ["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", str(image)]
        subprocess.run(make, check=True, capture_output=True)
        command = ["mount", "-o", "loop", str(image), str(directory)]
    subprocess.run(command, check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)
        image.unlink(missing_ok=True)


def free_bytes(directory: Path) -> int:
    """What the file system has left."""
    space = os.statvfs(directory)
    return space.f_bavail * space.f_frsize


def fill(path: Path, chunk_bytes: int = _CHUNK_BYTES) -> int:
    """Write one file until the disk is full, in ever smaller pieces; its size in bytes."""
    size = 0
    with path.open("wb", buffering=0) as file:
        while chunk_bytes:
            try:
                written = file.write(bytes(chunk_bytes))
                os.fsync(file.fileno())
                size += written
            except OSError:
                chunk_bytes //= 2
    return size
