"""Extents for tests that never read them."""

from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.units import Segment


def frame(offset: int, length: int, *, segment: int = 1, position: int = 0) -> Extent:
    """Return an extent that is the whole of a frame without checksums."""
    return Extent(offset, length, Segment(segment), position, 0, length, b"")
