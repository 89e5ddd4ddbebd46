"""Reads `text.sqlite3` for searches, while the indexer writes it.

Every method may wait for the disk: it is called in a worker thread.  Each takes few steps of SQLite and gets
its rows as one value, because a thread that comes back to Python for every row would wait for the loop each
time.  The file may be missing, and it may be made anew at any moment.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Final, NamedTuple

import numpy as np

from vexfs_fuse.errors import CorruptData, TimedOut
from vexfs_fuse.text import schema
from vexfs_fuse.text.schema import NUMBER_BITS, PASSAGES_MAX
from vexfs_fuse.text.words import Words, name_text
from vexfs_fuse.units import Inode

IDLE_CONNECTIONS_MAX: Final = 4
"""Connections that are kept; more searches than this at once open theirs anew."""

CACHE_KIB: Final = 8 * 1024

PATIENCE_S: Final = 5.0
"""A statement that takes longer is given up."""

STEPS_BETWEEN_LOOKS: Final = 500_000
"""Steps of SQLite's machine between two looks at the clock: tens of milliseconds."""

TITLE_WEIGHT: Final = 3.0
"""How much more a word in the title counts than one in the text; see docs/decisions/ranking.md."""

Longs = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]


class Matches(NamedTuple):
    """Files and their best passages, in columns, the best first."""

    inos: Longs
    passages: Longs
    """Numbers from 1; 0: the name alone matches."""
    scores: Doubles
    """By bm25; greater is better, 0 where the name alone matches."""
    named: Doubles
    """Which share of the question's terms is in the name, from 0 to 1."""
    all_there: bool
    """Whether there are no more."""

    def only(self, mask: Bools) -> "Matches":
        """Return the matches of which a mask says so."""
        inos, passages, scores, named, all_there = self
        return Matches(inos[mask], passages[mask], scores[mask], named[mask], all_there)


NO_MATCHES: Final = Matches(
    np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0), all_there=True
)


class Settled(NamedTuple):
    """What the index is done with."""

    position: int
    """Lsn up to which it has followed the journal."""
    inos: Longs
    """Those of the inodes asked for that are not pending."""


NOTHING_SETTLED: Final = Settled(-1, np.zeros(0, np.int64))


class Excerpt(NamedTuple):
    """A passage as it was indexed."""

    first_line: int
    last_line: int
    text: str


class Counts(NamedTuple):
    """How much there is."""

    position: int
    files: int
    failed: int
    pending: int
    passages: int


