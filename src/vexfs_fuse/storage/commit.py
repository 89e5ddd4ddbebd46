"""Writing one frozen overlay into SQLite, in slices that the loop can afford."""

import sqlite3
from collections.abc import Iterator
from itertools import islice
from typing import Final

from vexfs_fuse.storage import rows, schema
from vexfs_fuse.storage.database import SQLITE_ERRORS, failure
from vexfs_fuse.storage.overlay import Overlay
from vexfs_fuse.storage.rows import Row
from vexfs_fuse.units import Lsn, Segment

STEP_ROWS: Final = 400
"""Rows in one slice: about 1 ms at 2.5 us a row."""

RELEASE_ROWS: Final = 4_000
"""Rows let go of in one slice: about 1 ms."""


class Commit:
    """One transaction that brings the database to the state after the record `lsn`.

    `step` until it says that this was all, `finish` in a thread, then `State.settle`; when one of
    them raises, `State.discard`.  Once settled, `release` until that was all.
    """

    def __init__(
        self,
        writer: sqlite3.Connection,
        overlay: Overlay,
        lsn: Lsn,
        live: dict[Segment, int],
    ) -> None:
        self.lsn = lsn
        self.rows = 0  # written so far
        self.spent: Overlay | None = None  # once settled: what was written, to be let go of
        self._writer = writer
        self._tables = _tables(overlay, live)
        self._table = next(self._tables, None)

    def step(self, rows_max: int = STEP_ROWS) -> bool:
        """Write the next rows, at most `rows_max`; whether that was all.

        Raises
        ------
        NoSpace
            The disk is full.
        StoreLocked
            Another process is writing.
        CorruptData
            A damaged page is in the way.
        StoreFailed
            The disk refused.
        """
        try:
            if not self._writer.in_transaction:
                self._writer.execute("BEGIN IMMEDIATE")
            while rows_max > 0 and self._table is not None:
                rows_max -= self._write(rows_max)
        except SQLITE_ERRORS as error:
            raise failure(error, "state commit") from error
        return self._table is None

    def _write(self, rows_max: int) -> int:
        assert self._table is not None
        sql, source = self._table
        chunk = list(islice(source, rows_max))
        if chunk:
            self._writer.executemany(sql, chunk)
        if len(chunk) < rows_max:
            self._table = next(self._tables, None)
        self.rows += len(chunk)
        return len(chunk)

    def finish(self) -> None:
        """Commit; to be called in a thread. Raises what `step` does."""
        assert self._table is None, "rows are left to write"
        try:
            if not self._writer.in_transaction:
                self._writer.execute("BEGIN IMMEDIATE")
            self._writer.execute("COMMIT")
        except SQLITE_ERRORS as error:
            raise failure(error, "state commit") from error

    def release(self, rows_max: int = RELEASE_ROWS) -> bool:
        """Let go of the memory of some rows of a settled commit; whether that was all."""
        return self.spent is None or self.spent.shed(rows_max)

    def roll_back(self) -> None:
        """Undo what has been written, if SQLite has not done so by itself."""
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")


def _tables(overlay: Overlay, live: dict[Segment, int]) -> Iterator[tuple[str, Iterator[Row]]]:
    yield schema.UPSERT_NODE, _nodes(overlay)
    yield schema.DELETE_NODE, _dropped(overlay)
    yield schema.DELETE_XATTRS, _dropped(overlay)
    yield schema.DELETE_VECTORS, _dropped(overlay)
    yield schema.UPSERT_DENTRY, _dentries(overlay)
    yield schema.DELETE_DENTRY, _removed_names(overlay)
    yield schema.UPSERT_XATTR, _xattrs(overlay)
    yield schema.DELETE_XATTR, _removed_xattrs(overlay)
    yield schema.DELETE_EXTENT, _removed_extents(overlay)
    yield schema.UPSERT_EXTENT, _extents(overlay)
    yield schema.UPSERT_VECTOR, _vectors(overlay)
    yield schema.DELETE_VECTOR, _removed_vectors(overlay)
    yield schema.UPSERT_SPACE, (rows.pack_space(row) for row in overlay.spaces.values() if row)
    yield schema.DELETE_SPACE, ((space,) for space, row in overlay.spaces.items() if row is None)
    yield schema.UPSERT_SEGMENT, (rows.pack_segment(*item) for item in live.items() if item[1])
    yield schema.DELETE_SEGMENT, ((segment,) for segment, size in live.items() if not size)
    yield schema.UPSERT_META, (rows.pack_meta(*item) for item in overlay.meta.items())


def _nodes(overlay: Overlay) -> Iterator[Row]:
    captured = overlay.captured
    for ino, node in overlay.nodes.items():
        if node is not None:
            yield rows.pack_node(captured.get(ino) or node.row())


def _dropped(overlay: Overlay) -> Iterator[Row]:
    return ((ino,) for ino, node in overlay.nodes.items() if node is None)


def _dentries(overlay: Overlay) -> Iterator[Row]:
    for parent, directory in overlay.directories.items():
        for name, entry in directory.items():
            if entry is not None:
                yield rows.pack_dentry(parent, name, entry)


def _removed_names(overlay: Overlay) -> Iterator[Row]:
    for parent, directory in overlay.directories.items():
        for name, entry in directory.items():
            if entry is None:
                yield parent, name


def _xattrs(overlay: Overlay) -> Iterator[Row]:
    for ino, values in overlay.xattrs.items():
        for name, value in values.items():
            if value is not None:
                yield rows.pack_xattr(ino, name, value)


def _removed_xattrs(overlay: Overlay) -> Iterator[Row]:
    for ino, values in overlay.xattrs.items():
        for name, value in values.items():
            if value is None:
                yield ino, name


def _vectors(overlay: Overlay) -> Iterator[Row]:
    for ino, vectors in overlay.vectors.items():
        for (space, passage), vector in vectors.items():
            if vector is not None:
                yield rows.pack_vector(ino, space, passage, vector)


def _removed_vectors(overlay: Overlay) -> Iterator[Row]:
    for ino, vectors in overlay.vectors.items():
        for (space, passage), vector in vectors.items():
            if vector is None:
                yield ino, space, passage


def _extents(overlay: Overlay) -> Iterator[Row]:
    for ino, extents in overlay.extents.items():
        for extent in extents.values():
            if extent is not None:
                yield rows.pack_extent(ino, extent)


def _removed_extents(overlay: Overlay) -> Iterator[Row]:
    for ino, extents in overlay.extents.items():
        for offset, extent in extents.items():
            if extent is None:
                yield ino, offset
