"""What cannot be shown is not mounted: a store without a volume, a volume without a root."""

import sqlite3
from pathlib import Path

import pytest

from vexfs_fuse.config import Config
from vexfs_fuse.errors import NotFound, StoreDamaged
from vexfs_fuse.volume.opening import STATE, open_volume


def test_a_read_only_mount_makes_no_volume(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with pytest.raises(NotFound, match="holds no volume"):
        open_volume(store, Config(store=store, ro=True))
    assert not store.exists()


def test_a_volume_of_which_nothing_is_left_is_not_opened(tmp_path: Path) -> None:
    open_volume(tmp_path, Config(store=tmp_path)).close()
    for file in (tmp_path / "journal").iterdir():
        file.unlink()
    view = sqlite3.connect(tmp_path / STATE)
    view.execute("DELETE FROM nodes")
    view.commit()
    view.close()
    with pytest.raises(StoreDamaged, match="no root directory"):
        open_volume(tmp_path, Config(store=tmp_path))
