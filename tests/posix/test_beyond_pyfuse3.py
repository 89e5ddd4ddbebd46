"""What pyfuse3 cannot express, and what a program gets instead (`docs/semantics.md`)."""

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.syscalls import fallocate, refused, renameat2

RENAME_WHITEOUT = 4
FS_IOC_GETFLAGS = 0x8008_6601
PUNCH_HOLE_KEEP_SIZE = 3

pytestmark = pytest.mark.skipif(
    "VEXFS_TEST_DIR" in os.environ, reason="other file systems can do these"
)


@pytest.fixture
def descriptor(mount: Path) -> Iterator[int]:
    """An open file of 8,192 bytes with a hole before them."""
    opened = os.open(mount / "file", os.O_RDWR | os.O_CREAT)
    os.pwrite(opened, b"x" * 8192, 1 << 20)
    yield opened
    os.close(opened)


@pytest.mark.parametrize("mode", [0, PUNCH_HOLE_KEEP_SIZE])
def test_fallocate_is_not_supported(descriptor: int, mode: int) -> None:
    with refused(errno.EOPNOTSUPP):
        fallocate(descriptor, mode, 0, 4096)


def test_posix_fallocate_works_by_writing(descriptor: int) -> None:
    os.posix_fallocate(descriptor, 0, 2 << 20)
    assert os.fstat(descriptor).st_size == 2 << 20
    assert os.pread(descriptor, 4, 1 << 20) == b"xxxx"


def test_a_sparse_file_looks_dense_to_seek(descriptor: int) -> None:
    assert os.lseek(descriptor, 0, os.SEEK_DATA) == 0
    assert os.lseek(descriptor, 0, os.SEEK_HOLE) == (1 << 20) + 8192


def test_a_file_without_a_name_cannot_be_opened(mount: Path) -> None:
    with refused(errno.EOPNOTSUPP):
        os.open(mount, os.O_TMPFILE | os.O_RDWR)


def test_a_file_has_no_inode_flags(descriptor: int) -> None:
    with refused(errno.ENOTTY):
        fcntl.ioctl(descriptor, FS_IOC_GETFLAGS, b"\0" * 8)


def test_a_rename_leaves_no_whiteout(mount: Path) -> None:
    (mount / "a").touch()
    with refused(errno.EINVAL):
        renameat2(mount / "a", mount / "b", RENAME_WHITEOUT)
