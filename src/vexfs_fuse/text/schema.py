"""The tables of `text.sqlite3`: what is found by its words, and how far the indexer has come.

All of it is derived from the volume: deleted, it is made anew.  Names are bytes (BLOB), text is UTF-8.
"""

import re
import sqlite3
from pathlib import Path
from typing import Final

from vexfs_fuse import errors

FILE: Final = "text.sqlite3"
"""Where the index is in the store."""

REVISION: Final = 2
"""`PRAGMA user_version`; a file with another one is made anew."""

APPLICATION_ID: Final = 0x76657874
"""`PRAGMA application_id`: "vext"."""

PASSAGES_MAX: Final = (1 << 16) - 1
"""Passages of one file that can be told apart; text beyond is not found."""

TABLES: Final = """
CREATE TABLE meta (               -- what concerns the index as a whole
    key TEXT PRIMARY KEY,         -- 'position': Lsn of the last record that is in the index or in
                                  -- `pending`; 0: none, so that everything is to be looked at
                                  -- any other key: the indexer's
    value NOT NULL
) WITHOUT ROWID;

CREATE TABLE pending (            -- files that are to be indexed
    number INTEGER PRIMARY KEY,   -- in the order in which they came
    ino INTEGER NOT NULL UNIQUE
);

CREATE TABLE files (              -- one row per inode that was looked at
    ino INTEGER PRIMARY KEY,
    name BLOB NOT NULL,           -- the last part of its path, one of them if it has several
    content INTEGER,              -- number in `contents`; NULL: what is in it is not known
    error TEXT                    -- why its text is not in the index; NULL: it is, or there is none
);

CREATE TABLE embedded (           -- files that have the vectors of the contents that `files` names
    ino INTEGER PRIMARY KEY
);

CREATE INDEX files_by_content ON files (content);

CREATE TABLE contents (           -- what files hold, once for all that hold the same
    content INTEGER PRIMARY KEY,  -- from 1; a number may be given again
    hash BLOB NOT NULL UNIQUE,    -- of the bytes
    title TEXT NOT NULL,
    passages INTEGER NOT NULL,    -- how many rows of `passages`
    is_cut INTEGER NOT NULL       -- 1: there is more text than is taken of one file
);

CREATE TABLE passages (
    passage INTEGER PRIMARY KEY,  -- content * 65,536 + number, which is from 1
    first_line INTEGER NOT NULL,  -- from 1
    last_line INTEGER NOT NULL,   -- inclusive
    text TEXT NOT NULL
);

-- The words of passages by `passages.passage`, and of names by inode; and the letters of names, three by
-- three.  None of them keeps the text itself.
CREATE VIRTUAL TABLE words USING fts5 (
    title, text, content = '', tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE names USING fts5 (
    name, content = '', tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE name_letters USING fts5 (name, content = '', tokenize = 'trigram');
"""

NUMBER_BITS: Final = 16

_WORD: Final = re.compile(r"[^\W_]+")


def failure(error: sqlite3.Error) -> errors.VexfsError:
    """Return the expected failure that an error of SQLite is."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return errors.NoSpace("text index")
    if primary == sqlite3.SQLITE_INTERRUPT:
        return errors.TimedOut("full text search")
    if primary in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
        return errors.StoreFailed(f"text index: {error}")
    return errors.CorruptData(f"text index: {error}")


def files_of(path: Path) -> list[Path]:
    """Return the files that a text index consists of, whether they are there or not."""
    return [Path(f"{path}{suffix}") for suffix in ("", "-wal", "-shm")]


def stored_text(text: str) -> str:
    """Return a text as SQLite takes it: without NUL and without halves of surrogate pairs."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode()


def stored_name(name: bytes) -> str:
    """Return a name as text that words are found in: what is no letter and no digit separates them."""
    return " ".join(_WORD.findall(stored_text(name.decode("utf-8", "replace"))))
