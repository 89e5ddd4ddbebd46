"""Volumes of a test's own: mounted, broken, mounted again; at the end unmounted and sound."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mounting import MountedVolume


@pytest.fixture
def unmounted() -> Iterator[MountedVolume]:
    """A volume that the test starts and ends itself."""
    volume = MountedVolume()
    try:
        yield volume
    finally:
        volume.discard()


@pytest.fixture
def volume(unmounted: MountedVolume) -> Iterator[MountedVolume]:
    """A mounted volume; when the test is done it must end well, and its store must be sound."""
    unmounted.start()
    yield unmounted
    if unmounted.is_running:
        unmounted.stop()
    assert unmounted.problems() == []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this directory mounts a volume."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.mount)
