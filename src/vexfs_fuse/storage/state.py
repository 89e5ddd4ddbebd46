"""The state view: what the volume is after the records applied so far.

Inodes, names, extended attributes and extents live in SQLite, with the changes of the last moments
in memory over it.  Reads see both.  Now and then the changes are frozen and written as one
transaction: the database is always the exact state after some record, whose number (`applied`) it
holds.

It knows rows, not rules: whether a change makes sense was decided before.  All methods are for the
loop, but for those that say "in a thread".
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from vexfs_fuse import errors
from vexfs_fuse.storage.commit import Commit
from vexfs_fuse.storage.database import MEMORY, SQLITE_ERRORS, Connect, Database, failure
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.overlay import Directory, DirtyNode, Entry, Overlay
from vexfs_fuse.storage.rows import SpaceRow, VectorRow
from vexfs_fuse.storage.state_reads import StateReads
from vexfs_fuse.units import Inode, Lsn, Segment

__all__ = ["MEMORY", "Commit", "Entry", "State", "Totals"]

ROW_BYTES: Final = 160
"""What a row takes, about, besides values and vectors."""


class Totals(NamedTuple):
    """What the volume holds."""

    inodes: int
    stored_bytes: int


class State(StateReads):
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
        applied, self._inodes, self.last_inode = (
            Lsn(_number(database, "applied")),
            _number(database, "inodes"),
            Inode(_number(database, "last_inode")),
        )
        super().__init__(database, applied, self.last_inode)
        self.durable = Lsn(0)
        self._live = database.live_bytes()
        self._stored_bytes = sum(self._live.values())
        self._sync_failure: errors.StoreFailed | None = None

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
        except errors.CorruptData as error:
            raise errors.StoreDamaged(f"{path}: {error}") from error
        try:
            state = cls(database)
            state._checkpoint_at_open()
            database.refresh()
        except errors.VexfsError as error:
            database.close()
            if isinstance(error, errors.CorruptData):
                raise errors.StoreDamaged(f"{path}: {error}") from error
            raise
        return state

    def _checkpoint_at_open(self) -> None:
        """Learn what is durable; on a full disk that stays unknown, and the journal stays whole."""
        try:
            self.checkpoint()
        except errors.NoSpace:
            pass

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
        overlay.vectors.pop(ino, None)

    # --- names ------------------------------------------------------------------------------------

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
        if entry is None:
            overlay.changes += 1
            return
        cookie = entry[1]
        record = (cookie, name, entry[0], parent)
        overlay.named.append(record)
        if cookie > directory.last:
            directory.last = cookie
            directory.order.append(record)

    # --- extended attributes ----------------------------------------------------------------------

    def put_xattr(self, ino: Inode, name: bytes, value: bytes | None) -> None:
        """Set an extended attribute, or remove it."""
        overlay = self._overlay
        overlay.xattrs.setdefault(ino, {})[name] = value
        overlay.changes += 1
        if value is not None:
            overlay.bulk_bytes += len(value)

    # --- vectors ----------------------------------------------------------------------------------

    def put_vector(self, ino: Inode, space: int, passage: int, vector: VectorRow | None) -> None:
        """Set a vector of an inode in a space, or remove it."""
        overlay = self._overlay
        overlay.vectors.setdefault(ino, {})[space, passage] = vector
        overlay.changes += 1
        if vector is not None:
            overlay.bulk_bytes += len(vector.value)

    def put_space(self, space: int, row: SpaceRow | None) -> None:
        """Set a vector space, or remove it; its vectors went before."""
        self._overlay.spaces[space] = row
        self._overlay.changes += 1

    # --- extents ----------------------------------------------------------------------------------

    def put_extents(self, ino: Inode, removed: Sequence[Extent], added: Sequence[Extent]) -> None:
        """Remove extents, as they are here, then add others."""
        overlay = self._overlay
        changed = overlay.extents.get(ino)
        if changed is None:
            changed = overlay.extents[ino] = {}
        for extent in removed:
            changed[extent.offset] = None
            self._count(extent.segment, -extent.length)
        for extent in added:
            changed[extent.offset] = extent
            self._count(extent.segment, extent.length)
        overlay.changes += len(removed) + len(added)

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

    def put_meta(self, key: str, value: int | bytes) -> None:
        """Store a value about the volume as a whole."""
        self._overlay.meta[key] = value
        self._overlay.changes += 1

    @property
    def dirty_count(self) -> int:
        """About how many rows the next freeze will have to write."""
        return self._overlay.changes + len(self._overlay.named)

    @property
    def owed_bytes(self) -> int:
        """About what the commit under way and the next one will take of the disk, at most.

        All of it twice: in the write-ahead log of SQLite, and where it belongs.  Long values leave a
        part of their pages empty.
        """
        layers = (self._overlay, self._frozen) if self._frozen is not None else (self._overlay,)
        return sum(
            3 * layer.bulk_bytes + 2 * ROW_BYTES * (layer.changes + len(layer.named))
            for layer in layers
        )

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
        commit.spent, self._frozen = self._frozen, None
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

        Raises what `Commit.step` does.  A checkpoint that the disk refused is never tried again:
        the kernel may have dropped the pages that it could not write, and say so only once.
        """
        if self._sync_failure is not None:
            raise self._sync_failure
        applied = self.applied
        try:
            if self._database.checkpoint():
                self.durable = applied
        except SQLITE_ERRORS as error:
            failed = failure(error, "state checkpoint")
            if isinstance(failed, errors.StoreFailed):
                self._sync_failure = failed
            raise failed from error


def _number(database: Database, key: str) -> int:
    value = database.meta(key)
    if not isinstance(value, int):
        raise errors.CorruptData(f"state row meta[{key!r}] is missing")
    return value
