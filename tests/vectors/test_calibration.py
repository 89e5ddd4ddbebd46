"""The effort is found by asking again what was asked."""

import numpy as np
import pytest

from tests.vectors.real_vectors import collection
from tests.vectors.worlds import clustered, finished, settle
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors.calibration import EFFORTS, EVERY, QUESTIONS, Questions
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.recall import EF_DEFAULT, EF_MAX, EF_MIN, WINDOW, EffortChanged
from vexfs_fuse.vectors.space import CALIBRATED_MIN, Space

COUNT, DIMENSIONS = 4_000, 64
TARGET = 0.9
"""Which such vectors reach with some other effort than that of the start."""
VECTORS = clustered(COUNT, DIMENSIONS)
QUERIES = clustered(2 * QUESTIONS, DIMENSIONS, seed=1)


def built(metric: Metric = Metric.COSINE, vectors: np.ndarray = VECTORS) -> Space:
    """A space whose vectors are all in graphs."""
    space = Space("default", vectors.shape[1], metric)
    for position, vector in enumerate(vectors):
        space.set(Inode(position + 1), vector, Lsn(position + 1))
    settle(space)
    space.recall.target = TARGET
    return space


def ask(space: Space, queries: np.ndarray, *, is_stored: bool = False) -> None:
    for query in queries:
        finished(space.search(query, 10, mode="ann", is_stored=is_stored))


def recall_of(space: Space, queries: np.ndarray, ef: int, count: int = 10) -> float:
    found = 0
    for query in queries:
        exact = finished(space.search(query, count, mode="exact")).scores[count - 1]
        hits = finished(space.search(query, count, mode="ann", ef=ef))
        found += int(np.count_nonzero(hits.scores[:count] >= exact - 1e-6))
    return found / count / len(queries)


def test_efforts_are_ascending_within_their_bounds() -> None:
    assert list(EFFORTS) == sorted(set(EFFORTS))
    assert (EFFORTS[0], EFFORTS[-1]) == (EF_MIN, EF_MAX)


def test_the_latest_questions_are_kept_and_no_more_than_may_be() -> None:
    questions = Questions()
    for number in range(QUESTIONS):
        assert not questions.are_enough
        questions.offer(np.full(1, number, np.float32))
    for _ in range(3 * EVERY):
        questions.offer(np.full(1, -1, np.float32))
    kept = [float(query[0]) for query in questions.all()]
    assert kept == [-1.0] * 3 + list(range(3, QUESTIONS))


@pytest.mark.parametrize("metric", [Metric.COSINE, Metric.L2])
def test_the_effort_is_the_least_that_finds_enough(metric: Metric) -> None:
    space = built(metric)
    ask(space, QUERIES[:QUESTIONS])
    (change,) = settle(space, idle=False)
    assert isinstance(change, EffortChanged)
    assert str(change).startswith(f"effort {EF_DEFAULT} -> {space.recall.ef}: 192 questions asked")
    asked = QUERIES[:QUESTIONS]
    recall = recall_of(space, asked, space.recall.ef)
    assert recall >= TARGET
    latest = recall_of(space, asked[-WINDOW:], space.recall.ef)
    assert space.recall.recall == pytest.approx(latest, abs=0.002)
    at = EFFORTS.index(space.recall.ef)
    if at:
        assert recall_of(space, asked, EFFORTS[at - 1]) < TARGET + 0.004


def test_what_no_effort_finds_is_given_the_greatest() -> None:
    """Graphs of inner products over vectors of any length miss some whatever is spent."""
    space = built(Metric.IP)
    ask(space, QUERIES[:QUESTIONS])
    settle(space, idle=False)
    assert space.recall.ef == EF_MAX
    assert recall_of(space, QUERIES[:QUESTIONS], EF_MAX) < TARGET


def test_the_same_graphs_are_not_asked_again() -> None:
    space = built()
    ask(space, QUERIES[:QUESTIONS])
    assert len(settle(space, idle=False)) == 1
    ask(space, QUERIES)
    assert settle(space, idle=False) == []


def test_graphs_that_hold_twice_as_much_are() -> None:
    space = built()
    ask(space, QUERIES[:QUESTIONS])
    settle(space)
    judged = space.recall.judged
    for position in range(COUNT, 3 * COUNT):
        space.set(Inode(position + 1), VECTORS[position % COUNT] + 0.01, Lsn(position + 1))
    settle(space)
    assert space.recall.judged >= judged + QUESTIONS


def test_what_is_stored_teaches_nothing() -> None:
    space = built()
    ask(space, VECTORS[: 2 * QUESTIONS], is_stored=True)
    assert settle(space) == []
    assert space.recall.ef == EF_DEFAULT


def test_a_pinned_effort_is_not_calibrated() -> None:
    space = built()
    space.recall.pin(77)
    ask(space, QUERIES)
    assert not any(isinstance(event, EffortChanged) for event in settle(space))
    assert space.recall.ef == 77


def test_a_small_space_is_not() -> None:
    space = built(vectors=VECTORS[: CALIBRATED_MIN - 1])
    ask(space, QUERIES)
    settle(space, idle=False)
    assert space.recall.ef == EF_DEFAULT


@pytest.mark.parametrize(("name", "vectors_max"), [("wordnet50k", 12_000), ("glove100k", 16_000)])
def test_other_questions_of_the_kind_find_enough_too(name: str, vectors_max: int) -> None:
    """And, for the same recall, more hits are searched for with more effort."""
    real = collection(name, vectors_max, 400)
    space = built(vectors=real.base)
    space.recall.target = 0.97
    ask(space, real.queries[:QUESTIONS])
    settle(space, idle=False)
    others = real.queries[QUESTIONS:]
    for count in (10, 50):
        assert recall_of(space, others, space.recall.ef, count) >= 0.95
    stored = real.base[:: len(real.base) // 100]
    assert recall_of(space, stored, space.recall.ef) > recall_of(space, others, space.recall.ef)
