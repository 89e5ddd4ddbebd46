"""The store's disk is full: the writer is told, nothing is damaged, and it goes on when there is room."""

import errno
import os
import random
import re
import time
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.support.mounting import MountedVolume
from tests.support.small_disks import DISK_BYTES, fill, free_bytes, small_disk
from tests.support.syscalls import refused
from vexfs_fuse.units import KIB, MIB

RECOVERY_S: Final = 30.0
FILE_BYTES: Final = 700 * KIB
ALLOWANCE_BYTES: Final = 2 * MIB
"""What of the space that is told as available records, rows and the last frame may need."""


on_both = pytest.mark.parametrize("disk", ["tmpfs", "ext4"], indirect=True)


@pytest.fixture
def disk(request: pytest.FixtureRequest, unmounted: MountedVolume) -> Iterator[Path]:
    """The small disk that holds the store of the volume, which is mounted."""
    with small_disk(unmounted.directory / "disk", getattr(request, "param", "tmpfs")) as disk:
        unmounted.store = disk / "store"
        unmounted.tolerated = re.compile("no space left")
        unmounted.start()
        yield disk
        if unmounted.is_running:
            unmounted.kill9()


@pytest.fixture
def volume(unmounted: MountedVolume, disk: Path) -> MountedVolume:
    """The volume on the small disk."""
    assert disk in unmounted.store.parents
    return unmounted


def contents(number: int) -> bytes:
    """What the file of that number holds."""
    return random.Random(number).randbytes(FILE_BYTES)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and sync it; raises what either says."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_until_full(directory: Path) -> int:
    """Write and sync numbered files until there is no space; how many were taken whole."""
    for number in range(1_000):
        try:
            write_synced(directory / str(number), contents(number))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return number
    raise AssertionError("the disk does not fill")


def assert_holds(directory: Path, count: int) -> None:
    """All files that were taken whole are whole."""
    for number in range(count):
        assert (directory / str(number)).read_bytes() == contents(number), number


def end(volume: MountedVolume) -> None:
    """Unmount; the store must be sound."""
    volume.stop()
    assert volume.problems() == []


def eventually_writes(path: Path, data: bytes) -> float:
    """Try to write until it works; the seconds that it took."""
    began = time.monotonic()
    while True:
        try:
            write_synced(path, data)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            path.unlink(missing_ok=True)
            assert time.monotonic() < began + RECOVERY_S, "space does not come back"
            time.sleep(0.1)
        else:
            return time.monotonic() - began


@on_both
def test_a_full_disk_refuses_the_writer_and_keeps_what_was_taken(volume: MountedVolume) -> None:
    count = write_until_full(volume.path)
    assert count * FILE_BYTES > 30 * MIB
    assert_holds(volume.path, count)
    volume.kill9()
    volume.start()
    assert_holds(volume.path, count)
    end(volume)


@on_both
def test_what_is_accepted_without_a_sync_fits(volume: MountedVolume) -> None:
    """A program that never syncs is told by write or close, and not by nobody."""
    taken = 0
    data = random.Random(1).randbytes(MIB)
    with suppress(OSError), (volume.path / "a").open("wb", buffering=0) as file:
        while True:
            written = file.write(data)
            taken += written
            if written < MIB:
                break
    assert 30 * MIB < taken <= 64 * MIB
    end(volume)
    volume.start()
    found = (volume.path / "a").read_bytes()
    assert len(found) == taken
    assert found == (data * 64)[:taken]
    end(volume)


