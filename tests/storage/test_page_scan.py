"""The rows that stand on the pages of a view are those that SQLite finds there."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.storage.test_state import node
from tests.support.states import commit
from vexfs_fuse.storage import rows
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.page_scan import records
from vexfs_fuse.storage.rows import Row, SpaceRow, VectorRow
from vexfs_fuse.storage.state import State
from vexfs_fuse.units import ROOT, Inode, Lsn, Segment

TABLES = {
    rows.NODES: "SELECT * FROM nodes",
    rows.DENTRIES: "SELECT * FROM dentries",
    rows.XATTRS: "SELECT * FROM xattrs",
    rows.EXTENTS: "SELECT * FROM extents",
    rows.VECTORS: "SELECT * FROM vectors",
    rows.SPACES: "SELECT * FROM spaces",
    rows.META: "SELECT * FROM meta",
}


def make(path: Path, rng: random.Random, count: int) -> None:
    """Rows of all tables, some much longer than a page; then some go again, which frees pages."""
    state = State.open(path)
    for number in range(1, count + 1):
        ino = Inode(number)
        link = node(number, size=rng.randrange(1 << 62), mtime=-rng.randrange(1 << 40))
        link.target = rng.choice([None, b"", rng.randbytes(4_095)])
        state.touch(link)
        state.put_dentry(ROOT, rng.randbytes(rng.choice([1, 30, 255])), (number, number, 0o100000))
        state.put_xattr(ino, b"user.a", rng.randbytes(rng.choice([0, 100, 5_000, 65_536])))
        sums = rng.randbytes(8 * rng.choice([1, 4, 256]))
        inline = rng.choice([None, rng.randbytes(3_000)])
        state.put_extents(ino, [], [Extent(0, 1, Segment(1), 48, 0, 1, sums, inline)])
        state.put_vector(ino, 1, 0, VectorRow(number, 1, 0, rng.randbytes(4 * 384)))
    state.put_space(1, SpaceRow(1, b"default", 384, b"cosine", b""))
    commit(state, Lsn(count))
    for number in range(1, count + 1, 3):
        state.put_xattr(Inode(number), b"user.a", None)
        state.put_extents(Inode(number), state.extents(Inode(number)), [])
        state.drop_node(Inode(number))
    commit(state, Lsn(count + 1))
    state.close()


def found_on_pages(path: Path) -> dict[str, dict[Row, Row]]:
    found: dict[str, dict[Row, Row]] = {table.name: {} for table in TABLES}
    for record in records(path):
        for row in rows.readings(record.rowid, record.values):
            for table in TABLES:
                if table.holds(row):
                    found[table.name][row[: table.keys]] = row
    return found


def found_by_queries(path: Path) -> dict[str, dict[Row, Row]]:
    with closing(sqlite3.connect(path)) as view:
        view.text_factory = bytes
        return {
            table.name: {row[: table.keys]: row for row in view.execute(sql)}
            for table, sql in TABLES.items()
        }


@pytest.mark.parametrize(("seed", "count"), [(1, 0), (2, 3), (3, 40), (4, 400)])
def test_pages_hold_what_queries_find(tmp_path: Path, seed: int, count: int) -> None:
    path = tmp_path / "state.sqlite3"
    make(path, random.Random(seed), count)
    assert found_on_pages(path) == found_by_queries(path)


@pytest.mark.parametrize("seed", range(10))
def test_garbage_on_pages_is_left_out(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "state.sqlite3"
    rng = random.Random(seed)
    make(path, rng, 30)
    sound = found_by_queries(path)
    data = bytearray(path.read_bytes())
    for _ in range(40):
        at = rng.randrange(4_096, len(data))
        data[at : at + 8] = rng.randbytes(len(data[at : at + 8]))
    path.write_bytes(data)
    for table, found in found_on_pages(path).items():
        assert found.items() <= sound[table].items()


def test_what_is_no_database_has_no_records(tmp_path: Path) -> None:
    for contents in (b"", b"short", bytes(10_000), b"\xff" * 10_000):
        (tmp_path / "file").write_bytes(contents)
        assert list(records(tmp_path / "file")) == []
