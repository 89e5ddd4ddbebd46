"""A mounted view without a volume, all in dictionaries: for tests of the shell and its speed.

Names can misbehave: `slow...` is looked up by a pending that takes 50 ms, `bug...` raises what no
handler should, `disk...` fails as a store does, `full...` waits for space once.
"""

import stat
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from vexfs_fuse.errors import DirectoryNotEmpty, Exists, NoAttribute, NotFound, StoreFailed
from vexfs_fuse.pending import Durable, Pending, WaitForSpace
from vexfs_fuse.units import ROOT, Lsn

SLOW_S = 0.05
VIRTUAL_FROM = 1 << 62


class Space(NamedTuple):
    block_bytes: int = 4096
    blocks: int = 1_000_000
    blocks_free: int = 500_000
    blocks_available: int = 500_000
    files: int = 1_000
    files_free: int = 900
    name_max: int = 255


class Entry:
    """One inode: attributes, and whatever its type holds."""

    __slots__ = (
        "atime", "content", "ctime", "data", "gid", "ino", "mode", "mtime", "names", "nlink",
        "parent", "rdev", "size", "stored", "target", "timeout_s", "uid", "wire", "xattrs",
    )  # fmt: skip

    def __init__(self, ino: int, mode: int, uid: int, gid: int, parent: int = 0) -> None:
        self.ino = ino
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.parent = parent
        self.nlink = 2 if stat.S_ISDIR(mode) else 1
        self.rdev = self.size = self.stored = 0
        self.atime = self.mtime = self.ctime = time.time_ns()
        self.target = b""
        self.names: dict[bytes, tuple[int, int]] = {}  # name: (inode, cookie)
        self.xattrs: dict[bytes, bytes] = {}
        self.data = bytearray()
        self.content: Any = None
        self.wire: Any = None
        self.timeout_s = 3600.0


