"""A shard in the making, built in short steps so that a more urgent one can come between."""

import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from vexfs_fuse.vectors.arrays import Floats, Longs
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.schedule import Work
from vexfs_fuse.vectors.shard import Shard, ShardBuilder

STEP_S: Final = 0.1
"""How long one step may take, about."""

_GATHERED_ROWS: Final = 8_192


class Source(NamedTuple):
    """What is taken from one part: immutable rows of its matrix, and whose they are."""

    vectors: Floats
    positions: Longs
    rows: Longs
    places: Longs


class Construction:
    """One shard over the sources' vectors.

    `step` is for a thread, one at a time; the rest is for the loop.
    """

    def __init__(self, work: Work, number: int, sources: Sequence[Source], metric: Metric) -> None:
        self.work = work
        self.number = number
        self.rows = np.concatenate([source.rows for source in sources])
        self.places = np.concatenate([source.places for source in sources])
        self.seconds = 0.0
        self.shard: Shard | None = None
        self.failure: str | None = None
        self.matrix: Floats = np.empty((0, 0), np.float32)
        self._sources = sources
        self._metric = metric
        self._builder: ShardBuilder | None = None

    @property
    def finished(self) -> bool:
        """Whether `shard` is there."""
        return self.shard is not None

    @property
    def progress(self) -> float:
        """How much is done, 0 to 1."""
        return 0.0 if self._builder is None else self._builder.count / max(1, len(self.matrix))

    def step(self, step_s: float = STEP_S, *, alone: bool = False) -> "Construction":
        """Work for about `step_s`, on all cores if we are `alone`; return itself."""
        begun = time.perf_counter()
        if self._builder is None:
            self._gather()
            self._builder = ShardBuilder(self.matrix, self._metric)
        while time.perf_counter() < begun + step_s and not self._builder.finished:
            self._builder.add_some(alone=alone)
        if self._builder.finished:
            self.shard = self._builder.shard()
        self.seconds += time.perf_counter() - begun
        return self

    def _gather(self) -> None:
        self.matrix = np.empty((len(self.rows), self._sources[0].vectors.shape[1]), np.float32)
        start = 0
        for source in self._sources:
            for first in range(0, len(source.positions), _GATHERED_ROWS):
                positions = source.positions[first : first + _GATHERED_ROWS]
                end = start + len(positions)
                np.take(source.vectors, positions, axis=0, out=self.matrix[start:end], mode="clip")
                start = end
        self._sources = ()
