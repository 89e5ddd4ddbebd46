"""What segments promise about space, memory, damage and the disk."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.disks import FaultyDisk, SimulatedDisk
from tests.support.segments import VOLUME, extent_of, noise, stage, write_out
from vexfs_fuse.errors import CorruptData, NoSpace, StoreFailed
from vexfs_fuse.storage import frames
from vexfs_fuse.storage import segments as segments_module
from vexfs_fuse.storage.disk import Buffer, LocalDisk
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.segment_queue import CHUNK_BYTES, CHUNKS_MAX
from vexfs_fuse.storage.segments import SegmentGone, Segments
from vexfs_fuse.units import CHECKSUM_BYTES, KIB, MIB, Inode, Segment

FIRST_FILE = "segments/1.seg"
BIG = 64 * KIB
"""The smallest frame that is written from the caller's memory."""


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk()


@pytest.fixture
def faults(disk: SimulatedDisk) -> FaultyDisk:
    return FaultyDisk(disk)


@pytest.fixture
def segments(faults: FaultyDisk) -> Segments:
    return Segments.open(faults, VOLUME, segment_bytes=MIB)


def read_all(segments: Segments, extent: Extent) -> bytes:
    return bytes(segments.read(extent, 0, extent.length))


# --- memory ---------------------------------------------------------------------------------------


def test_big_buffers_are_released_when_their_batch_settles(segments: Segments) -> None:
    released: list[str] = []
    data = memoryview(noise(BIG))
    for name in ("first", "second"):
        segments.stage(Inode(2), 0, [data], lambda name=name: released.append(name))  # type: ignore[misc]
    batch = segments.seal()
    assert batch is not None
    batch.write()
    assert released == []
    segments.settle(batch)
    assert released == ["first", "second"]


def test_small_buffers_are_released_at_once(segments: Segments) -> None:
    memory = bytearray(noise(BIG - 1))
    expected = bytes(memory)
    released: list[int] = []
    staged = segments.stage(Inode(2), 0, [memoryview(memory)], lambda: released.append(1))
    assert released == [1]
    memory[:] = bytes(len(memory))
    assert read_all(segments, extent_of(staged)) == expected
    write_out(segments)
    assert released == [1]
    assert read_all(segments, extent_of(staged)) == expected


