"""The effort that the questions of a space need, found by asking some of them again; knows arrays, no space.

Only what was really asked tells: stored vectors are found by a far smaller effort, because a graph
leads from each to its neighbours (`docs/decisions/effort.md`).
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from vexfs_fuse.vectors.arrays import Doubles, Floats
from vexfs_fuse.vectors.exact import Ask, View
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.planner import K_OF_EFFORT

QUESTIONS: Final = 192
"""So many tell recall to .006, about, where .97 of 10 is found."""

EVERY: Final = 8
"""Once there are so many, one search in so many takes the place of the oldest."""

EFFORTS: Final = (
    *(40, 44, 48, 52, 56, 60, 64, 72, 80, 90, 100, 112, 128, 144, 160, 180, 200, 225, 250),
    *(300, 350, 400, 500, 650, 800, 1_000),
)
"""What is tried; a tenth or so apart, as recall is not known better."""

MARGIN: Final = 0.002
"""By which recall shall exceed the target, as the least effort that seems enough was lucky as a rule."""

STEP_S: Final = 0.1
"""How long one step may take, about."""

_CHUNK_ROWS: Final = 8_192


class Questions:
    """The latest questions of a space, in memory only."""

    def __init__(self) -> None:
        self._kept: list[Floats] = []
        self._next = 0
        self._until_next = 0

    @property
    def are_enough(self) -> bool:
        """Whether there are as many as a calibration takes."""
        return len(self._kept) == QUESTIONS

    def offer(self, query: Floats) -> None:
        """Take a prepared question: all of them at first, then some."""
        if not self.are_enough:
            self._kept.append(query)
        elif self._until_next > 0:
            self._until_next -= 1
        else:
            self._until_next = EVERY - 1
            self._kept[self._next] = query
            self._next = (self._next + 1) % QUESTIONS

    def all(self) -> list[Floats]:
        """Return a copy of the list."""
        return list(self._kept)


class Calibrated(NamedTuple):
    """The least of `EFFORTS` that holds a recall, and the recall of each question at it."""

    ef: int
    recalls: list[float]


class Calibration:
    """Finds the effort for given questions over views that do not change.

    The views hold at least `K_OF_EFFORT` live vectors, which is what each of `asks` wants.  `step` is
    for a thread; `search` answers a question at an effort, with scores, nearest first.
    """

    def __init__(
        self,
        asks: list[Ask],
        views: list[View],
        search: Callable[[Ask, int], Doubles],
        target: float,
    ) -> None:
        self.found: Calibrated | None = None
        self._asks = asks
        self._views = views
        self._search = search
        self._wanted = min(1.0, target + MARGIN)
        self._chunks = [
            (view, start) for view in views for start in range(0, len(view.vectors), _CHUNK_ROWS)
        ]
        self._low, self._high = 0, len(EFFORTS) - 1  # the least that is enough is one of these
        self._tried: dict[int, list[float]] = {}
        self._queries = np.stack([ask.query for ask in asks])
        self._nearest: Floats = np.full((len(asks), K_OF_EFFORT), -np.inf, np.float32)

    def step(self, step_s: float = STEP_S) -> "Calibration":
        """Work for about `step_s`; return itself."""
        end = time.perf_counter() + step_s
        while self.found is None and time.perf_counter() < end:
            if self._chunks:
                self._compare(*self._chunks.pop())
            else:
                self._try()
        return self

    def _compare(self, view: View, start: int) -> None:
        """Take the nearest of some rows into account: all questions in one product of matrices."""
        rows = slice(start, min(start + _CHUNK_ROWS, len(view.vectors)))
        ranks = self._queries @ view.vectors[rows].T
        if self._asks[0].metric is Metric.L2:
            ranks *= 2
            ranks -= view.squares[rows]
        ranks[:, ~view.live[rows]] = -np.inf
        together = np.concatenate([self._nearest, ranks], axis=1)
        self._nearest = np.partition(together, -K_OF_EFFORT, axis=1)[:, -K_OF_EFFORT:]

    def _try(self) -> None:
        """Halve what is left of the efforts: who finds enough with one does so with a greater."""
        middle = (self._low + self._high) // 2
        self._tried[middle] = recalls = [
            self._recall(ask, self._search(ask, EFFORTS[middle]), float(ranks.min()))
            for ask, ranks in zip(self._asks, self._nearest, strict=True)
        ]
        if self._low == self._high:
            self.found = Calibrated(EFFORTS[middle], recalls)
        elif sum(recalls) >= self._wanted * len(recalls):
            self._high = middle
        else:
            self._low = middle + 1
        if self.found is None and self._low == self._high and self._low in self._tried:
            self.found = Calibrated(EFFORTS[self._low], self._tried[self._low])

    def _recall(self, ask: Ask, scores: Doubles, last: float) -> float:
        """Return the share of what was found that ranks as high as the last of the nearest."""
        ranks = scores[: ask.wanted]
        if ask.metric is Metric.L2:
            ranks = float(ask.query @ ask.query) - ranks * ranks
        return float(np.count_nonzero(ranks >= last - ask.doubt)) / ask.wanted
