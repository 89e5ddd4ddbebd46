"""A damaged state view becomes a sound one, from the journal or from what is left of its rows."""

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from vexfs_fuse.config import Config
from vexfs_fuse.storage import rows, schema
from vexfs_fuse.units import MIB, ROOT, Inode, Lsn
from vexfs_fuse.vfs.posix import Vfs
from vexfs_fuse.vfs.virtual import VirtualTrees
from vexfs_fuse.volume import repair as repairing
from vexfs_fuse.volume.changes import PassagesSet
from vexfs_fuse.volume.check import check
from vexfs_fuse.volume.opening import open_volume
from vexfs_fuse.volume.repair import repair
from vexfs_fuse.volume.salvage import salvage
from vexfs_fuse.volume.writer import SYSTEM

CONTENTS = b"meaning" * 3_000


class Someone(NamedTuple):
    uid: int = 0
    gid: int = 0
    pid: int = 1
    umask: int = 0o022


class Store:
    """A store at rest with a small tree: /d, /d/e, /d/f with contents and an attribute, /d/g -> f."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = Config(store=path, pool_bytes=16 * MIB)
        with self.opened() as vfs:
            who = Someone()
            d = vfs.mkdir(ROOT, b"d", 0o755, who).ino
            vfs.mkdir(d, b"e", 0o755, who)
            handle, file = vfs.create(d, b"f", 0o644, 2, who)
            vfs.write(handle, 0, CONTENTS)
            vfs.setxattr(file.ino, b"user.a", b"b", who)
            vfs.link(file.ino, ROOT, b"second", who)
            vfs.symlink(d, b"g", b"f", who)
            vfs.release(handle)

    @contextmanager
    def opened(self) -> Iterator[Vfs]:
        volume = open_volume(self.path, self.config)
        try:
            yield Vfs(volume, VirtualTrees(), open_max=100, atime="noatime")
        finally:
            volume.close()

    def execute(self, sql: str) -> None:
        with closing(sqlite3.connect(self.path / "state.sqlite3")) as view, view:
            view.execute(sql)

    def problems(self) -> list[str]:
        volume = open_volume(self.path, self.config)
        try:
            return check(volume)
        finally:
            volume.close()

    def repair(self) -> list[str]:
        return repair(self.path, self.config, ["found by a test"])

    def tree(self) -> dict[str, str]:
        """Return every path with what is there."""
        with self.opened() as vfs:
            return dict(_walk(vfs, ROOT, ""))

    def read(self, *names: bytes) -> bytes:
        who = Someone()
        with self.opened() as vfs:
            ino: Inode = ROOT
            for name in names:
                ino = vfs.lookup(ino, name, who).ino
            handle, _, _ = vfs.open(ino, 0, who)
            found = vfs.read(handle, 0, 1 << 20)
            if not isinstance(found, bytes | memoryview):
                found = found.resume(found.work())
            data = bytes(found)
            vfs.release(handle)
            return data


def _walk(vfs: Vfs, ino: Inode, path: str) -> Iterator[tuple[str, str]]:
    handle = vfs.opendir(ino, Someone())
    for name, entry, _ in list(vfs.readdir(handle, 0)):
        if name in {b".", b".."}:
            continue
        here = f"{path}/{name.decode()}"
        yield here, stat.filemode(entry.mode)[0]
        if stat.S_ISDIR(entry.mode):
            yield from _walk(vfs, entry.ino, here)
    vfs.releasedir(handle)


WHOLE = {"/d": "d", "/d/e": "d", "/d/f": "-", "/d/g": "l", "/second": "-"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def without_old_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairing, "_journal_has_all", lambda _: False)


def test_the_journal_brings_everything_back(store: Store) -> None:
    store.execute("UPDATE dentries SET name = X'7878' WHERE name = X'66'")
    store.execute("UPDATE nodes SET size = 1")
    assert "rebuilt the state view from the journal" in store.repair()[0]
    assert store.problems() == []
    assert store.tree() == WHOLE
    assert store.read(b"d", b"f") == CONTENTS


@pytest.mark.usefixtures("without_old_journal")
def test_a_sound_view_survives_a_salvage_unchanged(store: Store) -> None:
    assert len(store.repair()) == 1
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
    assert store.problems() == []


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
    store.repair()
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
