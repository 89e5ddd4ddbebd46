"""`vexfs reindex`: indexes are made anew, while searches go on or of a store at rest."""

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import Home
from tests.support.persons import BOB
from tests.support.vectors import VECTOR, paths
from vexfs_fuse.config import Config
from vexfs_fuse.units import MIB, ROOT
from vexfs_fuse.vfs.posix import Vfs
from vexfs_fuse.vfs.virtual import VirtualTrees
from vexfs_fuse.volume.opening import open_volume
from vexfs_fuse.volume.writer import Actor

pytestmark = pytest.mark.mount

COUNT, DIM = 600, 1_536
"""A graph is begun with 512 vectors of so many dimensions."""

VECTORS = np.random.default_rng(0).normal(size=(COUNT, DIM)).astype(np.float32)


@pytest.fixture
def store(home: Home) -> Path:
    """A store with vectors, of which nothing is indexed."""
    volume = open_volume(home.store, Config(store=home.store, pool_bytes=16 * MIB))
    vfs, who = Vfs(volume, VirtualTrees(), open_max=100, atime="noatime"), Actor(0, 0, 1)
    for number, vector in enumerate(VECTORS):
        ino = vfs.mknod(ROOT, b"%d" % number, stat.S_IFREG | 0o644, 0, who).ino
        vfs.setxattr(ino, b"user.vexfs.vector", vector.tobytes(), who)
    volume.close()
    assert not list(home.store.glob("vectors/*/*.shard"))
    return home.store


def test_a_store_at_rest_is_indexed_and_saved(home: Home, store: Path) -> None:
    told = home.succeed("reindex", "--store", store)
    assert told == "default: 600 vectors in 1 graphs, 88 are compared one by one\n"
    [shard] = store.glob("vectors/*/*.shard")
    assert home.succeed("fsck", "--store", store).endswith(" is sound\n")
    with home.mounted() as volume:
        assert paths(volume, vector=VECTORS[9].tolist(), k=1) == ["9"]
        [space] = json.loads(home.succeed("status", "--json", volume))["volume"]["spaces"]
        assert (space["shards"], space["built"]) == (1, 0)
    shard.write_bytes(b"damaged")
    assert "1 graphs" in home.succeed("reindex", "--store", store, "--space", "default")
    assert home.succeed("fsck", "--store", store).endswith(" is sound\n")


def test_a_mounted_volume_is_indexed_while_searches_go_on(home: Home, store: Path) -> None:
    home.succeed("reindex", "--store", store)
    with home.mounted() as volume:
        home.succeed("reindex", volume, "--space", "default", "--no-wait")
        assert paths(volume, vector=VECTORS[9].tolist(), k=1) == ["9"]
        told = home.succeed("reindex", volume)
        assert told == "default: 600 vectors in 1 graphs, 88 are compared one by one\n"
        [space] = json.loads(home.succeed("status", "--json", volume))["volume"]["spaces"]
        assert space["built"] >= 1
        assert space["waiting"] == 0
        assert paths(volume, vector=VECTORS[9].tolist(), k=1) == ["9"]


def test_what_does_not_exist_is_not_indexed(home: Home, store: Path) -> None:
    assert "no such file or directory: space clip" in home.fail(
        "reindex", "--store", store, "--space", "clip"
    )
    with home.mounted() as volume:
        assert "space clip" in home.fail("reindex", volume, "--space", "clip")
        with pytest.raises(OSError, match="Invalid argument"):
            os.setxattr(volume, "user.vexfs.reindex", b"smells")
        with pytest.raises(OSError, match="not permitted"):
            os.setxattr(volume / "3", "user.vexfs.reindex", b"vectors")
        with pytest.raises(OSError, match="No data"):
            os.getxattr(volume, "user.vexfs.reindex")
        assert VECTOR in os.listxattr(volume / "3")
    assert "holds no volume" in home.fail("reindex", "--store", home.path / "none")


def test_only_the_owner_of_the_root_has_indexes_made_anew(home: Home, store: Path) -> None:
    with home.mounted("-o", "allow_other,default_permissions") as volume:
        volume.chmod(0o777)
        home.fail("reindex", volume, uid=BOB.uid)
        home.succeed("reindex", volume)
