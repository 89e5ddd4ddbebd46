"""Spaces for tests: a model of vectors to compare with, and work driven to its end."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from vexfs_fuse.pending import Pending
from vexfs_fuse.vectors.hits import Hits
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.shard_file import Keys
from vexfs_fuse.vectors.space import Space

Floats = npt.NDArray[np.float32]
Key = tuple[int, int]


def finished(answer: Hits | Pending[Hits], meanwhile: Callable[[], None] | None = None) -> Hits:
    """Return the answer of a search, whether it comes at once or from a thread."""
    while isinstance(answer, Pending):
        outcome = answer.work()
        if meanwhile is not None:
            meanwhile()
        answer = answer.resume(outcome)
    return answer


DIRECTORY = "vectors/1"
"""Where spaces of tests have their shards."""


def versions(space: Space) -> Keys:
    """Return what the volume's state would say of the space: in order, as an index has it."""
    rows = space.rows
    live = np.flatnonzero(rows.live[: rows.limit])
    live = live[np.lexsort((rows.passages[live], rows.inos[live]))]
    return Keys(rows.inos[live], rows.passages[live], rows.lsns[live])


def load(space: Space) -> None:
    """Load all shards that there are."""
    while (work := space.restoring()) is not None:
        work.resume(work.work())


def settle(space: Space, *, idle: bool = True) -> list[Any]:
    """Do all work that is due; return its events."""
    events = []
    while (pending := space.due(idle=idle)) is not None:
        event = pending.resume(pending.work())
        if event is not None:
            events.append(event)
    return events


def model_scores(metric: Metric, query: Floats, rows: Floats) -> npt.NDArray[np.float64]:
    """Return what the scores are by definition."""
    wide, asked = rows.astype(np.float64), query.astype(np.float64)
    if metric is Metric.L2:
        return np.asarray(-np.linalg.norm(wide - asked, axis=1))
    products = wide @ asked
    if metric is Metric.COSINE:
        products /= np.linalg.norm(wide, axis=1) * np.linalg.norm(asked)
    return np.asarray(products)


def clustered(count: int, dimensions: int, seed: int = 0) -> Floats:
    """Return vectors around centres on a low-dimensional sheet, as real ones lie."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(4, count // 50), 8)) @ rng.normal(size=(8, dimensions))
    chosen = centres[rng.integers(len(centres), size=count)]
    return (chosen + 0.5 * rng.normal(size=(count, dimensions))).astype(np.float32)
