"""Directories and files that are made up: what a virtual tree is, and how several hang in the real one.

Virtual inode numbers lie at `VIRTUAL_FROM` and above, so that one comparison tells them from real ones;
each tree has a range of its own there.
"""

import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

from vexfs_fuse.errors import (
    AccessDenied,
    NoAttribute,
    NotADirectory,
    NotFound,
    NotPermitted,
)
from vexfs_fuse.units import Inode
from vexfs_fuse.volume.attributes import Attributes
from vexfs_fuse.volume.writer import Caller

VIRTUAL_FROM: Final = Inode(1 << 62)
RANGE: Final = 1 << 40
"""Inode numbers of one tree."""

LISTED_FROM: Final = 1 << 62
"""Cookies of virtual entries in real directories; those of real entries stay below."""

ACCESS_MODE: Final = 0o3  # O_ACCMODE


class Opened(Protocol):
    """What an open virtual file stands for."""

    def read(self, offset: int, size: int) -> Any:
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
        self.content: Any = None
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


class VirtualTree:
    """One virtual tree: what it answers, and for the rest why not.

    Handlers as in `vfs.posix.Vfs`; those that change something refuse unless a tree has a use for it.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self.nodes: dict[Inode, VirtualNode] = {}

    def register(self, node: VirtualNode) -> None:
        """Make a node, and all below it, known by number."""
        self.nodes[node.ino] = node
        for child in getattr(node, "entries", {}).values():
            self.register(child)

    def reserves(self, parent: Inode, name: bytes) -> bool:
        """Whether a name in a real directory cannot be given to a real entry."""
        return False

    def entry_into(self, parent: Inode, name: bytes, who: Caller) -> VirtualNode | None:
        """Return where a name in a real directory leads into this tree, or None."""
        return None

    def listed_in(self, parent: Inode) -> Iterable[tuple[bytes, VirtualNode]]:
        """Return what of this tree the listing of a real directory shows."""
        return ()

    def stands_for(self, ino: Inode) -> Inode | None:
        """Return the real inode that a virtual one shows, if it does."""
        return None

    def node(self, ino: Inode) -> VirtualNode:
        """Return a node with its size and times as of now."""
        found = self.nodes.get(ino)
        if found is None:
            raise NotFound
        return self.fresh(found)

    def fresh(self, node: VirtualNode) -> VirtualNode:
        """Bring a node's size and times up to date, and return it."""
        if isinstance(node, VirtualFile):
            node.size = node.measure()
        if not node.mtime or not isinstance(node, VirtualDirectory):  # tar compares a directory's
            node.atime = node.mtime = node.ctime = self._now_ns()
        node.wire = None
        return node

    def directory(self, ino: Inode) -> VirtualDirectory:
        """Return a directory's node.

        Raises
        ------
        NotFound, NotADirectory
        """
        node = self.nodes.get(ino)
        if not isinstance(node, VirtualDirectory):
            raise NotADirectory if node is not None else NotFound
        return node

    def lookup(self, parent: Inode, name: bytes, who: Caller) -> Any:
        """Return the entry of a name in a virtual directory."""
        directory = self.directory(parent)
        if name == b".":
            return self.fresh(directory)
        found = directory.entries.get(name)
        if found is None:
            raise NotFound
        return self.fresh(found)

    def remember(self, ino: Inode) -> None:
        """Readdir has given the kernel a reference to a node."""

    def forget(self, ino: Inode, count: int) -> None:
        """The kernel gives back references to a node."""

    def set_attributes(self, ino: Inode, wanted: Attributes, who: Caller) -> Any:
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

    def make_directory(self, parent: Inode, name: bytes, who: Caller) -> Any:
        """Refuse: the tree is as it is."""
        raise NotPermitted("a virtual directory")

    def remove(self, parent: Inode, name: bytes, who: Caller) -> None:
        """Refuse: the tree is as it is."""
        raise NotPermitted("a virtual directory")

    def create(self, parent: Inode, name: bytes, who: Caller) -> tuple[VirtualNode, Any]:
        """Refuse: the tree is as it is."""
        raise NotPermitted("a virtual directory")

    def open(self, ino: Inode, flags: int, who: Caller) -> Any:
        """Start a reading of a virtual file."""
        node = self.node(ino)
        if not isinstance(node, VirtualFile):
            raise NotFound
        if flags & ACCESS_MODE:
            raise AccessDenied("virtual files are read-only")
        return node.start()

    def write(self, opened: Any, offset: int, data: bytes) -> Any:
        """Refuse: virtual files are read-only."""
        raise AccessDenied("virtual files are read-only")

    def release(self, opened: Any) -> None:
        """Close an open file or directory."""

    def open_directory(self, ino: Inode, who: Caller) -> Any:
        """Open a directory; what is returned has `listing`."""
        directory = self.directory(ino)
        return Listing(self, [(b".", directory), *directory.entries.items()])


class Listing:
    """An open virtual directory: its entries as they were when it was opened."""

    def __init__(self, tree: VirtualTree, entries: Sequence[tuple[bytes, VirtualNode]]) -> None:
        self.tree = tree
        self.entries = entries

    def after(self, cookie: int) -> Any:
        """Return an iterator over (name, node, cookie of the next); cookies are positions."""
        for position, (name, node) in enumerate(self.entries[cookie:], cookie + 1):
            yield name, self.tree.fresh(node), position


class OpenVirtual:
    """What the handle of a virtual file or directory stands for."""

    __slots__ = ("opened", "tree")

    def __init__(self, tree: VirtualTree, opened: Any) -> None:
        self.tree = tree
        self.opened = opened

    @property
    def listing(self) -> "Listing":
        """The open directory.

        Raises
        ------
        NotADirectory
        """
        if not isinstance(self.opened, Listing):
            raise NotADirectory
        return self.opened

    def write(self, offset: int, data: bytes) -> Any:
        """Write, where the tree allows it."""
        return self.tree.write(self.opened, offset, data)

    def release(self) -> None:
        """Close."""
        self.tree.release(self.opened)


class VirtualTrees:
    """All virtual trees of a mounted volume, by the range of their inode numbers."""

    def __init__(self, trees: Iterable[VirtualTree] = ()) -> None:
        self._trees = list(trees)

    def add(self, tree: VirtualTree) -> None:
        """Hang one more tree in; its inodes are those of the next range."""
        self._trees.append(tree)

    def of(self, ino: Inode) -> VirtualTree:
        """Return the tree that an inode belongs to.

        Raises
        ------
        NotFound
        """
        index = (ino - VIRTUAL_FROM) // RANGE
        if index >= len(self._trees):
            raise NotFound
        return self._trees[index]

    def reserves(self, parent: Inode, name: bytes) -> bool:
        """Whether a name in a real directory cannot be given to a real entry."""
        return any(tree.reserves(parent, name) for tree in self._trees)

    def entry_into(self, parent: Inode, name: bytes, who: Caller) -> VirtualNode | None:
        """Return where a name in a real directory leads into a virtual tree, or None."""
        for tree in self._trees:
            found = tree.entry_into(parent, name, who)
            if found is not None:
                return found
        return None

    def listed_in(self, parent: Inode, cookie: int) -> Iterator[tuple[bytes, VirtualNode, int]]:
        """Yield what the listing of a real directory shows of the trees, after all that is real."""
        shown = (entry for tree in self._trees for entry in tree.listed_in(parent))
        for at, (name, node) in enumerate(shown, LISTED_FROM):
            if cookie <= at:
                yield name, node, at + 1
