"""Writes `text.sqlite3`: which words are in which files, and which files are still to be read.

There is one writer, the indexer.  Knows no journal and no file formats.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from vexfs_fuse.errors import CorruptData
from vexfs_fuse.text import schema
from vexfs_fuse.text.document import Passage
from vexfs_fuse.text.schema import NUMBER_BITS, PASSAGES_MAX, stored_name, stored_text
from vexfs_fuse.units import Inode

CACHE_KIB: Final = 16 * 1024

NAME_TABLES: Final = ("names", "name_letters")

BUSY_S: Final = 10.0
"""How long a commit waits for a checkpoint of its own file to end."""


_COUNTS: Final = """
SELECT count(*), count(error),
       (SELECT count(*) FROM contents JOIN files USING (content) WHERE is_cut AND error IS NULL)
FROM files"""


class FileState(NamedTuple):
    """What the index knows of an inode."""

    name: bytes
    content: bytes | None
    """Hash of the bytes that were indexed; None: not known."""
    passages: int
    error: str | None


class TextIndex:
    """The index, as of the last `commit`, with what has been done since.

    A file that is damaged, or of another revision, is removed and begun anew: `position` is 0 then, and
    `damage` says why.  Methods raise `CorruptData` when damage shows later; `begin_anew` then helps.
    Leaving without `commit` undoes what came after the last one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage: str | None = None
        self.position = 0
        """Lsn up to which everything is in the index or in `pending`, once it is committed."""
        try:
            self._open()
        except CorruptData as damaged:
            self.begin_anew(str(damaged))

    def begin_anew(self, reason: str) -> None:
        """Throw the index away, for damage or another reason, and begin with an empty one."""
        self.close()
        for path in schema.files_of(self._path):
            path.unlink(missing_ok=True)
        self._open()
        self.damage = reason

    def _open(self) -> None:
        is_there = self._path.exists()
        self._connection = sqlite3.connect(
            self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        with _failures():
            if is_there:
                self._check()
            else:
                os.chmod(self._path, 0o600)
            for pragma in (
                "journal_mode = WAL",
                "synchronous = NORMAL",
                "temp_store = MEMORY",
                f"cache_size = -{CACHE_KIB}",
            ):
                self._execute(f"PRAGMA {pragma}").fetchall()
            if self._value("PRAGMA application_id") != schema.APPLICATION_ID:
                self._connection.executescript(
                    f"BEGIN; {schema.TABLES}"
                    f"PRAGMA application_id = {schema.APPLICATION_ID};"
                    f"PRAGMA user_version = {schema.REVISION}; COMMIT;"
                )
            self.position = int(self.get_meta("position") or 0)
            waiting = self._execute("SELECT ino FROM pending ORDER BY number")
            self.pending = Pending(self._execute, [Inode(ino) for (ino,) in waiting])
            self._execute("BEGIN IMMEDIATE")

    def _check(self) -> None:
        if self._value("PRAGMA schema_version") == 0:
            return  # nothing was ever committed to it
        if self._value("PRAGMA application_id") != schema.APPLICATION_ID:
            raise CorruptData(f"{self._path} is no text index")
        if self._value("PRAGMA user_version") != schema.REVISION:
            raise CorruptData("text index of another revision")
        found = self._value("PRAGMA quick_check(1)")
        if found != "ok":
            raise CorruptData(f"text index: {found}")

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    def _value(self, statement: str, values: Sequence[Any] = ()) -> Any:
        row = self._execute(statement, values).fetchone()
        return None if row is None else row[0]

    # -- asking --------------------------------------------------------------------------------

    def state(self, ino: Inode) -> FileState | None:
        """Return what is known of an inode; None: it was never looked at."""
        with _failures():
            row = self._execute(
                "SELECT name, hash, coalesce(passages, 0), error FROM files"
                " LEFT JOIN contents USING (content) WHERE ino = ?",
                (ino,),
            ).fetchone()
        return None if row is None else FileState(*row)

    def known(self, content: bytes) -> Inode | None:
        """Return an inode whose text is in the index and that has these contents, if there is one."""
        with _failures():
            ino = self._value(
                "SELECT ino FROM contents JOIN files USING (content)"
                " WHERE hash = ? AND error IS NULL ORDER BY ino LIMIT 1",
                (content,),
            )
        return None if ino is None else Inode(ino)

    def passages(self, content: bytes) -> tuple[str, list[Passage]] | None:
        """Return the title and the passages of contents that are in the index."""
        with _failures():
            found = self._execute(
                "SELECT content, title FROM contents WHERE hash = ?", (content,)
            ).fetchone()
            return None if found is None else (found[1], list(self._passages(found[0])))

    def _passages(self, number: int) -> Iterator[Passage]:
        low = number << NUMBER_BITS
        rows = self._execute(
            "SELECT passage, first_line, last_line, text FROM passages"
            " WHERE passage > ? AND passage <= ? ORDER BY passage",
            (low, low + PASSAGES_MAX),
        )
        return (Passage(passage - low, *rest) for passage, *rest in rows)

    def is_embedded(self, ino: Inode) -> bool:
        """Whether an inode has had the vectors of the contents that it is known to have."""
        with _failures():
            return self._value("SELECT 1 FROM embedded WHERE ino = ?", (ino,)) is not None

    def inodes(self) -> list[Inode]:
        """Return all inodes that were looked at, in order."""
        with _failures():
            return [Inode(ino) for (ino,) in self._execute("SELECT ino FROM files ORDER BY ino")]

    def counts(self) -> tuple[int, int, int]:
        """Return how many inodes are in the index, how many of them have failed, and how many are cut."""
        with _failures():
            files, failed, cut = self._execute(_COUNTS).fetchone()
        return int(files), int(failed), int(cut)

    def get_meta(self, key: str) -> Any:
        """Return what was kept under a key, or None."""
        with _failures():
            return self._value("SELECT value FROM meta WHERE key = ?", (key,))

    # -- changing ------------------------------------------------------------------------------

    def set_meta(self, key: str, value: int | str | bytes) -> None:
        """Keep an integer, a text or bytes under a key."""
        with _failures():
            self._execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def put(
        self,
        ino: Inode,
        name: bytes,
        content: bytes,
        title: str,
        passages: Sequence[Passage],
        *,
        is_cut: bool = False,
    ) -> None:
        """Index an inode, in place of what was known of it.

        Title, passages, and whether there is more text than they have, count for the first inode that has
        these contents; for others they may be empty.  Without passages a file is found by its name.
        """
        with _failures():
            number = self._content(content, title, passages, is_cut=is_cut)
            self._set_file(ino, name, number, None)

    def fail(
        self, ino: Inode, reason: str, name: bytes | None = None, content: bytes | None = None
    ) -> None:
        """Note why the text of an inode is not in the index; its name is found all the same."""
        with _failures():
            if name is None:
                name = self._value("SELECT name FROM files WHERE ino = ?", (ino,)) or b""
            number = None if content is None else self._content(content, "", ())
            self._set_file(ino, name, number, stored_text(reason))

    def rename(self, ino: Inode, name: bytes) -> None:
        """Let an inode that is in the index be found by another name; otherwise do nothing."""
        with _failures():
            before = self._value("SELECT name FROM files WHERE ino = ?", (ino,))
            if before is not None and before != name:
                self._forget_name(ino, before)
                self._add_name(ino, name)
                self._execute("UPDATE files SET name = ? WHERE ino = ?", (name, ino))

    def remove(self, ino: Inode) -> None:
        """Forget an inode, if it is known."""
        with _failures():
            row = self._execute("SELECT name, content FROM files WHERE ino = ?", (ino,)).fetchone()
            if row is not None:
                self._forget_name(ino, row[0])
                self._execute("DELETE FROM files WHERE ino = ?", (ino,))
                self._execute("DELETE FROM embedded WHERE ino = ?", (ino,))
                self._drop_unused(row[1])

    def set_embedded(self, ino: Inode) -> None:
        """Note that an inode has the vectors of its contents; it counts until it has others."""
        with _failures():
            self._execute("INSERT OR IGNORE INTO embedded VALUES (?)", (ino,))

    def commit(self) -> None:
        """Make all that was done since the last one durable, and seen by readers: all or nothing."""
        with _failures():
            self._execute("INSERT OR REPLACE INTO meta VALUES ('position', ?)", (self.position,))
            self._execute("COMMIT")
            self._execute("BEGIN IMMEDIATE")

    def close(self) -> None:
        """Undo what is not committed, and close."""
        self._connection.close()

    def _set_file(self, ino: Inode, name: bytes, number: int | None, error: str | None) -> None:
        row = self._execute("SELECT name, content FROM files WHERE ino = ?", (ino,)).fetchone()
        if row is None or row[0] != name:
            if row is not None:
                self._forget_name(ino, row[0])
            self._add_name(ino, name)
        self._execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (ino, name, number, error)
        )
        if row is not None and row[1] != number:
            self._execute("DELETE FROM embedded WHERE ino = ?", (ino,))
            self._drop_unused(row[1])

    def _add_name(self, ino: Inode, name: bytes) -> None:
        for table in NAME_TABLES:
            self._execute(
                f"INSERT INTO {table} (rowid, name) VALUES (?, ?)", (ino, stored_name(name))
            )

    def _forget_name(self, ino: Inode, name: bytes) -> None:
        for table in NAME_TABLES:
            self._execute(
                f"INSERT INTO {table} ({table}, rowid, name) VALUES ('delete', ?, ?)",
                (ino, stored_name(name)),
            )

    def _content(
        self, content: bytes, title: str, passages: Sequence[Passage], *, is_cut: bool = False
    ) -> int:
        """Return the number of contents; add their words if they are not there yet."""
        row = self._execute(
            "SELECT content, passages FROM contents WHERE hash = ?", (content,)
        ).fetchone()
        if row is not None and (row[1] or not passages):
            return int(row[0])
        title = stored_text(title)
        kept = passages[:PASSAGES_MAX]
        is_cut = is_cut or len(passages) > len(kept)
        if row is None:
            number = self._execute(
                "INSERT INTO contents (hash, title, passages, is_cut) VALUES (?, ?, ?, ?)",
                (content, title, len(kept), is_cut),
            ).lastrowid
            assert number is not None
        else:
            number = int(row[0])
            self._execute(
                "UPDATE contents SET title = ?, passages = ?, is_cut = ? WHERE content = ?",
                (title, len(kept), is_cut, number),
            )
        rows = [
            (
                number << NUMBER_BITS | at,
                passage.first_line,
                passage.last_line,
                stored_text(passage.text),
            )
            for at, passage in enumerate(kept, 1)
        ]
        self._connection.executemany("INSERT INTO passages VALUES (?, ?, ?, ?)", rows)
        self._connection.executemany(
            "INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)",
            [(row[0], title, row[3]) for row in rows],
        )
        return number

    def _drop_unused(self, number: int | None) -> None:
        """Forget contents that no file has any more."""
        if number is None or self._value(
            "SELECT 1 FROM files WHERE content = ? LIMIT 1", (number,)
        ):
            return
        low = number << NUMBER_BITS
        title = self._value("SELECT title FROM contents WHERE content = ?", (number,))
        self._connection.executemany(
            "INSERT INTO words (words, rowid, title, text) VALUES ('delete', ?, ?, ?)",
            [(low + passage.number, title, passage.text) for passage in self._passages(number)],
        )
        self._execute(
            "DELETE FROM passages WHERE passage > ? AND passage <= ?", (low, low + PASSAGES_MAX)
        )
        self._execute("DELETE FROM contents WHERE content = ?", (number,))


class Pending:
    """The inodes that are to be indexed, in the order in which they came; each is there once."""

    def __init__(self, execute: Callable[..., Any], inos: Sequence[Inode]) -> None:
        self._execute = execute
        self._inos = dict.fromkeys(inos)

    def __len__(self) -> int:
        return len(self._inos)

    def __iter__(self) -> Iterator[Inode]:
        return iter(self._inos)

    def __contains__(self, ino: object) -> bool:
        return ino in self._inos

    def add(self, ino: Inode) -> None:
        """Put an inode at the end, unless it is there."""
        if ino not in self._inos:
            self._inos[ino] = None
            with _failures():
                self._execute("INSERT INTO pending (ino) VALUES (?)", (ino,))

    def discard(self, ino: Inode) -> None:
        """Take an inode out, if it is there."""
        if ino in self._inos:
            del self._inos[ino]
            with _failures():
                self._execute("DELETE FROM pending WHERE ino = ?", (ino,))


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise schema.failure(error) from error
