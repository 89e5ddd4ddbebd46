"""The state view: what the volume is after the records applied so far.

Inodes, names, extended attributes and extents live in SQLite, with the changes of the last moments
in memory over it.  Reads see both.  Now and then the changes are frozen and written as one
transaction: the database is always the exact state after some record, whose number (`applied`) it
holds.

It knows rows, not rules: whether a change makes sense was decided before.  All methods are for the
loop, but for those that say "in a thread".
"""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from vexfs_fuse import errors
from vexfs_fuse.storage import rows, schema
from vexfs_fuse.storage.commit import Commit
from vexfs_fuse.storage.database import MEMORY, Connect, Database, failure
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.overlay import Directory, DirtyNode, Entry, Overlay
from vexfs_fuse.storage.rows import Row
from vexfs_fuse.units import Inode, Lsn, Segment

__all__ = ["MEMORY", "Commit", "Entry", "State", "Totals"]

PAGE_ROWS_MIN: Final = 64
"""The fewest names that one query of a listing asks for, in case changes hide most of them."""

POINT_READS_MAX: Final = 8
"""Up to so many extents are looked up one by one, more by reading all of the file's."""

_MISSING: Final[Any] = object()


class Totals(NamedTuple):
    """What the volume holds."""

    inodes: int
    stored_bytes: int


