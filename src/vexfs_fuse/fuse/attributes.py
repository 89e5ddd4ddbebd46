"""An inode's attributes as the kernel gets them, made once and kept in `entry.wire`."""

from typing import Any, Final

from pyfuse3 import EntryAttributes

BLOCK_BYTES: Final = 512
"""Unit of st_blocks, stat(2)."""

PREFERRED_BYTES: Final = 128 * 1024
"""st_blksize: what cp and others take for one read or write."""


class Attributes:
    """Answers with an entry's attributes, from `entry.wire` when nothing has changed since.

    The kernel may keep attributes of real entries for `attr_timeout_s` and their names for
    `entry_timeout_s`, those of virtual ones for their own `timeout_s`.
    """

    def __init__(self, vfs: Any, *, attr_timeout_s: float, entry_timeout_s: float) -> None:
        self._size_times = vfs.size_times
        self._stored = vfs.stored
        self._is_virtual = vfs.is_virtual
        self._attr_timeout_s = attr_timeout_s
        self._entry_timeout_s = entry_timeout_s
        self.absent = EntryAttributes()
        self.absent.st_ino = 0
        self.absent.entry_timeout = entry_timeout_s
        self._newborn = EntryAttributes()
        self._newborn.st_nlink = 1
        self._newborn.st_blksize = PREFERRED_BYTES
        self._newborn.attr_timeout = attr_timeout_s
        self._newborn.entry_timeout = entry_timeout_s

    def of(self, entry: Any) -> EntryAttributes:
        """Return the entry's attributes; good until the next call for the same entry."""
        wire: EntryAttributes | None = entry.wire
        if wire is None:
            wire = entry.wire = self._made(entry)
        if entry.content is not None:
            wire.st_size, wire.st_mtime_ns, wire.st_ctime_ns = self._size_times(entry)
            wire.st_blocks = -(-self._stored(entry) // BLOCK_BYTES)
        return wire

    def of_newborn(self, entry: Any) -> EntryAttributes:
        """Return the attributes of a regular file that was made just now; good until the next call.

        Most files change before anybody asks for their attributes, so none are made to be kept.
        """
        if self._is_virtual(entry.ino):
            return self.of(entry)
        wire = self._newborn
        wire.st_ino = entry.ino
        wire.st_mode = entry.mode
        wire.st_uid = entry.uid
        wire.st_gid = entry.gid
        now = entry.ctime
        wire.st_atime_ns = now
        wire.st_mtime_ns = now
        wire.st_ctime_ns = now
        return wire

    def _made(self, entry: Any) -> EntryAttributes:
        wire = EntryAttributes()
        wire.st_ino = entry.ino
        wire.st_mode = entry.mode
        wire.st_nlink = entry.nlink
        wire.st_uid = entry.uid
        wire.st_gid = entry.gid
        wire.st_rdev = entry.rdev
        wire.st_size = entry.size
        wire.st_blocks = -(-entry.stored // BLOCK_BYTES)
        wire.st_blksize = PREFERRED_BYTES
        wire.st_atime_ns = entry.atime
        wire.st_mtime_ns = entry.mtime
        wire.st_ctime_ns = entry.ctime
        if self._is_virtual(entry.ino) or not entry.timeout_s:
            wire.attr_timeout = wire.entry_timeout = entry.timeout_s
        else:
            wire.attr_timeout = self._attr_timeout_s
            wire.entry_timeout = self._entry_timeout_s
        return wire
