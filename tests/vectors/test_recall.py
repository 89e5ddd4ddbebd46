"""Recall is measured while the space is used, and the effort follows it."""

import numpy as np
import pytest

from tests.vectors.worlds import clustered, finished, settle
from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.recall import (
    EF_DEFAULT,
    EF_MAX,
    SAMPLED_EVERY,
    SAMPLED_EVERY_AT_FIRST,
    WAITING_MAX,
    WINDOW,
    EffortChanged,
    Recall,
    Sample,
)
from vexfs_fuse.vectors.space import Space

NEAR = np.array([0.9, 0.8, 0.7, 0.6])
MISSED = np.array([0.9, 0.8, 0.7, 0.1])
ANY_SAMPLE = Sample(np.zeros(2, np.float32), None, True, 0, np.zeros(0, np.int64), np.zeros(0))


def judged(recall: Recall, found: np.ndarray, times: int) -> list[EffortChanged]:
    changes = [recall.judge(found, NEAR) for _ in range(times)]
    return [change for change in changes if change is not None]


def test_low_recall_raises_the_effort_up_to_its_bound() -> None:
    recall = Recall()
    changes = judged(recall, MISSED, 1_000)
    assert changes[0].before == EF_DEFAULT
    assert changes[0].after > EF_DEFAULT
    assert "0.750 is below 0.97" in changes[0].reason
    assert recall.ef == EF_MAX


def test_high_recall_lowers_the_effort_slowly() -> None:
    recall = Recall()
    judged(recall, NEAR, WINDOW - 1)
    assert recall.ef == EF_DEFAULT
    (change,) = judged(recall, NEAR, 1)
    assert change.after == recall.ef < EF_DEFAULT
    assert recall.ef > EF_DEFAULT // 2
    assert str(change) == f"effort {EF_DEFAULT} -> {recall.ef}: recall 1.000 is above 0.97"


def test_recall_about_the_target_changes_nothing() -> None:
    recall = Recall()
    for turn in range(500):
        assert recall.judge(MISSED if turn % 8 == 0 else NEAR, NEAR) is None


def test_a_small_miss_takes_a_small_step() -> None:
    steps = []
    for every in (4, 2):
        recall = Recall()
        changes = [recall.judge(MISSED if i % every == 0 else NEAR, NEAR) for i in range(WINDOW)]
        steps.append(next(change.after for change in changes if change is not None))
    assert EF_DEFAULT < steps[0] < steps[1]


def test_the_effort_that_is_enough_is_found_and_kept() -> None:
    """Where what is missed falls with the square of the effort, as on real vectors."""
    for start in (40, 128, 900):
        recall, rng = Recall(), np.random.default_rng(0)
        recall.resume(start)
        efforts = []
        for _ in range(40 * WINDOW):
            missed = rng.binomial(10, min(1.0, 0.03 * (50 / recall.ef) ** 2))
            found = np.where(np.arange(10) < 10 - missed, 1.0, 0.0)
            recall.judge(found, np.ones(10))
            efforts.append(recall.ef)
        assert 40 <= min(efforts[-10 * WINDOW :]) <= max(efforts[-10 * WINDOW :]) <= 80
        assert len(set(efforts[-10 * WINDOW :])) <= 3


def test_samples_are_many_at_first_and_few_when_the_effort_has_settled() -> None:
    recall = Recall()

    def taken(searches: int) -> int:
        count = 0
        for _ in range(searches):
            recall.offer(lambda: ANY_SAMPLE)
            count += recall.take() is not None
        return count

    assert taken(100) == 100 // SAMPLED_EVERY_AT_FIRST
    for turn in range(WINDOW):
        recall.judge(MISSED if turn % 8 == 0 else NEAR, NEAR)
    taken(SAMPLED_EVERY)
    assert taken(10 * SAMPLED_EVERY) == 10


def test_no_more_samples_wait_than_may() -> None:
    recall = Recall()
    for _ in range(10 * WAITING_MAX * SAMPLED_EVERY_AT_FIRST):
        recall.offer(lambda: ANY_SAMPLE)
    count = 0
    while recall.take() is not None:
        count += 1
    assert count == WAITING_MAX


def test_a_pinned_effort_stays() -> None:
    recall = Recall()
    recall.pin(70)
    assert judged(recall, MISSED, 200) == []
    assert recall.ef == 70
    recall.pin(None)
    assert judged(recall, MISSED, 200)
    with pytest.raises(InvalidArgument):
        recall.pin(EF_MAX + 1)


def test_equal_scores_count_as_found() -> None:
    recall = Recall()
    recall.judge(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    assert recall.recall == 1.0


def test_a_space_knows_the_recall_of_its_searches() -> None:
    vectors = clustered(1_000, 16)
    space = Space("default", 16, Metric.COSINE, tail_rows=128)
    for position, vector in enumerate(vectors):
        space.set(Inode(position + 1), vector, Lsn(position + 1))
    settle(space)
    assert space.statistics()["recall"] is None
    for query in vectors[: 3 * SAMPLED_EVERY_AT_FIRST]:
        finished(space.search(query, 5, mode="ann"))
    space.remove(Inode(1))
    space.set(Inode(2), vectors[500], Lsn(2_000))
    settle(space)
    assert space.statistics()["recall_samples"] == 3
    assert space.statistics()["recall"] > 0.9


def test_a_bad_graph_is_noticed() -> None:
    vectors = clustered(1_000, 16)
    space = Space("default", 16, Metric.COSINE, tail_rows=128)
    for position, vector in enumerate(vectors):
        space.set(Inode(position + 1), vector, Lsn(position + 1))
    settle(space)
    for part in space.parts.all:
        part.matrix[:] = np.roll(part.matrix, 1, axis=0)
    for query in vectors[: 4 * SAMPLED_EVERY_AT_FIRST]:
        finished(space.search(query, 5, mode="ann"))
    settle(space)
    assert space.statistics()["recall"] < 0.5
