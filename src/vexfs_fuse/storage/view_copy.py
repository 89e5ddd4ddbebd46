"""A copy of a damaged state view that SQLite can open, whatever is left of it.

SQLite finds tables through the schema, which stands in the first page and a few others: when one of
them is damaged nothing can be read.  All views are made by the same statements, so these pages are the
same in all of them, and those of an empty view can take their places.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from vexfs_fuse.storage.database import SQLITE_ERRORS
from vexfs_fuse.storage.page_scan import records
from vexfs_fuse.storage.rows import META, NODES, readings
from vexfs_fuse.storage.schema import SELECT_META
from vexfs_fuse.storage.state import State
from vexfs_fuse.units import Lsn

_LOG: Final = "-wal"
# Offsets in the first page: https://www.sqlite.org/fileformat2.html#the_database_header
_CHANGE_COUNTER: Final = 24
_PAGE_COUNT: Final = 28
_VALID_FOR: Final = 92


def readable_copy(damaged: Path, directory: Path) -> Path | None:
    """Copy a view into `directory`, with new schema pages if it needs them; None if nothing is left."""
    if not damaged.exists():
        return None
    # Closing a copy moves its log into it.
    plain = _copied(damaged, directory / "as-it-is")
    grafted = _copied(damaged, directory / "with-schema")
    _graft(grafted, directory / "empty")
    counts = {path: _sound_rows(path) for path in (plain, grafted)}
    best = max(counts, key=lambda path: counts[path])
    return best if counts[best] or _has_sound_pages(plain) else None


def applied_in(damaged: Path) -> Lsn:
    """Return the record that a view says it is at; 0 when that cannot be read."""
    if not damaged.exists():
        return Lsn(0)
    try:
        with closing(sqlite3.connect(f"{damaged.as_uri()}?mode=ro", uri=True)) as database:
            database.text_factory = bytes
            row = database.execute(SELECT_META, (b"applied",)).fetchone()
    except SQLITE_ERRORS:
        return Lsn(0)
    return Lsn(row[1]) if row is not None and META.holds(row) else Lsn(0)


def _copied(damaged: Path, target: Path) -> Path:
    shutil.copyfile(damaged, target)
    log = damaged.with_name(damaged.name + _LOG)
    if log.exists():
        shutil.copyfile(log, target.with_name(target.name + _LOG))
    return target


def _graft(path: Path, empty: Path) -> None:
    """Put the schema pages of an empty view into the file."""
    State.open(empty).close()
    with closing(sqlite3.connect(empty)) as database:
        page_bytes = database.execute("PRAGMA page_size").fetchone()[0]
        count = database.execute("PRAGMA page_count").fetchone()[0]
        roots = {row[0] for row in database.execute("SELECT rootpage FROM sqlite_schema")}
    pages = empty.read_bytes()
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        for number in set(range(1, count + 1)) - roots:
            start = (number - 1) * page_bytes
            file.seek(start)
            file.write(pages[start : start + page_bytes])
        # A page count that is not valid for the change counter is not believed; the size is.
        for offset, value in ((_CHANGE_COUNTER, 2), (_VALID_FOR, 1), (_PAGE_COUNT, 0)):
            file.seek(offset)
            file.write(value.to_bytes(4, "big"))
        file.truncate(max(size, count * page_bytes) // page_bytes * page_bytes)


def _has_sound_pages(path: Path) -> bool:
    return any(
        NODES.holds(row)
        for record in records(path)
        for row in readings(record.rowid, record.values)
    )


def _sound_rows(path: Path) -> int:
    """Count the inodes that can be read, from both ends of a broken table; those between count twice."""
    count = 0
    with closing(sqlite3.connect(path)) as database:
        database.text_factory = bytes
        for direction in ("ASC", "DESC"):
            try:
                for row in database.execute(f"SELECT * FROM nodes ORDER BY ino {direction}"):
                    count += NODES.holds(row)
            except SQLITE_ERRORS:
                continue
    return count
