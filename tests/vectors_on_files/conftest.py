"""Where these tests work: one mounted volume, a fresh directory and vector space for each test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mounting import OPTIONS, MountedVolume
from tests.support.vectors import make_space


@pytest.fixture(scope="session")
def volume() -> Iterator[MountedVolume]:
    """A mounted volume, which must end well."""
    mounted = MountedVolume()
    try:
        mounted.start()
        yield mounted
        mounted.stop()
    finally:
        mounted.discard()


@pytest.fixture
def mount(volume: MountedVolume) -> Path:
    """A fresh directory that any user may enter but only root may change."""
    directory = Path(tempfile.mkdtemp(prefix="vectors-", dir=volume.path))
    directory.chmod(0o755)
    return directory


@pytest.fixture
def space(volume: MountedVolume, mount: Path) -> str:
    """A vector space of four dimensions, compared by cosine."""
    make_space(volume.path, mount.name, 4)
    return mount.name


@pytest.fixture
def options() -> str:
    """Further mount options of the test's own volume."""
    return "search_journal=full"


@pytest.fixture
def own(options: str) -> Iterator[MountedVolume]:
    """A mounted volume of the test's own, which must end well."""
    mounted = MountedVolume(options=f"{OPTIONS},{options}")
    try:
        mounted.start()
        yield mounted
        mounted.stop()
    finally:
        mounted.discard()


@pytest.fixture
def own_volume(own: MountedVolume) -> Path:
    """The root directory of the test's own volume."""
    return own.path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this directory mounts a volume."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.mount)
