"""Bytes of files: sparse, truncated, mapped, at odd offsets, at the end of what is possible."""

import errno
import mmap
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.syscalls import refused

LARGEST = 2**63 - 1
PAGE = 4096


@pytest.fixture
def descriptor(mount: Path) -> Iterator[int]:
    """An open, empty file."""
    opened = os.open(mount / "file", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


def test_a_hole_reads_as_zeros(descriptor: int) -> None:
    os.pwrite(descriptor, b"start", 0)
    os.pwrite(descriptor, b"end", 10_000_000)
    assert os.pread(descriptor, 10, 5_000_000) == bytes(10)
    assert os.pread(descriptor, 13, 9_999_990) == bytes(10) + b"end"
    assert os.fstat(descriptor).st_size == 10_000_003


def test_a_sparse_file_takes_little_room(descriptor: int) -> None:
    os.ftruncate(descriptor, 1 << 30)
    os.pwrite(descriptor, b"x", 1 << 29)
    os.fsync(descriptor)
    assert os.fstat(descriptor).st_blocks * 512 < 1 << 20


def test_an_extended_file_ends_in_zeros(descriptor: int) -> None:
    os.write(descriptor, b"abc")
    os.ftruncate(descriptor, 6)
    assert os.pread(descriptor, 100, 0) == b"abc\0\0\0"


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1 << 20])
def test_bytes_cut_off_never_come_back(descriptor: int, size: int) -> None:
    os.write(descriptor, b"x" * ((1 << 20) + 5000))
    os.ftruncate(descriptor, size)
    os.ftruncate(descriptor, (1 << 20) + 5000)
    contents = os.pread(descriptor, 2 << 20, 0)
    assert contents[:size] == b"x" * size
    assert contents[size:] == bytes((1 << 20) + 5000 - size)


def test_bytes_cut_off_never_come_back_after_a_sync(descriptor: int) -> None:
    os.write(descriptor, b"x" * 100_000)
    os.fsync(descriptor)
    os.ftruncate(descriptor, 1000)
    os.pwrite(descriptor, b"y", 50_000)
    os.fsync(descriptor)
    assert os.pread(descriptor, 100_000, 0) == b"x" * 1000 + bytes(49_000) + b"y"


def test_truncation_by_path_and_by_descriptor_agree(mount: Path, descriptor: int) -> None:
    os.write(descriptor, b"0123456789")
    os.truncate(mount / "file", 7)
    assert os.fstat(descriptor).st_size == 7
    os.ftruncate(descriptor, 3)
    assert (mount / "file").read_bytes() == b"012"


def test_truncation_refuses_directories_and_negative_sizes(mount: Path, descriptor: int) -> None:
    with refused(errno.EISDIR):
        os.truncate(mount, 0)
    with refused(errno.EINVAL):
        os.ftruncate(descriptor, -1)


def test_reading_past_the_end_gives_nothing(descriptor: int) -> None:
    os.write(descriptor, b"abc")
    assert os.pread(descriptor, 10, 3) == b""
    assert os.pread(descriptor, 10, 1 << 40) == b""
    assert os.pread(descriptor, 10, 1) == b"bc"


def test_a_file_can_be_as_long_as_an_offset_can_tell(descriptor: int) -> None:
    os.ftruncate(descriptor, LARGEST)
    assert os.fstat(descriptor).st_size == LARGEST
    assert os.pread(descriptor, 10, 1 << 62) == bytes(10)
    os.ftruncate(descriptor, 0)


def test_a_byte_far_out_is_kept(descriptor: int) -> None:
    os.pwrite(descriptor, b"far", 1 << 55)
    assert os.pread(descriptor, 10, (1 << 55) - 1) == b"\0far"
    assert os.fstat(descriptor).st_size == (1 << 55) + 3
    os.ftruncate(descriptor, 0)


def test_writing_beyond_the_largest_size_is_refused(descriptor: int) -> None:
    with refused(errno.EFBIG, errno.EINVAL):
        os.pwrite(descriptor, b"abc", LARGEST)
    assert os.fstat(descriptor).st_size == 0


