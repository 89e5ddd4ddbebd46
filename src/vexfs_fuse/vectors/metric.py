"""How near two vectors are.

Everything is compared twice: fast in float32 (`ranks`), which finds those that may be among the
nearest, and exactly in float64 (`scores`), which orders them.  `doubt` bounds the error of the
former.  A score depends on nothing but the two vectors, so that equal vectors tie.
"""

import enum
import math
from typing import Final

import numpy as np

from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.vectors.arrays import Doubles, Floats

COMPONENT_MAX: Final = 1e15
"""Beyond it, products of 16,384 components would leave float32 (3.4e38)."""

_UNIT_ROUNDOFF: Final = 2.0**-24


class Metric(enum.Enum):
    """What a space means by near; greater scores are nearer in all of them."""

    COSINE = "cosine"
    """Score: the cosine, -1 to 1.  Distance: 1 - score."""
    IP = "ip"
    """Score: the inner product.  Distance: -score."""
    L2 = "l2"
    """Score: -distance.  Distance: Euclidean, not squared."""

    @classmethod
    def named(cls, name: str) -> "Metric":
        """Return the metric of that name.  Raises `InvalidArgument`."""
        try:
            return cls(name)
        except ValueError:
            known = ", ".join(metric.value for metric in cls)
            raise InvalidArgument(f"there is no metric {name!r}; there are {known}") from None

    def check(self, vector: Floats) -> Floats:
        """Return the vector itself.  Raises `InvalidArgument` for what cannot be compared."""
        if self is Metric.COSINE:
            if not vector.any():
                raise InvalidArgument("a vector of zeros has no direction, so no cosine")
        elif np.abs(vector).max() > COMPONENT_MAX:
            raise InvalidArgument(f"a component beyond {COMPONENT_MAX:g} under {self.value}")
        return vector

    def prepare(self, vectors: Floats) -> Floats:
        """Return one vector, or rows of them, as they are kept: under cosine of unit length.

        To the last bit the same one by one and together: equal vectors must tie.
        """
        if self is not Metric.COSINE:
            return vectors
        wide = vectors.astype(np.float64, order="C")
        wide /= np.sqrt((wide * wide).sum(axis=-1, keepdims=True))
        unit: Floats = wide.astype(np.float32)
        return unit

    def ranks(self, query: Floats, rows: Floats, squares: Floats) -> Floats:
        """Return float32 numbers that order rows almost as their scores do.

        `squares` are the rows' squared lengths, used under l2 only, where the rank is
        |query|^2 - distance^2 = 2 query.row - |row|^2: one BLAS call.
        """
        products: Floats = rows @ query
        if self is Metric.L2:
            products *= 2
            products -= squares
        return products

    def rank_of_graph(self, query: Floats, distances: Floats) -> Floats:
        """Return ranks for what hnswlib calls distances: 1 - product, or the square under l2."""
        if self is Metric.L2:
            ranks: Floats = np.subtract(query @ query, distances, dtype=np.float32)
            return ranks
        return np.subtract(1, distances, dtype=np.float32)

    def doubt(self, query: Floats, square_max: float) -> float:
        """Return how much two ranks may differ from the order of their scores.

        The error of a float32 product of n terms grows as sqrt(n) roundoffs of the factors'
        lengths in practice (its bound as n); the factor 4 is far beyond what was ever seen.
        """
        reach = math.sqrt(float(query @ query) * square_max)
        if self is Metric.L2:
            reach = 2 * reach + square_max
        return 2 * reach * _UNIT_ROUNDOFF * (4 + 4 * math.sqrt(len(query)))

    def scores(self, query: Floats, rows: Floats) -> Doubles:
        """Return the rows' scores in float64, each from its row and the query alone."""
        wide = rows.astype(np.float64)
        if self is Metric.L2:
            wide -= query
            wide *= wide
            lengths: Doubles = np.sqrt(wide.sum(axis=1))
            return -lengths
        wide *= query
        sums: Doubles = wide.sum(axis=1)
        if self is Metric.COSINE:
            np.minimum(sums, 1.0, out=sums)
            np.maximum(sums, -1.0, out=sums)
        return sums

    def distances(self, scores: Doubles) -> Doubles:
        """Return what the scores mean as distances."""
        return np.subtract(1.0, scores) if self is Metric.COSINE else np.negative(scores)
