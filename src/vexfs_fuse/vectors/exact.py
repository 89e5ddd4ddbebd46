"""The nearest of given vectors by scanning them (BLAS), certain and in any thread.

Scanning finds in float32 whatever may be among the nearest, `ordered` then decides in float64.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from vexfs_fuse.vectors.arrays import Doubles, Floats, Longs, Mask
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.shard import Shard

TIES_MAX: Final = 256
"""How many more hits are returned when the last ones tie, for the caller to order."""

RESCORED_MAX: Final = 4_096
"""How many vectors are compared in float64; only equal vectors in such numbers ever reach it."""

_GATHERED_ROWS: Final = 1_024
# Above this share of a part, scanning all of it is cheaper than gathering what is asked for.
_GATHERED_SHARE: Final = 0.3
_CHUNK: Final = 64
_LOWEST: Final = np.float32(-np.inf)


class View(NamedTuple):
    """A part as one search sees it: `live` says which positions count."""

    number: int
    vectors: Floats
    squares: Floats
    rows: Longs
    live: Mask
    live_count: int
    shard: Shard | None


class Found(NamedTuple):
    """Positions of one view that may be among the nearest, with their ranks."""

    view: View
    positions: Longs
    ranks: Floats


class Ask(NamedTuple):
    """A prepared query, and how many are wanted of the nearest.

    `doubt` is how far below the last rank one of the nearest may be, in any view.
    """

    query: Floats
    wanted: int
    metric: Metric
    doubt: float


def scan(view: View, ask: Ask, *, above: float) -> Found:
    """Return the nearest of all live positions; those that rank below `above` may be left out."""
    ranks = ask.metric.ranks(ask.query, view.vectors, view.squares)
    if view.live_count < len(ranks):
        ranks[~view.live[: len(ranks)]] = _LOWEST
    floor = max(above, lowest_wanted(ranks, ask.wanted) - ask.doubt)
    positions = np.flatnonzero(ranks >= floor) if floor > _LOWEST else np.flatnonzero(ranks > floor)
    return Found(view, positions, ranks[positions])


def scan_at(view: View, positions: Longs, ask: Ask, *, above: float) -> Found:
    """Return the nearest of the given positions."""
    if len(positions) > _GATHERED_SHARE * len(view.vectors):
        ranks = ask.metric.ranks(ask.query, view.vectors, view.squares)[positions]
    else:
        ranks = _gathered_ranks(view, positions, ask)
    floor = max(above, lowest_wanted(ranks, ask.wanted) - ask.doubt)
    kept = np.flatnonzero(ranks >= floor)
    return Found(view, positions[kept], ranks[kept])


def lowest_wanted(ranks: Floats, count: int) -> float:
    """Return a rank that at least `count` of them reach, and few more: -inf if there are fewer.

    The greatest of each chunk are enough to ask: sorting all of them costs more than the scan.
    """
    size = len(ranks)
    if size <= count:
        return -np.inf
    chunks = size // _CHUNK
    if chunks >= 2 * count:
        ranks = ranks[: chunks * _CHUNK].reshape(chunks, _CHUNK).max(axis=1)
    return float(np.partition(ranks, len(ranks) - count)[len(ranks) - count])


def ordered(found: Sequence[Found], ask: Ask) -> tuple[Longs, Doubles]:
    """Return rows and scores of the `wanted` nearest, nearest first, and of what ties with the last.

    Those that tie are in the order of their rows; of more than `TIES_MAX` the first are returned.
    """
    floor = _floor(found, ask)
    rows, scores = [], []
    for view, positions, ranks in found:
        kept = positions[ranks >= floor]
        if len(kept):
            rows.append(view.rows[kept])
            scores.append(ask.metric.scores(ask.query, view.vectors.take(kept, axis=0)))
    if not rows:
        return np.zeros(0, np.int64), np.zeros(0)
    together, theirs = np.concatenate(rows), np.concatenate(scores)
    order = np.lexsort((together, -theirs))
    return cut(together[order], theirs[order], ask.wanted)


def cut(rows: Longs, scores: Doubles, count: int) -> tuple[Longs, Doubles]:
    """Return the first `count`, and what ties with the last of them."""
    if len(scores) <= count:
        return rows, scores
    end = int(np.searchsorted(-scores, -scores[count - 1], side="right"))
    end = min(end, count + TIES_MAX)
    return rows[:end], scores[:end]


def _gathered_ranks(view: View, positions: Longs, ask: Ask) -> Floats:
    """Gather in steps that stay in the cache: one big gather is paid in page faults."""
    ranks = np.empty(len(positions), np.float32)
    rows = min(_GATHERED_ROWS, len(positions))
    scratch = np.empty((rows, view.vectors.shape[1]), np.float32)
    for start in range(0, len(positions), _GATHERED_ROWS):
        step = positions[start : start + _GATHERED_ROWS]
        gathered = scratch[: len(step)]
        np.take(view.vectors, step, axis=0, out=gathered, mode="clip")
        squares = view.squares[step] if len(view.squares) else view.squares
        ranks[start : start + len(step)] = ask.metric.ranks(ask.query, gathered, squares)
    return ranks


def _floor(found: Sequence[Found], ask: Ask) -> float:
    if not found:
        return -np.inf
    ranks = np.concatenate([each.ranks for each in found])
    floor = lowest_wanted(ranks, ask.wanted) - ask.doubt
    if np.count_nonzero(ranks >= floor) > RESCORED_MAX + ask.wanted:
        return lowest_wanted(ranks, RESCORED_MAX + ask.wanted)
    return floor
