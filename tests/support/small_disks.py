"""Disks that a test can fill, and cut off from power: small file systems, gone at the end."""

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from vexfs_fuse.units import MIB

Kind = Literal["tmpfs", "ext4"]

DISK_BYTES: Final = 64 * MIB
_BLOCK_BYTES: Final = 4_096

_EXT4_IOC_SHUTDOWN: Final = 0x8004587D  # _IOR('X', 125, __u32), see fs/ext4/ext4.h
_NO_LOG_FLUSH: Final = 2


@contextmanager
def small_disk(directory: Path, kind: Kind, size: int = DISK_BYTES) -> Iterator[Path]:
    """A mounted file system of `size` bytes in `directory`, which is made for it."""
    if kind == "ext4":
        with power_disk(directory, size) as disk:
            yield disk.path
        return
    directory.mkdir()
    options = f"size={size}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


class PowerDisk:
    """An ext4 file system in an image, which forgets what was not synced when its power is cut."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._image = path.with_suffix(".image")
        self._image.touch()
        os.truncate(self._image, size)
        command = ["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0", str(self._image)]
        subprocess.run(command, check=True, capture_output=True)
        path.mkdir()
        self._mount()

    def _mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", str(self._image), str(self.path)], check=True)

    def _unmount(self) -> None:
        subprocess.run(["umount", str(self.path)], check=True)

    def cut(self) -> None:
        """Take no more writes, and lose all that is in memory only; every sync fails from now on."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def come_back(self) -> None:
        """Mount again, as after a reboot: nobody may have a file open there."""
        self._unmount()
        self._mount()

    def remove(self) -> None:
        """Leave nothing."""
        self._unmount()
        self._image.unlink()
        self.path.rmdir()


@contextmanager
def power_disk(path: Path, size: int) -> Iterator[PowerDisk]:
    """A disk whose power can be cut, mounted at `path`, which is made for it."""
    disk = PowerDisk(path, size)
    try:
        yield disk
    finally:
        disk.remove()


def free_bytes(directory: Path) -> int:
    """What the file system has left."""
    space = os.statvfs(directory)
    return space.f_bavail * space.f_frsize


def fill(path: Path) -> None:
    """Take all that is left of the disk, at once, with one file."""
    size, more = 0, free_bytes(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while more >= _BLOCK_BYTES:
            try:
                os.posix_fallocate(descriptor, size, more)
                size += more
            except OSError:
                more //= 2
    finally:
        os.close(descriptor)
