"""Recall at the default effort, on vectors that came from a model and not from a random generator."""

import numpy as np
import pytest

from tests.vectors.real_vectors import Collection, collection
from tests.vectors.worlds import finished, settle
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.space import Space

QUERIES = 200
COUNT = 10


@pytest.fixture(scope="module", params=["wordnet50k", "glove100k"])
def real(request: pytest.FixtureRequest) -> Collection:
    return collection(request.param)


@pytest.fixture(scope="module")
def filled(real: Collection) -> Space:
    """All vectors set, shards built and merged as in a busy daemon; inode = position + 1."""
    space = Space("default", real.base.shape[1], Metric.COSINE)
    for position, vector in enumerate(real.base):
        space.set(Inode(position + 1), vector, Lsn(position + 1))
        if position % 8_192 == 0:
            settle(space, idle=False)
    settle(space, idle=False)
    return space


def recall(space: Space, real: Collection, allowed: np.ndarray | None = None) -> float:
    """Return recall@10 against an exact scan of the allowed positions."""
    found = 0
    mask = None
    if allowed is not None:
        mask = np.zeros(space.rows.limit, bool)
        mask[np.isin(space.rows.inos[: space.rows.limit], allowed + 1)] = True
    for query, truth in zip(real.queries[:QUERIES], real.truth, strict=False):
        hits = finished(space.search(query, COUNT, mask=mask))
        assert len(hits.inos) >= COUNT
        expected = truth[:COUNT] if allowed is None else exact(real, allowed, query)
        found += len(set((hits.inos[:COUNT] - 1).tolist()) & set(expected.tolist()))
    return found / COUNT / QUERIES


def exact(real: Collection, positions: np.ndarray, query: np.ndarray) -> np.ndarray:
    rows = real.base[positions]
    scores = rows @ query / np.linalg.norm(rows, axis=1)
    return np.asarray(positions[np.argsort(-scores)[:COUNT]])


def test_default_effort_finds_what_an_exact_scan_finds(filled: Space, real: Collection) -> None:
    assert recall(filled, real) >= 0.95


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.1, 0.5])
def test_filters_of_any_selectivity_keep_recall(
    filled: Space, real: Collection, share: float
) -> None:
    rng = np.random.default_rng(0)
    allowed = np.flatnonzero(rng.random(len(real.base)) < share)
    assert recall(filled, real, allowed) >= 0.95


def test_an_exact_search_misses_nothing(filled: Space, real: Collection) -> None:
    for query, truth in zip(real.queries[:20], real.truth, strict=False):
        hits = finished(filled.search(query, COUNT, mode="exact"))
        nearest = {int(position) + 1 for position in truth[:COUNT]}
        # The truth was found in float32, so what is as near as the last may be another.
        assert len(nearest & set(hits.inos.tolist())) >= COUNT - 1
