"""Finds the frames in a segment file by what the file itself says, without any extent."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from vexfs_fuse.storage import frames
from vexfs_fuse.storage.disk import File
from vexfs_fuse.storage.frames import FrameHeader
from vexfs_fuse.units import MIB

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
            start = _next_magic(file, start + frames.ALIGNMENT, size)
            continue
        position = start + frames.prefix_bytes(header.length)
        yield FrameAt(position, header)
        end = position + header.length
        start = end + frames.padding_bytes(end)


def _next_magic(file: File, start: int, size: int) -> int:
    """Return the next aligned position at which a frame may begin; `size` when there is none."""
    while start < size:
        window = file.pread(WINDOW_BYTES, start)
        at = window.find(frames.FRAME_MAGIC)
        while at >= 0:
            if (start + at) % frames.ALIGNMENT == 0:
                return start + at
            at = window.find(frames.FRAME_MAGIC, at + 1)
        start += max(len(window) - len(frames.FRAME_MAGIC) + 1, 1)
        start += frames.padding_bytes(start) if len(window) == WINDOW_BYTES else 0
    return size
