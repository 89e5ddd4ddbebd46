"""More files than caches hold and larger ones than the pool: memory stays within its bounds.

The quick sizes are run always; `VEXFS_SCALE_FILES` and `VEXFS_SCALE_BYTES` set those of the night.
What was measured is printed, as `pytest -s` or a failure shows it.
"""

import os
import random
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.mounting import MountedVolume
from vexfs_fuse.units import GIB, KIB, MIB

QUICK_FILES: Final = 10_000
NIGHT_FILES: Final = int(os.environ.get("VEXFS_SCALE_FILES", "1000000"))
QUICK_BYTES: Final = 160 * MIB
NIGHT_BYTES: Final = int(os.environ.get("VEXFS_SCALE_BYTES", str(8 * GIB)))
BLOCK_BYTES: Final = MIB

CACHES: Final = {"cache_inodes": 20_000, "cache_names": 40_000}
"""Far fewer than a million: what memory holds must not grow with the volume."""

BASE_BYTES: Final = 300 * MIB
"""Interpreter, libraries, SQLite's caches, rows between two commits; beside pool and caches."""

MOUNT_S_MAX: Final = 2.0


@contextmanager
def mounted(**options: int) -> Iterator[MountedVolume]:
    """A volume with these options, which must end well and be sound."""
    arguments = [part for name, value in options.items() for part in _option(name, value)]
    volume = MountedVolume(arguments=arguments)
    try:
        volume.start()
        yield volume
        volume.stop()
        assert volume.problems() == []
    finally:
        volume.discard()


def _option(name: str, value: int) -> tuple[str, str]:
    return f"--{name.replace('_', '-')}", str(value)


def memory_bytes(volume: MountedVolume) -> int:
    """The most memory that the daemon has had resident."""
    status = Path(f"/proc/{volume.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * KIB


def remount_s(volume: MountedVolume) -> float:
    """Unmount, and measure how long the mount takes until it answers: the best of three."""
    times = []
    for _ in range(3):
        volume.stop()
        began = time.monotonic()
        volume.start()
        os.statvfs(volume.path)
        times.append(time.monotonic() - began)
    return min(times)


def place(volume: MountedVolume, number: int, each: int) -> Path:
    """Where the file of that number is, with `each` files in a directory."""
    return volume.path / str(number // each) / f"file-{number}"


def fill_with_files(volume: MountedVolume, count: int, each: int) -> float:
    """Make the files; how many in a second."""
    began = time.monotonic()
    for number in range(count):
        path = place(volume, number, each)
        if number % each == 0:
            path.parent.mkdir()
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    return count / (time.monotonic() - began)


def look_at_files(volume: MountedVolume, count: int, each: int) -> None:
    """All are listed, and any can be found; those that are not there cannot."""
    directories = -(-count // each)
    listed = sum(len(os.listdir(volume.path / str(number))) for number in range(directories))
    assert listed == count
    for number in random.Random(1).sample(range(count), 1_000):
        assert place(volume, number, each).stat().st_size == 0
        assert not (volume.path / str(number // each) / f"absent-{number}").exists()


def use_many_files(count: int, each: int) -> float:
    """Make, mount anew, look, and change a volume of many files; how long the mount took, in s."""
    with mounted(**CACHES) as volume:
        rate = fill_with_files(volume, count, each)
        memory = memory_bytes(volume)
        mount_s = remount_s(volume)
        look_at_files(volume, count, each)
        for number in range(0, count, count // 100):
            place(volume, number, each).unlink()
        (volume.path / "0" / "another").touch()
        print(
            f"{count} files, {each} to a directory: {rate:.0f} made/s, mounted in {mount_s:.2f} s,"
            f" {memory // MIB} MiB when made, {memory_bytes(volume) // MIB} MiB when looked at"
        )
        assert max(memory, memory_bytes(volume)) < BASE_BYTES + volume_caches_bytes()
    return mount_s


def volume_caches_bytes() -> int:
    """What the configuration says that the caches take."""
    return 600 * CACHES["cache_inodes"] + 250 * CACHES["cache_names"]


@pytest.mark.parametrize("each", [QUICK_FILES, 100], ids=["one directory", "many"])
def test_thousands_of_files(each: int) -> None:
    use_many_files(QUICK_FILES, each)


@pytest.mark.night
@pytest.mark.parametrize("each", [NIGHT_FILES, 1_000], ids=["one directory", "many"])
def test_a_million_files(each: int) -> None:
    assert use_many_files(NIGHT_FILES, each) < MOUNT_S_MAX


def block(number: int, noise: bytes) -> bytes:
    """The bytes of one block: all blocks differ, and say which they are."""
    head = b"block %d of the file " % number
    return head + noise[number % 97 : number % 97 + BLOCK_BYTES - len(head)]


def use_a_large_file(size: int, pool_bytes: int) -> None:
    """Write a file that is far larger than the pool, read it back, write into the middle of it."""
    noise = random.Random(1).randbytes(BLOCK_BYTES + 97)
    blocks = size // BLOCK_BYTES
    with mounted(pool_bytes=pool_bytes) as volume:
        assert shutil.disk_usage(volume.directory).free > 2 * size + 4 * GIB, "leave the disk alone"
        path = volume.path / "large"
        began = time.monotonic()
        with path.open("wb", buffering=0) as file:
            for number in range(blocks):
                file.write(block(number, noise))
            os.fsync(file.fileno())
        written_s = time.monotonic() - began
        memory = memory_bytes(volume)
        volume.remount()
        began = time.monotonic()
        with path.open("r+b", buffering=0) as file:
            for number in range(blocks):
                assert file.read(BLOCK_BYTES) == block(number, noise), number
            read_s = time.monotonic() - began
            for number in random.Random(2).sample(range(blocks), 20):
                os.pwrite(file.fileno(), b"changed", number * BLOCK_BYTES + 5_000)
                expected = bytearray(block(number, noise))
                expected[5_000:5_007] = b"changed"
                assert os.pread(file.fileno(), BLOCK_BYTES, number * BLOCK_BYTES) == expected
        print(
            f"{size // MIB} MiB through {pool_bytes // MIB} MiB: {size / written_s / 1e6:.0f} MB/s"
            f" written and synced, {size / read_s / 1e6:.0f} MB/s read, {memory // MIB} and"
            f" {memory_bytes(volume) // MIB} MiB resident"
        )
        assert max(memory, memory_bytes(volume)) < BASE_BYTES + pool_bytes


def test_a_file_ten_times_larger_than_the_pool() -> None:
    use_a_large_file(QUICK_BYTES, 16 * MIB)


@pytest.mark.night
def test_a_file_a_hundred_times_larger_than_the_pool() -> None:
    use_a_large_file(NIGHT_BYTES, 64 * MIB)