def test_the_memory_for_copies_is_bounded(segments: Segments) -> None:
    released: list[int] = []
    data = memoryview(noise(32 * KIB))
    for _ in range(2 * CHUNKS_MAX * CHUNK_BYTES // len(data)):
        segments.stage(Inode(2), 0, [data], lambda: released.append(1))
    copied = segments.statistics().frames_copied
    assert copied == len(released)
    assert copied * len(data) <= CHUNKS_MAX * CHUNK_BYTES
    write_out(segments)
    assert len(released) == 2 * CHUNKS_MAX * CHUNK_BYTES // len(data)
    stage(segments, b"copied again")
    assert segments.statistics().frames_copied == copied + 1


def test_memory_for_copies_is_not_reused_while_a_later_batch_needs_it(segments: Segments) -> None:
    extents = [stage(segments, noise(32 * KIB, 0))]
    first = segments.seal()
    extents.append(stage(segments, noise(32 * KIB, 1)))
    second = segments.seal()
    assert first is not None
    assert second is not None
    first.write()
    segments.settle(first)
    extents += [stage(segments, noise(32 * KIB, serial)) for serial in range(2, 70)]
    second.write()
    segments.settle(second)
    write_out(segments)
    assert [read_all(segments, e) for e in extents] == [noise(32 * KIB, n) for n in range(70)]


def test_reused_memory_does_not_leak_into_the_padding(
    segments: Segments, disk: SimulatedDisk
) -> None:
    stage(segments, b"\xff" * 1000)
    write_out(segments)
    extent = stage(segments, b"x")
    write_out(segments)
    assert disk.contents(FIRST_FILE)[extent.position :] == b"x" + bytes(7)


def test_after_a_failed_write_the_frames_stay_in_memory_and_readable(
    segments: Segments, faults: FaultyDisk
) -> None:
    released: list[int] = []
    small, big = b"small", noise(BIG)
    first = stage(segments, small)
    staged = segments.stage(Inode(2), 0, [memoryview(big)], lambda: released.append(1))
    batch = segments.seal()
    assert batch is not None
    faults.fail("pwritev", StoreFailed("sda"))
    with pytest.raises(StoreFailed) as failure:
        batch.write()
    segments.settle(batch, failure.value)
    assert read_all(segments, first) == small
    assert read_all(segments, extent_of(staged)) == big
    assert released == []


def test_a_read_survives_the_reuse_of_staged_memory_under_it(
    segments: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = bytearray(noise(BIG))
    staged = segments.stage(Inode(2), 0, [memoryview(memory)], lambda: None)
    gather = segments_module._gather

    def settle_and_gather(target: memoryview, buffers: Sequence[Buffer], start: int) -> None:
        """What may happen on the loop while a thread has found the frame staged."""
        write_out(segments)
        memory[:] = bytes(BIG)
        gather(target, buffers, start)

    monkeypatch.setattr(segments_module, "_gather", settle_and_gather)
    assert read_all(segments, extent_of(staged)) == noise(BIG)


def test_threads_read_while_the_loop_writes(segments: Segments) -> None:
    memory = bytearray(BIG)
    stop = threading.Event()
    published: list[tuple[Extent, bytes]] = []
    wrong: list[object] = []

    def read_the_latest() -> None:
        while not stop.is_set():
            for extent, data in published[-2:]:
                try:
                    if read_all(segments, extent) != data:
                        wrong.append(extent)
                except CorruptData as error:
                    wrong.append(error)

    reader = threading.Thread(target=read_the_latest)
    reader.start()
    for serial in range(100):
        data = noise(BIG, serial)
        memory[:] = data
        staged = segments.stage(Inode(2), 0, [memoryview(memory)], lambda: None)
        published.append((extent_of(staged), data))
        write_out(segments)
        memory[:] = bytes(BIG)
    stop.set()
    reader.join()
    assert wrong == []


# --- writing out ahead of the sync ----------------------------------------------------------------


def test_memory_is_free_once_its_batch_is_written_out(
    segments: Segments, disk: SimulatedDisk
) -> None:
    released: list[int] = []
    segments.stage(Inode(2), 0, [memoryview(noise(BIG))], lambda: released.append(1))
    batch = segments.take_out()
    assert batch is not None
    batch.write_out()
    segments.settle_out(batch)
    assert released == [1]
    assert disk.counts["datasync"] == 0
    write_out(segments)
    assert released == [1]
    assert disk.counts["datasync"] == 1
    assert segments.seal() is None


def test_a_batch_that_nobody_wrote_out_is_written_before_the_next_is_durable(
    segments: Segments, disk: SimulatedDisk
) -> None:
    released: list[int] = []
    data = noise(BIG)
    placed = segments.stage(Inode(2), 0, [memoryview(data)], lambda: released.append(1))
    assert segments.take_out() is not None
    write_out(segments)
    stored = disk.durable_contents(FIRST_FILE)
    assert stored[placed.position : placed.position + BIG] == data
    assert released == [1]
    assert segments.statistics().queued_bytes == 0


def test_nothing_is_durable_after_a_batch_that_could_not_be_written_out(
    segments: Segments, faults: FaultyDisk, disk: SimulatedDisk
) -> None:
    stage(segments, noise(BIG))
    lost = segments.take_out()
    assert lost is not None
    faults.fail("pwritev", StoreFailed("sda"))
    with pytest.raises(StoreFailed):
        lost.write_out()
    stage(segments, b"later")
    later = segments.seal()
    assert later is not None
    with pytest.raises(StoreFailed):
        later.write()
    assert disk.counts["datasync"] == 0


# --- space ----------------------------------------------------------------------------------------


def test_a_full_disk_is_found_before_anything_is_queued(
    segments: Segments, disk: SimulatedDisk, faults: FaultyDisk
) -> None:
    faults.full()
    for data in (b"small", noise(BIG)):
        with pytest.raises(NoSpace):
            stage(segments, data)
    assert segments.seal() is None
    assert disk.names("segments") == []
    faults.heal()
    extent = stage(segments, b"small")
    write_out(segments)
    assert read_all(segments, extent) == b"small"


def test_a_segment_that_gets_no_room_is_not_begun(
    segments: Segments, disk: SimulatedDisk, faults: FaultyDisk
) -> None:
    faults.fail("reserve", NoSpace("full"), times=2)
    with pytest.raises(NoSpace):
        stage(segments, b"data")
    assert segments.seal() is None
    assert disk.names("segments") == []
    assert stage(segments, b"data").segment == 1


def test_a_disk_that_fills_up_within_a_segment_refuses_frames_and_keeps_the_others(
    segments: Segments, disk: SimulatedDisk
) -> None:
    disk.capacity_bytes = 3 * BIG
    extents = [stage(segments, noise(BIG, serial)) for serial in range(2)]
    with pytest.raises(NoSpace):
        stage(segments, noise(BIG))
    write_out(segments)
    assert [read_all(segments, extent) for extent in extents] == [noise(BIG, 0), noise(BIG, 1)]


def test_accepted_frames_find_their_space_whatever_others_write(
    segments: Segments, disk: SimulatedDisk
) -> None:
    extents = [stage(segments, noise(BIG, serial)) for serial in range(4)]
    disk.fill()
    write_out(segments)
    assert [read_all(segments, e) for e in extents] == [noise(BIG, serial) for serial in range(4)]


def test_a_segment_that_cannot_follow_leaves_the_last_one_active(
    segments: Segments, faults: FaultyDisk
) -> None:
    for _ in range(MIB // BIG - 1):
        stage(segments, noise(BIG))
    faults.fail("create", NoSpace("full"))
    with pytest.raises(NoSpace):
        stage(segments, noise(BIG))
    extent = stage(segments, b"fits")
    write_out(segments)
    assert extent.segment == 1
    assert read_all(segments, extent) == b"fits"


def test_a_complete_segment_gives_back_what_was_reserved(
    segments: Segments, disk: SimulatedDisk
) -> None:
    while segments.statistics().segments < 2:
        stage(segments, noise(BIG))
    write_out(segments)
    segments.close()
    used = disk.total_bytes() - disk.free_bytes()
    sizes = [len(disk.contents(f"segments/{name}")) for name in disk.names("segments")]
    assert used == sum(sizes)


def test_a_frame_longer_than_a_segment_gets_one_to_itself(disk: SimulatedDisk) -> None:
    segments = Segments.open(disk, VOLUME, segment_bytes=BIG)
    extents = [stage(segments, noise(4 * BIG, serial)) for serial in range(2)]
    write_out(segments)
    assert [extent.segment for extent in extents] == [1, 2]
    assert [read_all(segments, e) for e in extents] == [noise(4 * BIG, 0), noise(4 * BIG, 1)]


@pytest.mark.parametrize("length", [0, frames.FRAME_BYTES_MAX + 1])
def test_a_frame_has_one_byte_to_its_bound(segments: Segments, length: int) -> None:
    with pytest.raises(AssertionError):
        stage(segments, bytes(length))


# --- damage ---------------------------------------------------------------------------------------


@given(st.integers(0, 8 * 200_000 - 1))
def test_a_flipped_bit_is_an_error_there_and_nowhere_else(bit: int) -> None:
    disk = SimulatedDisk()
    segments = Segments.open(disk, VOLUME)
    data = noise(200_000)
    extent = stage(segments, data)
    write_out(segments)
    disk.flip_bit(FIRST_FILE, 8 * extent.position + bit)
    damaged = bit // 8 // CHECKSUM_BYTES
    for unit in range(4):
        start = unit * CHECKSUM_BYTES
        size = min(CHECKSUM_BYTES, len(data) - start)
        if unit == damaged:
            with pytest.raises(CorruptData):
                segments.read(extent, bit // 8, 1)
        else:
            assert segments.read(extent, start, size) == data[start : start + size]
    assert segments.statistics().mismatches == 1


def cut_off(disk: SimulatedDisk, faults: FaultyDisk, extent: Extent) -> None:
    disk.open(FIRST_FILE, writable=True).truncate(extent.position + extent.length - 1)


def take_away(disk: SimulatedDisk, faults: FaultyDisk, extent: Extent) -> None:
    disk.remove(FIRST_FILE)


def refuse_reads(disk: SimulatedDisk, faults: FaultyDisk, extent: Extent) -> None:
    faults.fail("read_into", StoreFailed("sda"), times=2)


@pytest.mark.parametrize("harm", [cut_off, take_away, refuse_reads])
def test_contents_that_cannot_be_read_are_damage(
    segments: Segments,
    disk: SimulatedDisk,
    faults: FaultyDisk,
    harm: Callable[[SimulatedDisk, FaultyDisk, Extent], None],
) -> None:
    extent = stage(segments, noise(BIG))
    write_out(segments)
    harm(disk, faults, extent)
    with pytest.raises(CorruptData):
        read_all(segments, extent)
    with pytest.raises(CorruptData):
        segments.read_into(memoryview(bytearray(noise(BIG))), extent, 0)


def test_an_error_says_where(segments: Segments, disk: SimulatedDisk) -> None:
    extent = stage(segments, noise(3 * CHECKSUM_BYTES))
    write_out(segments)
    place = extent.position + CHECKSUM_BYTES
    disk.flip_bit(FIRST_FILE, 8 * place)
    with pytest.raises(CorruptData, match=f"segment 1, byte {place}"):
        read_all(segments, extent)


# --- the disk -------------------------------------------------------------------------------------


def test_neighbours_go_out_in_one_write_and_one_sync(
    segments: Segments, disk: SimulatedDisk
) -> None:
    for serial in range(50):
        stage(segments, noise(3000, serial))
    stage(segments, noise(BIG))
    stage(segments, b"last")
    disk.counts.clear()
    write_out(segments)
    assert disk.counts["pwritev"] == 1
    assert disk.counts["datasync"] == 1


def test_the_name_of_a_segment_is_synced_once(segments: Segments, disk: SimulatedDisk) -> None:
    for _ in range(3):
        stage(segments, b"data")
        write_out(segments)
    assert disk.counts["sync_directory"] == 2  # of `segments`, and of the directory that holds it


def test_a_read_that_must_not_wait_says_so(segments: Segments, disk: SimulatedDisk) -> None:
    extent = stage(segments, noise(BIG))
    disk.is_cold = True
    assert segments.read(extent, 0, BIG, nowait=True) == noise(BIG)
    write_out(segments)
    with pytest.raises(BlockingIOError):
        segments.read(extent, 0, BIG, nowait=True)
    assert segments.read(extent, 0, BIG) == noise(BIG)


def test_whole_units_are_read_in_place(segments: Segments, disk: SimulatedDisk) -> None:
    extent = stage(segments, noise(3 * CHECKSUM_BYTES))
    write_out(segments)
    segments.read_into(memoryview(bytearray(CHECKSUM_BYTES)), extent, CHECKSUM_BYTES)
    assert segments.statistics().bytes_read == CHECKSUM_BYTES


def test_inline_contents_need_no_segment(segments: Segments) -> None:
    extent = Extent(0, 3, Segment(0), 0, 2, 6, frames.sums_of([b"inline"]), b"inline")
    assert read_all(segments, extent) == b"lin"


def test_a_local_disk_serves_as_well(tmp_path: Path) -> None:
    segments = Segments.open(LocalDisk(tmp_path), VOLUME, segment_bytes=MIB)
    contents = [noise(length, length) for length in (1, 4096, BIG, 700 * KIB, 900 * KIB)]
    extents = [stage(segments, data) for data in contents]
    write_out(segments)
    assert [read_all(segments, extent) for extent in extents] == contents
    segments.close()
    again = Segments.open(LocalDisk(tmp_path), VOLUME)
    assert [read_all(again, extent) for extent in extents] == contents
    again.close()
    for path in (tmp_path / "segments").iterdir():
        assert path.stat().st_blocks * 512 < path.stat().st_size + 64 * KIB


# --- the life of a segment ------------------------------------------------------------------------


def test_a_store_goes_on_in_its_last_segment(segments: Segments, disk: SimulatedDisk) -> None:
    first = stage(segments, b"before")
    write_out(segments)
    segments.close()
    again = Segments.open(disk, VOLUME)
    second = stage(again, b"after")
    write_out(again)
    assert (first.segment, second.segment) == (1, 1)
    assert [read_all(again, extent) for extent in (first, second)] == [b"before", b"after"]


def test_a_segment_with_a_damaged_header_is_read_but_not_appended_to(
    segments: Segments, disk: SimulatedDisk
) -> None:
    first = stage(segments, b"before")
    write_out(segments)
    segments.close()
    disk.flip_bit(FIRST_FILE, 100)
    again = Segments.open(disk, VOLUME)
    assert stage(again, b"after").segment == 2
    assert read_all(again, first) == b"before"


def test_what_a_crash_left_at_the_end_is_kept_apart(
    segments: Segments, disk: SimulatedDisk
) -> None:
    first = stage(segments, b"before")
    write_out(segments)
    torn = len(disk.contents(FIRST_FILE))
    disk.open(FIRST_FILE, writable=True).pwritev([b"torn!"], torn)
    again = Segments.open(disk, VOLUME)
    second = stage(again, b"after")
    write_out(again)
    assert second.position == torn + 8 + frames.prefix_bytes(5)
    assert [read_all(again, extent) for extent in (first, second)] == [b"before", b"after"]


def test_numbers_are_not_used_twice(disk: SimulatedDisk) -> None:
    segments = Segments.open(disk, VOLUME, segment_bytes=BIG, first_free=Segment(7))
    extents = [stage(segments, noise(BIG)) for _ in range(3)]
    write_out(segments)
    assert [extent.segment for extent in extents] == [7, 8, 9]
    segments.drop(Segment(8))
    segments.close()
    again = Segments.open(disk, VOLUME, segment_bytes=BIG, first_free=Segment(7))
    assert stage(again, noise(BIG)).segment == 10


def test_the_compactor_sees_what_lives_in_complete_segments(disk: SimulatedDisk) -> None:
    segments = Segments.open(disk, VOLUME, segment_bytes=BIG, live_bytes={Segment(1): 5})
    for _ in range(3):
        extent = stage(segments, noise(BIG))
        segments.count(extent.segment, extent.length)
    write_out(segments)
    segments.count(Segment(2), -100)
    segments.count(Segment(0), 4096)
    uses = segments.uses()
    assert [(use.segment, use.live_bytes) for use in uses] == [(1, BIG + 5), (2, BIG - 100)]
    assert [use.size_bytes for use in uses] == [
        len(disk.contents(f"segments/{number}.seg")) for number in (1, 2)
    ]
    assert segments.statistics().live_bytes == 3 * BIG - 95


def test_the_size_of_a_complete_segment_is_known_before_it_is_written(
    segments: Segments, disk: SimulatedDisk
) -> None:
    for _ in range(MIB // BIG + 1):
        stage(segments, noise(BIG))
    [use] = segments.uses()
    write_out(segments)
    assert use.size_bytes == len(disk.contents(FIRST_FILE))


def test_only_the_last_segment_is_kept_open_for_writing(tmp_path: Path) -> None:
    segments = Segments.open(LocalDisk(tmp_path), VOLUME, segment_bytes=BIG)
    for _ in range(5):
        stage(segments, noise(BIG))
    write_out(segments)
    links = (path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    assert {path.name for path in links if path.is_relative_to(tmp_path)} == {"5.seg"}
    segments.close()


def test_a_dropped_segment_is_gone_for_readers_and_the_account(disk: SimulatedDisk) -> None:
    segments = Segments.open(disk, VOLUME, segment_bytes=BIG)
    extents = [stage(segments, noise(BIG)) for _ in range(2)]
    segments.count(Segment(1), BIG)
    write_out(segments)
    segments.drop(Segment(1))
    with pytest.raises(SegmentGone):
        read_all(segments, extents[0])
    assert segments.uses() == []
    assert segments.statistics().live_bytes == 0
    assert not disk.exists(FIRST_FILE)
    assert read_all(segments, extents[1]) == noise(BIG)


def test_the_data_of_large_frames_begins_at_blocks(disk: SimulatedDisk) -> None:
    segments = Segments.open(disk, VOLUME)
    for data in (noise(10), noise(BIG), noise(BIG + 1), noise(100), noise(3 * BIG)):
        staged = stage(segments, data)
        assert staged.position % 4096 == 0 or len(data) < BIG
    write_out(segments)
    lengths = [frame.header.length for frame in segments.frames(Segment(1))]
    assert lengths == [10, BIG, BIG + 1, 100, 3 * BIG]