@on_both
def test_a_full_volume_can_be_emptied_and_filled_again(volume: MountedVolume, disk: Path) -> None:
    first = write_until_full(volume.path)
    for number in range(first):
        (volume.path / str(number)).unlink()
    (volume.path / str(first)).unlink(missing_ok=True)
    for number in range(first // 2):
        eventually_writes(volume.path / str(number), contents(number))
    assert_holds(volume.path, first // 2)
    end(volume)


@pytest.mark.parametrize(
    ("name", "value_bytes", "file_bytes"),
    [
        ("user.vexfs.vector", 4 * 384, 0),
        ("user.vexfs.vector", 4 * 384, 20_000),
        ("user.a", 60_000, 0),
    ],
    ids=["vectors", "files with vectors", "long values"],
)
def test_a_volume_filled_with_attributes_can_be_emptied_and_filled_again(
    volume: MountedVolume, name: str, value_bytes: int, file_bytes: int
) -> None:
    """The rows that the state view has not committed yet need room, too."""
    value = array("f", range(1, value_bytes // 4 + 1)).tobytes()

    def set_until_full() -> None:
        for number in range(1_000_000):
            path = volume.path / str(number)
            path.write_bytes(bytes(file_bytes))
            os.setxattr(path, name, value)

    with refused(errno.ENOSPC):
        set_until_full()
    for path in volume.path.iterdir():
        path.unlink()
    for number in range(20):
        eventually_writes(volume.path / f"again-{number}", contents(number))
    end(volume)


def test_part_of_a_full_volume_can_be_replaced(volume: MountedVolume) -> None:
    """Segments that are partly in use must be compacted, with hardly any space to do it in."""
    count = write_until_full(volume.path)
    for number in range(0, count, 2):
        (volume.path / str(number)).unlink()
    (volume.path / str(count)).unlink(missing_ok=True)
    for number in range(0, count // 2, 2):
        eventually_writes(volume.path / str(number), contents(number))
    for number in range(1, count, 2):
        assert (volume.path / str(number)).read_bytes() == contents(number), number
    end(volume)


def test_names_can_be_removed_on_a_full_disk(volume: MountedVolume, disk: Path) -> None:
    for number in range(300):
        (volume.path / f"{number}").touch()
    (volume.path / "directory").mkdir()
    ballast = disk / "ballast"
    fill(ballast)
    with suppress(OSError):
        for number in range(100_000):
            (volume.path / f"filler-{number}").write_bytes(bytes(100))
    for path in list(volume.path.iterdir()):
        path.rmdir() if path.is_dir() else path.unlink()
    assert list(volume.path.iterdir()) == []
    ballast.unlink()
    eventually_writes(volume.path / "a", b"a")
    end(volume)


def test_writing_goes_on_when_something_else_leaves_the_disk(
    volume: MountedVolume, disk: Path
) -> None:
    ballast = disk / "ballast"
    write_synced(volume.path / "before", contents(1))
    fill(ballast)
    count = write_until_full(volume.path)
    with refused(errno.ENOSPC):
        write_synced(volume.path / "more", contents(2))
    ballast.unlink()
    (volume.path / "more").unlink(missing_ok=True)
    eventually_writes(volume.path / "after", contents(3))
    assert (volume.path / "before").read_bytes() == contents(1)
    assert (volume.path / "after").read_bytes() == contents(3)
    assert_holds(volume.path, count)
    end(volume)


def test_a_full_volume_mounts_reads_and_is_emptied(volume: MountedVolume) -> None:
    count = write_until_full(volume.path)
    end(volume)
    volume.start()
    assert_holds(volume.path, count)
    for number in range(count + 1):
        (volume.path / str(number)).unlink(missing_ok=True)
    eventually_writes(volume.path / "a", contents(1))
    end(volume)


def test_a_disk_without_any_space_is_told_and_does_no_harm(
    volume: MountedVolume, disk: Path
) -> None:
    """SQLite cannot open its view then; the store waits unharmed."""
    write_synced(volume.path / "a", contents(1))
    end(volume)
    fill(disk / "ballast")
    volume.launch()
    assert volume.ended() == 1
    volume.expect_in_log("vexfs: no space left in the store")
    (disk / "ballast").unlink()
    volume.start()
    assert (volume.path / "a").read_bytes() == contents(1)
    end(volume)


@on_both
def test_every_call_on_a_full_disk_works_or_says_so(volume: MountedVolume, disk: Path) -> None:
    """Names alone fill the disk as well; nothing turns read-only by it, and nothing hangs."""
    sync(volume.path)
    fill(disk / "ballast")
    made = 0
    with refused(errno.ENOSPC):
        for number in range(100_000):
            os.symlink("x" * 3_000, volume.path / f"{number}")
            made = number + 1
    with suppress_full():
        (volume.path / "directory").mkdir()
    with suppress_full():
        (volume.path / "0").rename(volume.path / "renamed")
    with suppress_full():
        os.setxattr(volume.path, "user.a", bytes(60_000))
    with suppress_full():
        os.chmod(volume.path, 0o700)
    names = os.listdir(volume.path)
    assert made <= len(names) <= made + 1
    assert os.statvfs(volume.path).f_bavail * 4096 < 8 * MIB
    volume.kill9()
    volume.start()
    with suppress_full():
        sync(volume.path)
    assert set(os.listdir(volume.path)) <= set(names)
    (disk / "ballast").unlink()
    eventually_writes(volume.path / "after", contents(1))
    end(volume)


def sync(directory: Path) -> None:
    """Sync a directory."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class suppress_full(suppress):  # noqa: N801 - reads as its parent does
    """Let a block be refused for want of space, and for nothing else."""

    def __init__(self) -> None:
        super().__init__(OSError)

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        assert not isinstance(error, OSError) or error.errno == errno.ENOSPC, error
        return bool(super().__exit__(kind, error, trace))  # type: ignore[arg-type]


@on_both
@pytest.mark.parametrize("file_bytes", [FILE_BYTES, MIB, 64 * MIB])
def test_the_space_told_as_available_can_be_written(
    volume: MountedVolume, disk: Path, file_bytes: int
) -> None:
    """All of it but the allowance, in files that are synced and in one that outruns the disk."""
    space = os.statvfs(volume.path)
    assert abs(space.f_bfree * space.f_frsize - free_bytes(disk)) < MIB
    assert space.f_blocks * space.f_frsize <= DISK_BYTES
    promised = space.f_bavail * space.f_frsize - ALLOWANCE_BYTES
    data = random.Random(1).randbytes(DISK_BYTES)
    for start in range(0, promised, file_bytes):
        write_synced(volume.path / f"{start}", data[start : min(start + file_bytes, promised)])
    left = os.statvfs(volume.path)
    assert left.f_bavail * left.f_frsize < 2 * ALLOWANCE_BYTES
    end(volume)
