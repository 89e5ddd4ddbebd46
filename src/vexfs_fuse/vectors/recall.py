"""The recall that users get: a few approximate searches are repeated exactly, when there is time.

From their running mean follows the effort (`ef`): up when recall falls short of the target, down when
it is exceeded for long.  Knows arrays, no space.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.vectors.arrays import Doubles, Floats, Longs, Mask

EF_DEFAULT: Final = 128
EF_MIN: Final = 40
EF_MAX: Final = 1_000
TARGET: Final = 0.97

SAMPLED_EVERY: Final = 50
WAITING_MAX: Final = 8
"""Samples that wait for an idle moment; more are not taken."""
WINDOW: Final = 64
"""Samples that the running recall is the mean of."""

_JUDGED_AFTER: Final = 24
_SHORTFALL: Final = 0.01
_EXCESS: Final = 0.02
_UP: Final = 1.3
_DOWN: Final = 0.85
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


class Recall:
    """Takes samples, judges them, holds the effort."""

    def __init__(self, target: float = TARGET) -> None:
        self.target = target
        self.ef = EF_DEFAULT
        self.pinned = False
        self.judged = 0
        self._searches = 0
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
        """Take one search in `SAMPLED_EVERY`, beginning with the first."""
        self._searches += 1
        if self._searches % SAMPLED_EVERY == 1 and len(self._samples) < WAITING_MAX:
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
        if recall is None or len(self._recent) < _JUDGED_AFTER:
            return None
        if recall < self.target - _SHORTFALL:
            return self._change(_UP, f"recall {recall:.3f} is below {self.target}")
        if recall > self.target + _EXCESS and len(self._recent) == WINDOW:
            return self._change(_DOWN, f"recall {recall:.3f} is above {self.target}")
        return None

    def _change(self, factor: float, reason: str) -> EffortChanged | None:
        before, self.ef = self.ef, max(EF_MIN, min(EF_MAX, round(self.ef * factor)))
        if self.ef == before:
            return None
        self._recent.clear()
        return EffortChanged(before, self.ef, reason)
