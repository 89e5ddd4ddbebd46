"""What to build next: which parts become one shard, and why (a log-structured merge); knows sizes.

New vectors lie in the tail, which is scanned.  A full tail waits for its graph; what waits is built
together.  Shards of one size are merged into the next, so that a search asks few graphs; a shard
with many dead vectors is rebuilt, so that recall does not rot.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from vexfs_fuse.units import MIB

FAN: Final = 4
"""So many shards of one size are merged."""

DEAD_SHARE_MAX: Final = 0.3
"""Of the vectors in a shard; more cost recall and over-fetching."""

SHARDS_MAX: Final = 12
"""With more that could be merged, that comes before building what waits: each costs every search a call."""

NEW_VECTORS: Final = "new vectors"
"""The reason that comes before all others."""

_TAIL_BYTES: Final = 3 * MIB
_TAIL_ROWS_MIN: Final = 512
_TAIL_ROWS_MAX: Final = 8_192
_SHARD_BYTES_MAX: Final = 128 * MIB
_SHARD_ROWS_MIN: Final = 32_768
_IDLE_GROWTH: Final = 4


def tail_rows(dimensions: int) -> int:
    """How many vectors are scanned before they get a graph: 3 MiB, 40 us of scanning in the cache, 400 outside."""
    return max(_TAIL_ROWS_MIN, min(_TAIL_ROWS_MAX, _TAIL_BYTES // (4 * dimensions)))


def shard_rows_max(dimensions: int) -> int:
    """How many vectors a shard may have: 128 MiB of them, at least some.

    Merging needs that much memory once more, and hnswlib holds the GIL while it copies a graph to be
    saved or one that was loaded: 0.7 to 1.3 ms for each MiB.  A million vectors of 384 dimensions in
    shards four times as large are found in two thirds of the time.
    """
    return max(_SHARD_ROWS_MIN, _SHARD_BYTES_MAX // (4 * dimensions))


class Size(NamedTuple):
    """A full part as the schedule sees it."""

    number: int
    used: int
    live: int
    indexed: bool


class Work(NamedTuple):
    """Build one shard over the live vectors of these parts."""

    numbers: tuple[int, ...]
    reason: str


def next_work(sizes: Sequence[Size], unit: int, limit: int, *, idle: bool) -> Work | None:
    """Return what is most urgent.

    `sizes` are the full parts that nobody works on, `unit` is the size of a tail, `limit` that of a
    shard; `idle` allows what pays off only when nobody waits.
    """
    waiting = [size for size in sizes if not size.indexed]
    shards = [size for size in sizes if size.indexed]
    merge = _merge(shards, unit, limit)
    if merge is not None and sum(2 * size.live <= limit for size in shards) > SHARDS_MAX:
        return merge
    if waiting:
        return Work(_up_to(waiting, limit), NEW_VECTORS)
    if merge is not None:
        return merge
    return _rebuild(shards) or (_consolidate(shards, limit) if idle else None)


def _merge(shards: Sequence[Size], unit: int, limit: int) -> Work | None:
    tiers: dict[int, list[Size]] = {}
    for shard in shards:
        tiers.setdefault(_tier(shard.live, unit), []).append(shard)
    for tier in sorted(tiers):
        if len(tiers[tier]) < FAN:
            continue
        numbers = _up_to(sorted(tiers[tier], key=lambda size: size.live), limit)
        if len(numbers) > 1:
            return Work(numbers, "merge")
    return None


def _tier(rows: int, unit: int) -> int:
    """Sizes within a factor of `FAN`; the lowest holds what one tail makes, with its dead."""
    return max(0, math.floor(math.log(max(1, rows) / (unit * 0.7), FAN)))


def _rebuild(shards: Sequence[Size]) -> Work | None:
    worst = max(shards, key=lambda size: 1 - size.live / size.used, default=None)
    if worst is None or 1 - worst.live / worst.used <= DEAD_SHARE_MAX:
        return None
    return Work((worst.number,), "dead vectors")


def _consolidate(shards: Sequence[Size], limit: int) -> Work | None:
    """Merge beyond what the tiers ask for, when the small ones add a quarter to the largest."""
    if len(shards) < 2:
        return None
    ascending = sorted(shards, key=lambda size: size.live)
    numbers = _up_to(ascending, limit)
    merged = [size for size in ascending if size.number in numbers]
    if len(merged) < 2 or sum(size.live for size in merged[:-1]) * _IDLE_GROWTH < merged[-1].live:
        return None
    return Work(numbers, "idle")


def _up_to(sizes: Sequence[Size], limit: int) -> tuple[int, ...]:
    """Return the first of them that fit in one shard together; at least one."""
    numbers: list[int] = []
    total = 0
    for size in sizes:
        total += size.live
        if numbers and total > limit:
            break
        numbers.append(size.number)
    return tuple(numbers)
