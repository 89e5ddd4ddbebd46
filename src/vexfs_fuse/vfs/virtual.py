"""Directories and files that are made up: what a virtual tree is, and how they hang in the real one.

Virtual inode numbers lie at `VIRTUAL_FROM` and above, so that one comparison tells them from real ones.
"""

import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from vexfs_fuse.errors import AccessDenied, NoAttribute, NotADirectory, NotFound, NotPermitted
from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.volume.attributes import Attributes
from vexfs_fuse.volume.writer import Caller

VIRTUAL_FROM = Inode(1 << 62)


class Opened(Protocol):
    """What an open virtual file stands for."""

    def read(self, offset: int, size: int) -> bytes:
        """Return at most `size` bytes from `offset`."""
        ...


class VirtualNode:
    """The attributes of a virtual inode, by the names that `tree.node.Node` has."""

    timeout_s = 0.0

    __slots__ = (
        "atime",
        "content",
        "ctime",
        "gid",
        "ino",
        "mode",
        "mtime",
        "nlink",
        "opens",
        "rdev",
        "size",
        "stored",
        "uid",
        "wire",
    )

    def __init__(self, ino: Inode, mode: int, uid: int, gid: int) -> None:
        self.ino = ino
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.nlink = 2 if stat.S_ISDIR(mode) else 1
        self.size = self.stored = self.rdev = self.opens = 0
        self.atime = self.mtime = self.ctime = 0
        self.content = None
        self.wire: Any = None


class VirtualFile(VirtualNode):
    """A read-only file; `measure` tells its size, `start` begins a reading of it."""

    __slots__ = ("measure", "start")

    def __init__(
        self,
        ino: Inode,
        mode: int,
        uid: int,
        gid: int,
        *,
        start: Callable[[], Opened],
        measure: Callable[[], int],
    ) -> None:
        super().__init__(ino, stat.S_IFREG | mode, uid, gid)
        self.start = start
        self.measure = measure


class VirtualDirectory(VirtualNode):
    """A directory of virtual nodes."""

    __slots__ = ("entries", "parent")

    def __init__(self, ino: Inode, mode: int, uid: int, gid: int, parent: Inode) -> None:
        super().__init__(ino, stat.S_IFDIR | mode, uid, gid)
        self.parent = parent
        self.entries: dict[bytes, VirtualNode] = {}


class Text:
    """A reading of a file whose contents are made at its start."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def read(self, offset: int, size: int) -> bytes:
        """Return at most `size` bytes from `offset`."""
        return self._text[offset : offset + size]


class VirtualTrees:
    """The virtual trees of a mounted volume: each hangs in the root directory, by a reserved name."""

    def __init__(
        self, roots: Sequence[tuple[bytes, VirtualDirectory]], now_ns: Callable[[], int]
    ) -> None:
        self._roots = dict(roots)
        self._now_ns = now_ns
        self._nodes: dict[Inode, VirtualNode] = {}
        for _, directory in roots:
            self._register(directory)

    def _register(self, node: VirtualNode) -> None:
        self._nodes[node.ino] = node
        for child in getattr(node, "entries", {}).values():
            self._register(child)

    def reserves(self, parent: Inode, name: bytes) -> bool:
        """Whether the name cannot be given to a real entry."""
        return parent == ROOT and name in self._roots

    def entry_into(self, parent: Inode, name: bytes, who: Caller) -> VirtualNode | None:
        """Return the virtual tree that a name in a real directory leads into, or None."""
        if parent != ROOT or name not in self._roots:
            return None
        return self._fresh(self._roots[name])

    def lookup(self, parent: Inode, name: bytes, who: Caller) -> VirtualNode:
        """Return the entry of a name in a virtual directory."""
        directory = self._nodes.get(parent)
        if not isinstance(directory, VirtualDirectory):
            raise NotADirectory if directory is not None else NotFound
        if name == b".":
            return self._fresh(directory)
        found = directory.entries.get(name)
        if found is None:
            raise NotFound
        return self._fresh(found)

    def node(self, ino: Inode) -> VirtualNode:
        """Return a virtual node with its size and times as of now."""
        found = self._nodes.get(ino)
        if found is None:
            raise NotFound
        return self._fresh(found)

    def _fresh(self, node: VirtualNode) -> VirtualNode:
        if isinstance(node, VirtualFile):
            node.size = node.measure()
        node.atime = node.mtime = node.ctime = self._now_ns()
        node.wire = None
        return node

    def set_attributes(self, ino: Inode, wanted: Attributes, who: Caller) -> VirtualNode:
        """Refuse: virtual files are as they are."""
        raise NotPermitted("a virtual file")

    def target(self, ino: Inode) -> bytes:
        """Return what a virtual symlink points at."""
        raise NotFound

    def may(self, ino: Inode, mask: int, who: Caller) -> bool:
        """Whether the caller may access the node so; `mask` as in access(2)."""
        node = self.node(ino)
        shift = 6 if who.uid == node.uid else 3 if who.gid == node.gid else 0
        return who.uid == 0 or mask & ~(node.mode >> shift & 7) == 0

    def get_xattr(self, ino: Inode, name: bytes, who: Caller) -> bytes:
        """Return an extended attribute of a virtual node."""
        self.node(ino)
        raise NoAttribute

    def open(self, ino: Inode, flags: int, who: Caller) -> Opened:
        """Start a reading of a virtual file."""
        node = self.node(ino)
        if not isinstance(node, VirtualFile):
            raise NotFound
        if flags & 0o3:
            raise AccessDenied("virtual files are read-only")
        return node.start()

    def read(self, opened: Opened, offset: int, size: int) -> bytes:
        """Read from an open virtual file."""
        return opened.read(offset, size)

    def write(self, opened: Opened, offset: int, data: bytes) -> int:
        """Refuse: virtual files are read-only."""
        raise AccessDenied("virtual files are read-only")

    def release(self, opened: Any) -> None:
        """Close an open virtual file or directory."""

    def open_directory(self, ino: Inode, who: Caller) -> VirtualDirectory:
        """Open a virtual directory."""
        node = self.node(ino)
        if not isinstance(node, VirtualDirectory):
            raise NotADirectory
        return node

    def entries(
        self, directory: VirtualDirectory, cookie: int
    ) -> Iterator[tuple[bytes, VirtualNode, int]]:
        """Yield (name, node, cookie of the next); the cookie is the position in the listing."""
        listing = [(b".", directory), *directory.entries.items()]
        for position, (name, node) in enumerate(listing[cookie:], cookie + 1):
            yield name, self._fresh(node), position
