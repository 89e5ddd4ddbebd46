"""`vexfs backup` and `restore`: a whole volume in one file, made while programs write."""

import io
import os
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from tests.support.commands import Home
from tests.support.small_disks import small_disk
from vexfs_fuse.errors import StoreDamaged
from vexfs_fuse.units import MIB
from vexfs_fuse.volume.restoration import DRAFT, restoration

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


def test_a_backup_that_nobody_reads_to_its_end_is_a_failure(home: Home) -> None:
    with home.mounted() as volume:
        (volume / "a").write_bytes(os.urandom(1_000_000))
        command = f"{' '.join(home.command('backup', volume, '-'))} | head -c 10 >/dev/null"
        result = subprocess.run(
            ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
            env=home.environment, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.endswith("vexfs: backup: who reads it has gone before the end\n")


def test_a_backup_is_written_into_what_is_no_file_and_through_links(home: Home) -> None:
    """A tape or /dev/null must not be replaced by a file."""
    os.mkfifo(home.path / "fifo")
    (home.path / "link").symlink_to("b.tar")
    with home.mounted() as volume:
        (volume / "a").write_text("b")
        with subprocess.Popen(["cp", home.path / "fifo", home.path / "copied"]) as reader:
            home.succeed("backup", volume, home.path / "fifo")
        assert reader.returncode == 0
        home.succeed("backup", volume, home.path / "link")
    assert (home.path / "fifo").is_fifo()
    assert (home.path / "link").is_symlink()
    assert restored(home, home.path / "copied", "one") == {"a": b"b"}
    assert restored(home, home.path / "b.tar", "two") == {"a": b"b"}


def test_a_store_that_is_not_empty_is_left_alone(home: Home) -> None:
    with home.mounted():
        pass
    home.succeed("backup", "--store", home.store, home.path / "b.tar")
    assert "is not empty" in home.fail("restore", "--store", home.store, home.path / "b.tar")


@pytest.fixture
def archive(home: Home) -> Path:
    """A backup of a volume with a file of 3 MB."""
    with home.mounted() as volume:
        (volume / "a").write_bytes(os.urandom(3_000_000))
    home.succeed("backup", "--store", home.store, home.path / "b.tar")
    return home.path / "b.tar"


def flip_in_contents(archive: Path) -> None:
    """Flip a bit in the middle of the segment that a backup holds."""
    with tarfile.open(archive) as held:
        member = held.getmember("segments/1.seg")
    with archive.open("r+b") as file:
        file.seek(member.offset_data + member.size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_backup_leaves_nothing(home: Home, archive: Path, kept: float) -> None:
    os.truncate(archive, int(archive.stat().st_size * kept))
    told = home.fail("restore", "--store", home.path / "copy", archive)
    assert "not a whole backup" in told
    assert not (home.path / "copy").exists()


def test_a_backup_with_a_flipped_bit_leaves_nothing(home: Home, archive: Path) -> None:
    flip_in_contents(archive)
    (home.path / "copy").mkdir(mode=0o711)
    result = home.run("restore", "--store", home.path / "copy", archive)
    assert result.returncode == 1
    assert "stored data are damaged" in result.stdout
    assert "nothing was restored" in result.stderr
    assert list((home.path / "copy").iterdir()) == []
    assert (home.path / "copy").stat().st_mode & 0o777 == 0o711


def test_a_damaged_backup_is_restored_when_that_is_asked_for(home: Home, archive: Path) -> None:
    flip_in_contents(archive)
    result = home.run("restore", "--keep-damaged", "--store", home.path / "copy", archive)
    assert result.returncode == 1
    assert result.stdout.endswith("it is damaged\n")
    home.succeed("mount", "--store", home.path / "copy", home.mount_point)
    try:
        assert os.listdir(home.mount_point) == ["a"]
    finally:
        home.succeed("umount", home.mount_point)


def test_a_disk_too_small_for_the_backup_is_left_empty(home: Home, archive: Path) -> None:
    with small_disk(home.path / "disk", "tmpfs", 2 * MIB) as disk:
        told = home.fail("restore", "--store", disk / "store", archive)
        assert "No space left on device" in told
        assert list(disk.iterdir()) == []
        told = home.fail("restore", "--store", disk, archive)  # the mount itself stays
        assert list(disk.iterdir()) == []


def test_what_a_power_cut_left_of_a_restore_is_no_obstacle(home: Home, archive: Path) -> None:
    (home.path / "copy" / DRAFT / "journal").mkdir(parents=True)
    assert list(restored(home, archive, "copy")) == ["a"]
    assert not (home.path / "copy" / DRAFT).exists()


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "segments/1.seg/../../x"])
def test_an_archive_with_other_names_is_refused(tmp_path: Path, name: str) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    stream.seek(0)
    with pytest.raises(StoreDamaged, match="not a backup"), restoration(stream, tmp_path / "store"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_failed_backup_leaves_no_file(home: Home) -> None:
    assert "holds no volume" in home.fail("backup", "--store", home.path, home.path / "b.tar")
    assert not list(home.path.glob("b.tar*"))
