"""What tests of the segments share: contents that tell themselves apart, and extents of them."""

from itertools import pairwise
from random import Random

from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.segments import Segments, Staged
from vexfs_fuse.units import Inode

VOLUME = bytes(range(16))


def noise(length: int, seed: int = 0) -> bytes:
    """Bytes that nothing else looks like."""
    return Random(seed).randbytes(length)


def cut(data: bytes | bytearray, places: list[int]) -> list[memoryview]:
    """The data in consecutive buffers, cut at some places."""
    bounds = sorted({0, len(data), *(place % len(data) for place in places)})
    return [memoryview(data)[start:end] for start, end in pairwise(bounds)]


def extent_of(staged: Staged, offset: int = 0) -> Extent:
    """The extent that holds all of a staged frame."""
    return Extent(
        offset=offset,
        length=staged.frame_bytes,
        segment=staged.segment,
        position=staged.position,
        skip=0,
        frame_bytes=staged.frame_bytes,
        sums=staged.sums,
    )


def stage(segments: Segments, data: bytes) -> Extent:
    """Stage a frame whose buffers nobody waits for."""
    return extent_of(segments.stage(Inode(2), 0, [memoryview(data)], lambda: None))


def write_out(segments: Segments) -> None:
    """Seal, write and settle what is staged."""
    batch = segments.seal()
    if batch is not None:
        batch.write()
        segments.settle(batch)
