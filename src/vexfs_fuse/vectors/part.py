"""Vectors lying together in one matrix: what is scanned, indexed, merged and thrown away as a whole.

A position is written once and never again; what changes is which positions are live.  So a thread
may read a part's positions below `used` while the loop appends behind them.
"""

from typing import Final

import numpy as np

from vexfs_fuse.vectors.arrays import Floats, Longs, Mask
from vexfs_fuse.vectors.exact import View
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.rows import POSITION_BITS, Place, Row
from vexfs_fuse.vectors.shard import Shard

_NO_SQUARES: Final = np.zeros(0, np.float32)


class Part:
    """A matrix of at most `capacity` vectors; `shard` is its index, once it has one."""

    def __init__(self, number: int, capacity: int, dimensions: int, metric: Metric) -> None:
        self.number = number
        self.capacity = capacity
        self.used = 0
        self.dead = 0
        self.matrix: Floats = np.empty((capacity, dimensions), np.float32)
        self.rows: Longs = np.zeros(capacity, np.int64)
        self.live: Mask = np.zeros(capacity, np.bool_)
        self.shard: Shard | None = None
        self.square_max = 1.0
        self._squares: Floats | None = None
        if metric is not Metric.COSINE:
            self._squares = np.empty(capacity, np.float32)
            self.square_max = 0.0

    @classmethod
    def over(cls, number: int, matrix: Floats, metric: Metric) -> "Part":
        """Return a full part over a matrix that nobody else will write; nothing in it is live."""
        part = cls(number, 0, matrix.shape[1], metric)
        part.matrix = matrix
        part.capacity = part.used = part.dead = len(matrix)
        part.rows = np.zeros(len(matrix), np.int64)
        part.live = np.zeros(len(matrix), np.bool_)
        if part._squares is not None:
            part._squares = np.einsum("ij,ij->i", matrix, matrix)
            part.square_max = float(part._squares.max(initial=0.0))
        return part

    @property
    def full(self) -> bool:
        """Whether nothing more can be appended."""
        return self.used == self.capacity

    @property
    def live_count(self) -> int:
        """How many of its vectors count."""
        return self.used - self.dead

    @property
    def squares(self) -> Floats:
        """Squared lengths of the vectors; empty under cosine, where nobody asks."""
        return _NO_SQUARES if self._squares is None else self._squares[: self.used]

    @property
    def vectors(self) -> Floats:
        """The matrix as far as it is used."""
        return self.matrix[: self.used]

    @property
    def bytes(self) -> int:
        """Memory of matrix and graph."""
        return self.matrix.nbytes + (0 if self.shard is None else self.shard.bytes)

    def view(self) -> View:
        """What a search on the loop looks at; nothing is copied."""
        return View(
            self.number,
            self.vectors,
            self.squares,
            self.rows,
            self.live,
            self.live_count,
            self.shard,
        )

    def next_place(self) -> Place:
        """Where the vector appended next will lie."""
        return Place(self.number << POSITION_BITS | self.used)

    def append(self, vector: Floats, row: Row) -> None:
        """Add a prepared vector."""
        position = self.used
        self.matrix[position] = vector
        self.rows[position] = row
        self.live[position] = True
        if self._squares is not None:
            square = np.float32(vector @ vector)
            self._squares[position] = square
            self.square_max = max(self.square_max, float(square))
        self.used = position + 1

    def extend(self, vectors: Floats, rows: Longs) -> None:
        """Add prepared vectors; there must be room for them."""
        first, end = self.used, self.used + len(rows)
        self.matrix[first:end] = vectors
        self.rows[first:end] = rows
        self.live[first:end] = True
        if self._squares is not None:
            squares = np.einsum("ij,ij->i", vectors, vectors)
            self._squares[first:end] = squares
            self.square_max = max(self.square_max, float(squares.max(initial=0.0)))
        self.used = end

    def kill(self, position: int) -> None:
        """Let the vector no longer count."""
        self.live[position] = False
        self.dead += 1

    def revive(self, live: Mask, rows: Longs) -> None:
        """Say for all positions at once which count and whose they are."""
        self.live[: self.used] = live
        self.rows[: self.used] = rows
        self.dead = self.used - int(np.count_nonzero(live))
