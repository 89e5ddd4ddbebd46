"""Disks for tests: one in memory that can lose power, and one that fails on command.

    disk = SimulatedDisk()
    journal = Journal.open(disk)
    ...
    after = disk.crash(Random(seed))     # what a power cut may have left; `disk` itself is
    unchanged Journal.open(after)

    faulty = FaultyDisk(disk)
    faulty.fail("datasync", StoreFailed("sda"), after=2)     # the third sync from now
    faulty.cut_power(after=7)            # PowerCut at the eighth change from now; then
    disk.crash(...)

What a power cut leaves of a file: each 512-byte sector as it was at some moment between the last
`datasync` and now, whatever its neighbours show; the size likewise.  Of a directory: each unsynced
creation, renaming and removal has happened or not.  Reservations are gone.
"""

import posixpath
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from vexfs_fuse.errors import Exists, NoSpace, NotFound, StoreFailed
from vexfs_fuse.storage.disk import Buffer, Disk, File
from vexfs_fuse.units import GIB

SECTOR_BYTES: Final = 512


class PowerCut(BaseException):
    """The power is gone: nothing may catch this but the test."""


@dataclass(frozen=True, slots=True)
class _Write:
    """Bytes put at an offset; a truncation is zeros to the old end, with a size."""

    offset: int
    data: bytes
    size_after: int

    def sectors(self) -> range:
        end = self.offset + len(self.data)
        return range(self.offset // SECTOR_BYTES, -(-end // SECTOR_BYTES))

    def sector(self, number: int) -> tuple[int, bytes]:
        """The part that lies in one sector: where, and the bytes."""
        start = max(self.offset, number * SECTOR_BYTES)
        stop = min(self.offset + len(self.data), (number + 1) * SECTOR_BYTES)
        return start, self.data[start - self.offset : stop - self.offset]


@dataclass(slots=True, eq=False)
class _Inode:
    content: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    unsynced: list[_Write] = field(default_factory=list)
    reserved_end: int = 0

    @property
    def allocated(self) -> int:
        return max(len(self.content), self.reserved_end)

    def put(self, offset: int, data: bytes, size_after: int) -> None:
        write = _Write(offset, data, size_after)
        _apply(self.content, write)
        self.unsynced.append(write)

    def sync(self) -> None:
        for write in self.unsynced:
            _apply(self.durable, write)
        self.unsynced.clear()

    def copy(self) -> "_Inode":
        content = self.content
        return _Inode(bytearray(content), bytearray(content), [], self.reserved_end)

    def crashed(self, rng: Random) -> "_Inode":
        """What may be left: see the module."""
        last_kept = _pick_last_kept(self.unsynced, rng)
        sectors = dict.fromkeys(s for write in self.unsynced for s in write.sectors())
        moments = {sector: last_kept(sector) for sector in sectors}
        size_moment = last_kept(None)
        size = self.unsynced[size_moment].size_after if size_moment >= 0 else len(self.durable)
        left = bytearray(self.durable)
        for index, write in enumerate(self.unsynced):
            for sector in write.sectors():
                if index <= moments[sector]:
                    start, data = write.sector(sector)
                    _apply(left, _Write(start, data, max(len(left), start + len(data))))
        _resize(left, size)
        return _Inode(left, bytearray(left))


def _pick_last_kept(writes: list[_Write], rng: Random) -> Callable[[int | None], int]:
    """Return a function that picks the last write that reached a sector (None: the size), -1 none.

    All or nothing and whole writes are picked as often as single sectors: torn neighbours alone
    would hardly ever leave a long write whole.
    """
    manner = rng.choice(("all", "nothing", "writes", "sectors"))
    if manner == "all":
        return lambda _: len(writes) - 1
    if manner == "nothing":
        return lambda _: -1
    if manner == "sectors":
        return lambda _: rng.randrange(-1, len(writes))
    kept = [index for index in range(len(writes)) if rng.random() < 0.5]
    return lambda sector: max(
        (i for i in kept if sector is None or sector in writes[i].sectors()), default=-1
    )


def _apply(content: bytearray, write: _Write) -> None:
    end = write.offset + len(write.data)
    if write.data:
        _resize(content, max(len(content), end))
        content[write.offset : end] = write.data
    _resize(content, write.size_after)


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


@dataclass(frozen=True, slots=True)
class _NameChange:
    directory: str
    apply: Callable[[dict[str, _Inode | None]], None]


class SimulatedDisk:
    """A `Disk` in memory that knows what is durable.

    `counts` counts calls by the method's name ("pwritev", "datasync", "sync_directory", ...) and
    "bytes_written".  `capacity_bytes` may be changed at any time; `fill()` leaves no free byte.
    While `is_cold`, reads that must not wait raise `BlockingIOError`.
    """

    def __init__(self, capacity_bytes: int = GIB) -> None:
        self.capacity_bytes = capacity_bytes
        self.is_cold = False
        self.counts: Counter[str] = Counter()
        # Files and, as None, directories.
        self._names: dict[str, _Inode | None] = {"": None}
        self._durable_names: dict[str, _Inode | None] = {"": None}
        self._unsynced: list[_NameChange] = []

    # What only a test can do

    def crash(self, rng: Random) -> "SimulatedDisk":
        """Return a disk as a power cut at this moment may leave it; this one stays as it is."""
        names = dict(self._durable_names)
        share = rng.choice((0.0, 0.5, 1.0))
        for change in self._unsynced:
            if rng.random() < share:
                change.apply(names)
        left = SimulatedDisk(self.capacity_bytes)
        for name, inode in sorted(names.items()):
            if name and posixpath.dirname(name) in left._names:
                left._names[name] = inode and inode.crashed(rng)
        left._durable_names = dict(left._names)
        return left

    def copy(self) -> "SimulatedDisk":
        """Return a disk with all that programs see on this one, durable."""
        twin = SimulatedDisk(self.capacity_bytes)
        for name, inode in self._names.items():
            twin._names[name] = inode and inode.copy()
        twin._durable_names = dict(twin._names)
        return twin

    def contents(self, name: str) -> bytes:
        """Return a file's bytes as a program would read them now."""
        return bytes(self._inode(name).content)

    def durable_contents(self, name: str) -> bytes:
        """Return a file's bytes as of its last sync."""
        return bytes(self._inode(name).durable)

    def flip_bit(self, name: str, bit: int) -> None:
        """Damage what is stored: bit 0 is the lowest of the first byte."""
        inode = self._inode(name)
        for content in (inode.content, inode.durable):
            if bit // 8 < len(content):
                content[bit // 8] ^= 1 << bit % 8

    def fill(self) -> None:
        """Let somebody else use up the free space."""
        self.capacity_bytes = self._used_bytes()

    # Disk

    def create(self, name: str) -> "SimulatedFile":
        self.counts["create"] += 1
        if name in self._names:
            raise Exists(name)
        self._require_directory(posixpath.dirname(name))
        inode = _Inode()
        self._change(name, lambda names: names.update({name: inode}))
        return SimulatedFile(self, name, inode, is_writable=True)

    def open(self, name: str, *, writable: bool = False) -> "SimulatedFile":
        self.counts["open"] += 1
        return SimulatedFile(self, name, self._inode(name), is_writable=writable)

    def names(self, directory: str) -> list[str]:
        self._require_directory(directory)
        inside = (name for name in self._names if name and posixpath.dirname(name) == directory)
        return sorted(map(posixpath.basename, inside))

    def exists(self, name: str) -> bool:
        return name in self._names

    def rename(self, name: str, target: str) -> None:
        self.counts["rename"] += 1
        inode = self._inode(name)
        assert posixpath.dirname(name) == posixpath.dirname(target), "one directory, says Disk"

        def apply(names: dict[str, _Inode | None]) -> None:
            if names.get(name) is inode:
                del names[name]
            names[target] = inode

        self._change(name, apply)

    def remove(self, name: str) -> None:
        self.counts["remove"] += 1
        inode = self._inode(name)

        def apply(names: dict[str, _Inode | None]) -> None:
            if names.get(name) is inode:
                del names[name]

        self._change(name, apply)

    def make_directory(self, name: str) -> None:
        self.counts["make_directory"] += 1
        self._require_directory(posixpath.dirname(name))
        if name not in self._names:
            self._change(name, lambda names: names.update({name: None}))
        self._require_directory(name)

    def remove_directory(self, name: str) -> None:
        self.counts["remove_directory"] += 1
        self._require_directory(name)
        if self.names(name):
            raise StoreFailed(f"{name}: Directory not empty")
        self._change(name, lambda names: _forget_directory(names, name))

    def sync_directory(self, directory: str) -> None:
        self.counts["sync_directory"] += 1
        self._require_directory(directory)
        for change in self._unsynced:
            if change.directory == directory:
                change.apply(self._durable_names)
        self._unsynced = [c for c in self._unsynced if c.directory != directory]

    def free_bytes(self) -> int:
        return max(0, self.capacity_bytes - self._used_bytes())

    def total_bytes(self) -> int:
        return self.capacity_bytes

    def _change(self, name: str, apply: Callable[[dict[str, _Inode | None]], None]) -> None:
        apply(self._names)
        self._unsynced.append(_NameChange(posixpath.dirname(name), apply))

    def _inode(self, name: str) -> _Inode:
        inode = self._names.get(name)
        if inode is None:
            raise NotFound(name)
        return inode

    def _require_directory(self, directory: str) -> None:
        if directory not in self._names:
            raise NotFound(directory)
        if self._names[directory] is not None:
            raise StoreFailed(f"{directory}: not a directory")

    def _used_bytes(self) -> int:
        return sum(inode.allocated for inode in self._names.values() if inode)


def _forget_directory(names: dict[str, _Inode | None], name: str) -> None:
    """Remove a directory; what a crash brings back of its names goes with it."""
    for each in [other for other in names if other == name or other.startswith(f"{name}/")]:
        del names[each]


class SimulatedFile:
    """An open file of a `SimulatedDisk`."""

    def __init__(self, disk: SimulatedDisk, name: str, inode: _Inode, *, is_writable: bool) -> None:
        self.name = name
        self._disk = disk
        self._inode = inode
        self._is_writable = is_writable
        self._is_open = True

    def pread(self, size: int, offset: int) -> bytes:
        self._count("pread")
        return bytes(self._inode.content[offset : offset + size])

    def read_into(self, buffer: Buffer, offset: int, *, nowait: bool = False) -> int:
        self._count("read_into")
        if nowait and self._disk.is_cold:
            raise BlockingIOError(self.name)
        target = memoryview(buffer)
        data = self._inode.content[offset : offset + len(target)]
        target[: len(data)] = data
        return len(data)

    def pwritev(self, buffers: Sequence[Buffer], offset: int) -> None:
        self._count("pwritev", changes=True)
        data = b"".join(buffers)
        self._grow(offset + len(data))
        size = max(len(self._inode.content), offset + len(data)) if data else self.size()
        self._disk.counts["bytes_written"] += len(data)
        self._inode.put(offset, data, size)

    def reserve(self, offset: int, size: int) -> None:
        self._count("reserve", changes=True)
        self._grow(offset + size)
        self._inode.reserved_end = max(self._inode.reserved_end, offset + size)

    def datasync(self) -> None:
        self._count("datasync")
        self._inode.sync()

    def truncate(self, size: int) -> None:
        self._count("truncate", changes=True)
        self._grow(size)
        lost = max(0, len(self._inode.content) - size)
        self._inode.put(size, bytes(lost), size)
        self._inode.reserved_end = min(self._inode.reserved_end, size)

    def size(self) -> int:
        return len(self._inode.content)

    def punch(self, offset: int, size: int) -> None:
        self._count("punch", changes=True)
        size = min(size, max(0, self.size() - offset))
        self._inode.put(offset, bytes(size), self.size())

    def close(self) -> None:
        self._is_open = False

    def _count(self, method: str, *, changes: bool = False) -> None:
        if not self._is_open or (changes and not self._is_writable):
            raise StoreFailed(f"{self.name}: not open for {method}")
        self._disk.counts[method] += 1

    def _grow(self, end: int) -> None:
        more = end - self._inode.allocated
        if more > self._disk.free_bytes() and more > 0:
            raise NoSpace(self.name)


CHANGES: Final = frozenset(
    (
        *("create", "rename", "remove", "make_directory", "remove_directory", "sync_directory"),
        *("pwritev", "reserve", "datasync", "truncate", "punch"),
    )
)
"""The operations that change or sync something, by the methods of `Disk` and `File`."""
ANY_CHANGE: Final = "any change"
"""Stands for all of these in `FaultyDisk.fail`."""
_ALWAYS: Final = 2**63


@dataclass(slots=True)
class _Fault:
    operation: str
    error: BaseException
    skip: int
    times: int

    def meet(self, operation: str) -> None:
        if operation != self.operation and not (
            self.operation == ANY_CHANGE and operation in CHANGES
        ):
            return
        if self.skip:
            self.skip -= 1
        elif self.times:
            self.times -= 1
            raise self.error


class FaultyDisk:
    """Any `Disk`, failing on command.  A fault counts calls from when it is set."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self._faults: list[_Fault] = []

    def fail(self, operation: str, error: BaseException, *, after: int = 0, times: int = 1) -> None:
        """Let an operation raise `error` `times` times, once `after` calls of it have passed.

        The operation is the name of a method of `Disk` or `File`, or `ANY_CHANGE`.
        """
        self._faults.append(_Fault(operation, error, after, times))

    def cut_power(self, *, after: int = 0) -> None:
        """Raise `PowerCut` at the change that follows `after` others, and ever after."""
        self.fail(ANY_CHANGE, PowerCut(), after=after, times=_ALWAYS)

    def full(self) -> None:
        """Refuse files and reservations from now on; what is written was reserved, we trust.

        (`SimulatedDisk.fill` does not trust.)
        """
        self.fail("create", NoSpace("full"), times=_ALWAYS)
        self.fail("reserve", NoSpace("full"), times=_ALWAYS)

    def heal(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    def meet(self, operation: str) -> None:
        """Raise what is due at this call."""
        for fault in self._faults:
            fault.meet(operation)

    def create(self, name: str) -> File:
        self.meet("create")
        return FaultyFile(self, self.disk.create(name))

    def open(self, name: str, *, writable: bool = False) -> File:
        self.meet("open")
        return FaultyFile(self, self.disk.open(name, writable=writable))

    def names(self, directory: str) -> list[str]:
        self.meet("names")
        return self.disk.names(directory)

    def exists(self, name: str) -> bool:
        return self.disk.exists(name)

    def rename(self, name: str, target: str) -> None:
        self.meet("rename")
        self.disk.rename(name, target)

    def remove(self, name: str) -> None:
        self.meet("remove")
        self.disk.remove(name)

    def make_directory(self, name: str) -> None:
        self.meet("make_directory")
        self.disk.make_directory(name)

    def remove_directory(self, name: str) -> None:
        self.meet("remove_directory")
        self.disk.remove_directory(name)

    def sync_directory(self, directory: str) -> None:
        self.meet("sync_directory")
        self.disk.sync_directory(directory)

    def free_bytes(self) -> int:
        return self.disk.free_bytes()

    def total_bytes(self) -> int:
        return self.disk.total_bytes()


class FaultyFile:
    """An open file of a `FaultyDisk`."""

    def __init__(self, disk: FaultyDisk, file: File) -> None:
        self.name = file.name
        self._meet = disk.meet
        self._file = file

    def pread(self, size: int, offset: int) -> bytes:
        self._meet("pread")
        return self._file.pread(size, offset)

    def read_into(self, buffer: Buffer, offset: int, *, nowait: bool = False) -> int:
        self._meet("read_into")
        return self._file.read_into(buffer, offset, nowait=nowait)

    def pwritev(self, buffers: Sequence[Buffer], offset: int) -> None:
        self._meet("pwritev")
        self._file.pwritev(buffers, offset)

    def reserve(self, offset: int, size: int) -> None:
        self._meet("reserve")
        self._file.reserve(offset, size)

    def datasync(self) -> None:
        self._meet("datasync")
        self._file.datasync()

    def truncate(self, size: int) -> None:
        self._meet("truncate")
        self._file.truncate(size)

    def size(self) -> int:
        return self._file.size()

    def punch(self, offset: int, size: int) -> None:
        self._meet("punch")
        self._file.punch(offset, size)

    def close(self) -> None:
        self._file.close()
