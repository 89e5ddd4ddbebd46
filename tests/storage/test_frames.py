"""The bytes of segment files: what is written is read back, and no damage goes unnoticed."""

import struct
from itertools import pairwise

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from vexfs_fuse.errors import StoreDamaged, StoreTooNew
from vexfs_fuse.storage import frames
from vexfs_fuse.units import CHECKSUM_BYTES, Inode, Segment

VOLUME = bytes(range(16))
SEGMENT = Segment(7)

lengths = st.one_of(
    st.integers(1, 5000),
    st.builds(
        lambda units, more: max(1, units * CHECKSUM_BYTES + more),
        st.integers(1, 3),
        st.integers(-2, 2),
    ),
)


def pattern(length: int, seed: int = 0) -> bytes:
    """Bytes that differ from unit to unit."""
    return b"".join(struct.pack("<II", seed, number) for number in range(-(-length // 8)))[:length]


def cut(data: bytes, places: list[int]) -> list[memoryview]:
    """The data in consecutive buffers, cut at some places."""
    bounds = sorted({0, len(data), *(place % len(data) for place in places)})
    return [memoryview(data)[start:end] for start, end in pairwise(bounds)]


def prefix_of(data: bytes, position: int = 48, volume: bytes = VOLUME) -> bytes:
    sums = frames.sums_of([data])
    seed = frames.seed_of(volume, SEGMENT)
    return frames.frame_prefix(Inode(5), 4096, len(data), sums, seed, position)


def parse(raw: bytes, position: int = 48) -> frames.FrameHeader | None:
    return frames.parse_frame_prefix(raw, frames.seed_of(VOLUME, SEGMENT), position)


@given(lengths, st.lists(st.integers(0, 2**20), max_size=8))
def test_sums_do_not_depend_on_how_the_data_lie_in_buffers(length: int, places: list[int]) -> None:
    data = pattern(length)
    units = [data[at : at + CHECKSUM_BYTES] for at in range(0, length, CHECKSUM_BYTES)]
    expected = b"".join(xxhash.xxh3_64_intdigest(unit).to_bytes(8, "little") for unit in units)
    assert frames.sums_of(cut(data, places)) == expected


@given(lengths, st.integers(0, 3), st.integers(0, 2**23))
def test_a_flipped_bit_is_found_in_its_unit(length: int, first: int, bit: int) -> None:
    data = bytearray(pattern(length))
    sums = frames.sums_of([data])
    start = min(first, (length - 1) // CHECKSUM_BYTES) * CHECKSUM_BYTES
    view = memoryview(data)[start:]
    assert frames.first_mismatch(view, sums, start // CHECKSUM_BYTES) is None
    at = bit // 8 % len(view)
    view[at] ^= 1 << bit % 8
    damaged = (start + at) // CHECKSUM_BYTES
    assert frames.first_mismatch(view, sums, start // CHECKSUM_BYTES) == damaged


def test_missing_checksums_are_a_mismatch() -> None:
    assert frames.first_mismatch(memoryview(b"data"), b"") == 0


@given(lengths, st.data())
def test_units_around_a_part_are_whole_and_no_more_than_needed(
    length: int, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, length - 1))
    end = data.draw(st.integers(start + 1, length))
    low, high = frames.units_around(start, end, length)
    assert low % CHECKSUM_BYTES == 0
    assert high == length or high % CHECKSUM_BYTES == 0
    assert 0 <= start - low < CHECKSUM_BYTES
    assert 0 <= high - end < CHECKSUM_BYTES


@given(lengths)
def test_a_frame_says_what_it_is(length: int) -> None:
    data = pattern(length)
    raw = prefix_of(data)
    assert len(raw) == frames.prefix_bytes(length)
    assert parse(raw + data) == (5, 4096, length, frames.sums_of([data]))


@given(lengths, st.integers(0, 2**16))
def test_a_damaged_prefix_is_no_frame(length: int, bit: int) -> None:
    raw = bytearray(prefix_of(pattern(length)))
    raw[bit // 8 % len(raw)] ^= 1 << bit % 8
    assert parse(bytes(raw)) is None


def test_a_cut_prefix_is_no_frame() -> None:
    raw = prefix_of(pattern(200_000))
    assert all(parse(raw[:size]) is None for size in range(len(raw)))


def test_a_frame_counts_only_where_it_was_written() -> None:
    assert parse(prefix_of(b"data", position=56), position=48) is None


def test_a_frame_of_another_volume_is_not_ours() -> None:
    assert parse(prefix_of(b"data", volume=bytes(16))) is None


@given(lengths)
def test_padding_aligns_the_next_frame(length: int) -> None:
    size = frames.prefix_bytes(length) + length
    assert (size + frames.padding_bytes(size)) % frames.ALIGNMENT == 0
    assert frames.SEGMENT_HEADER_BYTES % frames.ALIGNMENT == 0


def test_a_segment_header_is_accepted_by_its_own_segment() -> None:
    frames.check_segment_header(frames.segment_header(VOLUME, SEGMENT), VOLUME, SEGMENT)


@given(st.integers(0, 48 * 8 - 1))
def test_a_damaged_segment_header_is_refused(bit: int) -> None:
    raw = bytearray(frames.segment_header(VOLUME, SEGMENT))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(StoreDamaged):
        frames.check_segment_header(bytes(raw), VOLUME, SEGMENT)


@pytest.mark.parametrize(
    ("volume", "segment", "size"), [(bytes(16), 7, 48), (VOLUME, 8, 48), (VOLUME, 7, 47)]
)
def test_a_foreign_or_short_segment_header_is_refused(
    volume: bytes, segment: int, size: int
) -> None:
    raw = frames.segment_header(volume, Segment(segment))[:size]
    with pytest.raises(StoreDamaged):
        frames.check_segment_header(raw, VOLUME, SEGMENT)


def test_a_later_format_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        later.setattr(frames, "FORMAT_REVISION", frames.FORMAT_REVISION + 1)
        raw = frames.segment_header(VOLUME, SEGMENT)
    with pytest.raises(StoreTooNew):
        frames.check_segment_header(raw, VOLUME, SEGMENT)


def test_the_format_is_what_it_was_from_the_first_revision_on() -> None:
    assert frames.segment_header(VOLUME, SEGMENT).hex() == (
        "76657866735345470100000030000000000102030405060708090a0b0c0d0e0f"
        "070000000000000057732b33aee7e611"
    )
    assert prefix_of(b"contents").hex() == (
        "767846720800000092fdda570d798ec5050000000000000000100000000000008ac3072da994a60c"
    )
