"""The bytes of a segment file: its header, its frames and their checksums; pure functions.

    segment   header (48 bytes), then frames, each starting at a multiple of 8; before a frame of
              64 KiB or more, zeros, so that its data starts at a multiple of 4096
    header    8s magic, u32 revision, u32 header bytes, 16s volume id, u64 segment, u64 check
    frame     4s magic, u32 data bytes, u64 check, u64 inode, u64 offset in the file,
              a u64 checksum for each 64 KiB of data (the last may be shorter), data, zeros

All integers are little-endian, all checksums XXH3-64.  A frame's check covers its inode, offset,
data length and checksums, and is seeded with the segment's identity and the frame's position: a
frame of another volume, which somebody keeps as a file in this one, is not taken for ours when
`fsck` looks for frames.  Reading contents needs no frame header: an extent has its checksums.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import xxhash

from vexfs_fuse.errors import StoreDamaged, StoreTooNew
from vexfs_fuse.storage.disk import Buffer
from vexfs_fuse.units import CHECKSUM_BYTES, MIB, Inode, Segment

FORMAT_REVISION: Final = 1
SEGMENT_MAGIC: Final = b"vexfsSEG"
FRAME_MAGIC: Final = b"vxFr"
ALIGNMENT: Final = 8
FRAME_BYTES_MAX: Final = 16 * MIB
"""The most data in one frame; its checksums then take 2 KiB of each journal record and row."""

_SEGMENT_HEADER: Final = struct.Struct("<8sII16sQQ")
_FRAME_HEADER: Final = struct.Struct("<4sIQQQ")
_CHECKED: Final = struct.Struct("<QQI")
_SUM: Final = struct.Struct("<Q")
SEGMENT_HEADER_BYTES: Final = _SEGMENT_HEADER.size
FRAME_HEADER_BYTES: Final = _FRAME_HEADER.size
_U64_MAX: Final = 2**64 - 1

_sum = xxhash.xxh3_64_intdigest


class FrameHeader(NamedTuple):
    """What a frame says of itself."""

    inode: Inode
    offset: int
    length: int
    sums: bytes


def segment_header(volume_id: bytes, segment: Segment) -> bytes:
    """Return the first bytes of a segment file; `volume_id` has 16 bytes."""
    fields = (SEGMENT_MAGIC, FORMAT_REVISION, SEGMENT_HEADER_BYTES, volume_id, segment)
    return _SEGMENT_HEADER.pack(*fields, _sum(_SEGMENT_HEADER.pack(*fields, 0)))


def check_segment_header(raw: bytes, volume_id: bytes, segment: Segment) -> None:
    """Make sure that a file is the given segment of the given volume.

    Raises
    ------
    StoreTooNew
        When a later program wrote it.
    StoreDamaged
        When the header is short, does not match its checksum, or is that of another segment.
    """
    if len(raw) < SEGMENT_HEADER_BYTES:
        raise StoreDamaged(f"segment {segment} has no header")
    *fields, check = _SEGMENT_HEADER.unpack_from(raw)
    magic, revision, _, volume, number = fields
    if magic != SEGMENT_MAGIC or check != _sum(_SEGMENT_HEADER.pack(*fields, 0)):
        raise StoreDamaged(f"the header of segment {segment} does not match its checksum")
    if revision > FORMAT_REVISION:
        raise StoreTooNew(f"segment {segment} has format revision {revision}")
    if volume != volume_id or number != segment:
        raise StoreDamaged(
            f"segment {segment} has the header of segment {number} of {volume.hex()}"
        )


def volume_in_header(raw: bytes, segment: Segment) -> bytes | None:
    """Return the volume that a segment's header names, 16 bytes; None when the header is not sound."""
    if len(raw) < SEGMENT_HEADER_BYTES:
        return None
    *fields, check = _SEGMENT_HEADER.unpack_from(raw)
    magic, _, _, volume, number = fields
    is_sound = check == _sum(_SEGMENT_HEADER.pack(*fields, 0))
    return volume if is_sound and (magic, number) == (SEGMENT_MAGIC, segment) else None


