"""A volume in the simplest words: inodes in a dictionary, and a copy of them for every record.

    model.create(1, b"a", mode, who, now)       # as the same request of `vfs.posix`
    model.logged                                # what the journal has, after its record `lsn`
    model.live(ino)                             # what a program sees: with what is not flushed yet
    model.after[lsn]                            # what a crash must leave, if that was the last record

Every method does what one request does, record by record, or raises what the volume must raise.
Inode numbers are given in order, as the volume does.
"""

import stat
from collections.abc import Mapping
from typing import Any, NamedTuple

from vexfs_fuse.errors import (
    DirectoryNotEmpty,
    Exists,
    InvalidArgument,
    IsADirectory,
    NoAttribute,
    NotADirectory,
    NotFound,
    NotPermitted,
)
from vexfs_fuse.units import ROOT
from vexfs_fuse.volume.attributes import Attributes
from vexfs_fuse.volume.namespace import EXCHANGE, NO_REPLACE
from vexfs_fuse.volume.writer import Caller


class Thing(NamedTuple):
    """One inode.  The mappings are never changed, only replaced; `entries` is in readdir's order."""

    mode: int
    uid: int
    gid: int
    rdev: int
    atime: int
    mtime: int
    ctime: int
    data: bytes = b""  # a file's contents, a symlink's target
    xattrs: Mapping[bytes, bytes] = {}
    entries: Mapping[bytes, int] = {}
    parent: int = 0

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)


class Look(NamedTuple):
    """An inode as stat(2), readdir(3), listxattr(2) and read(2) show it; `data` if it was read."""

    mode: int
    uid: int
    gid: int
    rdev: int
    nlink: int
    size: int
    atime: int
    mtime: int
    ctime: int
    xattrs: dict[bytes, bytes]
    entries: list[tuple[bytes, int]]
    target: bytes
    data: bytes | None


class Unflushed(NamedTuple):
    """What has been written to a file since its last record."""

    data: bytes
    mtime: int
    ctime: int


Things = dict[int, Thing]


class Moment(NamedTuple):
    """What there was after a record, and the highest number that an inode had been given."""

    things: Things
    last_inode: int


