"""Where the POSIX tests work: a fresh directory on one mounted volume.

`VEXFS_TEST_DIR=/some/dir` runs them in a plain directory instead, to prove the tests themselves
on a file system that is known to be right.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mounting import MountedVolume


@pytest.fixture(scope="session")
def volume_root() -> Iterator[Path]:
    """The root of the file system under test; a mounted volume must end well."""
    if plain := os.environ.get("VEXFS_TEST_DIR"):
        yield Path(plain)
        return
    volume = MountedVolume()
    try:
        volume.start()
        yield volume.path
        volume.stop()
    finally:
        volume.discard()


@pytest.fixture
def mount(volume_root: Path) -> Path:
    """A fresh directory that any user may enter but only root may change."""
    directory = Path(tempfile.mkdtemp(prefix="posix-", dir=volume_root))
    directory.chmod(0o755)
    return directory


@pytest.fixture(autouse=True)
def plain_umask() -> Iterator[None]:
    """Modes in these tests assume the usual umask."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this directory mounts a volume."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.mount)
