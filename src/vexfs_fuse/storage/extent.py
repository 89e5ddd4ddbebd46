"""One run of a file's contents, and where its bytes are."""

from typing import Final, NamedTuple

from vexfs_fuse.units import Segment

NOWHERE: Final = Segment(1 << 62)
"""The segment of contents that a repair could not find again: no file has this number."""


class Extent(NamedTuple):
    """File bytes `offset` to `offset + length`, stored as part of one immutable frame.

    A frame is what one flush wrote contiguously.  `sums` holds one little-endian uint64 XXH3 checksum for
    each 64 KiB of the frame (the last may be shorter).  Cutting an extent changes `skip`, `offset` and
    `length` only: the frame, and with it the checksums, stays whole.
    """

    offset: int
    length: int
    segment: Segment  # 0: the frame's bytes are `inline`
    position: int  # byte position of the frame's first data byte in the segment file
    skip: int  # first byte of this extent within the frame
    frame_bytes: int  # data bytes of the whole frame
    sums: bytes
    inline: bytes | None = None
