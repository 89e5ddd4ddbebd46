"""The log of changes: everything since a place, or that it is not known any more."""

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from vexfs_fuse.volume import change_log
from vexfs_fuse.volume.change_log import KEPT_MAX, ChangeLog


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)))
def test_what_has_changed_since_a_place_is_told(before: list[int], after: list[int]) -> None:
    log = ChangeLog()
    for number in before:
        log.append(number)
    place = log.end
    for number in after:
        log.append(number)
    assert log.since(place) == after
    assert log.since(0) == before + after


def test_who_is_too_far_behind_is_told_so() -> None:
    log = ChangeLog()
    for number in range(KEPT_MAX + 1):
        log.append(number)
    assert log.since(0) is None
    assert log.end == KEPT_MAX + 1
    assert log.since(log.end) == []
    kept = log.since(KEPT_MAX // 2)
    assert kept is not None
    assert kept[-1] == KEPT_MAX
    assert len(kept) <= change_log.KEPT_MAX


@given(st.lists(st.lists(st.integers(0, 9), max_size=30), max_size=8))
def test_many_changes_are_noted_as_one_after_the_other(many: list[list[int]]) -> None:
    with patch.object(change_log, "KEPT_MAX", 16):
        log = ChangeLog()
        noted: list[int] = []
        for numbers in many:
            place = log.end
            log.extend(numbers)
            noted += numbers
            assert log.end == len(noted)
            assert log.since(log.end) == []
            assert log.since(place) in (None, numbers)
            assert len(log.since(log.end - 1) or ()) <= 16
            if len(numbers) <= 8:
                assert log.since(place) == numbers
