"""Names joined in blocks, so that a pattern is looked for in thousands of them by one call.

Only what has the longest literal part of the pattern is compared name by name.  A block is joined again
when one of its names has changed and somebody asks.
"""

import re
from bisect import bisect_right
from collections.abc import Generator, Sequence
from itertools import accumulate
from typing import Any, Final

import numpy as np

from vexfs_fuse.volume.change_log import ChangeLog

Bools = np.ndarray[Any, np.dtype[np.bool_]]

BLOCK_NAMES: Final = 4_096
"""Names in a block: a tenth of a millisecond to join, some more to look through."""

_BETWEEN: Final = b"/"  # which no name has
_WILD: Final = re.compile(rb"[*?]+")


class NameBlocks:
    """The names of a list that grows, by position; `changed` tells which are others than before."""

    def __init__(self, names: Sequence[bytes], changed: ChangeLog) -> None:
        self._names = names
        self._changed = changed
        self._seen = changed.end
        self._blocks: dict[int, _Block] = {}

    def matching(self, pattern: bytes, match: re.Pattern[bytes]) -> Generator[None, None, Bools]:
        """Return which names a pattern of fnmatch(3) matches; `match` is its regular expression.

        It may be left alone at each step; a name that changes meanwhile may be told of as it was.
        """
        literal = longest_literal(pattern)
        matched: Bools = np.zeros(len(self._names), np.bool_)
        for number in range(-(-len(matched) // BLOCK_NAMES)):
            found = self._block(number).matching(literal, match)
            first = number * BLOCK_NAMES
            matched[[first + at for at in found if first + at < len(matched)]] = True
            yield
        return matched

    def _block(self, number: int) -> "_Block":
        self._follow()
        first = number * BLOCK_NAMES
        count = min(BLOCK_NAMES, len(self._names) - first)
        block = self._blocks.get(number)
        if block is None or block.count != count:
            names = self._names[first : first + count]
            block = self._blocks[number] = _Block(names)
        return block

    def _follow(self) -> None:
        changed = self._changed.since(self._seen)
        self._seen = self._changed.end
        if changed is None:
            self._blocks.clear()
        else:
            for number in {position // BLOCK_NAMES for position in changed}:
                self._blocks.pop(number, None)


class _Block:
    """Some names, each between two slashes."""

    def __init__(self, names: Sequence[bytes]) -> None:
        self.count = len(names)
        self._text = _BETWEEN + _BETWEEN.join(names) + _BETWEEN
        self._starts = list(accumulate((len(name) + 1 for name in names), initial=1))[:-1]

    def matching(self, literal: bytes, match: re.Pattern[bytes]) -> list[int]:
        """Return the positions of the names that match, of those that have a literal."""
        text, starts = self._text, self._starts
        found: list[int] = []
        at = text.find(literal)
        while 0 <= at < len(text) - 1:
            # A literal may begin with the slash in front of a name, not with that behind it.
            position = bisect_right(starts, at + (text[at] == _BETWEEN[0])) - 1
            start = starts[position]
            end = text.index(_BETWEEN, start)
            if match.match(text, start, end):
                found.append(position)
            at = text.find(literal, end)
        return found


def longest_literal(pattern: bytes) -> bytes:
    """Return the longest part of a pattern that what it matches has, between slashes, letter by letter.

    At least a slash, which is in front of every name.
    """
    before, bracket, _ = pattern.partition(b"[")
    parts = _WILD.split(before)
    parts[0] = _BETWEEN + parts[0]
    if not bracket:
        parts[-1] += _BETWEEN
    return max(parts, key=len) or _BETWEEN
