"""What the volume knows of one inode; a plain record that `volume/apply.py` alone changes."""

import stat
from typing import Any, Final, NamedTuple

from vexfs_fuse.units import Inode, Lsn

TYPE_MASK: Final = 0o170000
"""The bits of a mode that tell the file type: stat.S_IFMT takes twice the time of a mask."""


class Node:
    """One inode, as the journal has it.

    `size`, `mtime` and `ctime` (nanoseconds since 1970) are those of the last record; what has been
    written since and not flushed stands in `content`.  `wire` is the shell's: its ready-made answer to
    "attributes of this inode", which whoever changes the node sets to None.
    """

    timeout_s = 3600.0
    """How long the kernel may keep names and attributes: every change comes through this kernel."""

    __slots__ = (
        "atime",
        "btime",
        "children",
        "complete",
        "content",
        "ctime",
        "gid",
        "ino",
        "mode",
        "mtime",
        "names",
        "nlink",
        "opens",
        "parent",
        "rdev",
        "size",
        "stored",
        "target",
        "uid",
        "wire",
        "xattr_count",
        "xattrs",
    )

    def __init__(
        self,
        ino: Inode,
        mode: int,
        uid: int,
        gid: int,
        nlink: int,
        size: int,
        stored: int,
        rdev: int,
        atime: int,
        mtime: int,
        ctime: int,
        btime: int,
        children: int,
        parent: Inode,
        target: bytes | None,
        xattr_count: int,
    ) -> None:
        self.ino = ino
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.nlink = nlink
        self.size = size
        self.stored = stored  # bytes held by extents: what st_blocks tells
        self.rdev = rdev
        self.atime = atime
        self.mtime = mtime
        self.ctime = ctime
        self.btime = btime
        self.children = children  # directories: number of entries
        self.parent = parent  # directories: what `..` is; 0 for others
        self.target = target  # symlinks: what they point at
        self.xattr_count = xattr_count  # extended attributes, ACLs among them
        self.content: Any = (
            None  # volume.contents.Content of a regular file that is in use, else None
        )
        self.xattrs: dict[bytes, bytes] | None = None  # None: not loaded yet
        self.names: dict[bytes, Dentry] | None = None  # directories: the entries that are in memory
        self.complete = (
            False  # directories: whether `names` has all entries, in order of their cookies
        )
        self.opens = 0  # open handles
        self.wire: Any = None

    def row(self) -> tuple[int | bytes | None, ...]:
        """Return the columns that the state view stores, in the order of the constructor."""
        return (
            self.ino,
            self.mode,
            self.uid,
            self.gid,
            self.nlink,
            self.size,
            self.stored,
            self.rdev,
            self.atime,
            self.mtime,
            self.ctime,
            self.btime,
            self.children,
            self.parent,
            self.target,
            self.xattr_count,
        )

    @property
    def is_dir(self) -> bool:
        """Whether this is a directory."""
        return self.mode & TYPE_MASK == stat.S_IFDIR

    @property
    def is_file(self) -> bool:
        """Whether this is a regular file."""
        return self.mode & TYPE_MASK == stat.S_IFREG


class Unreadable:
    """What a listing shows of a name whose inode is damaged: its number and type; of the rest, nothing.

    The kernel must keep none of it: who asks for more is told EIO.
    """

    timeout_s = 0.0
    nlink = 1
    uid = gid = rdev = size = stored = atime = mtime = ctime = 0
    content = None

    __slots__ = ("ino", "mode", "wire")

    def __init__(self, entry: "Dentry") -> None:
        self.ino = entry.ino
        self.mode = entry.kind
        self.wire: Any = None


class Dentry(NamedTuple):
    """A name's entry: the inode, the cookie that orders readdir, and the file type (mode & S_IFMT)."""

    ino: Inode
    cookie: Lsn
    kind: int
