"""The state view, by example."""

import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.states import commit
from vexfs_fuse.storage.database import MEMORY
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.rows import VectorRow
from vexfs_fuse.storage.state import State, Totals
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import ROOT, Inode, Lsn, Segment

FILE = stat.S_IFREG


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite3"


@pytest.fixture
def state(path: Path) -> Iterator[State]:
    state = State.open(path)
    yield state
    state.close()


def node(ino: int, **columns: int) -> Node:
    made = Node(Inode(ino), FILE | 0o644, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, Inode(0), None, 0)
    for name, value in columns.items():
        setattr(made, name, value)
    return made


def extent(offset: int, length: int, segment: int = 1) -> Extent:
    return Extent(offset, length, Segment(segment), 4096, 0, length, b"\1" * 8)


def test_committed_rows_are_there_after_reopening(state: State, path: Path) -> None:
    file = node(7, size=2**63 - 1, mtime=-5 * 10**9, atime=9 * 10**18)
    state.touch(file)
    state.put_dentry(ROOT, b"\xff\n", (7, 3, FILE))
    state.put_xattr(Inode(7), b"user.a", b"\0\1")
    state.put_extents(Inode(7), [], [extent(0, 100), extent(200, 50, segment=2)])
    state.put_meta("colour", b"green")
    commit(state, Lsn(3))
    state.close()
    again = State.open(path)
    assert again.applied == again.durable == 3
    assert again.node_row(Inode(7)) == file.row()
    assert again.dentry(ROOT, b"\xff\n") == (7, 3, FILE)
    assert again.xattrs(Inode(7)) == {b"user.a": b"\0\1"}
    assert again.extents(Inode(7)) == [extent(0, 100), extent(200, 50, segment=2)]
    assert again.live_bytes() == {1: 100, 2: 50}
    assert again.counts() == Totals(1, 150)
    assert again.get_meta("colour") == b"green"
    assert again.last_inode == 7
    again.close()


def test_a_commit_under_way_keeps_the_row_as_it_was_at_the_freeze(state: State, path: Path) -> None:
    file = node(7, size=1)
    state.touch(file)
    frozen = state.freeze(Lsn(1))
    state.touch(file)
    file.size = 2
    while not frozen.step(1):
        pass
    frozen.finish()
    state.settle(frozen)
    other = State.open(path)
    row = other.node_row(Inode(7))
    other.close()
    assert row is not None
    assert row[5] == 1
    assert state.dirty_node(Inode(7)) is file


@pytest.mark.parametrize(
    "column", ["size", "atime", "mtime", "ctime", "btime", "rdev", "uid", "mode", "nlink"]
)
@pytest.mark.parametrize("value", [-(2**63), -1, 0, 5 * 10**18, 2**63 - 1])
def test_every_column_holds_63_bits_and_a_sign(state: State, column: str, value: int) -> None:
    state.touch(node(1, **{column: value}))
    commit(state, Lsn(1))
    row = state.node_row(ROOT)
    assert row is not None
    assert getattr(Node(*row), column) == value


def test_names_that_come_and_go_neither_hide_nor_repeat_others_in_a_listing(state: State) -> None:
    for number in range(1, 301):
        state.put_dentry(ROOT, b"%d" % number, (number, number, FILE))
    state.touch(node(1))
    commit(state, Lsn(300))
    listed: list[bytes] = []
    cookie, lsn = 0, 300
    while page := state.dentries_after(ROOT, cookie, 7):
        listed += [name for name, *_ in page]
        cookie = page[-1][2]
        for name, *_ in page[:3]:  # as `rm -r` does
            state.put_dentry(ROOT, name, None)
        if lsn < 305:
            lsn += 1
            state.put_dentry(ROOT, b"late-%d" % lsn, (lsn, lsn, FILE))
        if cookie == 49:
            commit(state, Lsn(lsn))
    assert listed == [b"%d" % n for n in range(1, 301)] + [b"late-%d" % n for n in range(301, 306)]


