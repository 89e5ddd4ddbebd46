"""Finds the frames in a segment file by what the file itself says, without any extent."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from vexfs_fuse.storage import frames
from vexfs_fuse.storage.disk import File
from vexfs_fuse.storage.frames import FrameHeader
from vexfs_fuse.units import CHECKSUM_BYTES, MIB

WINDOW_BYTES: Final = MIB
"""How much is searched at a time for the next frame after something that is none."""


class FrameAt(NamedTuple):
    """A frame, and the byte position of its first data byte in the segment file."""

    position: int
    header: FrameHeader


def frames_in(file: File, seed: int) -> Iterator[FrameAt]:
    """Yield a segment's frames in their order; what a crash left between them is passed over."""
    start = frames.SEGMENT_HEADER_BYTES
    size = file.size()
    prefix_max = frames.prefix_bytes(frames.FRAME_BYTES_MAX)
    while start < size:
        header = frames.parse_frame_prefix(file.pread(prefix_max, start), seed, start)
        if header is None:
            start = _next_magic(file, start + 1, size)
            continue
        frame = FrameAt(start + frames.prefix_bytes(header.length), header)
        yield frame
        if _is_complete(file, frame):
            start = frame.position + header.length
            start += frames.padding_bytes(start)
        else:
            start = _next_magic(file, start + 1, size)


def _is_complete(file: File, frame: FrameAt) -> bool:
    """Whether the end of a frame's data is there.

    A crash may have cut the file within a frame; what was appended afterwards then lies where the
    rest of that frame would be.
    """
    _, _, length, sums = frame.header
    unit = (length - 1) // CHECKSUM_BYTES
    start = unit * CHECKSUM_BYTES
    last = file.pread(length - start, frame.position + start)
    return (
        len(last) == length - start and frames.first_mismatch(memoryview(last), sums, unit) is None
    )


def _next_magic(file: File, start: int, size: int) -> int:
    """Return the next position at which a frame may begin; `size` when there is none."""
    while start < size:
        window = file.pread(WINDOW_BYTES, start)
        at = window.find(frames.FRAME_MAGIC)
        if at >= 0:
            return start + at
        start += max(len(window) - len(frames.FRAME_MAGIC) + 1, 1)
    return size
