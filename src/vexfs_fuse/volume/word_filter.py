"""Which files have the words that a question insists on, and none of those that it excludes."""

from typing import Any, Final, NamedTuple

import numpy as np

from vexfs_fuse.units import Inode

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Longs = np.ndarray[Any, np.dtype[np.int64]]


class WordFilter(NamedTuple):
    """Inodes, ascending: a file must be in each of `having`, and must not be in `without`."""

    having: tuple[Longs, ...]
    without: tuple[Longs, ...]

    def lets_pass(self, inos: Longs) -> Bools:
        """Return which inodes pass."""
        passed: Bools = np.ones(len(inos), np.bool_)
        for each in self.having:
            passed &= np.isin(inos, each)
        for each in self.without:
            passed &= ~np.isin(inos, each)
        return passed

    def lets_one_pass(self, ino: Inode) -> bool:
        """Whether an inode passes."""
        return all(_has(each, ino) for each in self.having) and not any(
            _has(each, ino) for each in self.without
        )


ANY_WORDS: Final = WordFilter((), ())
"""Lets everything pass."""


def _has(inos: Longs, ino: Inode) -> bool:
    at = int(np.searchsorted(inos, ino))
    return at < len(inos) and int(inos[at]) == ino
