"""Inodes and names in memory, in front of the state view.

Whatever is here can be dropped at any time: the view (its overlay of uncommitted changes, then SQLite) has
it too.  Bounds: `nodes_max` and `names_max`.  Only `volume/apply.py` calls what changes.
"""

import stat
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

from vexfs_fuse.errors import CorruptData, NotFound
from vexfs_fuse.tree.node import Dentry, Node
from vexfs_fuse.units import Inode, Lsn

COMPLETE_MAX = 4096
"""A directory with at most so many entries is loaded whole, once that pays."""

LOADED_AT_ONCE = 64
"""One with at most so many is also loaded for the first name that is absent: 0.15 ms."""

WHOLE_FROM_SHARE = 8
"""It pays when so much of it (1/8) was looked up one by one, each for the price of eight in a row."""

PAGE_ENTRIES = 512
"""Entries that one read of a larger one takes from the view."""

EVICT_SHARE = 8
"""One round of eviction lets go of this fraction (1/8) of the bound."""


class View(Protocol):
    """What the tree needs of `storage.state.State`."""

    def node_row(self, ino: Inode) -> tuple[Any, ...] | None:
        """Return the stored columns of an inode."""
        ...

    def committed_nodes(self, inodes: Iterable[Inode]) -> Iterable[tuple[Any, ...]]:
        """Return the stored columns of those inodes that have no changes."""
        ...

    def dirty_node(self, ino: Inode) -> Any:
        """Return the live object of an inode whose row is not committed, or None."""
        ...

    def touch(self, node: Any) -> None:
        """Note that the node is about to change."""
        ...

    def drop_node(self, ino: Inode) -> None:
        """Note that the inode is gone."""
        ...

    def dentry(self, parent: Inode, name: bytes) -> tuple[int, int, int] | None:
        """Return (inode, cookie, kind) of a name."""
        ...

    def lacks(self, parent: Inode, name: bytes) -> bool:
        """Whether a name that `dentry` does not find is not there; False where damage may hide it."""
        ...

    def is_torn(self, parent: Inode) -> bool:
        """Whether damage that the last listing of this directory met hides some of its names."""
        ...

    def put_dentry(self, parent: Inode, name: bytes, value: tuple[int, int, int] | None) -> None:
        """Set or remove a name."""
        ...

    def dentries_after(
        self, parent: Inode, cookie: int, limit: int
    ) -> list[tuple[bytes, int, int, int]]:
        """Return (name, inode, cookie, kind) of the next entries in order of their cookies."""
        ...

    def xattrs(self, ino: Inode) -> dict[bytes, bytes]:
        """Return an inode's extended attributes."""
        ...

    def put_xattr(self, ino: Inode, name: bytes, value: bytes | None) -> None:
        """Set or remove an extended attribute."""
        ...


