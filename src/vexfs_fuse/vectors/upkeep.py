"""Keeps graphs in step with what is set: one short piece of work at a time, the most urgent first."""

from typing import Any, Final, NamedTuple

from vexfs_fuse.pending import Pending
from vexfs_fuse.vectors.construction import Construction
from vexfs_fuse.vectors.parts import Parts
from vexfs_fuse.vectors.schedule import NEW_VECTORS, Size, Work, next_work, shard_rows_max

_SMALLER: Final = 2


class Built(NamedTuple):
    """A shard has been published: an event for the journal and the metrics."""

    rows: int
    merged: int
    """Parts that it took the place of."""
    reason: str
    seconds: float
    """Time of building, without waiting."""


class BuildFailed(NamedTuple):
    """A shard could not be built; searches go on scanning what it should have held."""

    rows: int
    reason: str


class Upkeep:
    """Decides, begins, publishes; `due` is the only door.

    What waits for a first graph, or a far smaller merge, comes before a merge that has begun: that
    goes on afterwards.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._constructions: list[Construction] = []
        self._held_until_appended = 0
        self.built = 0
        self.failures = 0
        self.seconds = 0.0

    def due(self, *, idle: bool) -> Pending[Built | BuildFailed | None] | None:
        """Return the next step, if there is one; to be asked again when that has been resumed."""
        if self._parts.appended < self._held_until_appended:
            return None
        self._begin(idle=idle)
        if not self._constructions:
            return None
        construction = self._constructions[-1]
        return Pending(lambda: _stepped(construction, alone=idle), self._resume)

    def statistics(self) -> dict[str, Any]:
        """Return counters, and how far what is being built has come."""
        return {
            "built": self.built,
            "build_failures": self.failures,
            "build_seconds": self.seconds,
            "building": [
                {"rows": len(each.rows), "progress": each.progress, "reason": each.work.reason}
                for each in self._constructions
            ],
        }

    def _begin(self, *, idle: bool) -> None:
        current = self._constructions[-1] if self._constructions else None
        if current is not None and current.work.reason == NEW_VECTORS:
            return
        parts = self._parts
        sizes = parts.sizes()
        limit = shard_rows_max(parts.dimensions)
        work = next_work(sizes, parts.tail_rows, limit, idle=idle)
        if work is None and current is None and idle and parts.close_tail():
            work = next_work(parts.sizes(), parts.tail_rows, limit, idle=idle)
        if work is not None and _comes_before(work, sizes, current):
            self._constructions.append(parts.claim(work))

    def _resume(self, construction: Construction) -> Built | BuildFailed | None:
        if construction.failure is not None:
            return self._failed(construction, construction.failure)
        if not construction.finished:
            return None
        self._constructions.remove(construction)
        self._parts.publish(construction)
        self.built += 1
        self.seconds += construction.seconds
        work = construction.work
        return Built(len(construction.rows), len(work.numbers), work.reason, construction.seconds)

    def _failed(self, construction: Construction, reason: str) -> BuildFailed:
        """Try again when another tail has been filled, not in a circle."""
        self._constructions.remove(construction)
        self._parts.release(construction)
        self._held_until_appended = self._parts.appended + self._parts.tail_rows
        self.failures += 1
        return BuildFailed(len(construction.rows), reason)


def _comes_before(work: Work, sizes: list[Size], current: Construction | None) -> bool:
    """Whether to leave what is being built for a while: for first graphs, and far smaller merges."""
    if current is None or work.reason == NEW_VECTORS:
        return True
    rows = sum(size.live for size in sizes if size.number in work.numbers)
    return rows * _SMALLER <= len(current.rows)


def _stepped(construction: Construction, *, alone: bool) -> Construction:
    """Take a step; running out of memory is an answer: search does without the graph."""
    try:
        return construction.step(alone=alone)
    except (MemoryError, RuntimeError) as error:
        construction.failure = str(error) or type(error).__name__
        return construction
