"""`vexfs backup` and `restore`: a whole volume in one file, made while programs write."""

import io
import os
import tarfile
import threading
from pathlib import Path

import pytest

from tests.support.commands import Home
from vexfs_fuse.errors import StoreDamaged
from vexfs_fuse.volume.backup import read_backup

pytestmark = pytest.mark.mount


def contents(volume: Path) -> dict[str, bytes]:
    files = sorted(path for path in volume.rglob("*") if path.is_file())
    return {str(path.relative_to(volume)): path.read_bytes() for path in files}


def restored(home: Home, archive: Path, name: str) -> dict[str, bytes]:
    store = home.path / name
    told = home.succeed("restore", "--store", store, archive)
    assert told.endswith("it is sound\n")
    home.succeed("mount", "--store", store, "-o", "ro", home.mount_point)
    try:
        return contents(home.mount_point)
    finally:
        home.succeed("umount", home.mount_point)


def test_a_volume_at_rest_comes_back_whole(home: Home) -> None:
    with home.mounted() as volume:
        (volume / "a/b").mkdir(parents=True)
        (volume / "a/small").write_bytes(b"small")
        (volume / "a/b/large").write_bytes(os.urandom(3_000_000))
        expected = contents(volume)
    archive = home.path / "backup.tar"
    home.succeed("backup", "--store", home.store, archive)
    assert restored(home, archive, "copy") == expected


def test_what_was_synced_is_in_a_backup_made_under_writes(home: Home) -> None:
    archive = home.path / "backup.tar"
    enough = threading.Event()

    def write(volume: Path) -> None:
        number = 0
        while not enough.is_set():
            (volume / f"later-{number % 20}").write_bytes(os.urandom(50_000))
            number += 1

    with home.mounted() as volume:
        (volume / "early").write_bytes(b"synced" * 1_000)
        with (volume / "early").open("rb") as file:
            os.fsync(file.fileno())
        writer = threading.Thread(target=write, args=[volume])
        writer.start()
        try:
            home.succeed("backup", volume, archive)
        finally:
            enough.set()
            writer.join()
    assert restored(home, archive, "copy")["early"] == b"synced" * 1_000


def test_a_backup_goes_through_pipes(home: Home) -> None:
    with home.mounted() as volume:
        (volume / "a").write_text("b")
        command = f"exec {' '.join(home.command('backup', volume, '-'))} | gzip > {home.path}/b.gz"
        assert os.spawnvpe(os.P_WAIT, "sh", ["sh", "-c", command], home.environment) == 0
    assert restored(home, home.path / "b.gz", "copy") == {"a": b"b"}


def test_a_store_that_is_not_empty_is_left_alone(home: Home) -> None:
    with home.mounted():
        pass
    home.succeed("backup", "--store", home.store, home.path / "b.tar")
    assert "is not empty" in home.fail("restore", "--store", home.store, home.path / "b.tar")


def test_a_truncated_backup_makes_no_volume(home: Home) -> None:
    with home.mounted() as volume:
        (volume / "a").write_bytes(bytes(100_000))
    home.succeed("backup", "--store", home.store, home.path / "b.tar")
    with (home.path / "b.tar").open("rb+") as file:
        file.truncate(60_000)
    told = home.fail("restore", "--store", home.path / "copy", home.path / "b.tar")
    assert "not a whole backup" in told
    told = home.fail("mount", "--store", home.path / "copy", home.mount_point)
    assert "volume.json is missing" in told


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "segments/1.seg/../../x"])
def test_an_archive_with_other_names_is_refused(tmp_path: Path, name: str) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    stream.seek(0)
    with pytest.raises(StoreDamaged, match="not a backup"):
        read_backup(stream, tmp_path / "store")
    assert not (tmp_path / "escape").exists()


def test_a_failed_backup_leaves_no_file(home: Home) -> None:
    assert "holds no volume" in home.fail("backup", "--store", home.path, home.path / "b.tar")
    assert not list(home.path.glob("b.tar*"))
