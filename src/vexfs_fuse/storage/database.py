"""The SQLite database under the state view: its connections, its committed rows, its failures.

In WAL mode with `synchronous=NORMAL` a commit survives the end of the process at once, and a power
cut from the next checkpoint on: only checkpoints sync.
"""

import os
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple

from vexfs_fuse import errors
from vexfs_fuse.storage import rows, schema
from vexfs_fuse.storage.damage import DamageFound
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.rows import Row, Table
from vexfs_fuse.units import MIB, Segment

MEMORY: Final = ":memory:"

WRITER_CACHE_KIB: Final = 32 * 1024
READER_CACHE_KIB: Final = 16 * 1024

ROWS_AT_ONCE: Final = 1_000
"""How many rows of an unbounded query are in memory."""

EQUAL_MAX: Final = 100_000
"""So many directories are known to have two equal copies of their names."""

READING_BYTES: Final = 64 * MIB
"""What is read at a call of one of `readings`: a tenth of a second."""

_READ_BYTES: Final = MIB
_WANTED_SHARE: Final = 4

Connect = Callable[..., sqlite3.Connection]
"""Called as `sqlite3.connect`; tests give one whose connections fail."""


class Database:
    """Three connections to one file: rows are read by one, written by one, checkpointed by one.

    ":memory:" has one connection for all, and loses everything at `close`.  `damage` is what reads have
    met that was to be answered; what `each` tells, its caller judges.
    """

    def __init__(self, path: Path | str, connect: Connect) -> None:
        self._path = str(path)
        self._connect = connect
        self._open: list[sqlite3.Connection] = []
        self.damage = DamageFound()
        self._rescued: Rescued | None = None  # of the directory that was met damaged last
        self._equal: set[int] = set()  # directories of whose names both copies were the same
        try:
            self._open_all()
        except SQLITE_ERRORS as error:
            self.close()
            raise failure(error, "state view") from error
        except errors.VexfsError:
            self.close()
            raise
        self._select = self._reader.cursor().execute

    def _open_all(self) -> None:
        self.writer = self._reader = self._checkpointer = self._keep(WRITER_CACHE_KIB)
        self._prepare()
        if self._path != MEMORY:
            self._reader = self._keep(READER_CACHE_KIB)
            self._checkpointer = self._keep(WRITER_CACHE_KIB)

    def _keep(self, cache_kib: int) -> sqlite3.Connection:
        connection = self._connection()
        self._open.append(connection)
        connection.execute(f"PRAGMA cache_size = -{cache_kib}").fetchall()
        return connection

    def _connection(self) -> sqlite3.Connection:
        connection = self._connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False
        )
        connection.text_factory = bytes
        for pragma in (
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "wal_autocheckpoint = 0",
            "temp_store = MEMORY",
            "cell_size_check = ON",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection

    def _prepare(self) -> None:
        revision = self._pragma("user_version")
        if revision > schema.FORMAT_REVISION:
            raise errors.StoreTooNew(f"state revision {revision}")
        if self._pragma("application_id") != schema.APPLICATION_ID:
            if self._pragma("schema_version") != 0:
                raise errors.StoreDamaged(f"{self._path} is not a vexfs state")
            self._create()

    def _pragma(self, name: str) -> int:
        return int(self.writer.execute(f"PRAGMA {name}").fetchone()[0])

    def _create(self) -> None:
        first = [rows.pack_meta(key, 0) for key in ("applied", "inodes", "last_inode")]
        self.writer.executescript(
            f"BEGIN; {schema.TABLES}"
            f"PRAGMA application_id = {schema.APPLICATION_ID};"
            f"PRAGMA user_version = {schema.FORMAT_REVISION};"
        )
        self.writer.executemany(schema.UPSERT_META, first)
        self.writer.execute("COMMIT")

    def refresh(self) -> None:
        """Let reads see what has been committed up to now.

        Reads stay within one read transaction from refresh to refresh: each is then 3 us cheaper.
        """
        self._rescued = None
        self._equal.clear()
        if self._reader is not self.writer:
            if self._reader.in_transaction:
                self._reader.execute("ROLLBACK")  # COMMIT would repeat the error of a failed read
            self._reader.execute("BEGIN")

    def readings(self, wanted_bytes: int) -> Iterator[Callable[[], None]]:
        """Yield what brings the file into the kernel's cache, a piece at a call, each for a thread.

        Nothing where less is wanted of it than a quarter, or where it is larger than half of the memory.
        Rows are read by single pages, which a cold disk answers at a thirtieth of its speed.
        """
        if self._path == MEMORY:
            return
        size = os.path.getsize(self._path)
        memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if wanted_bytes * _WANTED_SHARE >= size and size <= memory_bytes // 2:
            for start in range(0, size, READING_BYTES):
                yield partial(_read_through, self._path, start)

    def checkpoint(self) -> bool:
        """Move all commits into the database file and sync; whether nothing was left over."""
        if self._checkpointer is self.writer:
            return True
        _, in_log, moved = self._checkpointer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return bool(in_log == moved)

    def close(self) -> None:
        """Close all connections; the last to close checkpoints."""
        for connection in self._open:
            connection.close()

    # --- committed rows, verified -----------------------------------------------------------------

    def one(self, table: Table, sql: str, key: Row) -> Row | None:
        """Return the row with this key, or None."""
        try:
            return self._one(table, sql, key)
        except errors.CorruptData as damage:
            self.damage.note(str(damage))
            raise

    def _one(self, table: Table, sql: str, key: Row) -> Row | None:
        try:
            row = self._select(sql, key).fetchone()
        except SQLITE_ERRORS as error:
            raise failure(error, table.describe(key)) from error
        if row is None:
            return None
        if row[: len(key)] != key:
            raise errors.CorruptData(f"{table.describe(row)} is in the place of {key}")
        return table.verify(row)

    def some(
        self, table: Table | None, sql: str, inodes: Sequence[int], before: Row = ()
    ) -> list[Row]:
        """Return the sound rows of up to `NODES_AT_ONCE` inodes; damage is for others to tell.

        Without a table, rows are not verified.  `before` are the parameters before the inodes.
        """
        padding = (0,) * (schema.NODES_AT_ONCE - len(inodes))
        return self.sound(table, sql, (*before, *inodes, *padding))

    def sound(self, table: Table | None, sql: str, key: Row) -> list[Row]:
        """Return the sound rows of a query; damage is for others to tell."""
        try:
            found = self._select(sql, key).fetchall()
        except SQLITE_ERRORS:
            return []
        return found if table is None else [row for row in found if table.holds(row)]

    def many(
        self, table: Table, sql: str, key: int, bounds: Row = (), *, column: int = 0
    ) -> list[Row]:
        """Return the rows whose `column` is `key`, within the bounds of the query."""
        try:
            return self._many(table, sql, key, bounds, column)
        except errors.CorruptData as damage:
            self.damage.note(str(damage))
            raise

    def _many(self, table: Table, sql: str, key: int, bounds: Row, column: int) -> list[Row]:
        try:
            found = self._select(sql, (key, *bounds)).fetchall()
        except SQLITE_ERRORS as error:
            raise failure(error, f"state rows {table.name}, {key}") from error
        for row in found:
            if row[column] != key:
                raise errors.CorruptData(f"{table.describe(row)} is in the place of {key}")
            table.verify(row)
        return found

    def each(self, sql: str, key: Row = ()) -> Iterator[Row]:
        """Yield the rows of any query as they are, unverified, while other things may happen.

        It has a connection of its own: rows that are left to read would keep the reader from seeing
        what is committed meanwhile.
        """
        connection = self.writer
        try:
            connection = self.writer if self._path == MEMORY else self._connection()
            cursor = connection.execute(sql, key)
            while found := cursor.fetchmany(ROWS_AT_ONCE):
                yield from found
        except SQLITE_ERRORS as error:
            raise failure(error, "state view") from error
        finally:
            if connection is not self.writer:
                connection.close()

    def all(self, sql: str) -> list[Row]:
        """Return the rows of a query that finds few, unverified."""
        try:
            return self._select(sql).fetchall()
        except SQLITE_ERRORS as error:
            raise failure(error, "state view") from error

    def live_bytes(self) -> dict[Segment, int]:
        """Return the live bytes of all segments."""
        return {row[0]: rows.SEGMENTS.verify(row)[1] for row in self.all(schema.SELECT_SEGMENTS)}

    def dentry(self, parent: int, name: bytes) -> Row | None:
        """Return the row of a name, or None; names have a second copy for when one is damaged."""
        try:
            return self.one(rows.DENTRIES, schema.SELECT_DENTRY, (parent, name))
        except errors.CorruptData:
            for row in self._rescue(parent).rows:
                if row[1] == name:
                    return row
            raise

    def lacks(self, parent: int, name: bytes) -> bool:
        """Whether a name that was looked for in vain is not there; False where damage may hide it.

        Damage to a row, wherever in the tree it is, leaves an unsound row beside the place where the
        search ends.  Damage to what holds pages together loses or repeats whole rows, and the two copies
        of the directory's names are then no longer the same: that is asked once between two refreshes.
        """
        try:
            if parent not in self._equal:
                self._compare(parent)
            return all(
                row is None or rows.DENTRIES.holds(row)
                for row in (
                    self._select(sql, (parent, name)).fetchone() for sql in schema.NEIGHBOURS
                )
            )
        except (*SQLITE_ERRORS, errors.CorruptData):
            return False

    def _compare(self, parent: int) -> None:
        """Raise `CorruptData` unless both copies of a directory's names are whole."""
        first, second = (self._select(sql, (parent,)).fetchone() for sql in schema.SUMMED_DENTRIES)
        if first != second or first[0] != self._children(parent):
            raise errors.CorruptData(f"state rows dentries, {parent}")
        if len(self._equal) >= EQUAL_MAX:
            self._equal.clear()
        self._equal.add(parent)

    def listing(self, parent: int, cookie: int, cookie_max: int, limit: int) -> list[Row]:
        """Return the rows of the next names of a directory in the order of their cookies.

        Where one copy of a name is damaged, the other one serves; `is_torn` says whether some have
        neither.
        """
        bounds = (cookie, cookie_max, limit)
        try:
            return self.many(rows.DENTRIES, schema.SELECT_DENTRIES, parent, bounds)
        except errors.CorruptData:
            found = self._rescue(parent).rows
        start = bisect_right(found, cookie, key=_COOKIE)
        end = bisect_right(found, cookie_max, key=_COOKIE)
        return found[start : min(end, start + limit)]

    def is_torn(self, parent: int) -> bool:
        """Whether the last damage met in the listing of a directory hides some of its names."""
        return self._rescued is not None and self._rescued[:2] == (parent, True)

    def _rescue(self, parent: int) -> "Rescued":
        """Return the names of a directory of which one copy at least is sound; kept until `refresh`."""
        if self._rescued is None or self._rescued.parent != parent:
            found = rescued_rows(
                self._reader, rows.DENTRIES, [(sql, (parent,)) for sql in schema.RESCUE_DENTRIES]
            )
            sound = sorted((row for row in found.values() if row[0] == parent), key=_COOKIE)
            self._rescued = Rescued(parent, len(sound) != self._children(parent), sound)
        return self._rescued

    def _children(self, parent: int) -> int | None:
        """Return how many names a directory says it has, if that can be told."""
        try:
            row = self._one(rows.NODES, schema.SELECT_NODE, (parent,))
        except errors.CorruptData:
            return None
        return None if row is None else row[rows.CHILDREN]

    def meta(self, key: str) -> int | bytes | None:
        """Return a value of `meta`, or None."""
        row = self.one(rows.META, schema.SELECT_META, (key.encode(),))
        return None if row is None else row[1]

    def extents(self, ino: int) -> list[Extent]:
        """Return the extents of an inode, by offset."""
        found = self.many(rows.EXTENTS, schema.SELECT_EXTENTS, ino)
        return [rows.extent_of(row) for row in found]

    def orphans(self) -> list[int]:
        """Return the inodes that have no name, as far as their rows can be believed.

        The caller removes them for good: a damaged row must not lead to that.
        """
        found = self.all(schema.SELECT_ORPHANS)
        return [row[0] for row in found if rows.NODES.holds(row) and row[4] == 0]


def _read_through(path: str, start: int) -> None:
    """Read a piece of a file, for nothing but its pages in the cache; a failure is for others to meet."""
    buffer = bytearray(_READ_BYTES)
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(start)
            for _ in range(READING_BYTES // _READ_BYTES):
                file.readinto(buffer)
    except OSError:
        return


class Rescued(NamedTuple):
    """What two copies of a directory's names have between them."""

    parent: int
    is_torn: bool  # fewer than there should be
    rows: list[Row]  # in the order of their cookies


_COOKIE: Final = itemgetter(3)


def rescued_rows(
    connection: sqlite3.Connection, table: Table, queries: Iterable[tuple[str, Row]]
) -> dict[Row, Row]:
    """Return by key the sound rows that any of the queries finds before it meets a broken page.

    To read a table from both its ends takes two queries.
    """
    found: dict[Row, Row] = {}
    for sql, key in queries:
        try:
            for row in connection.execute(sql, key):
                if table.holds(row):
                    found[row[: table.keys]] = row
        except SQLITE_ERRORS:
            continue
    return found


SQLITE_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""What the module raises; the second when damage is in a message that it wants to give."""


def failure(error: Exception, what: str) -> errors.VexfsError:
    """Return the domain error for one of `SQLITE_ERRORS`, about `what`."""
    if isinstance(error, UnicodeDecodeError):
        return errors.CorruptData(f"{what}: {error.object!r}")
    code = getattr(error, "sqlite_errorcode", -1)  # the module itself raises some without
    kind = _FAILURES.get(code) or _FAILURES.get(code & PRIMARY_CODE, errors.StoreFailed)
    return kind(f"{what}: {error}")


PRIMARY_CODE: Final = 0xFF
"""An extended result code has its primary one in these bits."""

_FAILURES: Final[dict[int, type[errors.VexfsError]]] = {
    sqlite3.SQLITE_ERROR: errors.CorruptData,  # our statements are right: a table must be missing
    sqlite3.SQLITE_CORRUPT: errors.CorruptData,
    sqlite3.SQLITE_NOTADB: errors.CorruptData,
    sqlite3.SQLITE_FULL: errors.NoSpace,
    sqlite3.SQLITE_IOERR_SHMSIZE: errors.NoSpace,
    sqlite3.SQLITE_BUSY: errors.StoreLocked,
    sqlite3.SQLITE_LOCKED: errors.StoreLocked,
}