class MemoryVfs:
    """All operations of a mounted volume, each a few dictionary look-ups."""

    clears_set_id = False
    on_stale: Any = None

    def __init__(self) -> None:
        self.entries = {int(ROOT): Entry(ROOT, stat.S_IFDIR | 0o777, 0, 0, ROOT)}
        self.lookups: dict[int, int] = {}
        self.handles: dict[int, Entry] = {}
        self.logged_lsn = Lsn(0)
        self._last_ino = int(ROOT)
        self._last_handle = 0
        self._waited = False

    # -- names ---------------------------------------------------------------------------------

    def lookup(self, parent: int, name: bytes, who: Any) -> Any:
        if name.startswith((b"slow", b"bug", b"disk", b"full")):
            return self._misbehave(parent, name)
        return self._counted(self._found(parent, name))

    def find(self, parent: int, name: bytes, who: Any) -> Any:
        try:
            return self.lookup(parent, name, who)
        except NotFound:
            return None

    def _misbehave(self, parent: int, name: bytes) -> Any:
        if name.startswith(b"bug"):
            raise ZeroDivisionError("a bug")
        if name.startswith(b"disk"):
            raise StoreFailed("as asked for")
        if name.startswith(b"full") and not self._waited:
            self._waited = True
            return WaitForSpace(lambda: self._misbehave(parent, name))
        return Pending(
            lambda: time.sleep(SLOW_S), lambda _: self._counted(self._found(parent, name))
        )

    def _found(self, parent: int, name: bytes) -> Entry:
        directory = self.entries[parent]
        if name == b".":
            return directory
        if name == b"..":
            return self.entries[directory.parent]
        found = directory.names.get(name)
        if found is None:
            raise NotFound
        return self.entries[found[0]]

    def _counted(self, entry: Entry) -> Entry:
        self.lookups[entry.ino] = self.lookups.get(entry.ino, 0) + 1
        return entry

    def remember(self, inodes: Iterable[int]) -> None:
        for ino in inodes:
            self.lookups[ino] = self.lookups.get(ino, 0) + 1

    def forget(self, inodes: Iterable[tuple[int, int]]) -> None:
        for ino, n in inodes:
            left = self.lookups.get(ino, 0) - n
            assert left >= 0, f"{n} lookups of {ino} forgotten, {left + n} were counted"
            if left:
                self.lookups[ino] = left
            else:
                self.lookups.pop(ino, None)

    def _make(self, parent: int, name: bytes, mode: int, who: Any) -> Entry:
        directory = self.entries[parent]
        if name in directory.names:
            raise Exists
        self._last_ino += 1
        mode = mode if stat.S_ISLNK(mode) else mode & ~who.umask
        entry = Entry(self._last_ino, mode, who.uid, who.gid, parent)
        self.entries[entry.ino] = entry
        directory.names[name] = (entry.ino, self._log())
        directory.mtime = directory.ctime = entry.ctime
        directory.wire = None
        return self._counted(entry)

    def _log(self) -> Lsn:
        self.logged_lsn = Lsn(self.logged_lsn + 1)
        return self.logged_lsn

    def mknod(self, parent: int, name: bytes, mode: int, rdev: int, who: Any) -> Entry:
        entry = self._make(parent, name, mode, who)
        entry.rdev = rdev
        return entry

    def mkdir(self, parent: int, name: bytes, mode: int, who: Any) -> Entry:
        return self._make(parent, name, mode | stat.S_IFDIR, who)

    def symlink(self, parent: int, name: bytes, target: bytes, who: Any) -> Entry:
        entry = self._make(parent, name, stat.S_IFLNK | 0o777, who)
        entry.target = target
        entry.size = len(target)
        return entry

    def link(self, ino: int, parent: int, name: bytes, who: Any) -> Entry:
        directory = self.entries[parent]
        if name in directory.names:
            raise Exists
        directory.names[name] = (ino, self._log())
        entry = self.entries[ino]
        entry.nlink += 1
        entry.wire = None
        return self._counted(entry)

    def unlink(self, parent: int, name: bytes, who: Any) -> None:
        entry = self._found(parent, name)
        directory = self.entries[parent]
        del directory.names[name]
        directory.wire = None
        entry.nlink -= 1
        entry.wire = None
        self._log()

    def rmdir(self, parent: int, name: bytes, who: Any) -> None:
        if self._found(parent, name).names:
            raise DirectoryNotEmpty
        self.unlink(parent, name, who)

    def rename(
        self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int, who: Any
    ) -> None:
        entry = self._found(parent, name)
        if flags & 1 and new_name in self.entries[new_parent].names:
            raise Exists
        del self.entries[parent].names[name]
        self.entries[new_parent].names[new_name] = (entry.ino, self._log())

    def readlink(self, ino: int) -> bytes:
        return self.entries[ino].target

    # -- attributes ----------------------------------------------------------------------------

    def getattr(self, ino: int) -> Entry:
        return self.entries[ino]

    def setattr(self, ino: int, wanted: Any, handle: int | None, who: Any) -> Entry:
        entry = self.entries[ino]
        if wanted.mode is not None:
            entry.mode = stat.S_IFMT(entry.mode) | wanted.mode
        for field in ("uid", "gid", "atime", "mtime"):
            if (value := getattr(wanted, field)) is not None:
                setattr(entry, field, value)
        if wanted.size is not None:
            del entry.data[wanted.size :]
            entry.data.extend(bytes(wanted.size - len(entry.data)))
            entry.size = wanted.size
        entry.wire = None
        return entry

    @staticmethod
    def size_times(entry: Entry) -> tuple[int, int, int]:
        return entry.size, entry.mtime, entry.ctime

    @staticmethod
    def stored(entry: Entry) -> int:
        return entry.stored

    @staticmethod
    def is_virtual(ino: int) -> bool:
        return ino >= VIRTUAL_FROM

    def access(self, ino: int, mask: int, who: Any) -> bool:
        return True

    def getxattr(self, ino: int, name: bytes, who: Any) -> bytes:
        value = self.entries[ino].xattrs.get(name)
        if value is None:
            raise NoAttribute
        return value

    def setxattr(self, ino: int, name: bytes, value: bytes, who: Any) -> None:
        self.entries[ino].xattrs[name] = value
        self._log()

    def listxattr(self, ino: int, who: Any) -> list[bytes]:
        return list(self.entries[ino].xattrs)

    def removexattr(self, ino: int, name: bytes, who: Any) -> None:
        if self.entries[ino].xattrs.pop(name, None) is None:
            raise NoAttribute

    def statfs(self) -> Space:
        return Space()

    # -- contents ------------------------------------------------------------------------------

    def _handle(self, entry: Entry) -> int:
        self._last_handle += 1
        self.handles[self._last_handle] = entry
        return self._last_handle

    def create(
        self, parent: int, name: bytes, mode: int, flags: int, who: Any
    ) -> tuple[int, Entry]:
        entry = self._make(parent, name, mode | stat.S_IFREG, who)
        return self._handle(entry), entry

    def open(self, ino: int, flags: int, who: Any) -> tuple[int, bool, bool]:
        entry = self.entries[ino]
        if flags & 0o1000:
            entry.data.clear()
            entry.size = 0
            entry.wire = None
        return self._handle(entry), False, True

    def read(self, handle: int, offset: int, size: int) -> Any:
        return bytes(memoryview(self.handles[handle].data)[offset : offset + size])

    def write(self, handle: int, offset: int, data: bytes, who: Any = None) -> Any:
        entry = self.handles[handle]
        end = offset + len(data)
        if end > entry.size:
            entry.data.extend(bytes(end - entry.size))
            entry.size = end
        entry.data[offset:end] = data
        entry.mtime = entry.ctime = time.time_ns()
        entry.wire = None
        return len(data)

    def release(self, handle: int) -> None:
        del self.handles[handle]

    def fsync(self, handle: int, data_only: bool) -> Durable[None]:
        return Durable(self._log(), None)

    # -- directories ---------------------------------------------------------------------------

    def opendir(self, ino: int, who: Any) -> int:
        return self._handle(self.entries[ino])

    def readdir(self, handle: int, cookie: int) -> Iterator[tuple[bytes, Entry, int]]:
        directory = self.handles[handle]
        if cookie < 1:
            yield b".", directory, 1
        if cookie < 2:
            yield b"..", self.entries[directory.parent], 2
        for name, (ino, entry_cookie) in directory.names.items():
            if entry_cookie + 2 > cookie:
                yield name, self.entries[ino], entry_cookie + 2

    releasedir = release

    def fsyncdir(self, handle: int) -> Durable[None]:
        return Durable(self._log(), None)


