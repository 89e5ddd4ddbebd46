"""Which names of a directory are in memory: few lookups read few rows, many read all at once."""

from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.stores import ROOT_USER, Mounted, SimulatedStore
from vexfs_fuse.tree.tree import LOADED_AT_ONCE, WHOLE_FROM_SHARE
from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.volume.check import check

ENTRIES: Final = 100
SMALL_ENTRIES: Final = 5


@pytest.fixture(scope="module")
def store() -> Iterator[SimulatedStore]:
    """A store with directories of many, some and few names."""
    store = SimulatedStore()
    try:
        mounted = store.open()
        sizes = {b"many": ENTRIES, b"some": LOADED_AT_ONCE, b"few": SMALL_ENTRIES}
        for directory, entries in sizes.items():
            parent = Inode(mounted.vfs.mkdir(ROOT, directory, 0o755, ROOT_USER).ino)
            for number in range(entries):
                mounted.vfs.mknod(parent, b"%d" % number, 0o100644, 0, ROOT_USER)
        assert check(mounted.volume) == []
        mounted.close()
        yield store
    finally:
        store.remove()


@pytest.fixture
def mounted(store: SimulatedStore) -> Iterator[Mounted]:
    with store.twin() as mounted:
        yield mounted


def directory(mounted: Mounted, name: bytes) -> Inode:
    node = mounted.volume.names.find_if_there(ROOT, name)
    assert node is not None
    return Inode(node.ino)


def is_there(mounted: Mounted, parent: Inode, name: bytes) -> bool:
    return mounted.volume.names.find_if_there(parent, name) is not None


def held(mounted: Mounted, parent: Inode) -> int:
    return len(mounted.volume.tree.node(parent).names or ())


def test_one_lookup_reads_one_name(mounted: Mounted) -> None:
    parent = directory(mounted, b"many")
    assert is_there(mounted, parent, b"7")
    assert held(mounted, parent) == 1


def test_all_names_are_read_once_that_pays(mounted: Mounted) -> None:
    parent = directory(mounted, b"many")
    for number in range(ENTRIES // WHOLE_FROM_SHARE):
        assert is_there(mounted, parent, b"%d" % number)
        assert held(mounted, parent) == number + 1
    assert is_there(mounted, parent, b"99")
    assert held(mounted, parent) == ENTRIES


def test_an_absent_name_reads_none_of_many(mounted: Mounted) -> None:
    parent = directory(mounted, b"many")
    assert not is_there(mounted, parent, b"absent")
    assert held(mounted, parent) == 0


def test_an_absent_name_reads_all_that_are_not_many(mounted: Mounted) -> None:
    parent = directory(mounted, b"some")
    assert not is_there(mounted, parent, b"absent")
    assert held(mounted, parent) == LOADED_AT_ONCE


def test_few_names_are_read_at_once(mounted: Mounted) -> None:
    parent = directory(mounted, b"few")
    assert is_there(mounted, parent, b"0")
    assert held(mounted, parent) == SMALL_ENTRIES


@given(st.lists(st.integers(0, 2 * ENTRIES), max_size=40))
def test_what_is_found_does_not_depend_on_what_is_in_memory(
    store: SimulatedStore, numbers: list[int]
) -> None:
    with store.twin() as mounted:
        parent = directory(mounted, b"many")
        for number in numbers:
            assert is_there(mounted, parent, b"%d" % number) == (number < ENTRIES)
        handle = mounted.vfs.opendir(parent, ROOT_USER)
        listed = {name for name, _, _ in mounted.vfs.readdir(handle, 0)}
        assert listed == {b".", b"..", *(b"%d" % number for number in range(ENTRIES))}
        assert check(mounted.volume) == []
