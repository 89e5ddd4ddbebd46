"""`mount -o remount`: the helper of mount(8) changes a living mount."""

import errno
import os

import pytest

from tests.support.mounting import MountedVolume
from vexfs_fuse.cli import mount_helper

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root remounts")


def test_a_mount_can_be_made_read_only_and_writable_again(volume: MountedVolume) -> None:
    where = str(volume.path)
    assert mount_helper.main(["vexfs", where, "-o", "remount,ro"]) == 0
    with pytest.raises(OSError, match="Read-only") as refused:
        (volume.path / "new").touch()
    assert refused.value.errno == errno.EROFS
    assert mount_helper.main(["vexfs", where, "-o", "remount,rw"]) == 0
    (volume.path / "new").touch()
