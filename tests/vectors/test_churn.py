"""Setting the same vectors again and again rots neither recall nor memory."""

import numpy as np

from tests.vectors.worlds import clustered, finished, settle
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.space import Space

VECTORS = clustered(2_000, 32)
QUERIES = clustered(50, 32, seed=1)
TAIL_ROWS = 128


def churned(times: int) -> Space:
    space = Space("default", 32, Metric.COSINE, tail_rows=TAIL_ROWS)
    rng = np.random.default_rng(0)
    lsn = 0
    for _ in range(times):
        for position in rng.permutation(len(VECTORS)).tolist():
            lsn += 1
            space.set(Inode(position + 1), VECTORS[position], Lsn(lsn))
            if lsn % 200 == 0:
                settle(space, idle=False)
    return space


def recall(space: Space) -> float:
    found = 0
    for query in QUERIES:
        ann, exact = (finished(space.search(query, 10, mode=mode)) for mode in ("ann", "exact"))
        assert ann.plan == "ann"
        found += len(set(ann.inos[:10].tolist()) & set(exact.inos[:10].tolist()))
    return found / 10 / len(QUERIES)


def test_ten_times_churn_keeps_recall_and_memory() -> None:
    once, often = churned(1), churned(10)
    assert recall(often) >= max(0.95, recall(once) - 0.02)
    dead = often.statistics()["dead"]
    assert dead <= 0.5 * len(VECTORS) + TAIL_ROWS
    assert often.rows.limit == len(VECTORS)


def test_one_vector_set_over_and_over_needs_no_graph() -> None:
    space = Space("default", 4, Metric.L2, tail_rows=TAIL_ROWS)
    for lsn in range(1, 10 * TAIL_ROWS):
        space.set(Inode(1), np.full(4, lsn, np.float32), Lsn(lsn))
    assert settle(space) == []
    assert space.statistics()["dead"] < TAIL_ROWS
    assert finished(space.search(np.zeros(4, np.float32), 3)).inos.tolist() == [1]


def test_many_equal_vectors_are_all_found() -> None:
    space = Space("default", 8, Metric.COSINE, tail_rows=TAIL_ROWS)
    for ino in range(1, 1_000):
        space.set(Inode(ino), np.ones(8, np.float32), Lsn(ino))
    settle(space)
    for mode in ("ann", "exact"):
        hits = finished(space.search(np.ones(8, np.float32), 200, mode=mode))
        assert len(set(hits.inos.tolist())) == len(hits.inos) >= 200
        assert set(hits.scores.tolist()) == {hits.scores[0]}
