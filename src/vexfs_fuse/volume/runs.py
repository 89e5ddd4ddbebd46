"""Sets of byte ranges, as flat sorted lists of borders: `[4, 8, 12, 16]` is 4 to 8 and 12 to 16.

With `bisect`, every question is one of parity: an odd index is inside a run.  Runs never touch:
neighbours are one run.  No argument is an empty range.
"""

from bisect import bisect_left, bisect_right

Runs = list[int]


def cover(runs: Runs, start: int, end: int) -> int:
    """Add bytes `start` to `end`; return how many of them were not in `runs`."""
    first, last = bisect_left(runs, start), bisect_right(runs, end)
    if first == last:  # within one run or one gap, as most writes are
        if first & 1:
            return 0
        runs[first:first] = (start, end)
        return end - start
    known = _count_between(runs, first, last, start, end)
    runs[first:last] = ([] if first & 1 else [start]) + ([] if last & 1 else [end])
    return end - start - known


def uncover(runs: Runs, start: int, end: int) -> int:
    """Take bytes `start` to `end` away; return how many of them were in `runs`."""
    first, last = bisect_left(runs, start), bisect_right(runs, end)
    known = _count_between(runs, first, last, start, end)
    runs[first:last] = ([start] if first & 1 else []) + ([end] if last & 1 else [])
    return known


def holds(runs: Runs, start: int, end: int) -> bool:
    """Whether all of bytes `start` to `end` are in `runs`."""
    index = bisect_right(runs, start)
    return bool(index & 1) and runs[index] >= end


def first_from(runs: Runs, start: int) -> int | None:
    """Return the first byte from `start` on that is in `runs`; None if there is none."""
    index = bisect_right(runs, start)
    if index & 1:
        return start
    return runs[index] if index < len(runs) else None


def end_from(runs: Runs, start: int) -> int:
    """Return the first byte from `start` on that is not in `runs`."""
    index = bisect_right(runs, start)
    return runs[index] if index & 1 else start


def overlaps(runs: Runs, start: int, end: int) -> bool:
    """Whether any of bytes `start` to `end` is in `runs`."""
    index = bisect_right(runs, start)
    return bool(index & 1) or (index < len(runs) and runs[index] < end)


def parts(runs: Runs, start: int, end: int) -> list[tuple[int, int]]:
    """Return the parts of bytes `start` to `end` that are in `runs`."""
    first, last = bisect_right(runs, start), bisect_left(runs, end)
    borders = ([start] if first & 1 else []) + runs[first:last] + ([end] if last & 1 else [])
    return list(zip(borders[::2], borders[1::2], strict=True))


def gaps(runs: Runs, start: int, end: int) -> list[tuple[int, int]]:
    """Return the parts of bytes `start` to `end` that are not in `runs`."""
    first, last = bisect_right(runs, start), bisect_left(runs, end)
    borders = ([] if first & 1 else [start]) + runs[first:last] + ([] if last & 1 else [end])
    return list(zip(borders[::2], borders[1::2], strict=True))


def _count_between(runs: Runs, first: int, last: int, start: int, end: int) -> int:
    borders = ([start] if first & 1 else []) + runs[first:last] + ([end] if last & 1 else [])
    return sum(borders[1::2]) - sum(borders[::2])
