"""The requests of the kernel, one method each: translate, one call of the core, translate.

Names are pyfuse3's (`pyfuse3.Operations` says when each is sent), answers are plain values or slow
ones; the guard stands around all of them.  `flush` and `poll` are left out on purpose: the kernel
then stops sending them.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from pyfuse3 import (
    EntryAttributes,
    FileInfo,
    ReaddirToken,
    RequestContext,
    SetattrFields,
    StatvfsData,
    readdir_reply,
)

from vexfs_fuse.errors import NotFound
from vexfs_fuse.fuse.attributes import Attributes
from vexfs_fuse.fuse.slow import SLOW, then
from vexfs_fuse.observe.recorder import Recorder
from vexfs_fuse.volume.attributes import Attributes as Wanted

PERMISSION_BITS: Final = 0o7777
OPENERS_MAX: Final = 65_536
"""Handles whose opener is remembered for the follower; those beyond are simply not followed."""


class Operations:
    """Translates between pyfuse3 and the core.

    `vfs` is a mounted volume, `vexfs_fuse.vfs`; what it returns may be slow in any of its methods.
    """

    def __init__(
        self,
        vfs: Any,
        recorder: Recorder,
        *,
        attr_timeout_s: float,
        entry_timeout_s: float,
    ) -> None:
        self._vfs = vfs
        self._recorder = recorder
        self._attributes = Attributes(
            vfs, attr_timeout_s=attr_timeout_s, entry_timeout_s=entry_timeout_s
        )
        self._wire = self._attributes.of
        self._newborn = self._attributes.of_newborn
        # Copied by pyfuse3 as soon as a handler returns it; whoever answers late needs its own.
        self._info = FileInfo()
        self._openers: dict[int, int] = {}

    def opener(self, handle: int) -> int:
        """Return the thread that opened `handle`; 0 when it is not known."""
        return self._openers.get(handle, 0)

    # --- names

    def lookup(self, parent: int, name: bytes, who: RequestContext) -> Any:
        """Find a name; an absent one is an answer too, which the kernel may keep."""
        try:
            entry = self._vfs.lookup(parent, name, who)
        except NotFound:
            if self._vfs.is_virtual(parent):
                raise
            self._recorder.events["negative_entry"] += 1
            return self._attributes.absent
        return then(entry, self._wire) if type(entry) in SLOW else self._wire(entry)

    def forget(self, forgotten: Sequence[tuple[int, int]]) -> None:
        """Take back lookups that the kernel no longer counts."""
        self._vfs.forget(forgotten)

    def mknod(self, parent: int, name: bytes, mode: int, rdev: int, who: RequestContext) -> Any:
        """Make a file, FIFO, socket or device node."""
        return self._entry(self._vfs.mknod(parent, name, mode, rdev, who))

    def mkdir(self, parent: int, name: bytes, mode: int, who: RequestContext) -> Any:
        """Make a directory."""
        return self._entry(self._vfs.mkdir(parent, name, mode, who))

    def symlink(self, parent: int, name: bytes, target: bytes, who: RequestContext) -> Any:
        """Make a symbolic link."""
        return self._entry(self._vfs.symlink(parent, name, target, who))

    def link(self, ino: int, parent: int, name: bytes, who: RequestContext) -> Any:
        """Give an inode a further name."""
        return self._entry(self._vfs.link(ino, parent, name, who))

    def unlink(self, parent: int, name: bytes, who: RequestContext) -> Any:
        """Take a name away."""
        return self._vfs.unlink(parent, name, who)

    def rmdir(self, parent: int, name: bytes, who: RequestContext) -> Any:
        """Remove an empty directory."""
        return self._vfs.rmdir(parent, name, who)

    def rename(
        self,
        parent: int,
        name: bytes,
        new_parent: int,
        new_name: bytes,
        flags: int,
        who: RequestContext,
    ) -> Any:
        """Move a name; `flags` as of renameat2(2)."""
        return self._vfs.rename(parent, name, new_parent, new_name, flags, who)

    def readlink(self, ino: int, who: RequestContext) -> Any:
        """Return where a symbolic link points."""
        return self._vfs.readlink(ino)

    # --- attributes

    def getattr(self, ino: int, who: RequestContext) -> Any:
        """Return an inode's attributes."""
        return self._entry(self._vfs.getattr(ino))

    def setattr(
        self,
        ino: int,
        attributes: EntryAttributes,
        fields: SetattrFields,
        handle: int | None,
        who: RequestContext,
    ) -> Any:
        """Change mode, owner, group, size and times, whichever the kernel names."""
        wanted = Wanted(
            attributes.st_mode & PERMISSION_BITS if fields.update_mode else None,
            attributes.st_uid if fields.update_uid else None,
            attributes.st_gid if fields.update_gid else None,
            attributes.st_size if fields.update_size else None,
            attributes.st_atime_ns if fields.update_atime else None,
            attributes.st_mtime_ns if fields.update_mtime else None,
        )
        return self._entry(self._vfs.setattr(ino, wanted, handle, who))

    def access(self, ino: int, mask: int, who: RequestContext) -> Any:
        """Return whether `who` may; sent only to a kernel that does not check modes itself."""
        return self._vfs.access(ino, mask, who)

    def getxattr(self, ino: int, name: bytes, who: RequestContext) -> Any:
        """Return an extended attribute's value."""
        return self._vfs.getxattr(ino, name, who)

    def setxattr(self, ino: int, name: bytes, value: bytes, who: RequestContext) -> Any:
        """Set an extended attribute; pyfuse3 has seen to XATTR_CREATE and XATTR_REPLACE."""
        return self._vfs.setxattr(ino, name, value, who)

    def listxattr(self, ino: int, who: RequestContext) -> Any:
        """Return the names of an inode's extended attributes."""
        return self._vfs.listxattr(ino, who)

    def removexattr(self, ino: int, name: bytes, who: RequestContext) -> Any:
        """Remove an extended attribute."""
        return self._vfs.removexattr(ino, name, who)

    # --- files

    def create(self, parent: int, name: bytes, mode: int, flags: int, who: RequestContext) -> Any:
        """Make a file and open it."""
        created = self._vfs.create(parent, name, mode, flags, who)
        if type(created) in SLOW:
            return then(created, lambda created: self._created_late(created, who.pid))
        handle, entry = created
        info = self._info_of(self._info, handle, who.pid, direct_io=False, keep_cache=True)
        return info, self._newborn(entry)

    def _created_late(self, created: tuple[int, Any], pid: int) -> tuple[FileInfo, EntryAttributes]:
        handle, entry = created
        info = self._info_of(FileInfo(), handle, pid, direct_io=False, keep_cache=True)
        return info, self._wire(entry)

    def open(self, ino: int, flags: int, who: RequestContext) -> Any:
        """Open a file; `flags` may have O_TRUNC, which the kernel leaves to us."""
        opened = self._vfs.open(ino, flags, who)
        if type(opened) in SLOW:
            return then(opened, lambda opened: self._opened(FileInfo(), opened, who.pid))
        return self._opened(self._info, opened, who.pid)

    def _opened(self, info: FileInfo, opened: tuple[int, bool, bool], pid: int) -> FileInfo:
        handle, direct_io, keep_cache = opened
        if direct_io:
            self._recorder.events["direct_io"] += 1
        elif keep_cache:
            self._recorder.events["keep_cache"] += 1
        return self._info_of(info, handle, pid, direct_io=direct_io, keep_cache=keep_cache)

    def _info_of(
        self, info: FileInfo, handle: int, pid: int, *, direct_io: bool, keep_cache: bool
    ) -> FileInfo:
        if len(self._openers) < OPENERS_MAX:
            self._openers[handle] = pid
        info.fh = handle
        info.direct_io = direct_io
        info.keep_cache = keep_cache
        return info

    def read(self, handle: int, offset: int, size: int) -> Any:
        """Return contents."""
        data = self._vfs.read(handle, offset, size)
        if type(data) in SLOW:
            return then(data, self._got)
        self._recorder.bytes_read += len(data)
        return data

    def _got(self, data: Any) -> Any:
        self._recorder.bytes_read += len(data)
        return data

    def write(self, handle: int, offset: int, data: bytes) -> Any:
        """Write contents; return how many bytes were taken."""
        self._recorder.bytes_written += len(data)
        return self._vfs.write(handle, offset, data)

    def release(self, handle: int) -> Any:
        """Let go of a file that the last descriptor has left."""
        self._openers.pop(handle, None)
        return self._vfs.release(handle)

    def fsync(self, handle: int, data_only: bool) -> Any:
        """Make a file durable."""
        return self._vfs.fsync(handle, data_only)

    # --- directories

    def opendir(self, ino: int, who: RequestContext) -> Any:
        """Open a directory."""
        return self._vfs.opendir(ino, who)

    def readdir(self, handle: int, cookie: int, token: ReaddirToken) -> Any:
        """Hand out entries after `cookie`, with attributes, as many as fit."""
        entries = self._vfs.readdir(handle, cookie)
        if type(entries) in SLOW:
            return then(entries, lambda entries: self._fill(token, entries))
        return self._fill(token, entries)

    def _fill(self, token: ReaddirToken, entries: Iterable[tuple[bytes, Any, int]]) -> None:
        wire = self._wire
        remember = self._vfs.remember
        for name, entry, next_cookie in entries:
            if not readdir_reply(token, name, wire(entry), next_cookie):
                return
            # The kernel counts a lookup for every entry that it got, but for these two.
            if name not in {b".", b".."}:
                remember((entry.ino,))

    def releasedir(self, handle: int) -> Any:
        """Let go of a directory."""
        return self._vfs.releasedir(handle)

    def fsyncdir(self, handle: int, data_only: bool) -> Any:
        """Make a directory's entries durable."""
        return self._vfs.fsyncdir(handle)

    # --- the whole

    def statfs(self, who: RequestContext) -> StatvfsData:
        """Return sizes and free space."""
        space = self._vfs.statfs()
        data = StatvfsData()
        data.f_bsize = data.f_frsize = space.block_bytes
        data.f_blocks = space.blocks
        data.f_bfree = space.blocks_free
        data.f_bavail = space.blocks_available
        data.f_files = space.files
        data.f_ffree = data.f_favail = space.files_free
        data.f_namemax = space.name_max
        return data

    def _entry(self, entry: Any) -> Any:
        return then(entry, self._wire) if type(entry) in SLOW else self._wire(entry)
