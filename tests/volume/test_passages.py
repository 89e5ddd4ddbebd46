"""The vectors of a file's passages, which an embedder makes: what sets, replaces and removes them."""

import stat
from collections.abc import Iterator

import pytest

from tests.support.stores import ROOT_USER, Mounted, SimulatedStore
from tests.support.vectors import raw
from vexfs_fuse.errors import InvalidArgument, NoAttribute
from vexfs_fuse.storage.rows import VectorRow
from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.vectors.space import Space
from vexfs_fuse.volume.changes import PassagesSet
from vexfs_fuse.volume.check import check
from vexfs_fuse.volume.writer import SYSTEM

ATTRIBUTE = b"user.vexfs.vector.text"
WHOLE, FIRST, SECOND = raw(1, 1), raw(1, 0), raw(0, 1)


class Volume:
    """A volume with a space `text` and a file."""

    def __init__(self) -> None:
        self.store = SimulatedStore()
        self.start()
        self.mounted.volume.vectors.create_space("text", 2, "cosine", "a-model", ROOT_USER)
        self.file = self.make(b"file")

    def start(self) -> None:
        self.mounted: Mounted = self.store.open()
        self.vfs = self.mounted.vfs

    def make(self, name: bytes) -> Inode:
        made: Inode = self.vfs.mknod(ROOT, name, stat.S_IFREG | 0o644, 0, ROOT_USER).ino
        return made

    def commit(self, ino: Inode, *values: bytes, first: int = 0) -> None:
        change = PassagesSet(self.number, None, values, first)
        self.mounted.volume.writer.commit(ino, change, SYSTEM)

    @property
    def number(self) -> int:
        return self.mounted.volume.applier.vectors.numbers["text"]

    @property
    def space(self) -> Space:
        return self.mounted.volume.applier.vectors.spaces["text"]

    def rows(self, ino: Inode) -> dict[int, VectorRow]:
        """Return the stored vectors by passage, and make sure that searches see the same."""
        rows = {at[1]: row for at, row in self.mounted.volume.view.vectors(ino).items()}
        assert self.mounted.volume.applier.vectors.passages(ino, "text") == sorted(rows)
        return rows

    def values(self, ino: Inode) -> list[bytes]:
        rows = self.rows(ino)
        return [rows[passage].value for passage in sorted(rows)]

    def told(self, what: bytes, ino: Inode) -> bytes:
        return bytes(self.vfs.getxattr(ino, b"user.vexfs." + what + b".text", ROOT_USER))

    def write(self, ino: Inode) -> None:
        handle, _, _ = self.vfs.open(ino, 2, ROOT_USER)
        self.vfs.write(handle, 0, b"something else")
        self.vfs.release(handle)
        for _ in self.mounted.volume.flush_aged():
            pass


@pytest.fixture
def volume() -> Iterator[Volume]:
    volume = Volume()
    try:
        yield volume
        assert check(volume.mounted.volume) == []
        volume.mounted.close()
    finally:
        volume.store.remove()


def test_they_are_told_as_an_embedder_s(volume: Volume) -> None:
    volume.commit(volume.file, WHOLE, FIRST, SECOND)
    assert volume.values(volume.file) == [WHOLE, FIRST, SECOND]
    assert volume.told(b"vector", volume.file) == WHOLE
    assert volume.told(b"origin", volume.file) == b"auto"
    assert volume.told(b"stale", volume.file) == b"0"
    assert volume.told(b"model", volume.file) == b"a-model"


def test_they_are_not_listed(volume: Volume) -> None:
    """Else a copy would take them for a user's."""
    volume.commit(volume.file, WHOLE, FIRST, SECOND)
    assert volume.vfs.listxattr(volume.file, ROOT_USER) == []
    volume.vfs.setxattr(volume.file, ATTRIBUTE, b"2 3", ROOT_USER)
    assert volume.vfs.listxattr(volume.file, ROOT_USER) == [ATTRIBUTE]


def test_they_come_in_several_records(volume: Volume) -> None:
    volume.commit(volume.file, WHOLE, FIRST)
    volume.commit(volume.file, SECOND, WHOLE, first=2)
    assert volume.values(volume.file) == [WHOLE, FIRST, SECOND, WHOLE]


def test_those_of_before_are_gone(volume: Volume) -> None:
    volume.commit(volume.file, WHOLE, FIRST, SECOND)
    volume.commit(volume.file, SECOND)
    assert volume.values(volume.file) == [SECOND]


def test_one_set_by_hand_takes_their_place(volume: Volume) -> None:
    volume.commit(volume.file, WHOLE, FIRST, SECOND)
    volume.vfs.setxattr(volume.file, ATTRIBUTE, raw(2, 3), ROOT_USER)
    assert volume.values(volume.file) == [raw(2, 3)]
    assert volume.told(b"origin", volume.file) == b"user"