class State:
    """The view, and the changes that wait for its next commit.

    Attributes
    ----------
    applied
        Lsn of the last record that SQLite has: survives the end of the process.
    durable
        Lsn of the last record that SQLite has synced: survives a power cut.  Journal records after
        this one must be kept.
    last_inode
        The highest inode number that was ever given.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.applied = Lsn(self._number("applied"))
        self.durable = Lsn(0)
        self.last_inode = Inode(self._number("last_inode"))
        self._committed_inode = self.last_inode  # SQLite knows none that is higher
        self._inodes = self._number("inodes")
        self._live: dict[Segment, int] = {
            row[0]: row[1] for row in database.many(rows.SEGMENTS, schema.SELECT_SEGMENTS, ())
        }
        self._stored_bytes = sum(self._live.values())
        self._overlay = Overlay(self.applied, self.last_inode)
        self._frozen: Overlay | None = None

    @classmethod
    def open(cls, path: Path | str, connect: Connect = sqlite3.connect) -> "State":
        """Open the database, or create an empty one; takes the same time whatever it holds.

        Raises
        ------
        StoreTooNew
            A later format revision.
        StoreDamaged
            Not a database of ours, or broken beyond opening.
        """
        try:
            database = Database(path, connect)
        except sqlite3.Error as error:
            raise errors.StoreDamaged(f"{path}: {error}") from error
        try:
            state = cls(database)
            state.checkpoint()
            database.refresh()
        except BaseException as error:
            database.close()
            if isinstance(error, errors.CorruptData):
                raise errors.StoreDamaged(f"{path}: {error}") from error
            raise
        return state

    def _number(self, key: str) -> int:
        value = self._database.meta(key)
        if not isinstance(value, int):
            raise errors.CorruptData(f"state row meta[{key!r}] is missing")
        return value

    def close(self) -> None:
        """Close the database; uncommitted changes are lost."""
        self._database.close()

    # --- nodes ------------------------------------------------------------------------------------

    def touch(self, node: DirtyNode) -> None:
        """Note that a node is about to change, or is new.

        To be called *before* the change: a commit that is under way takes its copy of the node
        here.  A number above all before it is a birth, so new nodes come in the order of their
        numbers.
        """
        ino = node.ino
        if ino not in self._overlay.nodes:
            self._touch_first(ino, node)

    def _touch_first(self, ino: Inode, node: DirtyNode) -> None:
        overlay = self._overlay
        if ino > self.last_inode:
            self.last_inode = ino
            self._inodes += 1
        elif self._frozen is not None:
            self._frozen.capture(ino)
        overlay.nodes[ino] = node
        overlay.changes += 1

    def drop_node(self, ino: Inode) -> None:
        """Note that an inode is gone with its extended attributes; its extents went before."""
        overlay = self._overlay
        self._inodes -= 1
        overlay.changes += 1
        if ino > overlay.inode_floor:
            overlay.forget(ino)
            return
        if self._frozen is not None:
            self._frozen.capture(ino)
        overlay.nodes[ino] = None
        overlay.xattrs.pop(ino, None)

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

    # --- names ------------------------------------------------------------------------------------

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
        row = self._database.one(rows.DENTRIES, schema.SELECT_DENTRY, (parent, name))
        return None if row is None else row[2:5]

    def put_dentry(self, parent: Inode, name: bytes, entry: Entry | None) -> None:
        """Set a name, or remove it.

        The cookie of a new name is the Lsn of the record that makes it, a replaced one keeps its
        own.
        """
        overlay = self._overlay
        directory = overlay.directories.get(parent)
        if directory is None:
            directory = overlay.directories[parent] = Directory(overlay.floor)
        directory[name] = entry
        overlay.changes += 1
        if entry is not None and (cookie := entry[1]) > directory.last:
            directory.last = cookie
            directory.order.append((cookie, name))

    def dentries_after(
        self, parent: Inode, cookie: int, limit: int
    ) -> list[tuple[bytes, int, int, int]]:
        """Return (name, inode, cookie, kind) of the next entries in the order of their cookies.

        Names that come and go between two calls neither hide nor repeat the others.

        Raises
        ------
        CorruptData
            A row among them is damaged.
        """
        layers = [
            layer.directories[parent] for layer in self._layers() if parent in layer.directories
        ]
        found: list[tuple[bytes, int, int, int]] = []
        if parent <= self._committed_inode:
            found = self._dentries_committed(parent, cookie, limit, layers)
        for directory in reversed(layers):
            for at, name in directory.after(cookie):
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
            key = (parent, cookie, self.applied, asked)
            page = self._database.many(rows.DENTRIES, schema.SELECT_DENTRIES, key)
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

    # --- extended attributes ----------------------------------------------------------------------

    def xattrs(self, ino: Inode) -> dict[bytes, bytes]:
        """Return an inode's extended attributes.

        Raises
        ------
        CorruptData
            A row is damaged.
        """
        found: dict[bytes, bytes | None] = {}
        if ino <= self._committed_inode:
            stored = self._database.many(rows.XATTRS, schema.SELECT_XATTRS, (ino,))
            found = {name: value for _, name, value, _ in stored}
        for layer in reversed(self._layers()):
            if ino in layer.xattrs:
                found.update(layer.xattrs[ino])
        return {name: value for name, value in found.items() if value is not None}

    def put_xattr(self, ino: Inode, name: bytes, value: bytes | None) -> None:
        """Set an extended attribute, or remove it."""
        overlay = self._overlay
        overlay.xattrs.setdefault(ino, {})[name] = value
        overlay.changes += 1

    # --- extents ----------------------------------------------------------------------------------

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

    def put_extents(self, ino: Inode, removed: Iterable[int], added: Iterable[Extent]) -> None:
        """Remove the extents at these offsets, then add others.

        Raises
        ------
        CorruptData
            A removed row is damaged; nothing has changed.
        """
        gone = self._extents_at(ino, list(removed))
        overlay = self._overlay
        changed = overlay.extents.setdefault(ino, {})
        for extent in gone:
            changed[extent.offset] = None
            self._count(extent.segment, -extent.length)
        for extent in added:
            changed[extent.offset] = extent
            self._count(extent.segment, extent.length)
            overlay.changes += 1
        overlay.changes += len(gone)

    def drop_extents(self, ino: Inode) -> list[Extent]:
        """Remove all extents of an inode and return them.

        Raises
        ------
        CorruptData
            A row is damaged; nothing has changed.
        """
        gone = self.extents(ino)
        self.put_extents(ino, [extent.offset for extent in gone], ())
        return gone

    def _extents_at(self, ino: Inode, offsets: list[int]) -> list[Extent]:
        if len(offsets) > POINT_READS_MAX:
            every = {extent.offset: extent for extent in self.extents(ino)}
            return [every[offset] for offset in offsets]
        return [self._extent_at(ino, offset) for offset in offsets]

    def _extent_at(self, ino: Inode, offset: int) -> Extent:
        for layer in self._layers():
            if ino in layer.extents:
                extent = layer.extents[ino].get(offset)
                if extent is not None:
                    return extent
        row = self._database.one(rows.EXTENTS, schema.SELECT_EXTENT, (ino, offset))
        if row is None:
            raise errors.CorruptData(f"state row extents[{ino}, {offset}] is missing")
        return rows.extent_of(row)

    def _count(self, segment: Segment, size: int) -> None:
        self._live[segment] = self._live.get(segment, 0) + size
        self._stored_bytes += size
        self._overlay.segments.add(segment)

    def live_bytes(self) -> dict[Segment, int]:
        """Return how many bytes of each segment file are part of some file."""
        return {segment: size for segment, size in self._live.items() if segment and size}

    # --- the whole --------------------------------------------------------------------------------

    def counts(self) -> Totals:
        """Return the number of inodes and of bytes held by extents."""
        return Totals(self._inodes, self._stored_bytes)

    def get_meta(self, key: str) -> int | bytes | None:
        """Return a value that `put_meta` stored, or None."""
        for layer in self._layers():
            if key in layer.meta:
                return layer.meta[key]
        return self._database.meta(key)

    def put_meta(self, key: str, value: int | bytes) -> None:
        """Store a value about the volume as a whole."""
        self._overlay.meta[key] = value
        self._overlay.changes += 1

    @property
    def dirty_count(self) -> int:
        """About how many rows the next freeze will have to write."""
        return self._overlay.changes

    def query(self, sql: str) -> Iterator[Row]:
        """Yield the committed rows of a query, unverified: for `fsck`, which knows what they mean.

        Raises
        ------
        CorruptData, StoreFailed
        """
        return self._database.each(sql)

    # --- commits ----------------------------------------------------------------------------------

    def freeze(self, lsn: Lsn) -> Commit:
        """Begin a commit of everything up to the record `lsn`, the last one applied; constant time.

        At most one commit is under way; the journal must be durable through `lsn` before its
        `finish`.
        """
        assert self._frozen is None, "a commit is under way"
        assert lsn >= self.applied
        frozen = self._frozen = self._overlay
        frozen.meta |= {
            "applied": lsn,
            "inodes": self._inodes,
            "last_inode": self.last_inode,
        }
        live = {segment: self._live[segment] for segment in frozen.segments}
        self._database.refresh()  # else the reader's old snapshot keeps the WAL from starting over
        self._overlay = Overlay(lsn, self.last_inode)
        return Commit(self._database.writer, frozen, lsn, live)

    def settle(self, commit: Commit) -> None:
        """Take note that the commit has finished."""
        assert self._frozen is not None
        self._frozen = None
        self.applied = commit.lsn
        self._committed_inode = self._overlay.inode_floor
        self._database.refresh()

    def discard(self, commit: Commit) -> None:
        """Give up a commit that failed; its changes go into the next one."""
        assert self._frozen is not None
        commit.roll_back()
        self._frozen.absorb(self._overlay)
        self._overlay = self._frozen
        self._frozen = None

    def checkpoint(self) -> None:
        """Sync the commits so far, which makes them `durable`; in a thread.

        Raises what `Commit.step` does.
        """
        applied = self.applied
        try:
            if self._database.checkpoint():
                self.durable = applied
        except sqlite3.Error as error:
            raise failure(error, "state checkpoint") from error


def _topmost(layers: list[Directory], name: bytes) -> Any:
    """Return what the highest layer says about a name: an entry, None (removed), or _MISSING."""
    for directory in layers:
        if name in directory:
            return directory[name]
    return _MISSING
