"""Which (inode, passage) has which row number, at which version, and where its vector lies.

A row number stays with its (inode, passage) through updates, merges and rebuilds, so that masks over
rows can be kept; it is given to another one only after a removal.  Knows no vector.
"""

from typing import Final, NewType

import numpy as np

from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors.arrays import Ints, Longs, Mask

Row = NewType("Row", int)
"""Number of an (inode, passage) in one space, from 0."""

Place = NewType("Place", int)
"""Where a vector lies: the part's number * 2**32 + the position in it."""

NOWHERE: Final = Place(-1)
POSITION_BITS: Final = 32
POSITION_MASK: Final = (1 << POSITION_BITS) - 1

_CAPACITY_MIN: Final = 1_024
_GROWTH_SHARE: Final = 8
"""Columns grow by an eighth: 4 MB for a million rows."""
_FIRST: Final = 0


class Rows:
    """Columns over row numbers; the arrays are longer than `limit`."""

    def __init__(self) -> None:
        self.limit = 0
        """One more than the greatest row number ever given."""
        self.count = 0
        """Rows that have a vector."""
        self.given = 0
        """Grows whenever a row comes to stand for another (inode, passage)."""
        self.inos: Longs = np.zeros(0, np.int64)
        self.passages: Ints = np.zeros(0, np.int32)
        self.lsns: Longs = np.zeros(0, np.int64)
        self.places: Longs = np.zeros(0, np.int64)
        self.live: Mask = np.zeros(0, np.bool_)
        self._firsts: dict[int, int] = {}
        self._others: dict[int, dict[int, int]] = {}
        self._free: list[int] = []

    @property
    def single(self) -> bool:
        """Whether no inode has a passage beyond the first."""
        return not self._others

    @property
    def inodes(self) -> int:
        """How many inodes have a vector."""
        return len(self._firsts) + sum(ino not in self._firsts for ino in self._others)

    def find(self, ino: Inode, passage: int = _FIRST) -> Row | None:
        """Return the row of the passage, if it has one."""
        first = passage == _FIRST
        row = self._firsts.get(ino) if first else self._others.get(ino, {}).get(passage)
        return None if row is None else Row(row)

    def of(self, ino: Inode) -> list[Row]:
        """Return the rows of all passages of the inode, in order of passages."""
        first = self._firsts.get(ino)
        found = [] if first is None else [Row(first)]
        others = self._others.get(ino)
        return (
            found if others is None else found + [Row(others[number]) for number in sorted(others)]
        )

    def count_of(self, ino: Inode, mask: Mask) -> int:
        """Return how many rows of the inode a mask allows."""
        return sum(bool(mask[row]) for row in self.of(ino) if row < len(mask))

    def put(self, ino: Inode, passage: int, lsn: Lsn, place: Place) -> tuple[Row, Place]:
        """Say where the passage's vector lies now; return its row and where it lay before."""
        row = self.find(ino, passage)
        if row is None:
            row, before = self._give(ino, passage), NOWHERE
        else:
            before = Place(int(self.places[row]))
        self.lsns[row] = lsn
        self.places[row] = place
        return row, before

    @property
    def absent(self) -> Longs:
        """Rows whose vector is not in memory yet."""
        limit = self.limit
        return np.flatnonzero(self.live[:limit] & (self.places[:limit] == NOWHERE))

    def current(self, rows: Longs, inos: Longs, passages: Ints, lsns: Longs) -> Mask:
        """Return which rows still stand for these passages, at these versions."""
        same: Mask = self.live[rows] & (self.inos[rows] == inos) & (self.lsns[rows] == lsns)
        same &= self.passages[rows] == passages
        return same

    def put_many(self, inos: Longs, passages: Ints, lsns: Longs) -> Longs:
        """Give (inode, passage) pairs, of which none is known, rows with no place yet."""
        first, end = self.limit, self.limit + len(inos)
        if len(self.inos) < end:
            self._lengthen(end)
        self.limit = end
        self.count += len(inos)
        self.given += 1
        self.inos[first:end], self.passages[first:end] = inos, passages
        self.lsns[first:end], self.places[first:end] = lsns, NOWHERE
        self.live[first:end] = True
        rows = np.arange(first, end)
        firsts = passages == _FIRST
        self._firsts.update(zip(inos[firsts].tolist(), rows[firsts].tolist(), strict=True))
        for position in np.flatnonzero(~firsts).tolist():
            passages_of = self._others.setdefault(int(inos[position]), {})
            passages_of[int(passages[position])] = first + position
        return rows

    def drop(self, row: Row) -> Place:
        """Forget the row; return where its vector lay."""
        place = Place(int(self.places[row]))
        self._forget(int(self.inos[row]), int(self.passages[row]))
        self.places[row] = NOWHERE
        self.live[row] = False
        self.count -= 1
        self._free.append(row)
        return place

    def _give(self, ino: int, passage: int) -> Row:
        row = self._free.pop() if self._free else self._extend()
        if passage == _FIRST:
            self._firsts[ino] = row
        else:
            self._others.setdefault(ino, {})[passage] = row
        self.inos[row] = ino
        self.passages[row] = passage
        self.live[row] = True
        self.count += 1
        self.given += 1
        return Row(row)

    def _forget(self, ino: int, passage: int) -> None:
        if passage == _FIRST:
            del self._firsts[ino]
            return
        others = self._others[ino]
        del others[passage]
        if not others:
            del self._others[ino]

    def _extend(self) -> int:
        if self.limit == len(self.inos):
            self._lengthen(self.limit + 1)
        self.limit += 1
        return self.limit - 1

    def _lengthen(self, capacity: int) -> None:
        capacity = max(_CAPACITY_MIN, capacity, self.limit + self.limit // _GROWTH_SHARE)
        for name in ("inos", "passages", "lsns", "places", "live"):
            column = getattr(self, name)
            longer = np.zeros(capacity, column.dtype)
            longer[: self.limit] = column[: self.limit]
            setattr(self, name, longer)