def test_a_replaced_name_keeps_its_place_in_a_listing(state: State) -> None:
    for number in (1, 2, 3):
        state.put_dentry(ROOT, b"%d" % number, (number, number, FILE))
    state.touch(node(1))
    commit(state, Lsn(3))
    state.put_dentry(ROOT, b"2", (9, 2, FILE))
    listing = [(b"1", 1, 1, FILE), (b"2", 9, 2, FILE), (b"3", 3, 3, FILE)]
    assert state.dentries_after(ROOT, 0, 10) == listing
    commit(state, Lsn(4))
    assert state.dentries_after(ROOT, 0, 10) == listing


def test_opening_takes_the_same_work_whatever_the_view_holds(path: Path) -> None:
    assert 0 < _instructions_at_open(path, 10) == _instructions_at_open(path, 3_000)


def _instructions_at_open(path: Path, names: int) -> int:
    """Return how many instructions SQLite's machine runs to open a view with so many names."""
    state = State.open(path)
    lsn = Lsn(state.applied + names)
    for number in range(state.applied + 1, lsn + 1):
        state.touch(node(number))
        state.put_dentry(ROOT, b"%d" % number, (number, number, FILE))
        state.put_extents(Inode(number), [], [extent(0, 10)])
    commit(state, lsn)
    state.close()
    count = 0

    def counted() -> int:
        nonlocal count
        count += 1
        return 0

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = sqlite3.connect(*arguments, **options)
        connection.set_progress_handler(counted, 1)
        return connection

    State.open(path, connect).close()
    return count


def test_an_inode_born_and_dropped_between_two_commits_leaves_no_rows(state: State) -> None:
    state.touch(node(1))
    commit(state, Lsn(1))
    state.touch(node(2))
    state.put_xattr(Inode(2), b"user.a", b"1")
    state.put_extents(Inode(2), [], [extent(0, 10)])
    state.put_extents(Inode(2), state.extents(Inode(2)), [])
    state.drop_node(Inode(2))
    assert state.counts() == Totals(1, 0)
    written = commit(state, Lsn(2))
    assert written.rows == len(["segment 1", "applied", "inodes", "last_inode"])
    assert state.last_inode == 2


def test_a_slice_writes_no_more_rows_than_asked_for(state: State) -> None:
    for number in range(1, 30):
        state.touch(node(number))
        state.put_dentry(ROOT, b"%d" % number, (number, number, FILE))
    slices = state.freeze(Lsn(29))
    done, before = False, 0
    while not done:
        done = slices.step(4)
        assert slices.rows <= before + 4
        before = slices.rows
    assert before == 29 + 29 + 3
    slices.finish()
    state.settle(slices)


def test_a_settled_commit_lets_go_of_its_memory_in_slices(state: State) -> None:
    nodes = [node(number) for number in range(1, 101)]
    for number, one in enumerate(nodes, 1):
        state.touch(one)
        state.put_dentry(ROOT, b"%d" % number, (number, number, FILE))
    done = commit(state, Lsn(100))
    assert [done.release(60) for _ in range(4)] == [False, False, False, True]
    assert sys.getrefcount(nodes[0]) == sys.getrefcount(node(1)) + 1


def test_changes_do_not_pile_up_in_the_log_when_checkpoints_follow_commits(
    state: State, path: Path
) -> None:
    sizes = []
    for round_ in range(1, 6):
        state.touch(node(round_))
        state.put_xattr(Inode(round_), b"user.a", bytes(50_000))
        commit(state, Lsn(round_))
        state.checkpoint()
        assert state.durable == round_
        sizes.append(path.with_name(path.name + "-wal").stat().st_size)
    assert max(sizes) < 2 * sizes[0]


def test_a_query_half_read_hides_no_later_commit_and_sees_none(state: State) -> None:
    vector = VectorRow(1, 0, 0, bytes(16))
    for number in range(1, 2_001):
        state.touch(node(number))
        state.put_vector(Inode(number), 1, 0, vector)
    commit(state, Lsn(2_000))
    reading = state.space_vectors(1)
    assert next(reading) == (ROOT, 0, vector)
    state.put_vector(Inode(1_999), 1, 0, None)
    commit(state, Lsn(2_001))
    assert state.vectors(Inode(1_999)) == {}
    state.touch(node(2_001))
    commit(state, Lsn(2_002))
    assert state.node_row(Inode(2_001)) == node(2_001).row()
    assert len(list(reading)) == 1_999
    state.checkpoint()
    assert state.durable == 2_002