def seed_of(volume_id: bytes, segment: Segment) -> int:
    """Return the seed that ties the checks of frames to their segment file."""
    return int(_sum(volume_id, segment))


def sums_of(buffers: Sequence[Buffer]) -> bytes:
    """Return the checksums of a frame's data, given as consecutive buffers."""
    if len(buffers) == 1 and len(buffers[0]) <= CHECKSUM_BYTES:
        return _SUM.pack(_sum(buffers[0]))  # small files: a quarter of the time below
    sums: list[int] = []
    parts: list[Buffer] = []  # of a unit that spans buffers
    for buffer in buffers:
        start = 0
        if parts:
            start = CHECKSUM_BYTES - sum(map(len, parts))
            parts.append(buffer[:start])
            if len(buffer) < start:
                continue
            sums.append(_sum_of_parts(parts))
            parts = []
        last = len(buffer) - CHECKSUM_BYTES
        while start <= last:
            sums.append(_sum(buffer[start : start + CHECKSUM_BYTES]))
            start += CHECKSUM_BYTES
        if start < len(buffer):
            parts = [buffer[start:]]
    if parts:
        sums.append(_sum_of_parts(parts))
    return struct.pack(f"<{len(sums)}Q", *sums)


def first_mismatch(data: memoryview, sums: bytes, unit: int = 0) -> int | None:
    """Verify part of a frame's data.

    Parameters
    ----------
    data
        Bytes from the start of `unit` to the end of that or a later unit.
    sums
        The checksums of the whole frame.
    unit
        The index of the first unit in `data`.

    Returns
    -------
    int | None
        The index of the first unit that does not match; None when all do.
    """
    found = sums_of((data,))
    expected = sums[unit * 8 : unit * 8 + len(found)]
    if found == expected:
        return None
    starts = range(0, len(found), 8)
    return unit + next(
        n for n, at in enumerate(starts) if found[at : at + 8] != expected[at : at + 8]
    )


def units_around(start: int, end: int, length: int) -> tuple[int, int]:
    """Return the start and end of the whole checksum units around part of a frame's data."""
    return (
        start - start % CHECKSUM_BYTES,
        min(end + -end % CHECKSUM_BYTES, length),
    )


def prefix_bytes(length: int) -> int:
    """Return the size of what stands before a frame's data: header and checksums."""
    return FRAME_HEADER_BYTES + 8 * -(-length // CHECKSUM_BYTES)


def padding_bytes(size: int) -> int:
    """Return the zeros after `size` bytes that make the next frame start aligned."""
    return -size % ALIGNMENT


def frame_prefix(
    inode: Inode, offset: int, length: int, sums: bytes, seed: int, position: int
) -> bytes:
    """Return what stands before a frame's data, for a frame that starts at `position`."""
    check = _sum(_CHECKED.pack(inode, offset, length) + sums, (seed + position) & _U64_MAX)
    return _FRAME_HEADER.pack(FRAME_MAGIC, length, check, inode, offset) + sums


def parse_frame_prefix(raw: bytes, seed: int, position: int) -> FrameHeader | None:
    """Read what `frame_prefix` wrote; None when a frame does not start there.

    `raw` is what stands at `position`, at least `prefix_bytes(FRAME_BYTES_MAX)` bytes or up to the
    segment's end.
    """
    if raw[:4] != FRAME_MAGIC or len(raw) < FRAME_HEADER_BYTES:
        return None
    _, length, check, inode, offset = _FRAME_HEADER.unpack_from(raw)
    sums = raw[FRAME_HEADER_BYTES : prefix_bytes(length)]
    if len(sums) != prefix_bytes(length) - FRAME_HEADER_BYTES:
        return None
    if check != _sum(_CHECKED.pack(inode, offset, length) + sums, (seed + position) & _U64_MAX):
        return None
    return FrameHeader(Inode(inode), offset, length, sums)


def _sum_of_parts(parts: Sequence[Buffer]) -> int:
    if len(parts) == 1:
        return int(_sum(parts[0]))
    hasher = xxhash.xxh3_64()
    for part in parts:
        hasher.update(part)
    return int(hasher.intdigest())
