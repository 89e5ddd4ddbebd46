"""A home for every test of the command line, left without mounts."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Home
from vexfs_fuse.fuse import mounting


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    for mount in reversed(mounting.mounts()):
        if mount.path.is_relative_to(tmp_path):
            subprocess.run(["fusermount3", "-u", "-z", str(mount.path)], check=False)
