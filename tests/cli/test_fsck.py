"""`vexfs fsck`: exit codes as fsck(8) has them."""

import errno
import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import Home
from tests.support.syscalls import refused
from vexfs_fuse.config import Config
from vexfs_fuse.units import MIB, ROOT
from vexfs_fuse.vfs.posix import Vfs
from vexfs_fuse.vfs.virtual import VirtualTrees
from vexfs_fuse.volume.opening import open_volume
from vexfs_fuse.volume.writer import Actor

pytestmark = pytest.mark.mount


def make_volume(home: Home) -> None:
    with home.mounted() as volume:
        (volume / "a").write_bytes(b"meaning" * 100_000)


def test_a_sound_store_is_0(home: Home) -> None:
    make_volume(home)
    assert home.succeed("fsck", "--store", home.store) == f"{home.store} is sound\n"
    told = json.loads(home.succeed("fsck", "--json", "--store", home.store))
    assert told == {"store": str(home.store), "problems": [], "done": [], "left": []}


def test_a_flipped_bit_in_contents_is_4(home: Home) -> None:
    make_volume(home)
    segment = home.store / "segments/1.seg"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    result = home.run("fsck", "--store", home.store)
    assert result.returncode == 4
    assert "stored data are damaged" in result.stdout


def test_a_mounted_store_is_8(home: Home) -> None:
    with home.mounted():
        assert "in use by another process" in home.fail("fsck", "--store", home.store, code=8)


def test_a_directory_without_a_volume_is_8(home: Home) -> None:
    assert "holds no volume" in home.fail("fsck", "--store", home.store, code=8)
    assert not home.store.exists()


def test_a_damaged_view_is_repaired_and_1(home: Home) -> None:
    make_volume(home)
    with closing(sqlite3.connect(home.store / "state.sqlite3")) as view, view:
        view.execute("UPDATE nodes SET size = 5 WHERE ino != 1")
    assert home.run("fsck", "--store", home.store).returncode == 4
    result = home.run("fsck", "--repair", "--store", home.store)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "repair: rebuilt the state view from the journal" in result.stdout
    assert result.stdout.endswith(" is sound\n")
    with home.mounted() as volume:
        assert (volume / "a").read_bytes() == b"meaning" * 100_000


def test_a_view_beyond_opening_is_repaired(home: Home) -> None:
    make_volume(home)
    (home.store / "state.sqlite3").write_bytes(b"no database" * 1_000)
    result = home.run("fsck", "--repair", "--store", home.store)
    assert result.returncode == 1, result.stdout + result.stderr
    with home.mounted() as volume:
        assert (volume / "a").read_bytes() == b"meaning" * 100_000