class Tree:
    """The inodes and names that are in use, and the way to all others."""

    def __init__(self, view: View, *, nodes_max: int, names_max: int) -> None:
        self.view = view
        self.nodes: dict[Inode, Node] = {}
        self.nodes_max = nodes_max
        self.names_max = names_max
        self._named: dict[Inode, Node] = {}  # directories with names in memory, oldest first
        self._names_count = 0  # names in memory, an upper bound between two evictions

    def node(self, ino: Inode) -> Node:
        """Return the inode's node, from memory or from the view.

        Raises
        ------
        NotFound
            No such inode.
        CorruptData
            Its row is damaged.
        """
        node = self.nodes.get(ino)
        if node is None:
            node = self._load(ino)
        return node

    def _load(self, ino: Inode) -> Node:
        node: Node | None = self.view.dirty_node(ino)
        if node is None:
            row = self.view.node_row(ino)
            if row is None:
                raise NotFound(f"inode {ino}")
            node = Node(*row)
        self._admit(node)
        return node

    def fetch(self, inodes: Iterable[Inode]) -> None:
        """Take in those of the inodes that only the committed view has: somebody lists them all."""
        nodes = self.nodes
        absent = [ino for ino in inodes if ino not in nodes]
        if absent:
            for row in self.view.committed_nodes(absent):
                self._admit(Node(*row))

    def _admit(self, node: Node) -> None:
        if len(self.nodes) >= self.nodes_max:
            self._evict_nodes()
        self.nodes[node.ino] = node

    def named(self, entry: Dentry) -> Node:
        """Return the node that an entry leads to; `node` for an inode that must be there.

        Raises
        ------
        CorruptData
            Its row is damaged or missing.
        """
        try:
            return self.node(entry.ino)
        except NotFound:
            raise CorruptData(f"inode {entry.ino} is missing") from None

    def add(self, node: Node) -> None:
        """Take in a new node."""
        if len(self.nodes) >= self.nodes_max:
            self._evict_nodes()
        self.nodes[node.ino] = node
        if node.mode & 0o170000 == stat.S_IFDIR:
            node.names = {}
            node.complete = True
            self._named[node.ino] = node
        node.xattrs = {}
        self.view.touch(node)

    def remove(self, node: Node) -> None:
        """Forget a node that is gone for good."""
        self.nodes.pop(node.ino, None)
        self._forget_names(node)
        self.view.drop_node(node.ino)

    def entry(self, parent: Node, name: bytes) -> Dentry | None:
        """Return the entry of a name in a directory, or None.

        Raises
        ------
        CorruptData
            It is damaged, or may be one that damage hides.
        """
        names = parent.names
        if names is not None:
            found = names.get(name)
            if found is not None or parent.complete:
                return found
        return self._entry_from_view(parent, name)

    def _entry_from_view(self, parent: Node, name: bytes) -> Dentry | None:
        if parent.names is None:
            self._start_names(parent)
        names = parent.names
        assert names is not None
        is_small = not parent.complete and self.is_small(parent)
        pays = is_small and (len(names) + 1) * WHOLE_FROM_SHARE >= parent.children
        if pays and self._load_whole(parent):
            return self._held(parent, name)
        row = self.view.dentry(parent.ino, name)
        if row is None:
            if not is_small or self._lacks(parent, name):
                return None
            if not pays and self._load_whole(parent):
                return self._held(parent, name)
            raise self.torn(parent)
        found = Dentry(Inode(row[0]), Lsn(row[1]), row[2])
        names[name] = found
        self._count_names(1)
        return found

    def _lacks(self, parent: Node, name: bytes) -> bool:
        """Whether a name is known to be absent, without reading all of them where they are many."""
        return parent.children > LOADED_AT_ONCE and self.view.lacks(parent.ino, name)

    def _held(self, parent: Node, name: bytes) -> Dentry | None:
        return parent.names.get(name) if parent.names is not None else None

    def is_small(self, parent: Node) -> bool:
        """Whether a directory is held whole, unless damage hides some of its names."""
        return parent.children <= min(COMPLETE_MAX, self.names_max)

    def _load_whole(self, parent: Node) -> bool:
        """Take all entries of a directory into memory; whether damage hides none of them."""
        rows = self.view.dentries_after(parent.ino, 0, parent.children + 1)
        if len(rows) != parent.children:
            return False
        parent.names = {
            name: Dentry(Inode(ino), Lsn(cookie), kind) for name, ino, cookie, kind in rows
        }
        parent.complete = True
        self._count_names(len(rows), keep=parent)
        return True

    def is_torn(self, parent: Node) -> bool:
        """Whether damage that the last page of a listing met hides some of the names."""
        return self.view.is_torn(parent.ino)

    def torn(self, parent: Node) -> CorruptData:
        """Return what to raise for a directory some of whose names cannot be read."""
        return CorruptData(f"directory {parent.ino} has names that cannot be read")

    def entries_after(self, parent: Node, cookie: int, limit: int) -> list[tuple[bytes, Dentry]]:
        """Return the next entries of a directory in the order of their cookies."""
        rows = self.view.dentries_after(parent.ino, cookie, limit)
        return [(name, Dentry(Inode(ino), Lsn(at), kind)) for name, ino, at, kind in rows]

    def listing(self, parent: Node) -> list[tuple[bytes, Dentry]] | None:
        """Return all entries in the order of their cookies.

        None when they are too many to hold, or damage hides some of them: they go by pages then.
        """
        if not parent.complete:
            if not self.is_small(parent):
                return None
            if parent.names is None:
                self._start_names(parent)
            if not parent.complete and not self._load_whole(parent):
                return None
        names = parent.names
        return list(names.items()) if names is not None else None

    def each_entry(self, parent: Node) -> Iterator[tuple[bytes, Dentry]]:
        """Yield all entries of a directory in the order of their cookies, a page at a time.

        Raises
        ------
        CorruptData
            After the last, when damage hides some.
        """
        listing = self.listing(parent)
        if listing is not None:
            yield from listing
            return
        cookie, is_torn = 0, self.is_small(parent)
        while page := self.entries_after(parent, cookie, PAGE_ENTRIES):
            is_torn = is_torn or self.is_torn(parent)
            yield from page
            cookie = page[-1][1].cookie
        if is_torn:
            raise self.torn(parent)

    def set_entry(self, parent: Node, name: bytes, entry: Dentry) -> None:
        """Give a name an entry; a name that has one keeps its place in the order of `listing`."""
        names = parent.names
        if names is None:
            names = self._start_names(parent)
        names[name] = entry
        self._names_count += 1
        self.view.put_dentry(parent.ino, name, entry)
        if self._names_count > self.names_max:
            self._count_names(0)

    def remove_entry(self, parent: Node, name: bytes) -> None:
        """Remove a name."""
        if parent.names is not None and parent.names.pop(name, None) is not None:
            self._names_count -= 1
        self.view.put_dentry(parent.ino, name, None)

    def xattrs(self, node: Node) -> dict[bytes, bytes]:
        """Return the node's extended attributes; not to be changed by the caller.

        Raises
        ------
        CorruptData
            Some are damaged or missing.
        """
        held = node.xattrs
        if held is None:
            held = self.view.xattrs(node.ino) if node.xattr_count else {}
            if len(held) != node.xattr_count:
                raise CorruptData(
                    f"inode {node.ino} has {len(held)} of {node.xattr_count} extended attributes"
                )
            node.xattrs = held
        return held

    def _start_names(self, parent: Node) -> dict[bytes, Dentry]:
        parent.names = {}
        parent.complete = parent.children == 0
        self._named[parent.ino] = parent
        return parent.names

    def _count_names(self, added: int, keep: Node | None = None) -> None:
        self._names_count += added
        if self._names_count <= self.names_max:
            return
        for directory in list(self._named.values()):
            if directory is keep:
                continue
            self._forget_names(directory)
            if self._names_count <= self.names_max - self.names_max // EVICT_SHARE:
                return
        if keep is not None and len(keep.names or ()) > self.names_max:
            self._forget_names(keep)

    def _forget_names(self, directory: Node) -> None:
        if self._named.pop(directory.ino, None) is not None:
            self._names_count = max(0, self._names_count - len(directory.names or ()))
        directory.names = None
        directory.complete = False

    def _evict_nodes(self) -> None:
        """Let go of the oldest nodes that nobody uses; those in use move to the young end."""
        nodes = self.nodes
        for ino, node in list(islice(nodes.items(), self.nodes_max // EVICT_SHARE + 1)):
            del nodes[ino]
            if node.opens or node.content is not None or ino == 1:
                nodes[ino] = node
            else:
                self._forget_names(node)

    def statistics(self) -> dict[str, int]:
        """Return how much is in memory."""
        return {"nodes": len(self.nodes), "names": self._names_count}


def ancestors(tree: Tree, node: Node) -> Iterable[Inode]:
    """Yield the inode numbers of a directory and of all above it."""
    while True:
        yield node.ino
        if node.parent in {0, node.ino}:
            return
        node = tree.node(node.parent)
