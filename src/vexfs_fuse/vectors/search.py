"""One search over the parts of a space, by a plan; runs on the loop or, over a copy, in a thread."""

from typing import Final, NamedTuple

import numpy as np

from vexfs_fuse.vectors.arrays import Doubles, Longs, Mask
from vexfs_fuse.vectors.exact import Ask, Found, View, cut, ordered, scan, scan_at
from vexfs_fuse.vectors.planner import EXACT, Cost, Plan, deeper, effort, fetched
from vexfs_fuse.vectors.rows import POSITION_BITS, POSITION_MASK

_GROWTH: Final = 4


class Task(NamedTuple):
    """Everything a search looks at.

    `mask` is over rows; `places` are the sorted places of all candidates when the mask is to be
    answered exactly; `inos` is given when only the best row of each inode counts.
    """

    views: list[View]
    plan: Plan
    ef: int
    live: int
    candidates: int
    mask: Mask | None
    places: Longs | None
    inos: Longs | None
    forced: bool = False
    """Whether graphs are asked even where scanning is cheaper."""


class Nearest(NamedTuple):
    """Rows and scores, nearest first; `scanned` vectors were compared one by one."""

    rows: Longs
    scores: Doubles
    scanned: int


def run(task: Task, ask: Ask) -> Nearest:
    """Return the nearest rows; at least `ask.wanted`, whenever there are so many candidates."""
    wanted = ask.wanted
    while True:
        nearest = _once(task, ask)
        if task.inos is None:
            return nearest
        rows, scores = best_per_inode(nearest.rows, nearest.scores, task.inos)
        if len(rows) >= wanted or len(nearest.rows) >= task.candidates:
            return Nearest(*cut(rows, scores, wanted), nearest.scanned)
        if ask.wanted * _GROWTH >= task.candidates:
            task = task._replace(plan=Plan(EXACT, 0.0))
        ask = ask._replace(wanted=max(ask.wanted * _GROWTH, len(nearest.rows) + 1))


def best_per_inode(rows: Longs, scores: Doubles, inos: Longs) -> tuple[Longs, Doubles]:
    """Return the first, so the nearest, row of each inode."""
    _, firsts = np.unique(inos[rows], return_index=True)
    firsts.sort()
    return rows[firsts], scores[firsts]


def _once(task: Task, ask: Ask) -> Nearest:
    if not task.plan.exact:
        found, scanned = _by_graphs(task, ask)
    elif task.places is not None:
        found, scanned = _at_places(task.views, task.places, ask), len(task.places)
    else:
        found, scanned = _everything(task, ask), task.live
    return Nearest(*ordered(found, ask), scanned)


def _everything(task: Task, ask: Ask) -> list[Found]:
    found: list[Found] = []
    above = -np.inf
    for view in task.views:
        each = _candidates_of(view, task.mask, ask, above)
        found.append(each)
        above = max(above, _certain(each, ask))
    return found


def _at_places(views: list[View], places: Longs, ask: Ask) -> list[Found]:
    found: list[Found] = []
    above = -np.inf
    starts = places.searchsorted([view.number << POSITION_BITS for view in views])
    ends = places.searchsorted([(view.number + 1) << POSITION_BITS for view in views])
    for view, start, end in zip(views, starts, ends, strict=True):
        if start < end:
            each = scan_at(view, places[start:end] & POSITION_MASK, ask, above=above)
            found.append(each)
            above = max(above, _certain(each, ask))
    return found


def _by_graphs(task: Task, ask: Ask) -> tuple[list[Found], int]:
    """Ask the graphs first: what they find spares most of what scanning would bring up."""
    found: list[Found] = []
    left: list[View] = []
    for view in task.views:
        each = None if view.shard is None else _by_graph(task, view, ask)
        if each is None:
            left.append(view)
        else:
            found.append(each)
    above = max((_certain(each, ask) for each in found), default=-np.inf) if left else -np.inf
    for view in left:
        each = _candidates_of(view, task.mask, ask, above)
        found.append(each)
        above = max(above, _certain(each, ask))
    return found, sum(len(view.vectors) for view in left)


def _by_graph(task: Task, view: View, ask: Ask) -> Found | None:
    """Return what the view's graph finds; None where scanning is cheaper, or alone certain."""
    assert view.shard is not None
    share = view.live_count / len(view.vectors)
    if task.mask is not None:
        share *= task.candidates / max(1, task.live)
    cost = Cost(view.vectors.shape[1])
    ef = effort(task.ef, view.live_count, task.live)
    fetch = fetched(ask.wanted, share)
    while fetch < view.shard.count:
        depth = deeper(ef, fetch)
        graph_ns = cost.graph(view.shard.count, depth)
        if graph_ns > 2 * cost.scan(len(view.vectors)) and not task.forced:
            return None
        answer = view.shard.nearest(ask.query, fetch, depth)
        if answer is None:
            return None
        positions, distances = answer
        ranks = ask.metric.rank_of_graph(ask.query, distances)
        if share >= 1.0:
            return Found(view, positions, ranks)
        kept = view.live[positions]
        if task.mask is not None:
            kept &= task.mask[view.rows[positions]]
        if np.count_nonzero(kept) >= ask.wanted:
            return Found(view, positions[kept], ranks[kept])
        fetch *= _GROWTH
    return None


def _candidates_of(view: View, mask: Mask | None, ask: Ask, above: float) -> Found:
    if mask is None:
        return scan(view, ask, above=above)
    used = len(view.vectors)
    positions = np.flatnonzero(mask[view.rows[:used]] & view.live[:used])
    return scan_at(view, positions, ask, above=above)


def _certain(found: Found, ask: Ask) -> float:
    """Return a rank below which nothing can be among the nearest any more."""
    if len(found.ranks) < ask.wanted:
        return -np.inf
    lowest = np.partition(found.ranks, len(found.ranks) - ask.wanted)[-ask.wanted]
    return float(lowest) - ask.doubt
