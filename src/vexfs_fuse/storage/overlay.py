"""Changes of the state that SQLite does not have yet, and how they lie over older ones.

A value of None is a tombstone: the row is gone, whatever lies below.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Protocol

from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.rows import Row, SpaceRow, VectorRow
from vexfs_fuse.units import Inode, Lsn, Segment

Entry = tuple[int, int, int]
"""(inode, cookie, kind) of a name; `tree.node.Dentry` is one."""


NameSet = tuple[int, bytes, int, Inode]
"""(cookie, name, inode, parent) of a name that was set."""


class DirtyNode(Protocol):
    """What the overlay needs of a node."""

    ino: Inode

    def row(self) -> tuple[Any, ...]:
        """Return the columns to store, the inode number first."""
        ...


class Directory(dict[bytes, Entry | None]):
    """The changed names of one directory, and the new ones in the order of their cookies.

    `order` may name entries that have since gone or changed: an entry counts where its cookie
    agrees.
    """

    __slots__ = ("last", "order")

    def __init__(self, last: int) -> None:
        super().__init__()
        self.last = last  # the highest cookie there is, here and below
        self.order: list[NameSet] = []

    def after(self, cookie: int) -> Iterator[NameSet]:
        """Yield the new entries whose cookies are higher, in their order."""
        order = self.order
        for index in range(bisect_left(order, (cookie + 1,)), len(order)):
            yield order[index]


class Overlay:
    """The changes since one moment, by table."""

    __slots__ = (
        "_named_until",
        "_names",
        "bulk_bytes",
        "captured",
        "changes",
        "directories",
        "extents",
        "floor",
        "inode_floor",
        "meta",
        "named",
        "nodes",
        "segments",
        "spaces",
        "vectors",
        "xattrs",
    )

    def __init__(self, floor: Lsn, inode_floor: Inode) -> None:
        self.floor = floor  # no cookie below this overlay is higher
        self.inode_floor = inode_floor  # no inode below this overlay is higher
        self.changes = 0  # rows changed, those that changed back included, but not names set
        self.bulk_bytes = 0  # of attributes and vectors among them
        self.nodes: dict[Inode, DirtyNode | None] = {}
        self.captured: dict[Inode, Row] = {}  # frozen: rows of nodes that have changed since
        self.directories: dict[Inode, Directory] = {}
        self.xattrs: dict[Inode, dict[bytes, bytes | None]] = {}
        self.extents: dict[Inode, dict[int, Extent | None]] = {}
        self.named: list[NameSet] = []
        self._names: dict[int, list[tuple[Inode, bytes]]] = {}  # `named` by inode, made on demand
        self._named_until = 0  # how much of `named` is in `_names`
        self.vectors: dict[Inode, dict[tuple[int, int], VectorRow | None]] = {}
        self.spaces: dict[int, SpaceRow | None] = {}
        self.segments: set[Segment] = set()  # whose live bytes have changed
        self.meta: dict[str, int | bytes] = {}

    def capture(self, ino: Inode) -> None:
        """Keep the row of a frozen node that is about to change."""
        node = self.nodes.get(ino)
        if node is not None and ino not in self.captured:
            self.captured[ino] = node.row()

    def row_of(self, ino: Inode) -> Row | None:
        """Return the row of a node in this overlay; None for a tombstone."""
        captured = self.captured.get(ino)
        if captured is not None:
            return captured
        node = self.nodes[ino]
        return None if node is None else node.row()

    def names_set(self, ino: Inode) -> list[tuple[Inode, bytes]]:
        """Return the (parent, name) pairs that were given to an inode; some may have gone since."""
        for index in range(self._named_until, len(self.named)):
            _, name, named, parent = self.named[index]
            self._names.setdefault(named, []).append((parent, name))
        self._named_until = len(self.named)
        return self._names.get(ino, [])

    def forget(self, ino: Inode) -> None:
        """Drop everything about an inode that was born and has died within this overlay."""
        del self.nodes[ino]
        self.xattrs.pop(ino, None)
        self.vectors.pop(ino, None)
        self.extents.pop(ino, None)

    def shed(self, rows_max: int) -> bool:
        """Let go of about so many rows of an overlay that nobody reads; whether that was all.

        All at once would stop the loop for about 0.15 us a row.
        """
        tables: list[dict[Any, Any]] = [
            self.nodes,
            self.captured,
            self.xattrs,
            self.vectors,
            self.extents,
            self._names,
        ]
        del self.named[-rows_max:]
        for table in tables:
            rows_max -= _pop(table, rows_max)
        while self.directories and rows_max > 0:
            parent, directory = next(reversed(self.directories.items()))
            rows_max -= 1 + _pop(directory, rows_max)
            del directory.order[len(directory) :]
            if not directory:
                del self.directories[parent]
        return not self.directories and not self.named and not any(tables)

    def absorb(self, later: "Overlay") -> None:
        """Take in all changes of the overlay that lies above this one."""
        self.captured.clear()
        self.changes += later.changes
        self.bulk_bytes += later.bulk_bytes
        self.nodes.update(later.nodes)
        for ino, node in later.nodes.items():
            if node is None:
                self.xattrs.pop(ino, None)
                self.vectors.pop(ino, None)
        for parent, directory in later.directories.items():
            below = self.directories.setdefault(parent, directory)
            if below is not directory:
                below.update(directory)
                below.order += directory.order
                below.last = directory.last
        for ino, values in later.xattrs.items():
            self.xattrs.setdefault(ino, {}).update(values)
        for ino, extents in later.extents.items():
            self.extents.setdefault(ino, {}).update(extents)
        for ino, vectors in later.vectors.items():
            self.vectors.setdefault(ino, {}).update(vectors)
        self.named += later.named
        self.spaces.update(later.spaces)
        self.segments |= later.segments
        self.meta.update(later.meta)


def _pop(table: dict[Any, Any], count_max: int) -> int:
    count = min(count_max, len(table))
    for _ in range(count):
        table.popitem()
    return count
