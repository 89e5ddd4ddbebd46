"""statvfs(3): numbers that are true and move with what is stored."""

import os
from pathlib import Path


def test_the_numbers_fit_together(mount: Path) -> None:
    space = os.statvfs(mount)
    assert space.f_frsize > 0
    assert space.f_bsize % space.f_frsize == 0 or space.f_bsize == space.f_frsize
    assert 0 < space.f_bavail <= space.f_bfree <= space.f_blocks
    assert 0 < space.f_ffree <= space.f_files


def test_stored_bytes_are_no_longer_free(mount: Path) -> None:
    before = os.statvfs(mount)
    with (mount / "file").open("wb") as file:
        file.write(os.urandom(20_000_000))
        file.flush()
        os.fsync(file.fileno())
    after = os.statvfs(mount)
    assert (before.f_bfree - after.f_bfree) * before.f_frsize > 10_000_000


def test_every_path_of_the_volume_tells_the_same(mount: Path) -> None:
    (mount / "directory").mkdir()
    (mount / "file").touch()
    told = {os.statvfs(path).f_blocks for path in (mount, mount / "directory", mount / "file")}
    assert len(told) == 1


def test_blocks_of_a_file_tell_its_size(mount: Path) -> None:
    (mount / "file").write_bytes(os.urandom(100_000))
    with (mount / "file").open("rb") as file:
        os.fsync(file.fileno())
    assert 100_000 <= (mount / "file").stat().st_blocks * 512 <= 300_000
