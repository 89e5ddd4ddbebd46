"""Stores as every format revision wrote them: opened, checked and read back by the program of today."""

import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.formats import make_store
from tests.formats.looking import everything
from vexfs_fuse.config import Config
from vexfs_fuse.storage.disk import LocalDisk
from vexfs_fuse.storage.journal_scan import scan
from vexfs_fuse.units import KIB, MIB, ROOT
from vexfs_fuse.volume.changes import Kinds
from vexfs_fuse.volume.check import check
from vexfs_fuse.volume.opening import STATE, open_volume
from vexfs_fuse.volume.volume import Volume

HERE = Path(__file__).parent
ARCHIVES = sorted(HERE.glob("revision-*.tar.xz"))
NEWEST = HERE / f"{make_store.NAME}.tar.xz"
ARCHIVE_BYTES_MAX = 200 * KIB

each_revision = pytest.mark.parametrize(
    "archive", ARCHIVES, ids=[archive.name.partition(".")[0] for archive in ARCHIVES]
)


@pytest.fixture
def store(archive: Path, tmp_path: Path) -> Path:
    """A frozen store, unpacked."""
    place = tmp_path / "store"
    with tarfile.open(archive) as tar:
        tar.extractall(place, filter="data")
    return place


def expected_of(archive: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        archive.with_name(archive.name.replace(".tar.xz", ".json")).read_text()
    )
    return found


@contextmanager
def opened(store: Path, **options: Any) -> Iterator[Volume]:
    """Open a store; at the end it is closed, and must be sound unless it was opened read-only."""
    volume = open_volume(store, Config(store=store, pool_bytes=16 * MIB, **options))
    try:
        yield volume
        if volume.failure is None:
            assert check(volume) == []
    finally:
        volume.close()


@each_revision
def test_a_frozen_store_is_read_back(archive: Path, store: Path) -> None:
    with opened(store) as volume:
        assert everything(volume) == expected_of(archive)
    with opened(store) as volume:
        assert everything(volume) == expected_of(archive)


@each_revision
def test_the_journal_of_a_frozen_store_tells_all_of_it(archive: Path, store: Path) -> None:
    for part in ("", "-wal", "-shm"):
        (store / f"{STATE}{part}").unlink(missing_ok=True)
    with opened(store) as volume:
        assert everything(volume) == expected_of(archive)


@each_revision
def test_a_frozen_store_can_be_read_without_changing_it(archive: Path, store: Path) -> None:
    with opened(store, ro=True) as volume:
        assert everything(volume) == expected_of(archive)


@each_revision
def test_a_frozen_store_takes_changes(archive: Path, store: Path) -> None:
    with opened(store) as volume:
        make_store.Maker(volume).file(ROOT, b"made today", b"x" * 100_000)
    with opened(store) as volume:
        found = everything(volume)
        assert found.pop("/made today")["size"] == 100_000
        expected = expected_of(archive)
        assert found.keys() == expected.keys()
        assert found["/large"] == expected["/large"]


def test_the_revision_of_today_is_frozen() -> None:
    assert NEWEST in ARCHIVES


def test_what_is_made_today_is_what_was_frozen(tmp_path: Path) -> None:
    """Else the format has changed: that takes another revision (docs/on-disk-format.md)."""
    found = json.loads(json.dumps(make_store.make(tmp_path / "store")))
    assert found == expected_of(NEWEST)
    shutil.rmtree(tmp_path / "store")


@pytest.mark.parametrize("archive", [NEWEST])
def test_every_kind_of_record_is_in_the_newest_frozen_store(store: Path) -> None:
    kinds = {entry.kind for entry in scan(LocalDisk(store))}
    assert kinds == set(Kinds.BY_NAME)


@each_revision
def test_a_frozen_store_is_small(archive: Path) -> None:
    assert archive.stat().st_size <= ARCHIVE_BYTES_MAX
