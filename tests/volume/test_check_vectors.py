"""The check finds whatever is wrong with vectors and spaces."""

import stat
from collections.abc import Callable, Iterator

import pytest

from tests.support.stores import ROOT_USER, Mounted, SimulatedStore
from tests.support.vectors import raw
from vexfs_fuse.storage.rows import SpaceRow, VectorRow
from vexfs_fuse.storage.state import State
from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.volume.check import check

FILE, DIRECTORY, NOBODY = Inode(2), Inode(3), Inode(99)
VALUE = raw(1, 2)


@pytest.fixture
def mounted() -> Iterator[Mounted]:
    store = SimulatedStore()
    mounted = store.open()
    vfs = mounted.vfs
    vfs.mknod(ROOT, b"file", stat.S_IFREG | 0o644, 0, ROOT_USER)
    vfs.mkdir(ROOT, b"directory", 0o755, ROOT_USER)
    vfs.setxattr(FILE, b"user.vexfs.vector", VALUE, ROOT_USER)
    try:
        yield mounted
        mounted.close()
    finally:
        store.remove()


def vector(ino: Inode, space: int, row: VectorRow | None) -> Callable[[State], None]:
    return lambda view: view.put_vector(ino, space, 0, row)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (vector(NOBODY, 1, VectorRow(5, 0, 0, VALUE)), "a vector in space 1 belongs to inode 99"),
        (vector(DIRECTORY, 1, VectorRow(5, 0, 0, VALUE)), "inode 3, which is no regular file"),
        (vector(FILE, 7, VectorRow(5, 0, 0, VALUE)), "vector in space 7, which does not exist"),
        (vector(FILE, 1, VectorRow(5, 0, 0, raw(1))), "has 4 bytes, the space 2 dimensions"),
        (vector(FILE, 1, VectorRow(5, 2, 0, VALUE)), "impossible values origin 2, stale 0"),
        (vector(FILE, 1, VectorRow(5, 0, 0, VALUE)), "record 5 is not both stored and found"),
        (vector(FILE, 1, None), "inode 2, passage 0"),
        (
            lambda view: view.put_space(2, SpaceRow(2, b"odd", 0, b"cosine", b"")),
            "space 2 has the impossible values dim 0",
        ),
        (
            lambda view: view.put_space(2, SpaceRow(2, b"odd", 3, b"hamming", b"")),
            "metric b'hamming'",
        ),
        (
            lambda view: view.put_space(2, SpaceRow(2, b"odd", 3, b"l2", b"")),
            "space odd is stored and not known to searches",
        ),
    ],
)
def test_damage_is_told(mounted: Mounted, damage: Callable[[State], None], sentence: str) -> None:
    assert check(mounted.volume) == []
    damage(mounted.volume.view)
    assert any(sentence in problem for problem in check(mounted.volume))
