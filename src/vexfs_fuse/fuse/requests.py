"""Every request of the kernel: its bytes translated, one call of the core, the answer as bytes."""

import errno
from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias

from vexfs_fuse.errors import Exists, NoAttribute
from vexfs_fuse.fuse import protocol as wire
from vexfs_fuse.fuse import wires
from vexfs_fuse.fuse.caller import Requester, Requesters
from vexfs_fuse.fuse.protocol import HEADER_BYTES, OUT
from vexfs_fuse.fuse.slow import SLOW, then
from vexfs_fuse.fuse.wires import Wires
from vexfs_fuse.observe.recorder import Recorder
from vexfs_fuse.volume.attributes import Attributes as Wanted

PERMISSION_BITS: Final = 0o7777
XATTR_CREATE, XATTR_REPLACE = 1, 2

_NAME: Final = slice(HEADER_BYTES, -1)
"""Where the names stand in a request, without the NUL behind the last."""


def _behind(layout: Struct) -> slice:
    """Return where the names stand in a request that has more than names."""
    return slice(HEADER_BYTES + layout.size, -1)


_BEHIND_MKNOD: Final = _behind(wire.MKNOD_IN)
_BEHIND_MKDIR: Final = _behind(wire.MKDIR_IN)
_BEHIND_RENAME: Final = _behind(wire.RENAME_IN)
_BEHIND_RENAME2: Final = _behind(wire.RENAME2_IN)
_BEHIND_LINK: Final = _behind(wire.LINK_IN)
_BEHIND_GETXATTR: Final = _behind(wire.GETXATTR_IN)
_BEHIND_CREATE: Final = _behind(wire.CREATE_IN)
_XATTR_FROM: Final = HEADER_BYTES + wire.SETXATTR_IN.size

Answer: TypeAlias = bytes | tuple[bytes, Any] | None
"""What goes to the kernel: one piece, or a header and contents; nothing after a FORGET."""
Handler: TypeAlias = Callable[[int, bytes, Requester], Any]
"""From an inode's number, a whole request and who asks to a value, which may be slow."""
Encoder: TypeAlias = Callable[[int, Any], Answer]
"""From a request's number and that value to the answer."""


class Kind(NamedTuple):
    """One kind of request, and what it is called in metrics and logs."""

    opcode: int
    name: str
    handler: Handler
    encode: Encoder


