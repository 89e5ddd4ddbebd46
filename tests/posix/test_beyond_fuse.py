"""What programs must do without, and what they get instead (`docs/semantics.md`)."""

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.syscalls import refused, renameat2

RENAME_WHITEOUT = 4
FS_IOC_GETFLAGS = 0x8008_6601

pytestmark = pytest.mark.skipif(
    "VEXFS_TEST_DIR" in os.environ, reason="other file systems can do these"
)


@pytest.fixture
def descriptor(mount: Path) -> Iterator[int]:
    """An open file."""
    opened = os.open(mount / "file", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


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
