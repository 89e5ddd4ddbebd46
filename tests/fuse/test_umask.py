"""The umask, which DONT_MASK leaves to us, and the default ACL that takes its place."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mounting import MountedVolume

pytestmark = pytest.mark.mount


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    volume = MountedVolume()
    try:
        volume.start()
        yield volume.path
        volume.stop()
    finally:
        volume.discard()


@pytest.fixture
def directory(root: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    path = root / str(request.node.name)
    path.mkdir()
    before = os.umask(0o027)
    yield path
    os.umask(before)


def make_each(directory: Path) -> dict[str, int]:
    """Make one of each kind with all permissions; return their modes."""
    (directory / "file").touch(0o666)
    (directory / "directory").mkdir(0o777)
    os.mkfifo(directory / "fifo", 0o666)
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


def test_the_umask_applies_to_everything_that_is_made(directory: Path) -> None:
    assert make_each(directory) == {"file": 0o640, "directory": 0o750, "fifo": 0o640}


def test_a_symlink_has_all_permissions(directory: Path) -> None:
    (directory / "link").symlink_to("anywhere")
    assert stat.S_IMODE((directory / "link").lstat().st_mode) == 0o777


def test_a_default_acl_takes_the_place_of_the_umask(directory: Path) -> None:
    subprocess.run(["setfacl", "-d", "-m", "u:1000:rwx,g::rwx,o::rx", directory], check=True)
    assert make_each(directory) == {"file": 0o664, "directory": 0o775, "fifo": 0o664}
