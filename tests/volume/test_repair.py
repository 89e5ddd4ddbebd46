"""A damaged state view becomes a sound one, from the journal or from what is left of its rows."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.stores_at_rest import CONTENTS, Someone, Store
from vexfs_fuse.errors import CorruptData
from vexfs_fuse.storage import rows, schema
from vexfs_fuse.units import ROOT, Inode, Lsn
from vexfs_fuse.volume import repair as repairing
from vexfs_fuse.volume.attributes import Attributes
from vexfs_fuse.volume.changes import PassagesSet
from vexfs_fuse.volume.damaged import Part
from vexfs_fuse.volume.opening import open_volume
from vexfs_fuse.volume.salvage import salvage
from vexfs_fuse.volume.stand_in import survey
from vexfs_fuse.volume.writer import SYSTEM

WHOLE = {"/d": "d", "/d/e": "d", "/d/f": "-", "/d/g": "l", "/second": "-"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def without_old_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairing, "survey", lambda disk: survey(disk)._replace(is_whole=False))


def test_the_journal_brings_everything_back(store: Store) -> None:
    store.execute("UPDATE dentries SET name = X'7878' WHERE name = X'66'")
    store.execute("UPDATE nodes SET size = 1")
    assert "rebuilt the state view from the journal" in store.repair()[0]
    assert store.problems() == []
    assert store.tree() == WHOLE
    assert store.read(b"d", b"f") == CONTENTS


@pytest.mark.usefixtures("without_old_journal")
def test_a_sound_view_survives_a_salvage_unchanged(store: Store) -> None:
    assert len(store.repair({Part.VIEW})) == 2
    assert store.problems() == []
    assert store.tree() == WHOLE
    assert store.read(b"d", b"f") == CONTENTS


DAMAGES = {
    "a name is lost": "DELETE FROM dentries WHERE name = CAST('e' AS BLOB)",
    "all names are lost": "DELETE FROM dentries",
    "a directory is lost": "DELETE FROM nodes WHERE ino = 2",
    "the root is lost": "DELETE FROM nodes WHERE ino = 1",
    "a row is garbled": "UPDATE nodes SET mode = 7 WHERE ino = 3",
    "names are garbled": "UPDATE dentries SET ino = 1 WHERE name = CAST('g' AS BLOB)",
    "counts are lost": "DELETE FROM meta WHERE key = 'inodes'",
    "extents are lost": "DELETE FROM extents",
    "attributes are lost": "DELETE FROM xattrs",
    "segments are garbled": "UPDATE segments SET live_bytes = 1",
}


@pytest.mark.usefixtures("without_old_journal")
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_left_obeys_every_rule(store: Store, damage: str) -> None:
    store.execute(damage)
    store.repair()
    assert store.problems(contents=damage != DAMAGES["extents are lost"]) == []


@pytest.mark.usefixtures("without_old_journal")
def test_what_lost_its_directory_is_found_again(store: Store) -> None:
    store.execute("DELETE FROM nodes WHERE ino = 2")
    store.repair()
    assert store.tree() == {
        "/lost+found": "d",
        "/lost+found/#3": "d",
        "/lost+found/#5": "l",
        "/second": "-",
    }
    assert store.read(b"second") == CONTENTS


@pytest.mark.usefixtures("without_old_journal")
def test_directories_in_a_circle_are_found_again(store: Store) -> None:
    with closing(sqlite3.connect(store.path / "state.sqlite3")) as view, view:
        view.execute("DELETE FROM dentries WHERE ino = 2")
        circle = rows.pack_dentry(3, b"up", (2, 3, stat.S_IFDIR))
        view.execute(schema.UPSERT_DENTRY, circle)
    store.repair()
    assert store.problems() == []
    assert "/lost+found/#2/e" in store.tree()


@pytest.mark.usefixtures("without_old_journal")
def test_a_broken_page_costs_only_its_rows(store: Store) -> None:
    with store.opened() as vfs:
        for number in range(2_000):
            vfs.mknod(ROOT, b"file-%06d" % number, stat.S_IFREG | 0o644, 0, Someone())
    state = store.path / "state.sqlite3"
    with closing(sqlite3.connect(state)) as view:
        page_bytes = view.execute("PRAGMA page_size").fetchone()[0]
        pages = view.execute("PRAGMA page_count").fetchone()[0]
    data = bytearray(state.read_bytes())
    middle = pages // 2 * page_bytes
    data[middle : middle + page_bytes] = bytes(page_bytes)
    state.write_bytes(data)
    store.repair()
    assert store.problems() == []
    assert len(store.tree()) > 1_000


def test_the_damaged_view_is_kept(store: Store) -> None:
    (store.path / "state.sqlite3").write_bytes(b"garbage")
    store.repair()
    assert (store.path / "state.sqlite3.damaged").read_bytes() == b"garbage"
    store.repair({Part.VIEW})
    assert (store.path / "state.sqlite3.damaged").read_bytes() != b"garbage"


def test_passages_of_which_some_are_lost_are_dropped(tmp_path: Path) -> None:
    """Their embedder makes them again; a part of them would pass for the whole."""
    store = Store(tmp_path / "store")
    volume = open_volume(store.path, store.config)
    volume.vectors.create_space("text", 1, "cosine", "a-model", SYSTEM)
    number = volume.applier.vectors.numbers["text"]
    inos: dict[bytes, Inode] = {}
    for name, passages in ((b"torn", 3), (b"sound", 3), (b"short", 1)):
        node = volume.names.create(ROOT, name, stat.S_IFREG | 0o644, SYSTEM)
        values = [bytes(3) + b"\x3f"] * passages
        volume.writer.commit(node.ino, PassagesSet(number, None, values), SYSTEM)
        inos[name] = node.ino
    volume.close()
    torn = inos[b"torn"]
    store.execute(f"DELETE FROM vectors WHERE ino = {torn} AND passage = 1")
    done = salvage(store.path / "state.sqlite3", tmp_path / "sound.sqlite3", Lsn(1))
    assert f"dropped the vectors of inode {torn} in space {number}: some were lost" in done
    with closing(sqlite3.connect(tmp_path / "sound.sqlite3")) as view:
        assert view.execute("SELECT count(*) FROM vectors").fetchone() == (4,)


@pytest.mark.usefixtures("without_old_journal")
def test_lost_contents_are_an_error_and_no_zeros(store: Store) -> None:
    store.execute("DELETE FROM extents")
    assert any("lost contents of inode 4" in line for line in store.repair())
    with pytest.raises(CorruptData):
        store.read(b"d", b"f")
    with store.opened() as vfs:
        handle, _, _ = vfs.open(Inode(4), os.O_RDWR, Someone())
        vfs.write(handle, 0, b"new" * len(CONTENTS))
        vfs.release(handle)
    assert store.read(b"d", b"f") == b"new" * len(CONTENTS)
    assert store.problems() == []


@pytest.mark.usefixtures("without_old_journal")
def test_who_loses_an_access_list_lets_nobody_in_by_it(store: Store) -> None:
    with store.opened() as vfs:
        vfs.setattr(Inode(4), Attributes(mode=0o664), None, Someone())
    store.execute("DELETE FROM xattrs")
    assert any("lost 1 extended attributes of inode 4" in line for line in store.repair())
    with store.opened() as vfs:
        assert vfs.getattr(Inode(4)).mode & 0o777 == 0o604
    assert store.problems() == []


@pytest.mark.usefixtures("without_old_journal")
def test_vectors_whose_space_is_lost_get_another(store: Store) -> None:
    value = b"\0\0\x80\x3f" * 3
    with store.opened() as vfs:
        vfs.setxattr(Inode(4), b"user.vexfs.vector", value, Someone())
    store.execute("DELETE FROM spaces")
    assert "made the space recovered-1 for 1 vectors" in store.repair()
    with store.opened() as vfs:
        assert vfs.getxattr(Inode(4), b"user.vexfs.vector.recovered-1", Someone()) == value
    assert store.problems() == []
