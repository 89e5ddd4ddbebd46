"""Recall is measured while the space is used, and the effort follows it."""

import numpy as np
import pytest

from tests.vectors.worlds import clustered, finished, settle
from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.recall import EF_DEFAULT, EF_MAX, SAMPLED_EVERY, EffortChanged, Recall
from vexfs_fuse.vectors.space import Space

NEAR = np.array([0.9, 0.8, 0.7, 0.6])
MISSED = np.array([0.9, 0.8, 0.7, 0.1])


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
    judged(recall, NEAR, 60)
    assert recall.ef == EF_DEFAULT
    judged(recall, NEAR, 10)
    assert recall.ef < EF_DEFAULT


def test_recall_about_the_target_changes_nothing() -> None:
    recall = Recall()
    for turn in range(500):
        assert recall.judge(MISSED if turn % 9 == 0 else NEAR, NEAR) is None


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
    for query in vectors[: 3 * SAMPLED_EVERY]:
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
    for query in vectors[:SAMPLED_EVERY]:
        finished(space.search(query, 5, mode="ann"))
    settle(space)
    assert space.statistics()["recall"] < 0.5
