"""Which slot of the catalogue each row of a space has: what a search knows of a file, by row."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from vexfs_fuse.vectors.space import Space
from vexfs_fuse.volume.catalogue import Catalogue, Slots
from vexfs_fuse.volume.change_log import ChangeLog

STEP_ROWS: Final = 512
"""Rows that are given their slots between two looks at the clock."""


class RowSlots:
    """The catalogue's slot of each row of a space; a row may come to stand for another inode."""

    def __init__(self, space: Space, catalogue: Catalogue) -> None:
        self.space = space
        self._catalogue = catalogue
        self._inos: Slots = np.zeros(0, np.int64)
        self._slots: Slots = np.zeros(0, np.int64)
        self._given = 0  # of the rows, when they were looked at
        self.given = ChangeLog()  # rows

    @property
    def is_behind(self) -> bool:
        """Whether there are rows without a slot, or with another inode's."""
        return self._given != self.space.rows.given

    def follow(self) -> Iterator[None]:
        """Give each row its slot; it can be left alone at each step."""
        rows = self.space.rows
        given = rows.given
        if len(self._inos) < rows.limit:
            self._inos = _longer(self._inos, len(rows.inos))
            self._slots = _longer(self._slots, len(rows.inos))
        outdated = np.flatnonzero(self._inos[: rows.limit] != rows.inos[: rows.limit])
        for start in range(0, len(outdated), STEP_ROWS):
            some = outdated[start : start + STEP_ROWS]
            inos = rows.inos[some]
            self._slots[some] = self._catalogue.slots_of(inos.tolist())
            self._inos[some] = inos
            self.given.extend(some.tolist())
            yield
        self._given = given

    def slots(self) -> Slots:
        """Return the slot of each row number below the space's limit."""
        return self._slots[: self.space.rows.limit]


def _longer(array: Slots, length: int) -> Slots:
    longer: Slots = np.zeros(length, np.int64)
    longer[: len(array)] = array
    return longer
