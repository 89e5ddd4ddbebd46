"""An inode's attributes as bytes for the kernel, made once and kept in `entry.wire`."""

from collections.abc import Iterable
from typing import Any, Final

from vexfs_fuse.fuse.attributes import BLOCK_BYTES, PREFERRED_BYTES
from vexfs_fuse.fuse.protocol import (
    ATTR,
    ATTR_REPLY,
    CREATE_REPLY,
    DIRENTRY,
    DIRENTRY_ALIGNMENT,
    DIRENTRY_PLUS_BYTES,
    ENTRY_REPLY,
    FOPEN_KEEP_CACHE,
    INO,
    VALIDITY,
)

NS_PER_S: Final = 1_000_000_000
DOTS: Final = frozenset({b".", b".."})
TYPE_SHIFT: Final = 12
"""A directory entry's type is the inode's, without permissions."""


_PADDING: Final = tuple(bytes(size) for size in range(DIRENTRY_ALIGNMENT))
"""What fills an entry up; its head is a multiple of the alignment."""


class Wires:
    """Encodes answers about entries, from `entry.wire` when nothing has changed since.

    The kernel may keep attributes of real entries for `attr_timeout_s` and their names for
    `entry_timeout_s`, those of virtual ones, and of what cannot be read, for their own `timeout_s`.
    """

    def __init__(self, vfs: Any, *, attr_timeout_s: float, entry_timeout_s: float) -> None:
        self._size_times = vfs.size_times
        self._stored = vfs.stored
        self._is_virtual = vfs.is_virtual
        self._attr_valid = _seconds_ns(attr_timeout_s)
        self._entry_valid = _seconds_ns(entry_timeout_s)
        self._valid = _validity(self._entry_valid, self._attr_valid)
        self._kept = VALIDITY.pack(0, *self._valid)  # what listings say of most entries

    def attributes(self, unique: int, entry: Any) -> bytes:
        """Answer GETATTR and SETATTR."""
        attr = self._attr(entry)
        valid = self._attr_valid
        if self._is_virtual(entry.ino) or not entry.timeout_s:
            valid = _seconds_ns(entry.timeout_s)
        return ATTR_REPLY.pack(ATTR_REPLY.size, 0, unique, *valid, attr)

    def entry(self, unique: int, entry: Any) -> bytes:
        """Answer what finds or makes a name."""
        attr = self._attr(entry)
        ino = entry.ino
        return ENTRY_REPLY.pack(
            ENTRY_REPLY.size, 0, unique, ino, 0, *self._validity_of(entry), attr
        )

    def absent(self, unique: int) -> bytes:
        """Answer LOOKUP with an absence that the kernel may keep."""
        return ENTRY_REPLY.pack(ENTRY_REPLY.size, 0, unique, 0, 0, *self._valid, b"")

    def created(self, unique: int, entry: Any, handle: int) -> bytes:
        """Answer CREATE.

        Most files change before anybody asks for their attributes, so none are made to be kept.
        """
        ino = entry.ino
        if self._is_virtual(ino):
            valid, attr = _own_validity(entry), ATTR.unpack(self._attr(entry))
            head = (CREATE_REPLY.size, 0, unique, ino, 0)
            return CREATE_REPLY.pack(*head, *valid, *attr, handle, FOPEN_KEEP_CACHE)
        now_s, now_ns = divmod(entry.ctime, NS_PER_S)
        entry_s, attr_s, entry_ns, attr_ns = self._valid
        return CREATE_REPLY.pack(
            CREATE_REPLY.size,
            0,
            unique,
            ino,
            0,
            entry_s,
            attr_s,
            entry_ns,
            attr_ns,
            ino,
            0,
            0,
            now_s,
            now_s,
            now_s,
            now_ns,
            now_ns,
            now_ns,
            entry.mode,
            1,
            entry.uid,
            entry.gid,
            0,
            PREFERRED_BYTES,
            0,
            handle,
            FOPEN_KEEP_CACHE,
        )

    def listed_plus(
        self, entries: Iterable[tuple[bytes, Any, int]], room: int
    ) -> tuple[list[bytes], list[int]]:
        """Return entries of a directory with attributes, as pieces of at most `room` bytes together.

        Beside them come the inodes of which the kernel counts a lookup by that: all but those of `.`
        and `..`.  One that is damaged has no time to be kept.  All in one loop without calls for what
        is in memory: half of the time that a function for each entry took.
        """
        pieces: list[bytes] = []
        looked_up: list[int] = []
        is_virtual, pack = self._is_virtual, DIRENTRY.pack
        for name, entry, next_cookie in entries:
            size = len(name)
            padding = _PADDING[-size % DIRENTRY_ALIGNMENT]
            room -= DIRENTRY_PLUS_BYTES + size + len(padding)
            if room < 0:
                break
            attr = entry.wire if entry.content is None else None
            if attr is None:
                attr = self._attr(entry)
            ino = entry.ino
            validity = self._kept
            if not entry.timeout_s or is_virtual(ino):
                validity = VALIDITY.pack(0, *_own_validity(entry))
            head = pack(ino, next_cookie, size, entry.mode >> TYPE_SHIFT)
            pieces += (attr[INO], validity, attr, head, name, padding)
            if name not in DOTS:
                looked_up.append(ino)
        return pieces, looked_up

    def _validity_of(self, entry: Any) -> tuple[int, int, int, int]:
        if self._is_virtual(entry.ino) or not entry.timeout_s:
            return _own_validity(entry)
        return self._valid

    def _attr(self, entry: Any) -> bytes:
        if entry.content is None:
            attr: bytes | None = entry.wire
            if attr is None:
                attr = entry.wire = self._packed(
                    entry, entry.size, entry.stored, entry.mtime, entry.ctime
                )
            return attr
        size, mtime, ctime = self._size_times(entry)
        return self._packed(entry, size, self._stored(entry), mtime, ctime)

    @staticmethod
    def _packed(entry: Any, size: int, stored: int, mtime: int, ctime: int) -> bytes:
        atime_s, atime_ns = divmod(entry.atime, NS_PER_S)
        mtime_s, mtime_ns = divmod(mtime, NS_PER_S)
        ctime_s, ctime_ns = divmod(ctime, NS_PER_S)
        return ATTR.pack(
            entry.ino,
            size,
            -(-stored // BLOCK_BYTES),
            atime_s,
            mtime_s,
            ctime_s,
            atime_ns,
            mtime_ns,
            ctime_ns,
            entry.mode,
            entry.nlink,
            entry.uid,
            entry.gid,
            entry.rdev & 0xFFFF_FFFF,
            PREFERRED_BYTES,
            0,
        )


def listed(name: bytes, entry: Any, next_cookie: int) -> bytes:
    """Return one entry of a directory."""
    size = len(name)
    head = DIRENTRY.pack(entry.ino, next_cookie, size, entry.mode >> TYPE_SHIFT)
    return head + name + _PADDING[-size % DIRENTRY_ALIGNMENT]


def _seconds_ns(timeout_s: float) -> tuple[int, int]:
    whole = int(timeout_s)
    return whole, int((timeout_s - whole) * NS_PER_S)


def _validity(entry: tuple[int, int], attr: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return how long a name and its attributes are valid, in the order of fuse_entry_out."""
    return entry[0], attr[0], entry[1], attr[1]


def _own_validity(entry: Any) -> tuple[int, int, int, int]:
    valid = _seconds_ns(entry.timeout_s)
    return _validity(valid, valid)