class VolumeModel:
    """What a volume must be: after each record, and to programs now."""

    def __init__(self, things: Things, last_inode: int, lsn: int) -> None:
        self.logged = things
        self.last_inode = last_inode
        self.lsn = lsn
        self.after = {lsn: Moment(dict(things), last_inode)}
        self.unflushed: dict[int, Unflushed] = {}  # in the order of the first write

    def format(self, uid: int, gid: int, now: int) -> None:
        """The first record of a volume."""
        self.last_inode = ROOT
        root = Thing(stat.S_IFDIR | 0o755, uid, gid, 0, now, now, now, parent=ROOT)
        self.logged[ROOT] = root
        self._record()

    def crashed(self, lsn: int) -> "VolumeModel":
        """Return the model of what recovery finds when `lsn` was the last record."""
        things, last_inode = self.after[lsn]
        named = {ino for thing in things.values() for ino in thing.entries.values()} | {ROOT}
        kept = {ino: thing for ino, thing in things.items() if ino in named}
        return VolumeModel(kept, last_inode, lsn)

    def forget_before(self, lsn: int) -> None:
        """A crash cannot lead back beyond this record."""
        for number in [number for number in self.after if number < lsn]:
            del self.after[number]

    def note_records(self, lsn: int) -> None:
        """Records that change nothing to be seen have been logged."""
        while self.lsn < lsn:
            self._record()

    def _record(self) -> None:
        self.lsn += 1
        self.after[self.lsn] = Moment(dict(self.logged), self.last_inode)

    # --- what is there ----------------------------------------------------------------------------

    def live(self, ino: int) -> Thing:
        """Return an inode as programs see it."""
        thing = self.logged[ino]
        later = self.unflushed.get(ino)
        return thing if later is None else thing._replace(**later._asdict())

    def links(self, ino: int) -> int:
        """Return st_nlink."""
        thing = self.logged[ino]
        names = [t for t in self.logged.values() for child in t.entries.values() if child == ino]
        if not thing.is_dir:
            return len(names)
        if not names and ino != ROOT:
            return 0
        return 2 + sum(self.logged[child].is_dir for child in thing.entries.values())

    def nameless(self) -> set[int]:
        """Return the inodes that only handles and the kernel's references keep."""
        return {ino for ino in self.logged if not self.links(ino)}

    def looks(self, *, contents: bool) -> dict[int, Look]:
        """Return every inode that has a name."""
        nameless = self.nameless()
        return {ino: self._look(ino, contents) for ino in self.logged if ino not in nameless}

    def _look(self, ino: int, contents: bool) -> Look:
        thing = self.live(ino)
        return Look(
            *thing[:4],
            self.links(ino),
            len(thing.data),
            *thing[4:7],
            dict(thing.xattrs),
            list(thing.entries.items()),
            thing.data if stat.S_ISLNK(thing.mode) else b"",
            thing.data if contents and thing.is_file else None,
        )

    def directory(self, ino: int) -> Thing:
        """Return a directory."""
        thing = self.logged.get(ino)
        if thing is None:
            raise NotFound
        if not thing.is_dir:
            raise NotADirectory
        return thing

    def find(self, parent: int, name: bytes) -> int:
        """Return the inode that a name stands for."""
        found = self.directory(parent).entries.get(name)
        if found is None:
            raise NotFound
        return found

    # --- changes ----------------------------------------------------------------------------------

    def _set(self, ino: int, **fields: Any) -> None:
        """Change an inode; where times move, so do those of what is not flushed."""
        self.logged[ino] = self.logged[ino]._replace(**fields)
        if ino in self.unflushed:
            times = {key: fields[key] for key in ("mtime", "ctime") if key in fields}
            self.unflushed[ino] = self.unflushed[ino]._replace(**times)

    def _enter(self, parent: int, now: int, entries: Mapping[bytes, int]) -> None:
        self._set(parent, entries=entries, mtime=now, ctime=now)

    def create(
        self,
        parent: int,
        name: bytes,
        mode: int,
        who: Caller,
        now: int,
        data: bytes = b"",
        rdev: int = 0,
    ) -> int:
        """Make an inode of any kind; return its number."""
        directory = self.directory(parent)
        if not self.links(parent):
            raise NotFound
        if name in directory.entries:
            raise Exists
        gid = who.gid
        if directory.mode & stat.S_ISGID:
            gid = directory.gid
            mode |= stat.S_ISGID if stat.S_ISDIR(mode) else 0
        self.last_inode = ino = self.last_inode + 1
        own_parent = parent if stat.S_ISDIR(mode) else 0
        self.logged[ino] = Thing(mode, who.uid, gid, rdev, now, now, now, data, parent=own_parent)
        self._enter(parent, now, {**directory.entries, name: ino})
        self._record()
        return ino

    def link(self, ino: int, parent: int, name: bytes, now: int) -> None:
        """Give an inode another name."""
        directory = self.directory(parent)
        if self.logged[ino].is_dir:
            raise NotPermitted
        if not self.links(ino) or not self.links(parent):
            raise NotFound
        if name in directory.entries:
            raise Exists
        self._set(ino, ctime=now)
        self._enter(parent, now, {**directory.entries, name: ino})
        self._record()

    def unlink(self, parent: int, name: bytes, now: int) -> int:
        """Remove a name; return whose it was."""
        ino = self.find(parent, name)
        if self.logged[ino].is_dir:
            raise IsADirectory
        self._remove(parent, name, now)
        return ino

    def rmdir(self, parent: int, name: bytes, now: int) -> int:
        """Remove an empty directory; return its inode."""
        ino = self.find(parent, name)
        if not self.logged[ino].is_dir:
            raise NotADirectory
        if self.logged[ino].entries:
            raise DirectoryNotEmpty
        self._remove(parent, name, now)
        return ino

    def _remove(self, parent: int, name: bytes, now: int) -> None:
        entries = dict(self.logged[parent].entries)
        ino = entries.pop(name)
        self._set(ino, ctime=now)
        self._enter(parent, now, entries)
        self._record()

    def rename(
        self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int, now: int
    ) -> None:
        """Rename as renameat2(2)."""
        self.directory(parent)
        self.directory(new_parent)
        ino = self.find(parent, name)
        if not self.links(new_parent):
            raise NotFound
        self._refuse_loop(ino, parent, new_parent)
        target = self.logged[new_parent].entries.get(new_name)
        if flags == EXCHANGE:
            self._exchange(parent, name, new_parent, new_name, now)
            return
        if target is not None and flags == NO_REPLACE:
            raise Exists
        if target == ino:
            return
        if target is not None:
            self._refuse_replacement(ino, target)
            self._set(target, ctime=now)
        self.flush(ino)
        entries = dict(self.logged[parent].entries)
        del entries[name]
        self._enter(parent, now, entries)
        self._enter(new_parent, now, {**self.logged[new_parent].entries, new_name: ino})
        self._move(ino, new_parent, now)
        self._record()

    def _refuse_loop(self, ino: int, parent: int, into: int) -> None:
        if not self.logged[ino].is_dir or parent == into:
            return
        while True:
            if into == ino:
                raise InvalidArgument
            if into == ROOT:
                return
            into = self.logged[into].parent

    def _refuse_replacement(self, ino: int, target: int) -> None:
        if self.logged[target].is_dir:
            if not self.logged[ino].is_dir:
                raise IsADirectory
            if self.logged[target].entries:
                raise DirectoryNotEmpty
        elif self.logged[ino].is_dir:
            raise NotADirectory

    def _exchange(
        self, parent: int, name: bytes, new_parent: int, new_name: bytes, now: int
    ) -> None:
        ino, other = self.find(parent, name), self.find(new_parent, new_name)
        if ino == other:
            return
        self._refuse_loop(other, new_parent, parent)
        self.flush(ino)
        self.flush(other)
        self._enter(parent, now, {**self.logged[parent].entries, name: other})
        self._enter(new_parent, now, {**self.logged[new_parent].entries, new_name: ino})
        self._move(ino, new_parent, now)
        self._move(other, parent, now)
        self._record()

    def _move(self, ino: int, parent: int, now: int) -> None:
        self._set(ino, ctime=now, parent=parent if self.logged[ino].is_dir else 0)

    def write(self, ino: int, offset: int, data: bytes, now: int) -> None:
        """Write, into memory only."""
        old = self.live(ino).data.ljust(offset, b"\0")
        self.unflushed[ino] = Unflushed(old[:offset] + data + old[offset + len(data) :], now, now)

    def flush(self, ino: int) -> None:
        """Log what has been written."""
        later = self.unflushed.pop(ino, None)
        if later is not None:
            self.logged[ino] = self.logged[ino]._replace(**later._asdict())
            self._record()

    def flush_all(self) -> None:
        """Log everything that has been written, the oldest first."""
        for ino in list(self.unflushed):
            self.flush(ino)

    def resize(self, ino: int, size: int, now: int) -> None:
        """Truncate or extend."""
        if size:
            self.flush(ino)
        self.unflushed.pop(ino, None)
        data = self.logged[ino].data[:size].ljust(size, b"\0")
        self._set(ino, data=data, mtime=now, ctime=now)
        self._record()

    def allocate(self, ino: int, end: int, now: int, *, keeps_size: bool) -> None:
        """See that the file reaches to `end`."""
        if end > len(self.live(ino).data) and not keeps_size:
            self.resize(ino, end, now)
        else:
            self.set_attributes(ino, Attributes(mtime=now), now)

    def punch(self, ino: int, start: int, end: int, now: int, *, keeps_size: bool) -> None:
        """Make a hole."""
        self.flush(ino)
        data = bytearray(self.logged[ino].data)
        if not keeps_size:
            data = data.ljust(end, b"\0")
        data[start:end] = bytes(len(data[start:end]))
        self._set(ino, data=bytes(data), mtime=now, ctime=now)
        self._record()

    def set_attributes(self, ino: int, wanted: Attributes, now: int) -> None:
        """Set mode, owner, group and times."""
        mode = self.logged[ino].mode
        fields: dict[str, Any] = {}
        if wanted.mode is not None:
            mode = stat.S_IFMT(mode) | wanted.mode
        if (wanted.uid, wanted.gid) != (None, None) and not stat.S_ISDIR(mode):
            mode &= ~stat.S_ISUID
            mode &= ~stat.S_ISGID if mode & stat.S_IXGRP else ~0
        for key in ("uid", "gid", "atime", "mtime"):
            if getattr(wanted, key) is not None:
                fields[key] = getattr(wanted, key)
        self._set(ino, mode=mode, ctime=now, **fields)
        self._record()

    def set_xattr(self, ino: int, name: bytes, value: bytes, now: int) -> None:
        """Set an extended attribute."""
        self._set(ino, ctime=now, xattrs={**self.logged[ino].xattrs, name: value})
        self._record()

    def remove_xattr(self, ino: int, name: bytes, now: int) -> None:
        """Remove an extended attribute."""
        xattrs = dict(self.logged[ino].xattrs)
        if xattrs.pop(name, None) is None:
            raise NoAttribute
        self._set(ino, ctime=now, xattrs=xattrs)
        self._record()

    def purge(self, inodes: set[int]) -> None:
        """Inodes without names that nobody uses are gone; the caller notes the record."""
        for ino in inodes:
            del self.logged[ino]
            self.unflushed.pop(ino, None)
