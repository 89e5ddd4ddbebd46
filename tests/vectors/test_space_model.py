"""A space against a dictionary of vectors: any sequence of changes, searches and background work."""

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.vectors.worlds import Floats, Key, finished, model_scores
from vexfs_fuse.pending import Pending
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors.hits import Hits
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.space import Space

DIMENSIONS = 6
TAIL_ROWS = 8

INOS = st.integers(1, 60)
PASSAGES = st.sampled_from([0, 0, 0, 1, 2])
SEEDS = st.integers(0, 2**32 - 1)


class SpaceMachine(RuleBasedStateMachine):
    """Coarse components make ties, and equal vectors, common."""

    @initialize(metric=st.sampled_from(list(Metric)))
    def begin(self, metric: Metric) -> None:
        self.space = Space("default", DIMENSIONS, metric, tail_rows=TAIL_ROWS)
        self.model: dict[Key, Floats] = {}
        self.lsn = 0
        self.work: Pending | None = None

    def vector(self, seed: int) -> Floats:
        vector = np.random.default_rng(seed).integers(-2, 3, DIMENSIONS).astype(np.float32)
        vector[seed % DIMENSIONS] += 0.5
        return vector

    @rule(ino=INOS, passage=PASSAGES, seed=SEEDS)
    def set(self, ino: int, passage: int, seed: int) -> None:
        self.lsn += 1
        vector = self.vector(seed)
        self.space.set(Inode(ino), vector, Lsn(self.lsn), passage)
        self.model[ino, passage] = vector

    @rule(first=INOS, count=st.integers(1, 30), seed=SEEDS)
    def set_many(self, first: int, count: int, seed: int) -> None:
        for ino in range(first, first + count):
            self.set(ino, 0, seed + ino)

    @rule(ino=INOS)
    def remove(self, ino: int) -> None:
        mine = [key for key in self.model if key[0] == ino]
        assert self.space.remove(Inode(ino)) == len(mine)
        for key in mine:
            del self.model[key]

    @rule(ino=INOS, passage=PASSAGES)
    def remove_passage(self, ino: int, passage: int) -> None:
        removed = self.space.remove(Inode(ino), passage)
        assert removed == ((ino, passage) in self.model)
        self.model.pop((ino, passage), None)

    @rule(idle=st.booleans())
    def begin_work(self, idle: bool) -> None:
        if self.work is None:
            self.work = self.space.due(idle=idle)
        else:
            assert self.space.due(idle=idle) is None

    @rule()
    def end_work(self) -> None:
        if self.work is not None:
            self.work.resume(self.work.work())
            self.work = None

    @rule(
        seed=SEEDS,
        count=st.integers(1, 15),
        mode=st.sampled_from(["exact", "ann", "auto"]),
        share=st.sampled_from([None, 0.02, 0.3, 0.9]),
        threaded=st.booleans(),
        per_inode=st.booleans(),
    )
    def search(
        self,
        seed: int,
        count: int,
        mode: str,
        share: float | None,
        threaded: bool,
        per_inode: bool,
    ) -> None:
        self.space.loop_ns_max = -1.0 if threaded else 1e12
        mask = None
        if share is not None:
            mask = np.random.default_rng(seed).random(self.space.rows.limit) < share
        query = self.vector(seed)
        answer = self.space.search(query, count, mode=mode, mask=mask, per_inode=per_inode)
        self.check_hits(finished(answer), query, count, mask, per_inode)

    def check_hits(
        self, hits: Hits, query: Floats, count: int, mask: np.ndarray | None, per_inode: bool
    ) -> None:
        scores = self.candidates(query, mask)
        best: dict[int, float] = {}
        for (ino, _), score in scores.items():
            best[ino] = max(score, best.get(ino, -np.inf))
        expected = sorted(best.values() if per_inode else scores.values(), reverse=True)
        found = list(zip(hits.inos.tolist(), hits.passages.tolist(), strict=True))
        assert len(set(found)) == len(found) >= min(count, len(expected))
        assert [scores[key] for key in found] == pytest.approx(hits.scores.tolist(), abs=1e-5)
        assert hits.scores.tolist() == sorted(hits.scores.tolist(), reverse=True)
        assert hits.candidates == len(scores)
        if per_inode:
            assert len({ino for ino, _ in found}) == len(found)
        if hits.exact:
            assert hits.scores.tolist() == pytest.approx(expected[: len(found)], abs=1e-5)
            tied = [score for score in expected if score > hits.scores[-1] + 1e-5]
            assert len(tied) < count or not count

    def candidates(self, query: Floats, mask: np.ndarray | None) -> dict[Key, float]:
        chosen = [
            key
            for key in self.model
            if mask is None or mask[self.space.rows.find(Inode(key[0]), key[1])]
        ]
        if not chosen:
            return {}
        rows = np.array([self.model[key] for key in chosen])
        return dict(zip(chosen, model_scores(self.space.metric, query, rows).tolist(), strict=True))

    @invariant()
    def has_what_was_set(self) -> None:
        if not hasattr(self, "space"):
            return
        assert len(self.space) == len(self.model)
        assert self.space.rows.inodes == len({ino for ino, _ in self.model})
        for (ino, passage), vector in self.model.items():
            kept = self.space.vector(Inode(ino), passage)
            assert kept == pytest.approx(self.space.metric.prepare(vector), abs=1e-6)


TestSpace = SpaceMachine.TestCase
