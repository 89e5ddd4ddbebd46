"""The disk's room: how much of it writers may be promised, and when the volume has to save.

Writers stop before the disk is full.  What is left then, the headroom, is for what empties a full
volume: records of removals, commits of the state view, segments for the compactor.
"""

from collections.abc import Callable
from typing import Final

from vexfs_fuse.storage.disk import BLOCK_BYTES, Disk
from vexfs_fuse.storage.segments import Segments
from vexfs_fuse.units import MIB

HEADROOM_SHARE: Final = 16
HEADROOM_BYTES_MAX: Final = 64 * MIB
"""A sixteenth of the disk is headroom, but no more than this."""

PARTS: Final = 16
"""No single file of the store may grow beyond this fraction (1/16) of a small disk."""

PART_BYTES_MIN: Final = MIB


def headroom_bytes(disk: Disk) -> int:
    """Return how much of a disk is headroom."""
    return min(HEADROOM_BYTES_MAX, disk.total_bytes() // HEADROOM_SHARE)


def fitting(size: int, disk: Disk) -> int:
    """Return `size`, the wanted size of a file that is given back as a whole, or what suits the disk."""
    return min(size, max(PART_BYTES_MIN, disk.total_bytes() // PARTS))


def fitting_segment(size: int, disk: Disk) -> int:
    """Return the size of a segment that suits the disk; a small one holds whole frames and no more.

    What is reserved behind the last frame is lost until the segment has been written.
    """
    fitted = fitting(size, disk)
    if fitted == size:
        return size
    frame_bytes = MIB + BLOCK_BYTES  # of a mebibyte, with its header
    return BLOCK_BYTES + max(1, (fitted - BLOCK_BYTES) // frame_bytes) * frame_bytes


class Room:
    """What the disk has left, but for what commits of the state view are about to take: `owed_bytes`.

    Attributes
    ----------
    is_short
        Whether it is time to save: there was hardly more than the headroom at the last look.
    """

    def __init__(self, disk: Disk, segments: Segments, owed_bytes: Callable[[], int]) -> None:
        self._disk = disk
        self._segments = segments
        self._owed_bytes = owed_bytes
        self._headroom_bytes = headroom_bytes(disk)
        self.is_short = False

    @property
    def owes_much(self) -> bool:
        """Whether the view would take all of the headroom by what it has not committed."""
        return self._owed_bytes() >= self._headroom_bytes

    def look(self) -> int:
        """Return how many bytes of contents writers may be promised now, dirty ones included."""
        free = self._disk.free_bytes() + self._segments.reserved_bytes
        self.is_short = free < 2 * self._headroom_bytes
        return max(0, free - self._headroom_bytes - self._owed_bytes())
