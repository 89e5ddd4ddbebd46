"""When reading a file moves its access time: as the option `atime` says, and only reads that arrive."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.mounting import OPTIONS, MountedVolume

DAY_S = 24 * 3600
TICK_S = 0.05
"""More than a step of the clock that stamps files."""

Mounted = Callable[[str], Path]


@pytest.fixture
def mounted() -> Iterator[Mounted]:
    """Mount with one of the options; unmounted at the end, with a quiet log."""
    volumes: list[MountedVolume] = []

    def mount(atime: str) -> Path:
        volumes.append(MountedVolume(options=f"{OPTIONS},{atime}"))
        return volumes[-1].start().path

    try:
        yield mount
        for volume in volumes:
            volume.stop()
    finally:
        for volume in volumes:
            volume.discard()


def unread(path: Path, *, read_s: float, changed_s: float) -> Path:
    """Make a file that the kernel has no pages of, read and changed so long ago."""
    path.write_bytes(b"x" * 10_000)
    now = time.time()
    os.utime(path, (now - read_s, now - changed_s))
    forget_pages(path)
    return path


def forget_pages(path: Path) -> None:
    """Have the next read reach the daemon."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    time.sleep(TICK_S)


def read_moves_atime(path: Path) -> bool:
    before = path.stat().st_atime_ns
    path.read_bytes()
    return path.stat().st_atime_ns > before


def test_relatime_moves_a_time_that_is_older_than_the_last_change(mounted: Mounted) -> None:
    root = mounted("relatime")
    assert read_moves_atime(unread(root / "a", read_s=600, changed_s=300))


def test_relatime_moves_a_time_that_is_a_day_old(mounted: Mounted) -> None:
    root = mounted("relatime")
    path = unread(root / "a", read_s=DAY_S + 60, changed_s=2 * DAY_S)
    path.read_bytes()  # ctime was now: this read moves it
    os.utime(path, (time.time() - DAY_S - 60, time.time() - 2 * DAY_S))
    forget_pages(path)
    assert read_moves_atime(path)


def test_relatime_leaves_a_time_that_is_younger_than_the_last_change(mounted: Mounted) -> None:
    root = mounted("relatime")
    path = unread(root / "a", read_s=600, changed_s=300)
    assert read_moves_atime(path)
    forget_pages(path)
    assert not read_moves_atime(path)


def test_noatime_never_moves_it(mounted: Mounted) -> None:
    root = mounted("noatime")
    assert not read_moves_atime(unread(root / "a", read_s=2 * DAY_S, changed_s=300))


def test_strictatime_moves_it_with_each_read_that_arrives(mounted: Mounted) -> None:
    root = mounted("strictatime")
    path = unread(root / "a", read_s=600, changed_s=300)
    for _ in range(3):
        assert read_moves_atime(path)
        forget_pages(path)


def test_who_opens_with_o_noatime_moves_nothing(mounted: Mounted) -> None:
    path = unread(mounted("relatime") / "a", read_s=600, changed_s=300)
    before = path.stat().st_atime_ns
    descriptor = os.open(path, os.O_RDONLY | os.O_NOATIME)
    assert os.read(descriptor, 10) == b"x" * 10
    os.close(descriptor)
    assert path.stat().st_atime_ns == before


def test_a_read_from_the_kernels_cache_moves_nothing(mounted: Mounted) -> None:
    root = mounted("strictatime")
    path = unread(root / "a", read_s=600, changed_s=300)
    path.read_bytes()
    time.sleep(TICK_S)
    assert not read_moves_atime(path)


def test_reading_a_directory_moves_nothing(mounted: Mounted) -> None:
    root = mounted("strictatime")
    (root / "directory").mkdir()
    os.utime(root / "directory", (1, 1))
    os.listdir(root / "directory")
    assert (root / "directory").stat().st_atime_ns == 1_000_000_000
