"""The cyclic collector leaves the caches alone."""

import gc
from collections.abc import Iterator

import pytest

from vexfs_fuse.runtime.garbage import settle_garbage


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_objects_that_stay_are_never_collected_all_at_once() -> None:
    settle_garbage()
    before = [generation["collections"] for generation in gc.get_stats()]
    kept = [[n] for n in range(200_000)]
    after = [generation["collections"] for generation in gc.get_stats()]
    assert after[0] > before[0]
    assert after[2] == before[2]
    assert len(kept) == 200_000
