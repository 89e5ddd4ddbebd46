"""Brings the vectors of one space into memory after a mount, while the volume is served already.

At mount a space knows whose vectors it has, and at which versions.  The vectors come from the shards
that were saved, one file at a time in a thread; what no shard has comes from the state view, in slices
on the loop.  Whoever needs the space may help: background work and searches take the same steps.
"""

import logging
import threading
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from vexfs_fuse.pending import Pending
from vexfs_fuse.storage.state import State
from vexfs_fuse.vectors.arrays import Longs
from vexfs_fuse.vectors.rows import Row
from vexfs_fuse.vectors.space import Space

log = logging.getLogger(__name__)

FILL_ROWS: Final = 256
"""Vectors taken from the state view in one slice: 1 to 2 ms at 384 dimensions."""

_VALUE_BYTES: Final = 4  # of a component


class Loading:
    """The steps, in any order of those who take them."""

    def __init__(self, space: Space, number: int, view: State) -> None:
        self.space = space
        self.done = False
        self._number = number
        self._view = view
        self._piece: _Piece | None = None
        self._ahead = self._read_ahead()
        self._left: Longs | None = None  # rows that no shard had, once that is known
        self._at = 0
        self._lost = 0

    @property
    def progress(self) -> float:
        """How much has been loaded, 0 to 1."""
        absent = 0 if self._left is None else len(self._left) - self._at
        return self.space.loaded * (1.0 - absent / max(1, len(self.space)))

    @property
    def is_worked_on(self) -> bool:
        """Whether a thread is reading at this moment, for whoever it may be."""
        return self._piece is not None and self._piece.is_running

    def steps(self) -> Iterator[Pending[None] | None]:
        """Take the steps that are left; a `Pending` need not be resumed by who leaves."""
        while not self.done:
            yield self._step()

    def _step(self) -> Pending[None] | None:
        if self._left is not None:
            self._fill_some(self._left)
            return None
        self._absorb()
        if self._piece is None:
            work = self.space.restoring() or next(self._ahead, None)
            if work is None:
                self._begin_filling()
                return None
            self._piece = _Piece(work)
        return Pending(self._piece.run, lambda _: self._absorb())

    def _read_ahead(self) -> Iterator[Pending[None]]:
        """Have the disk read what will be asked for row by row, if that is much; known once shards are there."""
        wanted_bytes = _VALUE_BYTES * self.space.dimensions * len(self.space.absent)
        for work in self._view.readings(wanted_bytes):
            yield Pending(work, lambda _: None)

    def _absorb(self) -> None:
        """Take in a piece that has been worked, by whoever it was."""
        piece = self._piece
        if piece is not None and piece.is_worked:
            self._piece = None
            piece.pending.resume(piece.outcome)

    def _begin_filling(self) -> None:
        for problem in self.space.problems:
            log.warning("%s; it is made anew", problem)
        self._left = self.space.absent

    def _fill_some(self, left: Longs) -> None:
        rows = left[self._at : self._at + FILL_ROWS]
        self._at += len(rows)
        self._fill(rows[self._is_absent(rows)])
        if self._at >= len(left):
            self.done = True
            if self._lost:
                log.warning(
                    "space %s: %d vectors cannot be read; see vexfs fsck",
                    self.space.name,
                    self._lost,
                )

    def _is_absent(self, rows: Longs) -> Any:
        table = self.space.rows
        return table.live[rows] & (table.places[rows] < 0)

    def _fill(self, rows: Longs) -> None:
        if not len(rows):
            return
        table, value_bytes = self.space.rows, _VALUE_BYTES * self.space.dimensions
        inodes = table.inos[rows].tolist()
        keys = zip(inodes, table.passages[rows].tolist(), table.lsns[rows].tolist(), strict=True)
        wanted = dict(zip(keys, rows.tolist(), strict=True))
        found: list[int] = []
        values: list[bytes] = []
        for ino, _, passage, lsn, _, _, value, _ in self._view.committed_vectors(
            self._number, inodes
        ):
            if len(value) == value_bytes:
                row = wanted.pop((ino, passage, lsn), None)
                if row is not None:
                    found.append(row)
                    values.append(value)
        if found:
            raw = np.frombuffer(b"".join(values), "<f4").astype(np.float32, copy=False)
            self.space.fill(np.array(found), raw.reshape(len(found), self.space.dimensions))
        self._lost += len(wanted)
        for row in wanted.values():
            self.space.forget(Row(row))


class _Piece:
    """Work that several may wait for, each in a thread of his own: the first does it."""

    def __init__(self, pending: Pending[None]) -> None:
        self.pending = pending
        self.outcome: Any = None
        self.is_worked = False
        self._lock = threading.Lock()

    @property
    def is_running(self) -> bool:
        return self._lock.locked()

    def run(self) -> None:
        with self._lock:
            if not self.is_worked:
                self.outcome = self.pending.work()
                self.is_worked = True
