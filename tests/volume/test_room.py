"""The disk's room: what is promised, what is kept back, and who may have that."""

import pytest

from tests.support.disks import SimulatedDisk
from vexfs_fuse.errors import NoSpace
from vexfs_fuse.storage.journal import FREEING_BYTES, RESERVE_BYTES, Journal
from vexfs_fuse.storage.segment_tail import RESERVED_BYTES
from vexfs_fuse.storage.segments import Segments
from vexfs_fuse.units import GIB, KIB, MIB, Inode
from vexfs_fuse.volume.room import (
    HEADROOM_BYTES_MAX,
    Room,
    fitting,
    fitting_segment,
    headroom_bytes,
)


def disk_of(capacity_bytes: int) -> SimulatedDisk:
    return SimulatedDisk(capacity_bytes=capacity_bytes)


def _nothing() -> int:
    return 0


def test_writers_are_promised_all_but_the_headroom() -> None:
    disk = disk_of(64 * MIB)
    room = Room(disk, Segments.open(disk, bytes(16)), _nothing)
    assert room.look() == 60 * MIB
    assert not room.is_short


@pytest.mark.parametrize(
    ("owed_bytes", "promised_bytes", "owes_much"),
    [(3 * MIB, 57 * MIB, False), (4 * MIB, 56 * MIB, True), (64 * MIB, 0, True)],
)
def test_what_the_view_has_not_committed_is_not_promised(
    owed_bytes: int, promised_bytes: int, owes_much: bool
) -> None:
    disk = disk_of(64 * MIB)
    room = Room(disk, Segments.open(disk, bytes(16)), lambda: owed_bytes)
    assert (room.look(), room.owes_much) == (promised_bytes, owes_much)


def test_what_a_segment_has_reserved_is_still_promised() -> None:
    disk = disk_of(64 * MIB)
    segments = Segments.open(disk, bytes(16))
    segments.stage(Inode(2), 0, [memoryview(bytes(100))], lambda: None)
    assert disk.free_bytes() < 64 * MIB - RESERVED_BYTES + MIB
    assert 59 * MIB < Room(disk, segments, _nothing).look() < 60 * MIB


def test_a_disk_is_short_before_the_headroom_is_touched() -> None:
    disk = disk_of(64 * MIB)
    room = Room(disk, Segments.open(disk, bytes(16)), _nothing)
    disk.create("ballast").reserve(0, 57 * MIB)
    assert room.look() == 3 * MIB
    assert room.is_short


def test_files_of_the_store_suit_the_disk() -> None:
    assert fitting(256 * MIB, disk_of(100 * GIB)) == 256 * MIB
    assert fitting(256 * MIB, disk_of(64 * MIB)) == 4 * MIB


def test_a_segment_of_a_small_disk_holds_whole_frames_and_no_more() -> None:
    assert fitting_segment(256 * MIB, disk_of(100 * GIB)) == 256 * MIB
    assert fitting_segment(256 * MIB, disk_of(64 * MIB)) == 4 * KIB + 3 * (MIB + 4 * KIB)
    assert fitting_segment(256 * MIB, disk_of(MIB)) == 4 * KIB + MIB + 4 * KIB
    assert headroom_bytes(disk_of(100 * GIB)) == HEADROOM_BYTES_MAX


def test_the_headroom_is_for_records_that_free_space() -> None:
    disk = disk_of(16 * MIB)
    journal = Journal.open(disk, headroom_bytes=MIB)
    disk.create("ballast").reserve(0, disk.free_bytes() - MIB)
    journal.reserve_space(RESERVE_BYTES - 2 * FREEING_BYTES)  # what was reserved at the opening
    with pytest.raises(NoSpace):
        journal.reserve_space(RESERVE_BYTES)
    journal.reserve_space(RESERVE_BYTES, is_freeing=True)


def test_records_leave_room_for_what_is_owed_unless_they_free_space() -> None:
    disk = disk_of(16 * MIB)
    journal = Journal.open(disk, headroom_bytes=MIB)
    journal.owed_bytes = lambda: 16 * MIB
    with pytest.raises(NoSpace):
        journal.reserve_space(RESERVE_BYTES)
    journal.reserve_space(RESERVE_BYTES, is_freeing=True)


def test_segments_reserve_nothing_of_the_headroom_ahead_of_need() -> None:
    disk = disk_of(64 * MIB)
    segments = Segments.open(disk, bytes(16), headroom_bytes=60 * MIB)
    segments.stage(Inode(2), 0, [memoryview(bytes(100))], lambda: None)
    assert disk.free_bytes() > 63 * MIB
