"""fallocate(2), and SEEK_DATA and SEEK_HOLE of lseek(2)."""

import errno
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.persons import ALICE, acting_as
from tests.support.syscalls import fallocate, refused

KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE = 0x01, 0x02, 0x08, 0x10
BLOCK = 64 * 1024
DATA = os.urandom(8 * BLOCK)


@pytest.fixture
def descriptor(mount: Path) -> Iterator[int]:
    """An open, empty file."""
    opened = os.open(mount / "file", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


def contents(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def stored_bytes(descriptor: int) -> int:
    os.fsync(descriptor)
    return os.fstat(descriptor).st_blocks * 512


def data_of(descriptor: int) -> list[tuple[int, int]]:
    """Return where data begin and end, as a program that copies a sparse file finds out."""
    found, offset, size = [], 0, os.fstat(descriptor).st_size
    while offset < size:
        start = next_data(descriptor, offset)
        if start is None:
            break
        offset = os.lseek(descriptor, start, os.SEEK_HOLE)
        found.append((start, offset))
    return found


def next_data(descriptor: int, offset: int) -> int | None:
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None


def test_allocation_extends_a_file_with_zeros(descriptor: int) -> None:
    os.write(descriptor, b"abc")
    fallocate(descriptor, 0, 0, 10_000)
    assert contents(descriptor) == b"abc".ljust(10_000, b"\0")


def test_allocation_within_a_file_changes_no_byte(descriptor: int) -> None:
    os.write(descriptor, DATA)
    fallocate(descriptor, 0, 100, 1_000)
    assert contents(descriptor) == DATA


def test_allocation_may_keep_the_size(descriptor: int) -> None:
    os.write(descriptor, b"abc")
    fallocate(descriptor, KEEP_SIZE, 0, 10_000)
    assert contents(descriptor) == b"abc"


def test_the_c_library_allocates_without_writing(descriptor: int) -> None:
    os.posix_fallocate(descriptor, 0, 1 << 30)
    assert os.fstat(descriptor).st_size == 1 << 30


def test_more_than_the_disk_has_is_refused_and_changes_nothing(
    mount: Path, descriptor: int
) -> None:
    space = os.statvfs(mount)
    for mode in (0, KEEP_SIZE, ZERO_RANGE):
        with refused(errno.ENOSPC):
            fallocate(descriptor, mode, 0, (space.f_blocks + 1) * space.f_frsize)
    assert os.fstat(descriptor).st_size == 0


def test_a_punched_hole_reads_as_zeros_and_gives_its_room_back(descriptor: int) -> None:
    os.write(descriptor, DATA)
    before = stored_bytes(descriptor)
    fallocate(descriptor, PUNCH_HOLE | KEEP_SIZE, 2 * BLOCK, 3 * BLOCK)
    assert contents(descriptor) == DATA[: 2 * BLOCK] + bytes(3 * BLOCK) + DATA[5 * BLOCK :]
    assert stored_bytes(descriptor) == before - 3 * BLOCK


@pytest.mark.parametrize("synced", [False, True])
def test_a_hole_may_begin_and_end_anywhere(descriptor: int, synced: bool) -> None:
    os.write(descriptor, DATA)
    if synced:
        os.fsync(descriptor)
    fallocate(descriptor, PUNCH_HOLE | KEEP_SIZE, 1_234, 100_000)
    expected = DATA[:1_234] + bytes(100_000) + DATA[101_234:]
    assert contents(descriptor) == expected
    os.pwrite(descriptor, b"again", 50_000)
    os.fsync(descriptor)
    assert contents(descriptor) == expected[:50_000] + b"again" + expected[50_005:]


def test_a_hole_beyond_the_end_changes_nothing(descriptor: int) -> None:
    os.write(descriptor, b"abc")
    fallocate(descriptor, PUNCH_HOLE | KEEP_SIZE, 100, 100)
    assert contents(descriptor) == b"abc"


def test_a_zeroed_range_may_extend_a_file_or_not(descriptor: int) -> None:
    os.write(descriptor, b"x" * 100)
    fallocate(descriptor, ZERO_RANGE | KEEP_SIZE, 50, 1_000)
    assert contents(descriptor) == b"x" * 50 + bytes(50)
    fallocate(descriptor, ZERO_RANGE, 25, 1_000)
    assert contents(descriptor) == b"x" * 25 + bytes(1_000)


def test_a_mapping_sees_a_hole_that_is_punched(descriptor: int) -> None:
    os.write(descriptor, DATA)
    with mmap.mmap(descriptor, len(DATA)) as mapped:
        mapped[BLOCK : BLOCK + 3] = b"new"
        fallocate(descriptor, PUNCH_HOLE | KEEP_SIZE, BLOCK, BLOCK)
        assert mapped[:] == DATA[:BLOCK] + bytes(BLOCK) + DATA[2 * BLOCK :]


def test_allocation_moves_mtime_and_ctime(descriptor: int) -> None:
    os.write(descriptor, DATA)
    for mode in (0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE):
        os.utime(descriptor, (1, 1))
        before = os.fstat(descriptor)
        fallocate(descriptor, mode, 0, 4_096)
        after = os.fstat(descriptor)
        assert after.st_mtime > before.st_mtime
        assert after.st_ctime_ns >= before.st_ctime_ns


def test_other_modes_and_senseless_ranges_are_refused(mount: Path, descriptor: int) -> None:
    with refused(errno.EOPNOTSUPP):
        fallocate(descriptor, COLLAPSE_RANGE, 0, BLOCK)
    with refused(errno.EOPNOTSUPP):
        fallocate(descriptor, PUNCH_HOLE, 0, BLOCK)
    with refused(errno.EINVAL):
        fallocate(descriptor, 0, 0, 0)
    with refused(errno.EFBIG):
        fallocate(descriptor, 0, 2**63 - 1, 1)
    reader = os.open(mount / "file", os.O_RDONLY)
    with refused(errno.EBADF):
        fallocate(reader, 0, 0, 1)
    os.close(reader)


@pytest.mark.parametrize("mode", [0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE])
def test_another_s_allocation_clears_set_id(mount: Path, descriptor: int, mode: int) -> None:
    os.write(descriptor, DATA)
    os.fchmod(descriptor, 0o6777)

    def allocate() -> None:
        opened = os.open(mount / "file", os.O_RDWR)
        fallocate(opened, mode, 0, 2 * len(DATA))
        os.close(opened)

    acting_as(ALICE, allocate)
    assert os.fstat(descriptor).st_mode & 0o7777 == 0o777


@pytest.mark.parametrize("synced", [False, True])
def test_data_and_holes_are_found(descriptor: int, synced: bool) -> None:
    os.ftruncate(descriptor, 10 * BLOCK)
    os.pwrite(descriptor, DATA[:BLOCK], 2 * BLOCK)
    os.pwrite(descriptor, DATA[:BLOCK], 6 * BLOCK)
    if synced:
        os.fsync(descriptor)
    assert data_of(descriptor) == [(2 * BLOCK, 3 * BLOCK), (6 * BLOCK, 7 * BLOCK)]
    assert os.lseek(descriptor, 2 * BLOCK + 1, os.SEEK_DATA) == 2 * BLOCK + 1
    assert os.lseek(descriptor, 0, os.SEEK_HOLE) == 0
    assert os.lseek(descriptor, 10 * BLOCK - 1, os.SEEK_HOLE) == 10 * BLOCK - 1


def test_neighbours_that_were_written_apart_are_one_piece_of_data(descriptor: int) -> None:
    for number in range(4):
        os.pwrite(descriptor, DATA[:BLOCK], number * BLOCK)
        if number % 2:
            os.fsync(descriptor)
    assert data_of(descriptor) == [(0, 4 * BLOCK)]


def test_a_hole_is_a_block_without_any_data(descriptor: int) -> None:
    os.ftruncate(descriptor, 20_000)
    os.pwrite(descriptor, b"x", 5_000)
    assert data_of(descriptor) == [(4_096, 8_192)]
    os.pwrite(descriptor, b"x", 17_000)
    assert data_of(descriptor) == [(4_096, 8_192), (16_384, 20_000)]
    assert os.lseek(descriptor, 6_000, os.SEEK_DATA) == 6_000
    assert os.lseek(descriptor, 9_000, os.SEEK_HOLE) == 9_000


def test_a_punched_hole_is_found(descriptor: int) -> None:
    os.write(descriptor, DATA)
    fallocate(descriptor, PUNCH_HOLE | KEEP_SIZE, BLOCK, BLOCK)
    assert data_of(descriptor) == [(0, BLOCK), (2 * BLOCK, 8 * BLOCK)]


def test_the_end_of_a_file_is_a_hole_and_behind_it_is_nothing(descriptor: int) -> None:
    os.write(descriptor, b"abc")
    assert os.lseek(descriptor, 0, os.SEEK_HOLE) == 3
    for whence in (os.SEEK_DATA, os.SEEK_HOLE):
        for offset in (3, 4, -1):
            with refused(errno.ENXIO):
                os.lseek(descriptor, offset, whence)


def test_behind_the_last_data_there_are_none(descriptor: int) -> None:
    os.write(descriptor, b"abc")
    os.ftruncate(descriptor, 10 * BLOCK)
    with refused(errno.ENXIO):
        os.lseek(descriptor, 5 * BLOCK, os.SEEK_DATA)
