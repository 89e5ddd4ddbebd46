"""What only the local disk can show; the rest is in tests/contracts/test_disk_contract.py."""

import fcntl
import mmap
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vexfs_fuse.errors import NoSpace, StoreFailed
from vexfs_fuse.storage import disk as disk_module
from vexfs_fuse.storage.disk import (
    BLOCK_BYTES,
    DIRECT_BYTES_MIN,
    Buffer,
    LocalDisk,
    LocalFile,
)


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


def blocks(number: int) -> memoryview:
    """Return `number` blocks of random bytes in aligned memory."""
    memory = memoryview(mmap.mmap(-1, number * BLOCK_BYTES))
    memory[:] = os.urandom(len(memory))
    return memory


@pytest.fixture
def mixed() -> list[Buffer]:
    """What a segment gets: small frames, blocks, large frames of which one ends within a block."""
    many = DIRECT_BYTES_MIN // BLOCK_BYTES
    odd = blocks(many + 1)[: DIRECT_BYTES_MIN + 123]
    return [os.urandom(BLOCK_BYTES - 5), blocks(many), b"", blocks(1), odd, b"end", blocks(many)]


def test_large_buffers_go_past_the_page_cache_and_arrive(
    tmp_path: Path, mixed: list[Buffer], monkeypatch: pytest.MonkeyPatch
) -> None:
    directly: list[int] = []
    write = LocalFile._write_directly

    def noted(self: LocalFile, buffers: Sequence[Buffer], offset: int) -> bool:
        done = write(self, buffers, offset)
        directly.extend([offset, sum(map(len, buffers))] if done else [])
        return done

    monkeypatch.setattr(LocalFile, "_write_directly", noted)
    file = LocalDisk(tmp_path).create("a")
    file.pwritev(mixed, 5)
    file.close()
    assert (tmp_path / "a").read_bytes() == b"\0" * 5 + b"".join(mixed)
    assert directly in ([], [BLOCK_BYTES, 2 * DIRECT_BYTES_MIN + BLOCK_BYTES])


@pytest.mark.parametrize("refuses", ["open", "pwritev"])
def test_a_file_system_that_takes_nothing_directly_gets_it_otherwise(
    tmp_path: Path, mixed: list[Buffer], monkeypatch: pytest.MonkeyPatch, refuses: str
) -> None:
    call = getattr(os, refuses)

    def refuse(target: Any, *rest: Any) -> Any:
        if refuses == "open" and rest[0] & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        if refuses == "pwritev" and fcntl.fcntl(target, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return call(target, *rest)

    monkeypatch.setattr(os, refuses, refuse)
    file = LocalDisk(tmp_path).create("a")
    file.pwritev(mixed, 5)
    file.close()
    assert (tmp_path / "a").read_bytes() == b"\0" * 5 + b"".join(mixed)


def test_memory_that_is_not_aligned_is_written_all_the_same(tmp_path: Path) -> None:
    data = memoryview(os.urandom(DIRECT_BYTES_MIN + 8))[8:]
    file = LocalDisk(tmp_path).create("a")
    file.pwritev([data], 0)
    file.close()
    assert (tmp_path / "a").read_bytes() == data


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
