"""What can be asked of the state: the committed rows, under the changes that are not committed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final

import numpy as np

from vexfs_fuse.storage import rows, schema
from vexfs_fuse.storage.damage import DamageFound
from vexfs_fuse.storage.database import Database
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.overlay import Directory, Entry, Overlay
from vexfs_fuse.storage.rows import Row, SpaceRow, VectorRow
from vexfs_fuse.units import Inode, Lsn

PAGE_ROWS_MIN: Final = 64
"""The fewest names that one query of a listing asks for, in case changes hide most of them."""

LISTED_ROWS: Final = 10_000
"""Rows of a listing that are Python objects at a time."""

RANGE_SPREAD: Final = 2
"""Inodes are asked for by their range where it has at most so many times as many numbers."""

Longs = np.ndarray[Any, np.dtype[np.int64]]

_LISTED: Final = 3
_MISSING: Final[Any] = object()


class StateReads:
    """The questions; what changes is in `state.State`.

    Reads look at the overlay first, then at the one that a commit is writing, then at SQLite.
    """

    def __init__(self, database: Database, applied: Lsn, last_inode: Inode) -> None:
        self.applied = applied
        self._database = database
        self._committed_inode = last_inode  # SQLite knows none that is higher
        self._overlay = Overlay(applied, last_inode)
        self._frozen: Overlay | None = None

    def dirty_node(self, ino: Inode) -> Any:
        """Return the live object of an inode whose changes are not committed, or None."""
        for layer in self._layers():
            if ino in layer.nodes:
                return layer.nodes[ino]
        return None

    def node_row(self, ino: Inode) -> Row | None:
        """Return the columns of an inode, as `Node.row` gave them; None when there is none.

        Raises
        ------
        CorruptData
            The row is damaged.
        """
        for layer in self._layers():
            if ino in layer.nodes:
                return layer.row_of(ino)
        row = self._database.one(rows.NODES, schema.SELECT_NODE, (ino,))
        return None if row is None else row[:-1]

    def committed_nodes(self, inodes: Iterable[Inode]) -> Iterator[Row]:
        """Yield the rows of those of the inodes that have not changed since the last commit.

        One query for many takes a third of the time.  A damaged row is left to `node_row`.
        """
        layers = self._layers()
        wanted = [ino for ino in inodes if not any(ino in layer.nodes for layer in layers)]
        for start in range(0, len(wanted), schema.NODES_AT_ONCE):
            some = wanted[start : start + schema.NODES_AT_ONCE]
            for row in self._database.some(rows.NODES, schema.SELECT_SOME_NODES, some):
                yield row[:-1]

    def plain_files(self, inodes: Sequence[Inode]) -> Iterator[Row]:
        """Yield (ino, mode, uid, gid, size, mtime, parent, name) of inodes, as far as they are plain.

        Those are in the last commit as they are now, and have one name and no attributes.  For whoever
        asks for very many and looks again at those that matter: checksums are not verified.
        """
        wanted = set(inodes)
        for layer in self._layers():
            wanted -= layer.nodes.keys()
        left = sorted(wanted)
        for start in range(0, len(left), schema.NODES_AT_ONCE):
            some = left[start : start + schema.NODES_AT_ONCE]
            yield from self._database.some(None, schema.SELECT_PLAIN_FILES, some)

    def orphans(self) -> list[Inode]:
        """Return the inodes that have no name (nlink 0), in ascending order."""
        seen: set[Inode] = set()
        found: list[Inode] = []
        for layer in self._layers():
            for ino in layer.nodes.keys() - seen:
                row = layer.row_of(ino)
                if row is not None and row[4] == 0:
                    found.append(ino)
            seen |= layer.nodes.keys()
        found += [Inode(ino) for ino in self._database.orphans() if ino not in seen]
        return sorted(found)

    def _layers(self) -> tuple[Overlay, ...]:
        frozen = self._frozen
        return (self._overlay,) if frozen is None else (self._overlay, frozen)

    def dentry(self, parent: Inode, name: bytes) -> Entry | None:
        """Return (inode, cookie, kind) of a name, or None.

        Raises
        ------
        CorruptData
            The row is damaged.
        """
        directory = self._overlay.directories.get(parent)
        if directory is not None:
            entry: Entry | None = directory.get(name, _MISSING)
            if entry is not _MISSING:
                return entry
        return self._dentry_below(parent, name)

    def _dentry_below(self, parent: Inode, name: bytes) -> Entry | None:
        if self._frozen is not None:
            directory = self._frozen.directories.get(parent)
            if directory is not None:
                entry: Entry | None = directory.get(name, _MISSING)
                if entry is not _MISSING:
                    return entry
        if parent > self._committed_inode:
            return None
        row = self._database.dentry(parent, name)
        return None if row is None else row[2:5]

    def lacks(self, parent: Inode, name: bytes) -> bool:
        """Whether a name that `dentry` does not find is not there; False where damage may hide it.

        A tenth of the price of reading all names of the directory, and less from the second on.
        """
        entry = _topmost(
            [layer.directories[parent] for layer in self._layers() if parent in layer.directories],
            name,
        )
        if entry is not _MISSING:
            return entry is None
        return parent > self._committed_inode or self._database.lacks(parent, name)

    def dentries_after(
        self, parent: Inode, cookie: int, limit: int
    ) -> list[tuple[bytes, int, int, int]]:
        """Return (name, inode, cookie, kind) of the next entries in the order of their cookies.

        Names that come and go between two calls neither hide nor repeat the others.  Those that
        damage hides are left out, and then `is_torn`.
        """
        layers = [
            layer.directories[parent] for layer in self._layers() if parent in layer.directories
        ]
        found: list[tuple[bytes, int, int, int]] = []
        if parent <= self._committed_inode:
            found = self._dentries_committed(parent, cookie, limit, layers)
        for directory in reversed(layers):
            for at, name, _, _ in directory.after(cookie):
                if len(found) >= limit:
                    return found
                entry = _topmost(layers, name)
                if entry is not None and entry[1] == at:
                    found.append((name, *entry))
        return found

    def _dentries_committed(
        self, parent: Inode, cookie: int, limit: int, layers: list[Directory]
    ) -> list[tuple[bytes, int, int, int]]:
        """Return those of the next entries whose place in the order SQLite has."""
        found: list[tuple[bytes, int, int, int]] = []
        while len(found) < limit:
            asked = max(limit - len(found), PAGE_ROWS_MIN)
            page = self._database.listing(parent, cookie, self.applied, asked)
            for _, name, ino, at, kind, _ in page:
                entry = _topmost(layers, name)
                if entry is _MISSING:
                    found.append((name, ino, at, kind))
                elif entry is not None and entry[1] == at:
                    found.append((name, *entry))
            if len(page) < asked:
                break
            cookie = page[-1][3]
        return found[:limit]

    def is_torn(self, parent: Inode) -> bool:
        """Whether damage that the last listing of this directory met hides some of its names."""
        return self._database.is_torn(parent)

    @property
    def damage(self) -> DamageFound:
        """The damage that reads have met."""
        return self._database.damage

    def xattrs(self, ino: Inode) -> dict[bytes, bytes]:
        """Return an inode's extended attributes.

        Raises
        ------
        CorruptData
            A row is damaged.
        """
        found: dict[bytes, bytes | None] = {}
        if ino <= self._committed_inode:
            stored = self._database.many(rows.XATTRS, schema.SELECT_XATTRS, ino)
            found = {name: value for _, name, value, _ in stored}
        for layer in reversed(self._layers()):
            if ino in layer.xattrs:
                found.update(layer.xattrs[ino])
        return {name: value for name, value in found.items() if value is not None}

    def names(self, ino: Inode) -> list[tuple[Inode, bytes]]:
        """Return every (parent, name) of an inode.

        Raises
        ------
        CorruptData
            A row is damaged.
        """
        found: dict[tuple[Inode, bytes], None] = {}
        if ino <= self._committed_inode:
            for row in self._database.many(rows.DENTRIES, schema.SELECT_NAMES, ino, column=2):
                found[row[0], row[1]] = None
        for layer in reversed(self._layers()):
            for parent, name in layer.names_set(ino):
                found[parent, name] = None
        return [
            (parent, name)
            for parent, name in found
            if (entry := self.dentry(parent, name)) is not None and entry[0] == ino
        ]

    def vectors(self, ino: Inode) -> dict[tuple[int, int], VectorRow]:
        """Return an inode's vectors by (space, passage).

        Raises
        ------
        CorruptData
            A row is damaged.
        """
        found: dict[tuple[int, int], VectorRow | None] = {}
        if ino <= self._committed_inode:
            for row in self._database.many(rows.VECTORS, schema.SELECT_VECTORS, ino):
                found[row[1], row[2]] = rows.vector_of(row)
        for layer in reversed(self._layers()):
            if ino in layer.vectors:
                found.update(layer.vectors[ino])
        return {key: vector for key, vector in found.items() if vector is not None}

    def vector(self, ino: Inode, space: int, passage: int) -> VectorRow | None:
        """Return one vector, or None.

        Raises
        ------
        CorruptData
            The row is damaged.
        """
        for layer in self._layers():
            if ino in layer.vectors and (space, passage) in layer.vectors[ino]:
                return layer.vectors[ino][space, passage]
        if ino > self._committed_inode:
            return None
        row = self._database.one(rows.VECTORS, schema.SELECT_VECTOR, (ino, space, passage))
        return None if row is None else rows.vector_of(row)

    def space_vectors(self, space: int) -> Iterator[tuple[Inode, int, VectorRow]]:
        """Yield (inode, passage, vector) of all vectors in a space.

        A damaged row is left out, and noted as damage that was met.
        """
        changed: dict[tuple[Inode, int], VectorRow | None] = {}
        for layer in reversed(self._layers()):
            for ino, vectors in layer.vectors.items():
                changed.update({(ino, at[1]): row for at, row in vectors.items() if at[0] == space})
        gone = {
            ino for layer in self._layers() for ino, node in layer.nodes.items() if node is None
        }
        for row in self._database.each(schema.SELECT_SPACE_VECTORS, (space,)):
            key = (row[0], row[2])
            if not rows.VECTORS.holds(row):
                self.damage.note(f"{rows.VECTORS.describe(row)} does not match its checksum")
            elif key not in changed and row[0] not in gone:
                yield Inode(row[0]), row[2], rows.vector_of(row)
        for (ino, passage), vector in changed.items():
            if vector is not None and ino not in gone:
                yield ino, passage, vector

    def listed_vectors(self, space: int) -> Longs:
        """Return (inode, passage, lsn) of all committed vectors in a space, in this order.

        Reads an index that carries no checksums, a hundredth of what the vectors are; where that
        holds what is no number, the vectors themselves.
        """
        listing = self._database.each(schema.SELECT_SPACE_LISTING, (space,))
        try:
            return _columns(listing)
        except (TypeError, ValueError, OverflowError):
            table = self._database.each(schema.SELECT_SPACE_VECTORS, (space,))
            found = ((row[0], row[2], row[3]) for row in table if rows.VECTORS.holds(row))
            return _columns(iter(sorted(found)))

    def committed_vectors(self, space: int, inodes: Sequence[int]) -> Iterator[Row]:
        """Yield the rows of inodes' vectors as of the last commit; damaged ones are left out.

        Inodes in a row, as they are when vectors came with their files, are asked for by their range: that
        takes six tenths of the time.
        """
        distinct = list(dict.fromkeys(inodes))  # one has many passages
        for start in range(0, len(distinct), schema.NODES_AT_ONCE):
            some = distinct[start : start + schema.NODES_AT_ONCE]
            if max(some) - min(some) < RANGE_SPREAD * len(some):
                sql, key = schema.SELECT_VECTORS_BETWEEN, (space, min(some), max(some))
                yield from self._database.sound(rows.VECTORS, sql, key)
            else:
                yield from self._database.some(
                    rows.VECTORS, schema.SELECT_SOME_VECTORS, some, (space,)
                )

    def readings(self, wanted_bytes: int) -> Iterator[Callable[[], None]]:
        """Yield what reads ahead for who wants so much of all rows, in calls for a thread."""
        return self._database.readings(wanted_bytes)

    def spaces(self) -> dict[int, SpaceRow]:
        """Return all vector spaces by number."""
        found: dict[int, SpaceRow | None] = {}
        for row in self._database.all(schema.SELECT_SPACES):
            found[row[0]] = SpaceRow(*rows.SPACES.verify(row)[:5])
        for layer in reversed(self._layers()):
            found.update(layer.spaces)
        return {number: row for number, row in found.items() if row is not None}

    def extents(self, ino: Inode) -> list[Extent]:
        """Return an inode's extents, by offset.

        Raises
        ------
        CorruptData
            A row is damaged.
        """
        found: dict[int, Extent | None] = {}
        if ino <= self._committed_inode:
            found = {extent.offset: extent for extent in self._database.extents(ino)}
        for layer in reversed(self._layers()):
            if ino in layer.extents:
                found.update(layer.extents[ino])
        kept = [extent for extent in found.values() if extent is not None]
        kept.sort()
        return kept

    def get_meta(self, key: str) -> int | bytes | None:
        """Return a value that `put_meta` stored, or None."""
        for layer in self._layers():
            if key in layer.meta:
                return layer.meta[key]
        return self._database.meta(key)

    def query(self, sql: str) -> Iterator[Row]:
        """Yield the committed rows of a query, unverified: for `fsck`, which knows what they mean.

        Raises
        ------
        CorruptData, StoreFailed
        """
        return self._database.each(sql)


def _columns(listing: Iterator[Row]) -> Longs:
    parts = [np.zeros((0, _LISTED), np.int64)]
    while some := list(islice(listing, LISTED_ROWS)):
        flat = np.fromiter(chain.from_iterable(some), np.int64, _LISTED * len(some))
        parts.append(flat.reshape(-1, _LISTED))
    return np.concatenate(parts)


def _topmost(layers: list[Directory], name: bytes) -> Any:
    """Return what the highest layer says about a name: an entry, None (removed), or _MISSING."""
    for directory in layers:
        if name in directory:
            return directory[name]
    return _MISSING
