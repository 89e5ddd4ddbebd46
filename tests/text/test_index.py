"""The text index: damage, sharing, and what a reader sees meanwhile."""

import os
from pathlib import Path

import pytest

from vexfs_fuse.errors import CorruptData
from vexfs_fuse.text import schema, words
from vexfs_fuse.text.document import Passage
from vexfs_fuse.text.index import TextIndex
from vexfs_fuse.text.lookup import TextLookup
from vexfs_fuse.units import Inode

HASH = b"0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "text ?#%41.sqlite3"


def filled(path: Path, files: int = 200) -> None:
    index = TextIndex(path)
    for number in range(files):
        text = " ".join(f"word{number * each}" for each in range(200))
        index.put(Inode(number + 2), b"name", number.to_bytes(16), "", [Passage(1, 1, 1, text)])
    index.position = 7
    index.commit()
    index.close()


def test_a_reader_finds_nothing_where_there_is_no_index(path: Path) -> None:
    lookup = TextLookup(path)
    assert lookup.version() is None
    assert lookup.counts() is None
    assert not len(lookup.match(words.read("word"), 10).inos)
    assert not path.exists()


def test_a_file_that_is_none_is_made_anew(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    index = TextIndex(path)
    assert index.damage is not None
    assert index.position == 0
    index.close()


def test_a_database_of_another_program_is_made_anew(path: Path) -> None:
    path.touch()
    index = TextIndex(path)
    index._connection.executescript("PRAGMA application_id = 1")
    index.close()
    index = TextIndex(path)
    assert "is no text index" in str(index.damage)
    index.close()


def test_an_index_of_another_revision_is_made_anew(path: Path) -> None:
    index = TextIndex(path)
    index._connection.executescript(f"PRAGMA user_version = {schema.REVISION + 1}")
    index.close()
    index = TextIndex(path)
    assert "another revision" in str(index.damage)
    index.close()


def test_damaged_pages_are_found_when_it_is_opened(path: Path) -> None:
    filled(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        for offset in range(8192, size, 4096):
            file.seek(offset)
            file.write(os.urandom(64))
    index = TextIndex(path)
    assert index.damage is not None
    assert (index.position, index.inodes()) == (0, [])
    index.close()


def test_a_reader_says_that_the_index_is_damaged_and_reads_the_one_that_is_made_anew(
    path: Path,
) -> None:
    filled(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    lookup = TextLookup(path)
    with pytest.raises(CorruptData):
        lookup.match(words.read("word0 word1"), 10)
    index = TextIndex(path)
    index.put(Inode(2), b"name", HASH, "", [Passage(1, 1, 1, "word1")])
    index.commit()
    assert lookup.match(words.read("word1"), 10).inos.tolist() == [2]
    index.close()
    lookup.close()


def test_text_of_any_kind_is_taken(path: Path) -> None:
    index, lookup = TextIndex(path), TextLookup(path)
    index.put(Inode(2), b"\xff", HASH, "a\0b\ud800", [Passage(1, 1, 1, "c\0d \udfff e")])
    index.commit()
    assert _having(lookup, "d") == [2]
    index.remove(Inode(2))
    index.commit()
    assert not _having(lookup, "d")
    index.close()
    lookup.close()


def test_the_index_is_readable_by_its_owner_only(path: Path) -> None:
    TextIndex(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_whether_all_that_matches_was_told(path: Path) -> None:
    filled(path, files=20)
    lookup = TextLookup(path)
    assert not lookup.match(words.read("word0"), 19).all_there
    assert lookup.match(words.read("word0"), 21).all_there
    lookup.close()


def _having(lookup: TextLookup, word: str) -> list[int]:
    texts, names = lookup.having(f'"{word}"')
    return [*texts.tolist(), *names.tolist()]