class Requests:
    """Translates between the kernel's bytes and the core.

    `vfs` is a mounted volume, `vexfs_fuse.vfs`; what it returns may be slow in any of its methods.
    `view` is where requests are read to: the bytes of a write are taken from there.
    """

    def __init__(
        self,
        vfs: Any,
        recorder: Recorder,
        callers: Requesters,
        *,
        attr_timeout_s: float,
        entry_timeout_s: float,
    ) -> None:
        self._vfs = vfs
        self._recorder = recorder
        self._callers = callers
        self._wires = Wires(vfs, attr_timeout_s=attr_timeout_s, entry_timeout_s=entry_timeout_s)
        self.view = memoryview(b"")

    def kinds(self) -> Iterable[Kind]:
        """Return every kind that is answered."""
        entry, attributes = self._wires.entry, self._wires.attributes
        return map(
            Kind._make,
            (
                (wire.LOOKUP, "lookup", self._lookup, self._found),
                (wire.FORGET, "forget", self._forget, _nothing),
                (wire.BATCH_FORGET, "forget", self._batch_forget, _nothing),
                (wire.GETATTR, "getattr", self._getattr, attributes),
                (wire.SETATTR, "setattr", self._setattr, attributes),
                (wire.READLINK, "readlink", self._readlink, _bytes),
                (wire.SYMLINK, "symlink", self._symlink, entry),
                (wire.MKNOD, "mknod", self._mknod, entry),
                (wire.MKDIR, "mkdir", self._mkdir, entry),
                (wire.UNLINK, "unlink", self._unlink, _done),
                (wire.RMDIR, "rmdir", self._rmdir, _done),
                (wire.RENAME, "rename", self._rename, _done),
                (wire.RENAME2, "rename", self._rename2, _done),
                (wire.LINK, "link", self._link, entry),
                (wire.OPEN, "open", self._open, self._opened),
                (wire.READ, "read", self._read, self._contents),
                (wire.WRITE, "write", self._write, _written),
                (wire.STATFS, "statfs", self._statfs, _space),
                (wire.RELEASE, "release", self._release, _done),
                (wire.FSYNC, "fsync", self._fsync, _done),
                (wire.FALLOCATE, "fallocate", self._fallocate, _done),
                (wire.LSEEK, "lseek", self._lseek, _sought),
                (wire.SETXATTR, "setxattr", self._setxattr, _done),
                (wire.GETXATTR, "getxattr", self._getxattr, _xattr),
                (wire.LISTXATTR, "listxattr", self._listxattr, _xattr_names),
                (wire.REMOVEXATTR, "removexattr", self._removexattr, _done),
                (wire.OPENDIR, "opendir", self._opendir, _directory_opened),
                (wire.READDIR, "readdir", self._readdir, _listed),
                (wire.READDIRPLUS, "readdir", self._readdir, self._listed_plus),
                (wire.RELEASEDIR, "releasedir", self._releasedir, _done),
                (wire.FSYNCDIR, "fsyncdir", self._fsyncdir, _done),
                (wire.ACCESS, "access", self._access, _allowed),
                (wire.CREATE, "create", self._create, self._created),
            ),
        )

    # --- names

    def _lookup(self, parent: int, request: bytes, who: Requester) -> Any:
        """Find a name; an absent one is an answer too, which the kernel may keep: None."""
        return self._vfs.find(parent, request[_NAME], who)

    def _found(self, unique: int, entry: Any) -> bytes:
        if entry is not None:
            return self._wires.entry(unique, entry)
        self._recorder.events["negative_entry"] += 1
        return self._wires.absent(unique)

    def _forget(self, ino: int, request: bytes, who: Requester) -> None:
        self._vfs.forget([(ino, wire.FORGET_IN.unpack_from(request, HEADER_BYTES)[0])])

    def _batch_forget(self, ino: int, request: bytes, who: Requester) -> None:
        (count,) = wire.BATCH_FORGET_IN.unpack_from(request, HEADER_BYTES)
        start = HEADER_BYTES + wire.BATCH_FORGET_IN.size
        forgotten = request[start : start + count * wire.FORGOTTEN.size]
        self._vfs.forget(wire.FORGOTTEN.iter_unpack(forgotten))

    def _mknod(self, parent: int, request: bytes, who: Requester) -> Any:
        mode, rdev, umask = wire.MKNOD_IN.unpack_from(request, HEADER_BYTES)
        name = request[_BEHIND_MKNOD]
        return self._vfs.mknod(parent, name, mode, rdev, self._making(request, umask))

    def _mkdir(self, parent: int, request: bytes, who: Requester) -> Any:
        mode, umask = wire.MKDIR_IN.unpack_from(request, HEADER_BYTES)
        name = request[_BEHIND_MKDIR]
        return self._vfs.mkdir(parent, name, mode, self._making(request, umask))

    def _making(self, request: bytes, umask: int) -> Requester:
        return self._callers.with_umask(request[wire.CALLER], umask)

    def _symlink(self, parent: int, request: bytes, who: Requester) -> Any:
        name, target = request[_NAME].split(b"\0")
        return self._vfs.symlink(parent, name, target, who)

    def _link(self, parent: int, request: bytes, who: Requester) -> Any:
        (ino,) = wire.LINK_IN.unpack_from(request, HEADER_BYTES)
        return self._vfs.link(ino, parent, request[_BEHIND_LINK], who)

    def _unlink(self, parent: int, request: bytes, who: Requester) -> Any:
        return self._vfs.unlink(parent, request[_NAME], who)

    def _rmdir(self, parent: int, request: bytes, who: Requester) -> Any:
        return self._vfs.rmdir(parent, request[_NAME], who)

    def _rename(self, parent: int, request: bytes, who: Requester) -> Any:
        (new_parent,) = wire.RENAME_IN.unpack_from(request, HEADER_BYTES)
        name, new_name = request[_BEHIND_RENAME].split(b"\0")
        return self._vfs.rename(parent, name, new_parent, new_name, 0, who)

    def _rename2(self, parent: int, request: bytes, who: Requester) -> Any:
        new_parent, flags = wire.RENAME2_IN.unpack_from(request, HEADER_BYTES)
        name, new_name = request[_BEHIND_RENAME2].split(b"\0")
        return self._vfs.rename(parent, name, new_parent, new_name, flags, who)

    def _readlink(self, ino: int, request: bytes, who: Requester) -> Any:
        return self._vfs.readlink(ino)

    # --- attributes

    def _getattr(self, ino: int, request: bytes, who: Requester) -> Any:
        return self._vfs.getattr(ino)

    def _setattr(self, ino: int, request: bytes, who: Requester) -> Any:
        valid, handle, size, atime_s, mtime_s, atime_ns, mtime_ns, mode, uid, gid = (
            wire.SETATTR_IN.unpack_from(request, HEADER_BYTES)
        )
        wanted = Wanted(
            mode & PERMISSION_BITS if valid & wire.FATTR_MODE else None,
            uid if valid & wire.FATTR_UID else None,
            gid if valid & wire.FATTR_GID else None,
            size if valid & wire.FATTR_SIZE else None,
            # also for UTIME_NOW the kernel has said which time that is
            atime_s * 1_000_000_000 + atime_ns if valid & wire.FATTR_ATIME else None,
            mtime_s * 1_000_000_000 + mtime_ns if valid & wire.FATTR_MTIME else None,
        )
        return self._vfs.setattr(ino, wanted, handle if valid & wire.FATTR_FH else None, who)

    def _access(self, ino: int, request: bytes, who: Requester) -> Any:
        return self._vfs.access(ino, wire.ACCESS_IN.unpack_from(request, HEADER_BYTES)[0], who)

    def _getxattr(self, ino: int, request: bytes, who: Requester) -> Any:
        """Return the size of the caller's room, and the value."""
        (room,) = wire.GETXATTR_IN.unpack_from(request, HEADER_BYTES)
        value = self._vfs.getxattr(ino, request[_BEHIND_GETXATTR], who)
        return (room, value) if type(value) not in SLOW else then(value, lambda late: (room, late))

    def _setxattr(self, ino: int, request: bytes, who: Requester) -> Any:
        size, flags = wire.SETXATTR_IN.unpack_from(request, HEADER_BYTES)
        end = request.index(0, _XATTR_FROM)
        name = request[_XATTR_FROM:end]
        if flags:
            self._require(ino, name, flags, who)
        return self._vfs.setxattr(ino, name, request[end + 1 : end + 1 + size], who)

    def _require(self, ino: int, name: bytes, flags: int, who: Requester) -> None:
        """Raise unless an attribute is there or not, as `flags` of setxattr(2) want it."""
        try:
            self._vfs.getxattr(ino, name, who)
        except NoAttribute:
            if flags & XATTR_REPLACE:
                raise
            return
        if flags & XATTR_CREATE:
            raise Exists

    def _listxattr(self, ino: int, request: bytes, who: Requester) -> Any:
        (room,) = wire.GETXATTR_IN.unpack_from(request, HEADER_BYTES)
        return room, self._vfs.listxattr(ino, who)

    def _removexattr(self, ino: int, request: bytes, who: Requester) -> Any:
        return self._vfs.removexattr(ino, request[_NAME], who)

    # --- files

    def _create(self, parent: int, request: bytes, who: Requester) -> Any:
        flags, mode, umask = wire.CREATE_IN.unpack_from(request, HEADER_BYTES)
        if who.umask != umask:
            who = self._making(request, umask)
        return self._vfs.create(parent, request[_BEHIND_CREATE], mode, flags, who)

    def _created(self, unique: int, created: tuple[int, Any]) -> bytes:
        handle, entry = created
        return self._wires.created(unique, entry, handle)

    def _open(self, ino: int, request: bytes, who: Requester) -> Any:
        return self._vfs.open(ino, wire.OPEN_IN.unpack_from(request, HEADER_BYTES)[0], who)

    def _opened(self, unique: int, opened: tuple[int, bool, bool]) -> bytes:
        handle, direct_io, keep_cache = opened
        flags = 0
        if direct_io:
            self._recorder.events["direct_io"] += 1
            flags = wire.FOPEN_DIRECT_IO
        elif keep_cache:
            self._recorder.events["keep_cache"] += 1
            flags = wire.FOPEN_KEEP_CACHE
        return wire.OPEN_REPLY.pack(wire.OPEN_REPLY.size, 0, unique, handle, flags)

    def _read(self, ino: int, request: bytes, who: Requester) -> Any:
        handle, offset, size = wire.READ_IN.unpack_from(request, HEADER_BYTES)
        return self._vfs.read(handle, offset, size)

    def _contents(self, unique: int, data: bytes | memoryview) -> Answer:
        size = memoryview(data).nbytes
        self._recorder.bytes_read += size
        return OUT.pack(OUT.size + size, 0, unique), data

    def _write(self, ino: int, request: bytes, who: Requester) -> Any:
        handle, offset, size = wire.WRITE_IN.unpack_from(request, HEADER_BYTES)
        self._recorder.bytes_written += size
        start = wire.WRITTEN_FROM
        return self._vfs.write(handle, offset, self.view[start : start + size], who)

    def _release(self, ino: int, request: bytes, who: Requester) -> Any:
        return self._vfs.release(wire.RELEASE_IN.unpack_from(request, HEADER_BYTES)[0])

    def _fsync(self, ino: int, request: bytes, who: Requester) -> Any:
        handle, flags = wire.FSYNC_IN.unpack_from(request, HEADER_BYTES)
        return self._vfs.fsync(handle, bool(flags & wire.FSYNC_FDATASYNC))

    def _fallocate(self, ino: int, request: bytes, who: Requester) -> Any:
        handle, offset, size, mode = wire.FALLOCATE_IN.unpack_from(request, HEADER_BYTES)
        return self._vfs.fallocate(handle, offset, size, mode, who)

    def _lseek(self, ino: int, request: bytes, who: Requester) -> Any:
        handle, offset, whence = wire.LSEEK_IN.unpack_from(request, HEADER_BYTES)
        return self._vfs.seek(ino, handle, offset, whence)

    # --- directories

    def _opendir(self, ino: int, request: bytes, who: Requester) -> Any:
        return self._vfs.opendir(ino, who)

    def _readdir(self, ino: int, request: bytes, who: Requester) -> Any:
        """Return the size of the caller's room, and the entries."""
        handle, cookie, room = wire.READ_IN.unpack_from(request, HEADER_BYTES)
        entries = self._vfs.readdir(handle, cookie)
        if type(entries) in SLOW:
            return then(entries, lambda late: (room, late))
        return room, entries

    def _listed_plus(
        self, unique: int, listed: tuple[int, Iterable[tuple[bytes, Any, int]]]
    ) -> Answer:
        """Answer with entries; references are counted once all are encoded, as failures give none."""
        room, entries = listed
        pieces, looked_up = self._wires.listed_plus(entries, room)
        data = b"".join(pieces)
        self._vfs.remember(looked_up)
        return OUT.pack(OUT.size + len(data), 0, unique) + data

    def _releasedir(self, ino: int, request: bytes, who: Requester) -> Any:
        return self._vfs.releasedir(wire.RELEASE_IN.unpack_from(request, HEADER_BYTES)[0])

    def _fsyncdir(self, ino: int, request: bytes, who: Requester) -> Any:
        return self._vfs.fsyncdir(wire.FSYNC_IN.unpack_from(request, HEADER_BYTES)[0])

    # --- the whole

    def _statfs(self, ino: int, request: bytes, who: Requester) -> Any:
        return self._vfs.statfs()


