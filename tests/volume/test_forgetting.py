"""What the kernel gives back is let go of in slices, and all of it in the end."""

from collections import Counter
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vexfs_fuse.vfs import forgetting
from vexfs_fuse.vfs.forgetting import FORGET_SLICE, FORGETS_WAITING_MAX, Forgetting, References

REQUESTS = st.lists(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), max_size=12))


class Kept:
    """Counts what it is told to let go of, and how much at a time."""

    def __init__(self) -> None:
        self.gone: Counter[int] = Counter()
        self.sizes: list[int] = []

    def forget(self, references: References) -> None:
        told = list(references)
        self.sizes.append(len(told))
        for ino, count in told:
            self.gone[ino] += count


@given(REQUESTS, st.sets(st.integers(0, 30)))
@pytest.mark.parametrize("make", [list, iter])
def test_everything_is_let_go_of_once(
    make: type[list[tuple[int, int]]], requests: list[list[tuple[int, int]]], steps: set[int]
) -> None:
    kept = Kept()
    with patch.object(forgetting, "FORGET_SLICE", 3):
        forgets = Forgetting(kept.forget, [])
        for number, request in enumerate(requests):
            forgets.take(make(request))
            if number in steps:
                next(forgets.slices(), None)
        for _ in forgets.slices():
            pass
    wanted: Counter[int] = Counter()
    for ino, count in (each for request in requests for each in request):
        wanted[ino] += count
    assert kept.gone == wanted


def references(count: int) -> Iterator[tuple[int, int]]:
    return iter([(ino, 1) for ino in range(count)])


def test_one_request_gives_way_between_two_slices() -> None:
    kept = Kept()
    forgets = Forgetting(kept.forget, [])
    forgets.take(references(10 * FORGET_SLICE))
    assert kept.sizes == [FORGET_SLICE]
    for count, _ in enumerate(forgets.slices(), 2):
        assert sum(kept.sizes) <= count * FORGET_SLICE
    assert kept.gone.total() == 10 * FORGET_SLICE


def test_only_so_many_requests_wait() -> None:
    kept = Kept()
    forgets = Forgetting(kept.forget, [])
    for _ in range(FORGETS_WAITING_MAX):
        forgets.take(references(2 * FORGET_SLICE))
    assert kept.gone.total() == FORGETS_WAITING_MAX * FORGET_SLICE
    forgets.take(references(2 * FORGET_SLICE))
    assert kept.gone.total() == (FORGETS_WAITING_MAX + 2) * FORGET_SLICE