DAMAGES = {
    "volume.json": (1, "volume.json does not match its checksum"),
    "state.sqlite3": (1, "what is shown was read from the journal"),
    "journal/1.vxj": (1, "journal/1.vxj: its header is damaged"),
    "segments/1.seg": (4, "segment 1 is missing"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_store_is_mounted_read_only_says_so_and_can_be_repaired(
    home: Home, name: str
) -> None:
    make_volume(home)
    code, sentence = DAMAGES[name]
    damaged = home.store / name
    if name == "volume.json":
        damaged.write_text(damaged.read_text().replace('"format": 1', '"format": 0'))
    elif name == "segments/1.seg":
        damaged.unlink()
    else:
        damaged.write_bytes(bytes(60) + damaged.read_bytes()[60:])
    result = home.run("mount", "--store", home.store, home.mount_point)
    try:
        assert result.returncode == 0
        assert f"{home.mount_point} is read-only: the store is damaged: " in result.stderr
        assert sentence in result.stderr
        assert sentence in home.succeed("status", home.mount_point)
        assert sentence in home.log
        assert os.listdir(home.mount_point) == ["a"]
        with refused(errno.EROFS):
            (home.mount_point / "b").touch()
    finally:
        home.run("umount", home.mount_point)
    assert sentence in home.run("fsck", "--store", home.store).stdout
    assert home.run("fsck", "--repair", "--store", home.store).returncode == code
    home.succeed("mount", "--store", home.store, home.mount_point)
    try:
        (home.mount_point / "b").write_bytes(b"the volume takes changes again")
        if code == 1:
            assert (home.mount_point / "a").read_bytes() == b"meaning" * 100_000
    finally:
        home.succeed("umount", home.mount_point)
    assert home.run("fsck", "--store", home.store).returncode == (4 if code == 4 else 0)


def test_damaged_contents_stay_4(home: Home) -> None:
    make_volume(home)
    segment = home.store / "segments/1.seg"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    result = home.run("fsck", "--repair", "--store", home.store)
    assert result.returncode == 4
    assert "repair:" not in result.stdout


def make_index(home: Home) -> Path:
    """Leave a store with a saved graph; return its file."""
    store = home.store
    volume = open_volume(store, Config(store=store, pool_bytes=16 * MIB))
    vfs, who = Vfs(volume, VirtualTrees(), open_max=100, atime="noatime"), Actor(0, 0, 1)
    vectors = np.random.default_rng(0).normal(size=(600, 1_536)).astype(np.float32)
    for number, vector in enumerate(vectors):
        ino = vfs.mknod(ROOT, b"%d" % number, stat.S_IFREG | 0o644, 0, who).ino
        vfs.setxattr(ino, b"user.vexfs.vector", vector.tobytes(), who)
    volume.commit_all()
    for _ in range(3):
        for step in volume.maintain():
            if step is not None:
                step.resume(step.work())
    volume.close()
    return next((store / "vectors").rglob("*.shard"))


def test_a_damaged_index_is_4_and_repaired_by_its_removal(home: Home) -> None:
    shard = make_index(home)
    assert home.succeed("fsck", "--store", home.store) == f"{home.store} is sound\n"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    result = home.run("fsck", "--store", home.store)
    assert result.returncode == 4
    assert f"{shard.relative_to(home.store)}: does not match its checksum" in result.stdout
    result = home.run("fsck", "--repair", "--store", home.store)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "repair: removed vectors/1" in result.stdout
    assert result.stdout.endswith(" is sound\n")
    assert not shard.parent.exists()
    with home.mounted() as volume:
        assert len(os.listdir(volume / ".search/like=7/k=3")) == 3


def test_repairing_a_view_leaves_no_index_that_was_made_from_another(home: Home) -> None:
    shard = make_index(home)
    with closing(sqlite3.connect(home.store / "state.sqlite3")) as view, view:
        view.execute("UPDATE nodes SET size = 5 WHERE ino != 1")
    assert home.run("fsck", "--repair", "--store", home.store).returncode == 1
    assert not shard.parent.exists()


def indexed(home: Home) -> Path:
    """Make a volume whose text is indexed; return where the index is."""
    with home.mounted("-o", "index=on,embedder=none") as volume:
        (volume / "note.txt").write_text("the purple elephant")
        home.succeed("index", "wait", volume)
    return home.store / "text.sqlite3"


def test_a_text_index_that_fits_is_sound(home: Home) -> None:
    indexed(home)
    assert home.succeed("fsck", "--store", home.store) == f"{home.store} is sound\n"


@pytest.mark.parametrize("kind", ["bytes", "inode", "ahead"])
def test_a_damaged_text_index_is_removed_and_made_anew(home: Home, kind: str) -> None:
    index = indexed(home)
    with closing(sqlite3.connect(index)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if kind == "bytes":
        data = bytearray(index.read_bytes())
        data[4096:] = bytes(len(data) - 4096)
        index.write_bytes(data)
    else:
        with closing(sqlite3.connect(index)) as connection, connection:
            if kind == "inode":
                connection.execute("INSERT INTO files VALUES (4711, x'61', NULL, NULL)")
            else:
                connection.execute("UPDATE meta SET value = 1000000 WHERE key = 'position'")
    told = home.run("fsck", "--store", home.store)
    assert told.returncode == 4
    assert told.stdout.startswith("text.sqlite3: ")
    repaired = home.run("fsck", "--store", home.store, "--repair")
    assert repaired.returncode == 1
    assert "removed text.sqlite3: the next mount makes it anew" in repaired.stdout
    with home.mounted("-o", "index=on,embedder=none") as volume:
        home.succeed("index", "wait", volume)
        assert "note.txt" in home.succeed("search", "purple elephant", volume)
