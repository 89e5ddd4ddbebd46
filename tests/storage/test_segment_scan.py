"""Frames are found by what the segment file says alone, whatever stands between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.disks import SimulatedDisk
from tests.support.segments import VOLUME, noise, stage, write_out
from vexfs_fuse.storage import frames
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.segments import Segments
from vexfs_fuse.units import KIB, MIB, Inode, Segment

FIRST = Segment(1)
FIRST_FILE = "segments/1.seg"


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk()


@pytest.fixture
def segments(disk: SimulatedDisk) -> Segments:
    return Segments.open(disk, VOLUME)


def found(segments: Segments) -> list[int]:
    return [frame.position for frame in segments.frames(FIRST)]


def staged(segments: Segments, *lengths: int) -> list[int]:
    positions = [stage(segments, noise(length)).position for length in lengths]
    write_out(segments)
    return positions


def cut_file(disk: SimulatedDisk, size: int) -> Segments:
    """The store after a crash that lost the end of the segment."""
    disk.open(FIRST_FILE, writable=True).truncate(size)
    return Segments.open(disk, VOLUME)


@given(st.lists(st.sampled_from([1, 100, 64 * KIB, 64 * KIB + 1, 200 * KIB]), max_size=8))
def test_every_frame_is_found_in_its_order(lengths: list[int]) -> None:
    segments = Segments.open(SimulatedDisk(), VOLUME)
    positions = staged(segments, 1, *lengths)
    assert found(segments) == positions


def test_a_frame_tells_its_file_and_place(segments: Segments) -> None:
    placed = segments.stage(Inode(77), 4096, [memoryview(b"contents")], lambda: None)
    write_out(segments)
    [frame] = segments.frames(FIRST)
    assert frame.position == placed.position
    assert frame.header == (77, 4096, 8, placed.sums)


def test_a_damaged_prefix_hides_one_frame_only(segments: Segments, disk: SimulatedDisk) -> None:
    positions = staged(segments, 100, 200 * KIB, 100)
    disk.flip_bit(FIRST_FILE, 8 * (positions[1] - 1))
    assert found(segments) == [positions[0], positions[2]]


def test_a_frame_with_damaged_contents_is_found_all_the_same(
    segments: Segments, disk: SimulatedDisk
) -> None:
    positions = staged(segments, 200 * KIB, 200 * KIB, 100)
    disk.flip_bit(FIRST_FILE, 8 * (positions[0] + 200 * KIB - 1))
    disk.flip_bit(FIRST_FILE, 8 * positions[1])
    assert found(segments) == positions


def test_garbage_between_frames_is_passed_over(segments: Segments, disk: SimulatedDisk) -> None:
    first = staged(segments, 100)
    end = len(disk.contents(FIRST_FILE))
    garbage = noise(2 * MIB) + frames.FRAME_MAGIC * 1000 + noise(5)
    disk.open(FIRST_FILE, writable=True).pwritev([garbage], end)
    again = Segments.open(disk, VOLUME)
    assert found(again) + staged(again, 3000) == found(again)
    assert found(again)[0] == first[0]


@pytest.mark.parametrize("lost", [1, 100, 64 * KIB, 199 * KIB])
def test_frames_appended_within_one_that_a_crash_cut_are_found(
    segments: Segments, disk: SimulatedDisk, lost: int
) -> None:
    staged(segments, 100, 200 * KIB)
    again = cut_file(disk, len(disk.contents(FIRST_FILE)) - lost - 8)
    positions = staged(again, 100, 70 * KIB, 3000)
    assert found(again)[-3:] == positions


def test_frames_inside_a_file_are_not_taken_for_frames(disk: SimulatedDisk) -> None:
    other_disk = SimulatedDisk()
    other = Segments.open(other_disk, bytes(16))
    staged(other, 100, 3000)
    segments = Segments.open(disk, VOLUME)
    inner = other_disk.contents(FIRST_FILE)
    outer = stage(segments, inner)
    last = stage(segments, noise(10))
    write_out(segments)
    damage_prefix(disk, outer)
    assert found(segments) == [last.position]


def damage_prefix(disk: SimulatedDisk, extent: Extent) -> None:
    disk.flip_bit(FIRST_FILE, 8 * (extent.position - 1))
