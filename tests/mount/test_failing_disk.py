"""The store's disk fails under a mounted volume: it says so, takes no changes, and pretends nothing."""

import errno
import json
import os
import time
from collections.abc import Iterator

import pytest

from tests.support.mounting import MountedVolume
from tests.support.small_disks import PowerDisk, fill, power_disk
from tests.support.syscalls import refused
from vexfs_fuse.units import KIB, MIB

PATIENCE_S = 10.0


@pytest.fixture
def disk(unmounted: MountedVolume) -> Iterator[PowerDisk]:
    """A disk that can be made to fail, with the store of the volume, which is mounted."""
    with power_disk(unmounted.directory / "disk", 64 * MIB) as disk:
        unmounted.store = disk.path / "store"
        unmounted.start()
        write_synced(unmounted, "synced", b"synced" * 1_000)
        yield disk
        if unmounted.is_running:
            unmounted.kill9()


@pytest.fixture
def volume(unmounted: MountedVolume, disk: PowerDisk) -> MountedVolume:
    """The volume on that disk."""
    assert disk.path in unmounted.store.parents
    return unmounted


def write_synced(volume: MountedVolume, name: str, data: bytes) -> None:
    """Write a file and sync it; raises what either says."""
    descriptor = os.open(volume.path / name, os.O_WRONLY | os.O_CREAT)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def failure(volume: MountedVolume) -> str | None:
    """Why the volume takes no changes."""
    status = json.loads((volume.path / ".vexfs/status.json").read_text())
    told: str | None = status["volume"]["failure"]
    return told


def test_a_failed_sync_is_told_and_ends_all_changes(volume: MountedVolume, disk: PowerDisk) -> None:
    disk.cut()
    with refused(errno.EIO):
        write_synced(volume, "unsynced", b"lost")
    with refused(errno.EROFS):
        write_synced(volume, "more", b"never accepted")
    with refused(errno.EROFS):
        (volume.path / "directory").mkdir()
    assert "a sync of the store failed" in (failure(volume) or "")
    assert (volume.path / "synced").read_bytes() == b"synced" * 1_000  # memory still has it
    volume.expect_in_log("CRITICAL .*the volume turns read-only: a sync of the store failed")
    volume.unmount()
    assert volume.ended() == 1
    disk.come_back()
    volume.start()
    assert (volume.path / "synced").read_bytes() == b"synced" * 1_000
    assert not (volume.path / "more").exists()
    write_synced(volume, "after", b"after")
    volume.forgive()
    volume.stop()
    assert volume.problems() == []


def test_a_failure_that_nobody_waits_for_is_told_all_the_same(
    volume: MountedVolume, disk: PowerDisk
) -> None:
    disk.cut()
    (volume.path / "unsynced").write_bytes(b"lost")
    until = time.monotonic() + PATIENCE_S
    while failure(volume) is None and time.monotonic() < until:
        time.sleep(0.05)
    with refused(errno.EROFS):
        (volume.path / "unsynced").write_bytes(b"more")
    with refused(errno.EIO, errno.EROFS), (volume.path / "unsynced").open("rb") as file:
        os.fsync(file.fileno())
    volume.forgive()
    volume.unmount()
    assert volume.ended() == 1


def test_an_unmount_that_cannot_write_ends_with_status_1(
    volume: MountedVolume, disk: PowerDisk
) -> None:
    (volume.path / "unsynced").write_bytes(b"lost")
    disk.cut()
    volume.unmount()
    assert volume.ended() == 1
    volume.expect_in_log("CRITICAL|ERROR")


def test_an_unmount_onto_a_full_disk_says_what_is_lost(
    volume: MountedVolume, disk: PowerDisk
) -> None:
    """What was accepted in the last second had room until somebody else took it."""
    for number in range(100):
        (volume.path / str(number)).write_bytes(bytes(300 * KIB))
    fill(disk.path / "ballast")
    volume.unmount()
    status = volume.ended()
    (disk.path / "ballast").unlink()
    told = "bytes of contents could not be written" in volume.log.read_text()
    volume.start()
    kept = [path for path in volume.path.iterdir() if path.stat().st_size == 300 * KIB]
    is_lost = len(kept) < 100
    assert (status == 1, told) == (is_lost, is_lost)
    volume.forgive()
    volume.stop()
    assert volume.problems() == []