class MemoryBatch:
    """A batch that takes `seconds`, or fails."""

    segments = None

    def __init__(self, lsn: Lsn, seconds: float, failure: Exception | None) -> None:
        self.lsn = lsn
        self._seconds = seconds
        self._failure = failure

    def run(self) -> None:
        if self._seconds:
            time.sleep(self._seconds)
        if self._failure is not None:
            raise self._failure


class MemoryVolume:
    """What the daemon needs of a volume; `durable_lsn` follows what the view has logged."""

    is_urgent = False

    def __init__(self, vfs: MemoryVfs, sync_s: float = 0.0) -> None:
        self.vfs = vfs
        self.durable_lsn = Lsn(0)
        self.failure: str | None = None
        self.next_failure: Exception | None = None
        self.sync_s = sync_s
        self.batch_lsns: list[Lsn] = []
        self.flushes = 0
        self.reliefs = 0
        self.steps: list[Any] = []
        self.crashes = ""  # "at once", or "later": when something was made

    @property
    def logged_lsn(self) -> Lsn:
        return self.vfs.logged_lsn

    def seal(self) -> MemoryBatch | None:
        if self.logged_lsn == self.durable_lsn:
            return None
        return MemoryBatch(self.logged_lsn, self.sync_s, self.next_failure)

    def settle(self, batch: MemoryBatch, error: BaseException | None) -> None:
        if error is not None:
            self.failure = str(error)
            return
        self.batch_lsns.append(batch.lsn)
        self.durable_lsn = batch.lsn

    def when_pressed(self, relief: Any) -> None:
        self.relief = relief

    def relieve(self) -> None:
        self.reliefs += 1

    def flush_aged(self, *, older_than_s: float = 0.0) -> Iterator[None]:
        self.flushes += 1
        return iter(())

    def maintain(self, is_quiet: Any) -> Iterator[Any]:
        if self.crashes == "at once" or (self.crashes and self.logged_lsn):
            raise RuntimeError("maintenance fails as no maintenance should")
        while self.steps:
            yield self.steps.pop(0)

    def status(self) -> dict[str, Any]:
        return {"durable_lsn": self.durable_lsn}
