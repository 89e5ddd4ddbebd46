"""An immutable nearest-neighbour graph over a matrix (hnswlib, tamed); knows no rows and no store.

Nothing is ever added to a graph that is queried: hnswlib forbids it.  Labels are the matrix's
positions.  Work in a thread: building releases the GIL, `state` and `restored` hold it while they
copy (about 1 ms per MiB on a slow day), so they wait for idle moments.
"""

import os
from typing import Any, Final, TypeAlias

import hnswlib
import numpy as np

from vexfs_fuse.vectors.arrays import Floats, Longs
from vexfs_fuse.vectors.metric import Metric

State: TypeAlias = dict[str, Any]

LINKS: Final = 16
"""hnswlib's M.  Measured on the vectors of wordnet50k and glove100k: 24 costs a third more to build
and to ask, and finds what a greater ef finds at the same price."""

EFFORT_OF_BUILDING: Final = 150
"""hnswlib's ef_construction: 100 builds 1.4 times as fast, for .005 to .015 of recall."""

EFFORT_OF_BUILDING_SMALL: Final = 64
SMALL_ROWS: Final = 20_000
"""A small shard is soon merged, and while it is built its vectors are scanned: so in a hurry, 1.6
times as fast for .006 of recall."""

THREADS_MAX: Final = 4
"""That build one large shard beside each other when nobody waits for the cores."""

_NODE_BYTES: Final = 80  # labels, locks, map entries, upper levels: 1.75 KB in all at 384 d
_ROWS_PER_STEP: Final = 64
_SPACES: Final = {Metric.COSINE: "ip", Metric.IP: "ip", Metric.L2: "l2"}


class ShardBuilder:
    """Adds a matrix to a graph that nobody else has, some rows at a time (0.05 to 0.3 ms each)."""

    def __init__(self, matrix: Floats, metric: Metric) -> None:
        self._matrix = matrix
        self._graph = hnswlib.Index(_SPACES[metric], matrix.shape[1])
        small = len(matrix) <= SMALL_ROWS
        effort = EFFORT_OF_BUILDING_SMALL if small else EFFORT_OF_BUILDING
        self._graph.init_index(
            max_elements=len(matrix), M=LINKS, ef_construction=effort, random_seed=1
        )
        self.count = 0

    @property
    def finished(self) -> bool:
        """Whether all rows are in."""
        return self.count == len(self._matrix)

    def add_some(self, *, alone: bool = False) -> None:
        """Add the next rows; a large shard's on all cores, if we are `alone`.

        In which order several threads come is chance, and so are some links: a small shard is always the same.
        """
        threads = threads_to_build() if alone and len(self._matrix) > SMALL_ROWS else 1
        rows = self._matrix[self.count : self.count + threads * _ROWS_PER_STEP]
        labels = np.arange(self.count, self.count + len(rows))
        self._graph.add_items(rows, labels, num_threads=threads)
        self.count += len(rows)

    def shard(self) -> "Shard":
        """Return what was built; nothing can be added any more."""
        assert self.finished
        return Shard(self._graph, self.count)


def threads_to_build() -> int:
    """Return how many threads build beside each other when nobody waits."""
    return min(THREADS_MAX, len(os.sched_getaffinity(0)))


class Shard:
    """A graph over `count` vectors."""

    def __init__(self, graph: Any, count: int) -> None:
        self._graph = graph
        self._ef = 0
        self.count = count

    @classmethod
    def restored(cls, state: State) -> "Shard":
        """Return the graph that `state` described; only for what a checksum has vouched for."""
        graph = hnswlib.Index(params=state)
        return cls(graph, int(graph.element_count))

    def state(self) -> State:
        """Return numbers, strings and arrays from which `restored` makes the graph again."""
        ((state,),) = (self._graph.__getstate__(),)
        return dict(state)

    @property
    def bytes(self) -> int:
        """Memory, about: vectors, links of the lowest level, label."""
        return self.count * (4 * int(self._graph.dim) + 4 * (2 * LINKS + 1) + _NODE_BYTES)

    def nearest(self, query: Floats, count: int, ef: int) -> tuple[Longs, Floats] | None:
        """Return about the `count` nearest positions with hnswlib's distances, unordered.

        Returns None where the graph cannot give that many: it is not always connected when many
        vectors are equal.  Then only a scan helps.
        """
        ef = max(ef, count)
        if ef != self._ef:
            # A thread that asks the same graph at the same time may get either ef: harmless.
            self._graph.set_ef(ef)
            self._ef = ef
        try:
            labels, distances = self._graph.knn_query(query, min(count, self.count), num_threads=1)
        except RuntimeError:
            return None
        return labels[0].astype(np.int64), distances[0]
