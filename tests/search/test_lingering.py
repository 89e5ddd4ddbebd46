"""The kernel does not remember every question that was ever asked, nor everything that was found."""

import os
from pathlib import Path

import pytest

from benchmarks.request_counts import Counting, CountingUnavailable
from tests.support.mounting import MountedVolume
from tests.support.searching import asked, eventually, make_files
from vexfs_fuse.units import Inode
from vexfs_fuse.vfs.search.lingering import NODES_MAX, Lingering

FILES = 2_500
LISTINGS = NODES_MAX // FILES + 20


def test_the_questions_that_nobody_uses_go_first() -> None:
    nodes: set[int] = set()
    forgotten: list[tuple[int, bytes]] = []
    lingering = Lingering(nodes, lambda parent, name: forgotten.append((parent, name)))
    for number in range(10):
        lingering.used(Inode(number), Inode(100), b"%d" % number)
    assert forgotten == []
    nodes.update(range(NODES_MAX + 1))
    lingering.gone(Inode(1))
    lingering.used(Inode(0), Inode(100), b"0")
    assert forgotten == [(100, b"2"), (100, b"3"), (100, b"4"), (100, b"5")]
    nodes.clear()
    lingering.used(Inode(11), Inode(100), b"11")
    assert len(forgotten) == 4
    assert len(lingering) == 6


def test_the_question_that_is_asked_never_goes() -> None:
    forgotten: list[tuple[int, bytes]] = []
    lingering = Lingering(
        range(NODES_MAX + 1), lambda parent, name: forgotten.append((parent, name))
    )
    lingering.used(Inode(1), Inode(0), b"a")
    assert forgotten == []
    lingering.used(Inode(2), Inode(1), b"b")
    assert forgotten == [(0, b"a")]


@pytest.fixture
def own() -> "MountedVolume":
    return MountedVolume()


def test_old_questions_are_forgotten_and_can_be_asked_again(own: MountedVolume) -> None:
    try:
        own.start()
        make_files(own.path, {f"f{number:04}": (1, number, 0, 0) for number in range(FILES)})
        first = asked(own.path, "like=f0000", f"k={FILES}")
        names = os.listdir(first)
        assert len(names) == FILES - 1
        inside = os.open(first, os.O_RDONLY)
        for number in range(LISTINGS):
            _list_long(asked(own.path, f"like=f{number:04}", f"k={FILES - 1}"))
        with _counting(own.path) as counting:
            assert eventually(lambda: counting.requests(lambda: os.path.isdir(first))["LOOKUP"] > 0)
        assert os.listdir(inside) == names
        os.close(inside)
        assert os.listdir(first) == names
        own.stop()
        assert own.problems() == []
    finally:
        own.discard()


def _list_long(directory: Path) -> None:
    """Look at each hit, as `ls -l` does: the kernel keeps what it was told of."""
    with os.scandir(directory) as entries:
        assert sum(entry.stat().st_size for entry in entries) > 0


def _counting(path: Path) -> Counting:
    try:
        with Counting(path):
            pass
    except CountingUnavailable as error:
        pytest.skip(str(error))
    return Counting(path)
