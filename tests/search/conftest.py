"""Where these tests search: one mounted volume, for each test a fresh directory with a few vectors."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mounting import MountedVolume
from tests.support.searching import DIMENSIONS, make_files
from tests.support.vectors import make_space

FILES = {
    "query": (1.0, 0.0, 0.0, 0.0),
    "logs/rotate.md": (0.9, 0.1, 0.0, 0.0),
    "logs/syslog.txt": (0.8, 0.3, 0.0, 0.0),
    "recipes/bread.md": (0.0, 1.0, 0.1, 0.0),
    "recipes/deep/soup.txt": (0.0, 0.2, 1.0, 0.0),
}
"""Near to `query` in this order."""


@pytest.fixture(scope="session")
def volume() -> Iterator[MountedVolume]:
    """A mounted volume, which must end well and sound."""
    mounted = MountedVolume()
    try:
        mounted.start()
        make_space(mounted.path, "default", DIMENSIONS)
        yield mounted
        mounted.stop()
        assert mounted.problems() == []
    finally:
        mounted.discard()


@pytest.fixture
def mount(volume: MountedVolume) -> Path:
    """A fresh directory that any user may enter but only root may change."""
    directory = Path(tempfile.mkdtemp(prefix="search-", dir=volume.path))
    directory.chmod(0o755)
    return directory


@pytest.fixture
def notes(mount: Path) -> Path:
    """A directory with `FILES` below it."""
    make_files(mount, FILES)
    return mount


PARTS = {"test_grammar", "test_asking"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this directory mounts a volume, but for the tests of parts."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.path.stem not in PARTS:
            item.add_marker(pytest.mark.mount)
