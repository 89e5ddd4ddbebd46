"""The seam at the disk: files and directories of the store, and no idea of what is in them.

Everything durable goes through `Disk` and `File`, so that a test can put a disk there that loses
power, runs full or flips bits.  Names are relative to the store's directory, `/` between
directories. Nothing is durable before `File.datasync`, and no name before `Disk.sync_directory`.
"""

import ctypes
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NoReturn, Protocol, TypeAlias

from vexfs_fuse.errors import (
    Exists,
    InvalidArgument,
    NoSpace,
    NotFound,
    NotSupported,
    StoreFailed,
)

Buffer: TypeAlias = bytes | bytearray | memoryview

BLOCK_BYTES: Final = 4096
"""What begins and ends at multiples of this, in the file and in memory, can be written directly."""
DIRECT_BYTES_MIN: Final = 64 * 1024
"""A buffer with so many bytes in whole blocks is written directly, from the caller's memory to the
disk: a copy into the page cache takes 200 us of the CPU for each MiB, and up to 1 ms where the
kernel has to find memory for it first."""

# preadv2(2) and pwritev(2) take no more buffers than this in one call (UIO_MAXIOV in linux/uio.h).
_BUFFERS_MAX: Final = 1024
# fallocate(2), from linux/falloc.h: Python's os.posix_fallocate knows no flags.
_KEEP_SIZE: Final = 0x01
_PUNCH_HOLE: Final = 0x02
_QUOTA_EXCEEDED: Final = 122  # EDQUOT: a quota is as full as a disk
_DIRECTLY: Final = os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC
_opening: Final = threading.Lock()  # two threads may write to one file
_FILE_MODE: Final = 0o600
_DIRECTORY_MODE: Final = 0o700


class File(Protocol):
    """An open file of the store.

    Every method may raise `StoreFailed` when the disk refuses.  Different threads may use one file
    at the same time: there is no position to share.
    """

    @property
    def name(self) -> str:
        """The name it was opened by."""
        ...

    def pread(self, size: int, offset: int) -> bytes:
        """Return the `size` bytes at `offset`; fewer only where the file ends."""
        ...

    def read_into(self, buffer: Buffer, offset: int, *, nowait: bool = False) -> int:
        """Fill `buffer` from `offset`; return the bytes read, fewer only where the file ends.

        With `nowait`, raises `BlockingIOError` when that would wait for the disk (or when the file
        system cannot tell); what `buffer` then holds is undefined.
        """
        ...

    def pwritev(self, buffers: Sequence[Buffer], offset: int) -> None:
        """Write all buffers, one after the other, at `offset`.  Raises `NoSpace`."""
        ...

    def reserve(self, offset: int, size: int) -> None:
        """Make sure that `size` bytes at `offset` can be written later; the file's size stays.

        Raises `NoSpace`; ext4 then keeps reserved what it found, until the file is truncated.  A
        file system that cannot reserve is asked for its free space instead: a promise that others
        who write to it can break.
        """
        ...

    def datasync(self) -> None:
        """Return when everything written so far, and the size, would survive a power cut."""
        ...

    def truncate(self, size: int) -> None:
        """Set the size; what was reserved beyond it is given back."""
        ...

    def size(self) -> int:
        """Return the size in bytes."""
        ...

    def punch(self, offset: int, size: int) -> None:
        """Give the bytes' space back where the disk can; they may read as zeros afterwards."""
        ...

    def close(self) -> None:
        """Close it; closing twice is fine."""
        ...


class Disk(Protocol):
    """A directory that holds a store.  The caller syncs directories; see `File` for errors."""

    def create(self, name: str) -> File:
        """Make an empty file, open for writing; `Exists` if the name is taken."""
        ...

    def open(self, name: str, *, writable: bool = False) -> File:
        """Open a file.  Raises `NotFound`."""
        ...

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory, sorted, without the directory.  Raises `NotFound`."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is a file or directory of that name."""
        ...

    def rename(self, name: str, target: str) -> None:
        """Give a file another name in its directory, in place of what had that name."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file; whoever has it open can go on reading.  Raises `NotFound`."""
        ...

    def make_directory(self, name: str) -> None:
        """Make a directory, durable with its parent's sync; it may be there already."""
        ...

    def remove_directory(self, name: str) -> None:
        """Remove a directory that is empty.  Raises `NotFound`."""
        ...

    def sync_directory(self, directory: str) -> None:
        """Return when the names in the directory ("" is the store's) would survive a power cut."""
        ...

    def free_bytes(self) -> int:
        """Return the space left for this process."""
        ...

    def total_bytes(self) -> int:
        """Return the size of the whole disk."""
        ...


