"""What a search answers."""

from typing import NamedTuple

from vexfs_fuse.units import Inode
from vexfs_fuse.vectors.arrays import Doubles, Ints, Longs


class Hits(NamedTuple):
    """The nearest, nearest first; those that tie are in no promised order.

    More than were asked for when the last ones tie (up to `exact.TIES_MAX` more), so that the
    caller can put them in order before cutting; fewer only when there are no more candidates.
    """

    inos: Longs
    passages: Ints
    scores: Doubles
    """Greater is nearer; see `Metric`."""
    distances: Doubles
    plan: str
    """`exact`, `ann`, or `filtered` for a graph with a mask."""
    ef: int
    """The effort spent in graphs; 0 for none."""
    scanned: int
    """Vectors compared one by one."""
    candidates: int
    """Vectors that mask and space allow."""

    @property
    def exact(self) -> bool:
        """Whether nothing nearer can have been missed."""
        return self.plan == "exact"

    def without(self, ino: Inode | None) -> "Hits":
        """Leave an inode out of what was found."""
        if ino is None:
            return self
        kept = self.inos != ino
        return self._replace(
            inos=self.inos[kept],
            passages=self.passages[kept],
            scores=self.scores[kept],
            distances=self.distances[kept],
        )