class TextLookup:
    """What the last commit of the indexer left; every method answers as of now.

    Raises `CorruptData` when the file is damaged: the indexer finds that too, and makes it anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[tuple[tuple[int, int], sqlite3.Connection]] = []
        self._watch: tuple[tuple[int, int], sqlite3.Connection] | None = None

    # -- is there anything new? ------------------------------------------------------------------

    def version(self) -> tuple[int, ...] | None:
        """Return what changes with every commit; None: there is no index.  Quick, for the loop."""
        identity = self._identity()
        if identity is None:
            return None
        if self._watch is None or self._watch[0] != identity:
            self._let_go_of_watch()
            connection = self._connect()
            if connection is None:
                return None
            self._watch = identity, connection
        with _failures():
            (version,) = self._watch[1].execute("PRAGMA data_version").fetchone()
        return *identity, version

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    # -- searching -----------------------------------------------------------------------------

    def match(self, words: Words, count: int) -> Matches:
        """Return the files of the `count` passages, and of the `count` names, that match best.

        Raises
        ------
        CorruptData, TimedOut
        """
        if not words.terms:
            return NO_MATCHES
        with self._reading() as connection:
            if connection is None:
                return NO_MATCHES
            told, found = connection.execute(
                _MATCHING.format(title=TITLE_WEIGHT), (words.any_of, count)
            ).fetchone()
            names, named = connection.execute(
                _NAMED, (words.any_of, count, words.named, count)
            ).fetchone()
        by_text = _columns(told, 3)
        inos, shares = _shares(names, words)
        return _merged(by_text, inos, shares, all_there=found < count and named < count)

    def having(self, expression: str) -> tuple[Longs, Longs]:
        """Return the inodes, in order, whose text, and those whose name matches an FTS5 expression.

        Raises
        ------
        CorruptData, TimedOut
        """
        with self._reading() as connection:
            if connection is None:
                return np.zeros(0, np.int64), np.zeros(0, np.int64)
            told = connection.execute(_HAVING, (expression,) * 3).fetchone()
        texts, names = (np.unique(_columns(each, 1)[0].astype(np.int64)) for each in told)
        return texts, names

    def settled(self, inos: str) -> Settled:
        """Return which of some inodes, in JSON, the index is done with, and as of which record.

        Raises
        ------
        CorruptData, TimedOut
        """
        with self._reading() as connection:
            if connection is None or not inos:
                return NOTHING_SETTLED
            position, told = connection.execute(_SETTLED, (inos,)).fetchone()
        return Settled(position, _columns(told, 1)[0].astype(np.int64))

    def waiting(self, count: int) -> tuple[int, list[Inode]]:
        """Return the position in the journal, and the `count` inodes that became pending last.

        Raises
        ------
        CorruptData, TimedOut
        """
        with self._reading() as connection:
            if connection is None:
                return 0, []
            position, told = connection.execute(_WAITING, (count,)).fetchone()
        return position, [Inode(int(ino)) for ino in (told or "").split()]

    def excerpts(self, places: Sequence[tuple[Inode, int]]) -> list[Excerpt | None]:
        """Return passages by (inode, number), None for each that is not there (any more).

        Raises
        ------
        CorruptData, TimedOut
        """
        with self._reading() as connection:
            if connection is None:
                return [None] * len(places)
            rows = [connection.execute(_EXCERPT, place).fetchone() for place in places]
        return [None if row is None else Excerpt(*row) for row in rows]

    def error(self, ino: Inode) -> str | None:
        """Return why an inode's text is not in the index; None: nothing is known to be wrong."""
        with self._reading() as connection:
            if connection is None:
                return None
            row = connection.execute("SELECT error FROM files WHERE ino = ?", (ino,)).fetchone()
        return None if row is None else row[0]

    def is_cut(self, ino: Inode) -> bool:
        """Whether a file has more text than is in the index."""
        with self._reading() as connection:
            if connection is None:
                return False
            found = connection.execute(_IS_CUT, (ino,)).fetchone()
        return found is not None

    def is_pending(self, ino: Inode) -> bool:
        """Whether an inode is to be indexed, or was so a moment ago and may be again after a crash."""
        with self._reading() as connection:
            if connection is None:
                return True
            found = connection.execute("SELECT 1 FROM pending WHERE ino = ?", (ino,)).fetchone()
        return found is not None

    def counts(self) -> Counts | None:
        """Return how much is in the index; None: there is none."""
        with self._reading() as connection:
            if connection is None:
                return None
            return Counts(*connection.execute(_COUNTS).fetchone())

    def close(self) -> None:
        """Let go of the file."""
        self._let_go_of_watch()
        while self._idle:
            self._idle.pop()[1].close()

    def _let_go_of_watch(self) -> None:
        if self._watch is not None:
            self._watch[1].close()
            self._watch = None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """Lend a connection to the file that is there now, within one transaction."""
        identity = self._identity()
        connection = None if identity is None else self._idle_or_opened(identity)
        if identity is None or connection is None:
            yield None
            return
        end_s = monotonic() + PATIENCE_S
        try:
            with _failures():
                connection.set_progress_handler(lambda: monotonic() > end_s, STEPS_BETWEEN_LOOKS)
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
        except (CorruptData, TimedOut):
            connection.close()
            raise
        if len(self._idle) < IDLE_CONNECTIONS_MAX:
            self._idle.append((identity, connection))
        else:
            connection.close()

    def _idle_or_opened(self, identity: tuple[int, int]) -> sqlite3.Connection | None:
        while True:
            try:
                known, connection = self._idle.pop()
            except IndexError:
                return self._connect()
            if known == identity:
                return connection
            connection.close()

    def _connect(self) -> sqlite3.Connection | None:
        """Open the file; None while there is no index in it."""
        path = str(self._path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        with _failures():
            try:
                connection = sqlite3.connect(
                    f"file:{path}?mode=rw",
                    uri=True,
                    timeout=PATIENCE_S,
                    isolation_level=None,
                    check_same_thread=False,
                )
                connection.text_factory = _decoded  # names are bytes
                connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
                connection.execute("PRAGMA query_only = ON")
                (revision,) = connection.execute("PRAGMA user_version").fetchone()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode == sqlite3.SQLITE_CANTOPEN:
                    return None  # it has gone since it was looked for
                raise
        if revision == schema.REVISION:
            return connection
        connection.close()
        return None


_MATCHING: Final = f"""
WITH found AS (
    SELECT rowid AS passage, bm25(words, {{title}}, 1.0) AS badness FROM words
    WHERE words MATCH ? ORDER BY badness LIMIT ?
), best AS (
    SELECT passage >> {NUMBER_BITS} AS content, passage & {PASSAGES_MAX} AS number,
           min(badness) AS badness
    FROM found GROUP BY passage >> {NUMBER_BITS}
)
SELECT group_concat(ino || ' ' || number || ' ' || -badness, ' '), (SELECT count(*) FROM found)
FROM best JOIN files USING (content)"""

_NAMED: Final = """
WITH by_words AS (SELECT rowid AS ino FROM names WHERE names MATCH ? ORDER BY rank LIMIT ?),
by_letters AS (SELECT rowid AS ino FROM name_letters WHERE name_letters MATCH ? ORDER BY rank LIMIT ?)
SELECT group_concat(ino || '/' || CAST(name AS TEXT), '/'),
       max((SELECT count(*) FROM by_words), (SELECT count(*) FROM by_letters))
FROM (SELECT ino FROM by_words UNION SELECT ino FROM by_letters) JOIN files USING (ino)"""

_HAVING: Final = f"""
SELECT (
    SELECT group_concat(ino, ' ')
    FROM (SELECT DISTINCT rowid >> {NUMBER_BITS} AS content FROM words WHERE words MATCH ?)
    JOIN files USING (content)
), (
    SELECT group_concat(ino, ' ') FROM (
        SELECT rowid AS ino FROM names WHERE names MATCH ?
        UNION ALL SELECT rowid FROM name_letters WHERE name_letters MATCH ?)
)"""

_POSITION: Final = "coalesce((SELECT value FROM meta WHERE key = 'position'), 0)"

_SETTLED: Final = f"""
SELECT {_POSITION}, group_concat(value, ' ') FROM json_each(?)
WHERE value NOT IN (SELECT ino FROM pending)"""

_WAITING: Final = f"""
SELECT {_POSITION}, group_concat(ino, ' ')
FROM (SELECT ino FROM pending ORDER BY number DESC LIMIT ?)"""

_EXCERPT: Final = f"""
SELECT first_line, last_line, text FROM files
JOIN passages ON passage = content << {NUMBER_BITS} | ?2 WHERE ino = ?1"""

_IS_CUT: Final = """
SELECT 1 FROM files JOIN contents USING (content) WHERE ino = ? AND is_cut AND error IS NULL"""

_COUNTS: Final = f"""
SELECT {_POSITION}, (SELECT count(*) FROM files),
       (SELECT count(*) FROM files WHERE error IS NOT NULL), (SELECT count(*) FROM pending),
       (SELECT coalesce(sum(passages), 0) FROM contents)"""


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _columns(told: str | None, width: int) -> list[Doubles]:
    """Return the columns of a table of numbers that came as one text."""
    values = np.array((told or "").split(), np.float64)
    return list(values.reshape(-1, width).T)


def _shares(told: str | None, words: Words) -> tuple[Longs, Doubles]:
    """Return inodes, and which share of the terms their names have."""
    parts = (told or "").split("/")
    shares = [words.share(name_text(name)) for name in parts[1::2]]
    return np.array(parts[::2] if told else [], np.int64), np.array(shares, np.float64)


def _merged(by_text: list[Doubles], named: Longs, shares: Doubles, *, all_there: bool) -> Matches:
    """Join what matches by its text and what by its name."""
    inos = by_text[0].astype(np.int64)
    every = np.union1d(inos, named)
    numbers, scores, share = (np.zeros(len(every)) for _ in range(3))
    at = np.searchsorted(every, inos)
    numbers[at], scores[at] = by_text[1], by_text[2]
    share[np.searchsorted(every, named)] = shares
    order = np.lexsort((every, -share, -scores))
    return Matches(
        every[order], numbers.astype(np.int64)[order], scores[order], share[order], all_there
    )


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise schema.failure(error) from error