class LocalDisk:
    """A directory of the local file system."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, name: str) -> "LocalFile":
        """Make an empty file that nobody else may read."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with _told(name):
            return LocalFile(name, os.open(self.root / name, flags, _FILE_MODE))

    def open(self, name: str, *, writable: bool = False) -> "LocalFile":
        """Open a file."""
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC
        with _told(name):
            return LocalFile(name, os.open(self.root / name, flags))

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory."""
        with _told(directory):
            return sorted(os.listdir(self.root / directory))

    def exists(self, name: str) -> bool:
        """Whether there is a file or directory of that name."""
        return (self.root / name).exists()

    def rename(self, name: str, target: str) -> None:
        """Replace atomically."""
        with _told(name):
            os.replace(self.root / name, self.root / target)

    def remove(self, name: str) -> None:
        """Remove a file."""
        with _told(name):
            os.unlink(self.root / name)

    def make_directory(self, name: str) -> None:
        """Make a directory that nobody else may look into."""
        with _told(name):
            (self.root / name).mkdir(_DIRECTORY_MODE, exist_ok=True)

    def remove_directory(self, name: str) -> None:
        """Remove an empty directory."""
        with _told(name):
            (self.root / name).rmdir()

    def sync_directory(self, directory: str) -> None:
        """Sync the names, through fsync(2) of the directory."""
        with _told(directory):
            fd = os.open(self.root / directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def free_bytes(self) -> int:
        """Return what statvfs(3) says is available to this user."""
        with _told(""):
            space = os.statvfs(self.root)
        return space.f_bavail * space.f_frsize

    def total_bytes(self) -> int:
        """Return what statvfs(3) says of the file system."""
        with _told(""):
            space = os.statvfs(self.root)
        return space.f_blocks * space.f_frsize


class LocalFile:
    """An open file descriptor."""

    __slots__ = ("_direct_fd", "_fd", "_is_direct", "_name")

    def __init__(self, name: str, fd: int) -> None:
        self._name = name
        self._fd = fd
        self._direct_fd = -1
        self._is_direct = True  # until the file system says that it cannot

    @property
    def name(self) -> str:
        """The name it was opened by."""
        return self._name

    def pread(self, size: int, offset: int) -> bytes:
        """Return bytes; one system call as a rule."""
        try:
            data = os.pread(self._fd, size, offset)
        except OSError as error:
            _raise(error, self._name)
        if len(data) == size or not data:
            return data
        return data + self.pread(size - len(data), offset + len(data))

    def read_into(self, buffer: Buffer, offset: int, *, nowait: bool = False) -> int:
        """Read without an extra copy."""
        flags = os.RWF_NOWAIT if nowait else 0
        rest = memoryview(buffer)
        done = 0
        while rest:
            try:
                count = os.preadv(self._fd, [rest], offset + done, flags)
            except BlockingIOError:
                raise
            except OSError as error:
                if nowait and error.errno == NotSupported.errno:
                    raise BlockingIOError(self._name) from error
                _raise(error, self._name)
            if not count:
                break
            done += count
            rest = rest[count:]
        return done

    def pwritev(self, buffers: Sequence[Buffer], offset: int) -> None:
        """Write; large buffers past the page cache, where the file system can do that."""
        if not self._is_direct or max(map(len, buffers), default=0) < DIRECT_BYTES_MIN:
            self._write(self._fd, buffers, offset)
            return
        for is_direct, at, some in _stretches(buffers, offset):
            if not (is_direct and self._write_directly(some, at)):
                self._write(self._fd, some, at)

    def _write_directly(self, buffers: Sequence[Buffer], offset: int) -> bool:
        """Return whether the file system took it; it refuses memory that is not aligned."""
        try:
            with _opening:
                if self._direct_fd < 0:
                    self._direct_fd = os.open(f"/proc/self/fd/{self._fd}", _DIRECTLY)
        except OSError:
            self._is_direct = False
            return False
        try:
            self._write(self._direct_fd, buffers, offset)
        except StoreFailed as failed:
            cause = failed.__cause__
            if not isinstance(cause, OSError) or cause.errno != InvalidArgument.errno:
                raise
            return False
        return True

    def _write(self, fd: int, buffers: Sequence[Buffer], offset: int) -> None:
        """Write; goes on after short writes."""
        for start in range(0, len(buffers), _BUFFERS_MAX):
            some = buffers[start : start + _BUFFERS_MAX]
            wanted = sum(map(len, some))
            with _told(self._name):
                count = os.pwritev(fd, some, offset)
            if count < wanted:
                self._write_rest(b"".join(some)[count:], offset + count)
            offset += wanted

    def _write_rest(self, rest: bytes, offset: int) -> None:
        while rest:
            with _told(self._name):
                count = os.pwrite(self._fd, rest, offset)
            offset += count
            rest = rest[count:]

    def reserve(self, offset: int, size: int) -> None:
        """Reserve through fallocate(2)."""
        with _told(self._name):
            if _fallocate(self._fd, _KEEP_SIZE, offset, size):
                return
            space = os.fstatvfs(self._fd)
        if space.f_bavail * space.f_frsize < size:
            raise NoSpace(self._name)

    def datasync(self) -> None:
        """Sync through fdatasync(2)."""
        with _told(self._name):
            os.fdatasync(self._fd)

    def truncate(self, size: int) -> None:
        """Set the size."""
        with _told(self._name):
            os.ftruncate(self._fd, size)

    def size(self) -> int:
        """Return the size in bytes."""
        with _told(self._name):
            return os.fstat(self._fd).st_size

    def punch(self, offset: int, size: int) -> None:
        """Punch a hole through fallocate(2); does nothing where that is not supported."""
        with _told(self._name):
            _fallocate(self._fd, _PUNCH_HOLE | _KEEP_SIZE, offset, size)

    def close(self) -> None:
        """Close the descriptor."""
        descriptors = (self._fd, self._direct_fd)
        self._fd = self._direct_fd = -1
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)


def _stretches(
    buffers: Sequence[Buffer], offset: int
) -> Iterator[tuple[bool, int, list[memoryview]]]:
    """Yield runs of buffers with their offsets; True for those that suit a direct write.

    A block between two large buffers is taken along, so that many frames are one write.
    """
    run: list[memoryview] = []
    at, is_direct = offset, False
    for part in _parts(buffers, offset):
        whole = not (offset | part.nbytes) % BLOCK_BYTES
        suits = whole and (part.nbytes >= DIRECT_BYTES_MIN or (is_direct and bool(run)))
        if run and suits != is_direct:
            yield is_direct, at, run
            run, at = [], offset
        is_direct = suits
        run.append(part)
        offset += part.nbytes
    if run:
        yield is_direct, at, run


def _parts(buffers: Sequence[Buffer], offset: int) -> Iterator[memoryview]:
    """Yield the buffers, large ones that end within a block cut in two."""
    for buffer in buffers:
        view = memoryview(buffer)
        whole = 0 if offset % BLOCK_BYTES else view.nbytes & -BLOCK_BYTES
        offset += view.nbytes
        if DIRECT_BYTES_MIN <= whole < view.nbytes:
            yield view[:whole]
            view = view[whole:]
        if view.nbytes:
            yield view


_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def _fallocate(fd: int, mode: int, offset: int, size: int) -> bool:
    """Return whether the file system can do this at all; raises `OSError` when it fails."""
    while _libc.fallocate(fd, mode, offset, size):
        number = ctypes.get_errno()
        if number == NotSupported.errno:
            return False
        error = OSError(number, os.strerror(number))
        if not isinstance(error, InterruptedError):
            raise error
    return True


class _told:  # noqa: N801 - reads as a verb; a generator-based context manager costs 1.5 us a call
    """Turn what the operating system says of `name` into our errors."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            _raise(error, self._name)


def _raise(error: OSError, name: str) -> NoReturn:
    if error.errno in (NoSpace.errno, _QUOTA_EXCEEDED):
        raise NoSpace(name) from error
    if isinstance(error, FileNotFoundError):
        raise NotFound(name) from error
    if isinstance(error, FileExistsError):
        raise Exists(name) from error
    raise StoreFailed(f"{name}: {error.strerror}") from error