def test_many_rows_come_at_once_but_for_changed_gone_and_damaged_ones(
    state: State, path: Path
) -> None:
    nodes = {ino: node(ino) for ino in range(2, 400)}
    for made in nodes.values():
        state.touch(made)
    commit(state, Lsn(1))
    state.touch(nodes[5])
    state.drop_node(Inode(6))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE nodes SET size = 1 WHERE ino = 7")
    connection.close()
    state.freeze(Lsn(2))
    state.touch(nodes[8])
    rows = {row[0]: row for row in state.committed_nodes(map(Inode, range(500)))}
    assert rows == {ino: each.row() for ino, each in nodes.items() if ino not in {5, 6, 7, 8}}


def test_committed_vectors_are_listed_in_order_and_come_many_at_a_time(
    state: State, path: Path
) -> None:
    for number in range(2, 302):
        state.touch(node(number))
        for passage in range(number % 2 + 1):
            row = VectorRow(1_000 + number, 0, 0, bytes([passage] * 8))
            state.put_vector(Inode(number), 1 + number % 3, passage, row)
    commit(state, Lsn(2_000))
    expected = [
        (number, passage, 1_000 + number)
        for number in range(3, 302, 3)
        for passage in range(number % 2 + 1)
    ]
    assert list(map(tuple, state.listed_vectors(1).tolist())) == expected
    assert state.listed_vectors(9).shape == (0, 3)
    inodes = [Inode(number) for number in range(2, 302)]
    found = list(state.committed_vectors(1, inodes))
    assert sorted((row[0], row[2], row[3]) for row in found) == expected
    assert all(row[6] == bytes([row[2]] * 8) for row in found)
    assert len(list(state.committed_vectors(1, [Inode(3)] * 300))) == 2  # each row once
    far = list(state.committed_vectors(1, [Inode(3), Inode(300)]))
    assert sorted((row[0], row[2]) for row in far) == [(3, 0), (3, 1), (300, 0)]
    _damage(path, "UPDATE vectors SET stale = 1 WHERE ino = 6")
    state._database.refresh()
    assert [row[0] for row in state.committed_vectors(1, [Inode(3), Inode(6)])] == [3, 3]


def test_a_file_is_read_ahead_for_who_wants_much_of_it(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    state = State.open(path)
    size = path.stat().st_size
    pieces = list(state.readings(size))
    assert len(pieces) == 1
    for piece in pieces:
        piece()
    assert not list(state.readings(size // 8))
    state.close()
    path.unlink()
    pieces[0]()  # a failure is for others to meet
    with closing(State.open(MEMORY)) as in_memory:
        assert not list(in_memory.readings(size))


def test_a_listing_that_damage_has_filled_with_text_is_made_of_the_vectors(
    state: State, path: Path
) -> None:
    for number in range(2, 12):
        state.touch(node(number))
        state.put_vector(Inode(number), 1, 0, VectorRow(number, 0, 0, bytes(8)))
    commit(state, Lsn(12))
    _damage(path, "UPDATE vectors SET lsn = 'odd' WHERE ino = 5")
    state._database.refresh()
    assert state.listed_vectors(1)[:, 0].tolist() == [2, 3, 4, 6, 7, 8, 9, 10, 11]


def test_plain_files_come_at_once_and_nothing_else_does(state: State) -> None:
    nodes = {number: node(number, size=number) for number in range(2, 202)}
    nodes[7].nlink = 2
    nodes[8].xattr_count = 1
    for number, made in nodes.items():
        state.touch(made)
        state.put_dentry(ROOT, b"a%d" % number, (number, number, FILE))
    state.put_dentry(ROOT, b"second", (7, 300, FILE))
    commit(state, Lsn(300))
    state.touch(nodes[9])
    state.drop_node(Inode(10))
    found = sorted(state.plain_files([Inode(number) for number in range(2, 300)]))
    plain = [number for number in range(2, 202) if number not in {7, 8, 9, 10}]
    assert found == [
        (number, FILE | 0o644, 0, 0, number, 0, ROOT, b"a%d" % number) for number in plain
    ]


def _damage(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as view, view:
        view.execute(sql)
