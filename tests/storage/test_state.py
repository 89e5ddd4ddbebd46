"""The state view, by example."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.states import commit
from vexfs_fuse.storage.extent import Extent
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
    row = State.open(path).node_row(Inode(7))
    assert row is not None
    assert row[5] == 1
    state.settle(frozen)
    assert state.dirty_node(Inode(7)) is file