def _done(unique: int, value: Any) -> bytes:
    return OUT.pack(OUT.size, 0, unique)


def _nothing(unique: int, value: Any) -> None:
    """Say nothing: the kernel waits for no answer."""


def _bytes(unique: int, value: bytes) -> bytes:
    return OUT.pack(OUT.size + len(value), 0, unique) + value


def _written(unique: int, size: int) -> bytes:
    return wire.WRITE_REPLY.pack(wire.WRITE_REPLY.size, 0, unique, size)


def _sought(unique: int, offset: int) -> bytes:
    return wire.LSEEK_REPLY.pack(wire.LSEEK_REPLY.size, 0, unique, offset)


def _directory_opened(unique: int, handle: int) -> bytes:
    return wire.OPEN_REPLY.pack(wire.OPEN_REPLY.size, 0, unique, handle, 0)


def _allowed(unique: int, allowed: bool) -> bytes:
    return OUT.pack(OUT.size, 0 if allowed else -errno.EACCES, unique)


def _xattr(unique: int, found: tuple[int, bytes]) -> bytes:
    """Answer with a value, or with its size where the caller has no room at all."""
    room, value = found
    size = len(value)
    if not room:
        return wire.XATTR_SIZE_REPLY.pack(wire.XATTR_SIZE_REPLY.size, 0, unique, size)
    if size > room:
        return OUT.pack(OUT.size, -errno.ERANGE, unique)
    return OUT.pack(OUT.size + size, 0, unique) + value


def _xattr_names(unique: int, found: tuple[int, Sequence[bytes]]) -> bytes:
    room, names = found
    return _xattr(unique, (room, b"".join(name + b"\0" for name in names)))


def _listed(unique: int, listed: tuple[int, Iterable[tuple[bytes, Any, int]]]) -> bytes:
    room, entries = listed
    parts: list[bytes] = []
    for name, entry, next_cookie in entries:
        part = wires.listed(name, entry, next_cookie)
        room -= len(part)
        if room < 0:
            break
        parts.append(part)
    data = b"".join(parts)
    return OUT.pack(OUT.size + len(data), 0, unique) + data


def _space(unique: int, space: Any) -> bytes:
    return wire.STATFS_REPLY.pack(
        wire.STATFS_REPLY.size,
        0,
        unique,
        space.blocks,
        space.blocks_free,
        space.blocks_available,
        space.files,
        space.files_free,
        space.block_bytes,
        space.name_max,
        space.block_bytes,
    )
