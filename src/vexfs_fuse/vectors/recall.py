"""The recall that users get: a few approximate searches are repeated exactly, when there is time.

From their running mean follows the effort (`ef`): up when recall falls short of the target, down when
it is exceeded for long.  Knows arrays, no space.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.vectors.arrays import Doubles, Floats, Longs, Mask

EF_DEFAULT: Final = 128
EF_MIN: Final = 40
EF_MAX: Final = 1_000
TARGET: Final = 0.97

SAMPLED_EVERY: Final = 50
SAMPLED_EVERY_AT_FIRST: Final = 5
"""Until a whole window was judged at one effort, so that a new space soon has the effort that it needs."""

WINDOW: Final = 128
"""Samples that the running recall is the mean of: chance then moves it by .005."""
WAITING_MAX: Final = WINDOW
"""Samples that wait for an idle moment; more are not taken."""

_TOLERATED: Final = 0.015
"""How far from the target recall may be for ever: three times what chance does, so that effort stays."""

_SHORTFALL: Final = 0.05
_SHORTFALL_AFTER: Final = 32
"""So much too little is seen after so few samples."""

_EXPONENT: Final = 0.5
"""What is missed falls with the square of the effort, about: on wordnet50k .030 at 50, .008 at 100."""
_UP_MAX: Final = 1.5
_DOWN_MAX: Final = 0.7
_TOLERANCE: Final = 1e-9


class Sample(NamedTuple):
    """An approximate search and what it found, in a space whose newest vector had `lsn`."""

    query: Floats
    mask: Mask | None
    per_inode: bool
    lsn: int
    rows: Longs
    scores: Doubles


class EffortChanged(NamedTuple):
    """The effort was adapted: an event for the log."""

    before: int
    after: int
    reason: str

    def __str__(self) -> str:
        return f"effort {self.before} -> {self.after}: {self.reason}"


class Recall:
    """Takes samples, judges them, holds the effort."""

    def __init__(self, target: float = TARGET) -> None:
        self.target = target
        self.ef = EF_DEFAULT
        self.pinned = False
        self.judged = 0
        self._until_sample = 0
        self._samples: deque[Sample] = deque()
        self._recent: deque[float] = deque(maxlen=WINDOW)

    def pin(self, ef: int | None) -> None:
        """Hold the effort at `ef`; None lets it adapt again.  Raises `InvalidArgument`."""
        if ef is not None:
            if not 1 <= ef <= EF_MAX:
                raise InvalidArgument(f"ef is 1 to {EF_MAX}, not {ef}")
            self.ef = ef
        self.pinned = ef is not None
        self._recent.clear()

    def resume(self, ef: int) -> None:
        """Begin with the effort that searches had come to before."""
        if not self.pinned:
            self.ef = max(EF_MIN, min(EF_MAX, ef))

    @property
    def recall(self) -> float | None:
        """The mean recall of the last samples, since the effort last changed; None without any."""
        return sum(self._recent) / len(self._recent) if self._recent else None

    def offer(self, sample: Callable[[], Sample]) -> None:
        """Take one search in `SAMPLED_EVERY`, beginning with the first; at first more of them."""
        if self._until_sample > 0:
            self._until_sample -= 1
            return
        if len(self._samples) < WAITING_MAX:
            settled = self.pinned or len(self._recent) == WINDOW
            self._until_sample = (SAMPLED_EVERY if settled else SAMPLED_EVERY_AT_FIRST) - 1
            self._samples.append(sample())

    def take(self) -> Sample | None:
        """Return a sample to be judged."""
        return self._samples.popleft() if self._samples else None

    def judge(self, found: Doubles, exact: Doubles) -> EffortChanged | None:
        """Take in what a search found and what it should have found, as scores, nearest first."""
        count = min(len(found), len(exact))
        if not count:
            return None
        right = int(np.count_nonzero(found[:count] >= exact[count - 1] - _TOLERANCE))
        self._recent.append(right / count)
        self.judged += 1
        return None if self.pinned else self._adapt()

    def calibrated(self, ef: int, recalls: Sequence[float]) -> EffortChanged | None:
        """Take the effort that was found for questions asked again, and what each of them found."""
        if self.pinned:
            return None
        before, self.ef = self.ef, max(EF_MIN, min(EF_MAX, ef))
        self._samples.clear()  # of another effort
        self._recent.clear()
        self._recent.extend(recalls)
        self.judged += len(recalls)
        if self.ef == before:
            return None
        told = f"{len(recalls)} questions asked again: recall {self.recall:.3f} for {self.target:g}"
        return EffortChanged(before, self.ef, told)

    def statistics(self) -> dict[str, Any]:
        """Return the running recall and what it led to."""
        return {
            "recall": self.recall,
            "recall_target": self.target,
            "recall_samples": self.judged,
            "ef": self.ef,
            "ef_pinned": self.pinned,
        }

    def _adapt(self) -> EffortChanged | None:
        recall = self.recall
        if recall is None:
            return None
        judged = len(self._recent)
        if judged >= _SHORTFALL_AFTER and recall < self.target - _SHORTFALL:
            return self._change(recall, "below")
        if judged == WINDOW and abs(recall - self.target) > _TOLERATED:
            return self._change(recall, "below" if recall < self.target else "above")
        return None

    def _change(self, recall: float, side: str) -> EffortChanged | None:
        factor = ((1 - recall) / (1 - self.target)) ** _EXPONENT
        wanted = round(self.ef * max(_DOWN_MAX, min(_UP_MAX, factor)))
        before, self.ef = self.ef, max(EF_MIN, min(EF_MAX, wanted))
        if self.ef == before:
            return None
        self._recent.clear()
        self._samples.clear()  # of another effort
        return EffortChanged(before, self.ef, f"recall {recall:.3f} is {side} {self.target:g}")
