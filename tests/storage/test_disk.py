"""What only the local disk can show; the rest is in tests/contracts/test_disk_contract.py."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vexfs_fuse.errors import NoSpace, StoreFailed
from vexfs_fuse.storage import disk as disk_module
from vexfs_fuse.storage.disk import LocalDisk, LocalFile


def test_nobody_else_may_read_the_store(tmp_path: Path) -> None:
    disk = LocalDisk(tmp_path)
    disk.make_directory("d")
    disk.create("d/a").close()
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "d/a").stat().st_mode) == 0o600


def test_full_disk_is_no_space() -> None:
    file = LocalFile("full", os.open("/dev/full", os.O_RDWR))
    with pytest.raises(NoSpace):
        file.pwritev([b"abc"], 0)
    file.close()


def test_reserved_blocks_are_there_and_go_with_a_truncation(tmp_path: Path) -> None:
    file = LocalDisk(tmp_path).create("a")
    file.reserve(0, 1 << 20)
    assert (tmp_path / "a").stat().st_blocks * 512 >= 1 << 20
    file.truncate(0)
    assert (tmp_path / "a").stat().st_blocks == 0
    file.close()


def test_without_fallocate_the_free_space_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_module, "_fallocate", lambda *_: False)
    disk = LocalDisk(tmp_path)
    file = disk.create("a")
    file.reserve(0, 4096)
    with pytest.raises(NoSpace):
        file.reserve(0, disk.total_bytes() * 2)
    file.close()


def test_short_writes_are_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pwritev(fd: int, buffers: Sequence[bytes], offset: int) -> int:
        return os.pwrite(fd, b"".join(buffers)[:3], offset)

    monkeypatch.setattr(os, "pwritev", pwritev)
    file = LocalDisk(tmp_path).create("a")
    file.pwritev([b"ab", b"cdef", b"gh"], 1)
    file.close()
    assert (tmp_path / "a").read_bytes() == b"\0abcdefgh"


def test_read_that_would_wait_says_so_where_it_cannot_be_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def preadv(*_: Any) -> int:
        raise OSError(95, "Operation not supported")

    file = LocalDisk(tmp_path).create("a")
    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(BlockingIOError):
        file.read_into(bytearray(3), 0, nowait=True)
    with pytest.raises(StoreFailed):
        file.read_into(bytearray(3), 0)
    file.close()
