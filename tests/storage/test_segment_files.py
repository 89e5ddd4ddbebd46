"""Which segment files are open, and when they go away."""

import pytest

from tests.support.disks import FaultyDisk, SimulatedDisk
from vexfs_fuse.errors import CorruptData, NoSpace
from vexfs_fuse.storage.segment_files import (
    FILES_OPEN_MAX,
    SegmentFiles,
    SegmentGone,
    file_name,
)
from vexfs_fuse.units import Segment

FIRST = Segment(1)


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk()


@pytest.fixture
def files(disk: SimulatedDisk) -> SegmentFiles:
    files = SegmentFiles(disk)
    files.create(FIRST).close()
    return files


def test_a_dropped_segment_stays_until_its_last_reader_leaves(
    disk: SimulatedDisk, files: SegmentFiles
) -> None:
    file = files.hold(FIRST)
    files.hold(FIRST)
    files.drop(FIRST)
    files.release(FIRST)
    assert file.pread(1, 0) == b""
    assert disk.exists(file_name(FIRST))
    files.release(FIRST)
    assert not disk.exists(file_name(FIRST))


def test_a_dropped_segment_that_nobody_reads_is_removed_at_once(
    disk: SimulatedDisk, files: SegmentFiles
) -> None:
    files.hold(FIRST)
    files.release(FIRST)
    files.drop(FIRST)
    assert not disk.exists(file_name(FIRST))
    assert files.numbers() == []


def test_a_dropped_segment_takes_no_readers(files: SegmentFiles) -> None:
    files.hold(FIRST)
    files.drop(FIRST)
    with pytest.raises(SegmentGone):
        files.hold(FIRST)


def test_a_missing_file_is_damage() -> None:
    with pytest.raises(CorruptData):
        SegmentFiles(SimulatedDisk()).hold(FIRST)


def test_a_file_is_opened_once_for_many_readers(disk: SimulatedDisk, files: SegmentFiles) -> None:
    assert files.hold(FIRST) is files.hold(FIRST)
    assert disk.counts["open"] == 1


def test_the_number_of_idle_open_files_is_bounded(disk: SimulatedDisk, files: SegmentFiles) -> None:
    held = files.hold(FIRST)
    for number in range(2, FILES_OPEN_MAX + 10):
        files.create(Segment(number)).close()
        files.hold(Segment(number))
        files.release(Segment(number))
    opened = disk.counts["open"]
    assert files.hold(FIRST) is held
    assert files.hold(Segment(FILES_OPEN_MAX + 9))
    assert disk.counts["open"] == opened
    files.hold(Segment(2))
    assert disk.counts["open"] == opened + 1


def test_the_file_that_was_idle_longest_is_closed(disk: SimulatedDisk, files: SegmentFiles) -> None:
    for number in range(2, FILES_OPEN_MAX + 2):
        files.create(Segment(number)).close()
    for number in [*range(1, FILES_OPEN_MAX + 1), 1, FILES_OPEN_MAX + 1]:
        files.hold(Segment(number))
        files.release(Segment(number))
    opened = disk.counts["open"]
    files.hold(FIRST)
    assert disk.counts["open"] == opened
    files.hold(Segment(2))
    assert disk.counts["open"] == opened + 1


def test_more_files_than_the_bound_are_open_when_all_are_read(files: SegmentFiles) -> None:
    for number in range(2, FILES_OPEN_MAX + 3):
        files.create(Segment(number)).close()
    held = [files.hold(segment) for segment in files.numbers()]
    assert all(file.pread(1, 0) == b"" for file in held)


def test_a_file_that_was_made_in_vain_leaves_nothing(
    disk: SimulatedDisk, files: SegmentFiles
) -> None:
    files.uncreate(Segment(2), files.create(Segment(2)))
    assert files.numbers() == [FIRST]
    assert disk.names("segments") == ["1.seg"]


def test_creation_fails_without_a_trace(disk: SimulatedDisk) -> None:
    faults = FaultyDisk(disk)
    files = SegmentFiles(faults)
    faults.fail("create", NoSpace("full"))
    with pytest.raises(NoSpace):
        files.create(FIRST)
    assert files.numbers() == []


def test_names_that_are_no_segments_are_left_alone(disk: SimulatedDisk) -> None:
    disk.make_directory("segments")
    for name in ("notes.txt", "x.seg", "12.seg", "12.seg.old"):
        disk.create(f"segments/{name}")
    assert SegmentFiles(disk).numbers() == [12]
