"""System calls that Python's `os` does not offer, and the errno a call is refused with."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

AT_FDCWD: Final = -100
RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2
UTIME_NOW: Final = (1 << 30) - 1
UTIME_OMIT: Final = (1 << 30) - 2
_GETDENTS64: Final = {"x86_64": 217, "aarch64": 61}[os.uname().machine]
_DIRENT_HEADER: Final = struct.Struct("=QqHB")

_libc: Final = ctypes.CDLL(None, use_errno=True)


@contextmanager
def refused(*errnos: int) -> Iterator[None]:
    """The block must fail with one of these errnos."""
    with pytest.raises(OSError) as caught:
        yield
    assert caught.value.errno in errnos, caught.value


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def renameat2(source: Path, target: Path, flags: int) -> None:
    """Rename with flags, see renameat2(2)."""
    _checked(_libc.renameat2(AT_FDCWD, bytes(source), AT_FDCWD, bytes(target), flags))


class Timespec(ctypes.Structure):
    """Seconds and nanoseconds since 1970; `ns` may be UTIME_NOW or UTIME_OMIT."""

    _fields_ = (("s", ctypes.c_long), ("ns", ctypes.c_long))


def utimensat(path: Path, atime: tuple[int, int], mtime: tuple[int, int]) -> None:
    """Set times from (seconds, nanoseconds), see utimensat(2)."""
    times = (Timespec * 2)(Timespec(*atime), Timespec(*mtime))
    _checked(_libc.utimensat(AT_FDCWD, bytes(path), times, 0))


def getxattr_sized(path: Path, name: bytes, size: int) -> int:
    """Ask for an attribute with a buffer of `size` bytes; the bytes it has."""
    return _checked(_libc.getxattr(bytes(path), name, ctypes.create_string_buffer(size or 1), size))


def listxattr_sized(path: Path, size: int) -> int:
    """Ask for the attributes' names with a buffer of `size` bytes; the bytes they take."""
    return _checked(_libc.listxattr(bytes(path), ctypes.create_string_buffer(size or 1), size))


def fallocate(descriptor: int, mode: int, offset: int, size: int) -> None:
    """Reserve or punch, see fallocate(2); no fallback of the C library."""
    _checked(_libc.fallocate(descriptor, mode, ctypes.c_long(offset), ctypes.c_long(size)))


class DirectoryEntry(NamedTuple):
    """One entry as getdents64(2) gives it."""

    inode: int
    cookie: int
    kind: int
    name: bytes


def getdents(descriptor: int, size: int) -> list[DirectoryEntry]:
    """Read the next entries that fit into `size` bytes; none at the end."""
    buffer = ctypes.create_string_buffer(size)
    filled = _checked(_libc.syscall(_GETDENTS64, descriptor, buffer, size))
    data, entries, position = buffer.raw[:filled], [], 0
    while position < filled:
        inode, cookie, record_bytes, kind = _DIRENT_HEADER.unpack_from(data, position)
        start = position + _DIRENT_HEADER.size
        name = data[start : data.index(b"\0", start)]
        entries.append(DirectoryEntry(inode, cookie, kind, name))
        position += record_bytes
    return entries


def all_getdents(descriptor: int, size: int) -> Iterator[DirectoryEntry]:
    """Every entry from the directory's position on, `size` bytes at a time."""
    while entries := getdents(descriptor, size):
        yield from entries