def test_all_are_removed_at_once(volume: Volume) -> None:
    volume.commit(volume.file, WHOLE, FIRST, SECOND)
    volume.vfs.removexattr(volume.file, ATTRIBUTE, ROOT_USER)
    assert volume.values(volume.file) == []
    with pytest.raises(NoAttribute):
        volume.told(b"vector", volume.file)


def test_a_write_makes_them_stale_in_one_row(volume: Volume) -> None:
    volume.commit(volume.file, WHOLE, FIRST, SECOND)
    volume.write(volume.file)
    assert volume.told(b"stale", volume.file) == b"1"
    assert [row.stale for row in volume.rows(volume.file).values()] == [1, 0, 0]
    volume.commit(volume.file, FIRST)
    assert volume.told(b"stale", volume.file) == b"0"


@pytest.mark.parametrize("restart", [False, True])
def test_they_go_with_the_file_and_its_space(volume: Volume, restart: bool) -> None:
    other = volume.make(b"other")
    for ino in (volume.file, other):
        volume.commit(ino, WHOLE, FIRST, SECOND)
    if restart:
        volume.mounted.close()
        volume.store.kill()
        volume.start()
    assert len(volume.space) == 6
    if not restart:
        volume.vfs.forget([(volume.file, 1)])
    volume.vfs.unlink(ROOT, b"file", ROOT_USER)
    volume.mounted.maintain()
    assert len(volume.space) == 3
    volume.mounted.volume.vectors.drop_space("text", ROOT_USER)
    assert volume.mounted.volume.view.vectors(other) == {}


def test_a_crash_leaves_them_as_the_journal_tells(volume: Volume) -> None:
    volume.commit(volume.file, WHOLE, FIRST)
    volume.commit(volume.file, SECOND, first=2)
    volume.mounted.sync()
    volume.store.kill(volume.mounted)
    volume.start()
    assert volume.values(volume.file) == [WHOLE, FIRST, SECOND]


def test_they_survive_a_save_stale(volume: Volume) -> None:
    volume.commit(volume.file, WHOLE, FIRST, SECOND)
    draft = volume.make(b"draft")
    volume.vfs.rename(ROOT, b"draft", ROOT, b"file", 0, ROOT_USER)
    assert volume.values(draft) == [WHOLE, FIRST, SECOND]
    assert volume.told(b"stale", draft) == b"1"


def test_a_save_that_was_embedded_already_keeps_its_own(volume: Volume) -> None:
    """And takes what a user has set in another space."""
    volume.commit(volume.file, WHOLE, FIRST, SECOND)
    volume.vfs.setxattr(volume.file, b"user.vexfs.vector", b"1 2 3", ROOT_USER)
    draft = volume.make(b"draft")
    volume.commit(draft, FIRST)
    volume.vfs.rename(ROOT, b"draft", ROOT, b"file", 0, ROOT_USER)
    space = volume.number
    found = {at: row.value for at, row in volume.mounted.volume.view.vectors(draft).items()}
    assert found == {(space, 0): FIRST, (space + 1, 0): raw(1, 2, 3)}
    assert volume.told(b"stale", draft) == b"0"


def test_one_set_by_hand_survives_a_save_that_was_embedded(volume: Volume) -> None:
    volume.vfs.setxattr(volume.file, ATTRIBUTE, b"2 3", ROOT_USER)
    draft = volume.make(b"draft")
    volume.commit(draft, WHOLE, FIRST, SECOND)
    volume.vfs.rename(ROOT, b"draft", ROOT, b"file", 0, ROOT_USER)
    assert volume.values(draft) == [raw(2, 3)]
    assert volume.told(b"origin", draft) == b"user"


def test_the_check_finds_passages_that_do_not_belong_together(volume: Volume) -> None:
    volume.commit(volume.file, WHOLE, FIRST, SECOND)
    view = volume.mounted.volume.view
    row = volume.rows(volume.file)[1]
    view.put_vector(volume.file, volume.number, 1, None)
    found = check(volume.mounted.volume)
    assert any("do not belong together: 2 of them, the last 2" in problem for problem in found)
    view.put_vector(volume.file, volume.number, 1, row)


def test_nobody_makes_the_space_of_texts_by_setting_a_vector(volume: Volume) -> None:
    volume.mounted.volume.vectors.drop_space("text", ROOT_USER)
    with pytest.raises(InvalidArgument):
        volume.vfs.setxattr(volume.file, ATTRIBUTE, b"1 2 3", ROOT_USER)
    assert volume.mounted.volume.applier.vectors.spaces == {}