def test_random_writes_and_truncations_match_a_byte_array(descriptor: int) -> None:
    rng, model = random.Random(7), bytearray()
    for step in range(300):
        offset, size = rng.randrange(300_000), rng.choice((1, 100, 4096, 70_000))
        if rng.random() < 0.15:
            os.ftruncate(descriptor, offset)
            model = model[:offset].ljust(offset, b"\0")
        else:
            data = rng.randbytes(size)
            assert os.pwrite(descriptor, data, offset) == size
            model = model.ljust(offset, b"\0")
            model[offset : offset + size] = data
        if step % 20 == 0:
            os.fsync(descriptor)
        assert os.fstat(descriptor).st_size == len(model)
    assert os.pread(descriptor, 1 << 20, 0) == model


def test_a_shared_mapping_and_the_file_agree(descriptor: int) -> None:
    os.ftruncate(descriptor, 16 * PAGE)
    with mmap.mmap(descriptor, 16 * PAGE) as mapping:
        mapping[5000:5005] = b"hello"
        mapping.flush()
        assert os.pread(descriptor, 5, 5000) == b"hello"
        os.pwrite(descriptor, b"WORLD", 5000)
        assert mapping[5000:5005] == b"WORLD"


def test_a_mapping_written_after_its_file_is_closed_is_kept(mount: Path) -> None:
    with (mount / "mapped").open("wb+") as file:
        file.truncate(PAGE)
        mapping = mmap.mmap(file.fileno(), PAGE)
    mapping[:4] = b"kept"
    mapping.close()
    assert (mount / "mapped").read_bytes()[:4] == b"kept"


def test_a_private_mapping_changes_nothing(descriptor: int) -> None:
    os.write(descriptor, b"z" * PAGE)
    with mmap.mmap(descriptor, PAGE, flags=mmap.MAP_PRIVATE) as mapping:
        mapping[0:1] = b"q"
    assert os.pread(descriptor, 1, 0) == b"z"


def test_a_mapping_shows_zeros_behind_the_end_of_the_file(descriptor: int) -> None:
    os.write(descriptor, b"x" * PAGE)
    with mmap.mmap(descriptor, PAGE) as mapping:
        os.ftruncate(descriptor, 100)
        assert mapping[:] == b"x" * 100 + bytes(PAGE - 100)


def test_vectored_reads_and_writes_keep_their_order(descriptor: int) -> None:
    assert os.pwritev(descriptor, [b"one", b"", b"two", b"three"], 10) == 11
    buffers = [bytearray(4), bytearray(20)]
    assert os.preadv(descriptor, buffers, 10) == 11
    assert bytes(buffers[0]) + bytes(buffers[1][:7]) == b"onetwothree"


def test_a_large_write_comes_back_whole(mount: Path) -> None:
    contents = random.Random(1).randbytes(5_000_001)
    (mount / "large").write_bytes(contents)
    assert (mount / "large").read_bytes() == contents


def test_two_descriptors_see_each_others_writes(mount: Path, descriptor: int) -> None:
    other = os.open(mount / "file", os.O_RDWR)
    os.write(descriptor, b"abc")
    assert os.read(other, 10) == b"abc"
    os.pwrite(other, b"X", 1)
    assert os.pread(descriptor, 3, 0) == b"aXc"
    os.close(other)


def test_every_sync_succeeds(mount: Path, descriptor: int) -> None:
    os.write(descriptor, b"data")
    os.fsync(descriptor)
    os.fdatasync(descriptor)
    directory = os.open(mount, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
    os.sync()


def test_copying_in_the_kernel_copies_the_bytes(mount: Path, descriptor: int) -> None:
    os.write(descriptor, b"0123456789" * 1000)
    target = os.open(mount / "copy", os.O_RDWR | os.O_CREAT)
    assert os.copy_file_range(descriptor, target, 5000, 10, 0) == 5000
    assert os.sendfile(target, descriptor, 0, 10) == 10
    os.close(target)
    assert (mount / "copy").stat().st_size >= 5000
