"""Contents, example by example; `test_contents_model.py` has everything in any order."""

from random import Random

import pytest

from tests.support.stored_files import StoredFiles
from vexfs_fuse.errors import CorruptData, FileTooBig, NoSpace
from vexfs_fuse.pending import Pending, WaitForSpace
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import CHECKSUM_BYTES, FILE_BYTES_MAX, INLINE_BYTES_MAX, KIB, MIB
from vexfs_fuse.volume import contents as contents_module

DATA = Random(1).randbytes(3 * MIB)


@pytest.fixture
def files() -> StoredFiles:
    return StoredFiles(pool_bytes=8 * MIB)


def stored(files: StoredFiles, size: int) -> Node:
    """Make a file with the first bytes of `DATA`, settled, and nothing of it in memory."""
    node = files.make()
    for offset in range(0, size, MIB):
        assert files.write(node, offset, DATA[offset : min(offset + MIB, size)])
    files.settle_all()
    files.start(8 * MIB)
    return files.nodes[node.ino]


def page_counts(files: StoredFiles) -> list[int]:
    """Pages in use, by size."""
    return [use.pages_used for use in files.pool.statistics()]


def test_a_hit_is_a_part_of_the_page_and_no_copy(files: StoredFiles) -> None:
    node = files.make()
    files.write(node, 0, b"before")
    found = files.contents.read(node, 0, 6)
    files.write(node, 0, b"after!")
    assert isinstance(found, memoryview)
    assert bytes(found) == b"after!"


def test_holes_read_as_zeros_and_take_no_pages(files: StoredFiles) -> None:
    node = files.make()
    files.resize(node, 10 * MIB)
    assert files.read(node, MIB - 10, 2 * MIB) == bytes(2 * MIB)
    assert page_counts(files) == [0, 0, 0]


def test_nothing_can_be_written_beyond_the_largest_size(files: StoredFiles) -> None:
    node = files.make()
    assert files.write(node, FILE_BYTES_MAX - 3, b"end") == 3
    with pytest.raises(FileTooBig):
        files.write(node, FILE_BYTES_MAX - 3, b"ends")
    assert files.read(node, FILE_BYTES_MAX - 5, 100) == b"\0\0end"


def test_an_empty_write_changes_nothing(files: StoredFiles) -> None:
    node = files.make()
    assert files.write(node, 100, b"") == 0
    assert files.contents.size_of(node) == 0
    assert not files.contents.dirty_nodes(files.now_ns)


def test_overwriting_a_part_reads_nothing_from_the_disk(files: StoredFiles) -> None:
    node = stored(files, 256 * KIB)
    reads = files.disk.counts["read_into"]
    files.write(node, 100_000, b"x" * 5000)
    files.flush(node)
    assert files.disk.counts["read_into"] == reads
    assert (
        files.read(node, 99_999, 5002) == DATA[99_999:100_000] + b"x" * 5000 + DATA[105_000:105_001]
    )


def test_pages_fit_small_files_random_access_and_streams(files: StoredFiles) -> None:
    small, random_, stream = files.make(), files.make(), files.make()
    files.write(small, 0, b"small")
    files.write(random_, 10 * MIB + 12_345, b"random")
    for offset in range(0, 3 * MIB, 128 * KIB):
        files.write(stream, offset, DATA[offset : offset + 128 * KIB])
    assert page_counts(files) == [1, 1 + 16, 2]


def test_a_growing_file_leaves_its_small_page(files: StoredFiles) -> None:
    node = files.make()
    files.write(node, 0, DATA[:4000])
    files.flush(node)
    files.write(node, 4000, DATA[4000:5000])
    assert page_counts(files) == [0, 1, 0]
    assert files.read(node, 0, 5000) == DATA[:5000]


def test_a_write_is_dirty_until_the_flush_and_resident_after_it(files: StoredFiles) -> None:
    node = files.make()
    files.write(node, 0, DATA[:100_000])
    assert files.contents.dirty_bytes == 100_000
    assert files.contents.dirty_nodes(files.now_ns) == [node]
    files.flush(node)
    assert files.contents.dirty_bytes == 0
    assert files.contents.dirty_nodes(files.now_ns) == []
    files.seal()
    files.settle()
    assert files.read(node, 0, MIB) == DATA[:100_000]
    assert files.disk.counts["read_into"] == 0


def test_dirty_files_are_known_by_age_the_oldest_first(files: StoredFiles) -> None:
    nodes = [files.make() for _ in range(3)]
    for node in nodes:
        files.write(node, 0, b"first")
    files.write(nodes[0], 0, b"again")
    assert files.contents.dirty_nodes(2) == nodes[:2]


def test_the_last_write_sets_the_times(files: StoredFiles) -> None:
    node = files.make()
    files.write(node, 0, b"one")
    files.write(node, 1, b"two")
    assert node.content.mtime == node.content.ctime == files.now_ns == 2


def test_a_contiguous_range_becomes_one_extent(files: StoredFiles) -> None:
    node = files.make()
    for offset in range(500_000, 900_000, 4 * KIB):
        files.write(node, offset, DATA[offset : offset + 4 * KIB])
    assert len(files.flush(node)) == 1


def test_a_long_range_is_cut_at_whole_mebibytes(files: StoredFiles) -> None:
    node = files.make()
    for offset in range(1000, 3 * MIB - 100_000, 100_000):
        files.write(node, offset, bytes(100_000))
    offsets = [extent.offset for extent in files.flush(node)]
    assert offsets == [1000, MIB, 2 * MIB]


@pytest.mark.parametrize(
    ("writes", "is_inline"),
    [
        ([(0, INLINE_BYTES_MAX)], True),
        ([(10 * MIB - 5, 10)], True),
        ([(0, INLINE_BYTES_MAX + 1)], False),
        ([(0, 1), (2, 1)], False),
    ],
)
def test_one_small_range_travels_in_the_record(
    files: StoredFiles, writes: list[tuple[int, int]], is_inline: bool
) -> None:
    node = files.make()
    for offset, size in writes:
        files.write(node, offset, b"x" * size)
    extents = files.flush(node, inline_allowed=True)
    assert [extent.segment == 0 for extent in extents] == [is_inline] * len(writes)
    files.settle_all()
    files.start(MIB)
    for offset, size in writes:
        assert files.read(files.nodes[node.ino], offset, size) == b"x" * size


def test_lines_that_are_synced_one_by_one_become_few_extents(files: StoredFiles) -> None:
    node = files.make()
    for start in range(0, 50_000, 100):
        files.write(node, start, DATA[start : start + 100])
        (extent,) = files.flush(node, inline_allowed=True)
        assert extent.length <= INLINE_BYTES_MAX + 100
    held = list(files.contents.extents(node))
    assert len(held) <= 1 + 50_000 // INLINE_BYTES_MAX
    assert sum(extent.segment == 0 for extent in held) <= 1
    files.settle_all()
    files.start(MIB)
    assert files.read(files.nodes[node.ino], 0, MIB) == DATA[:50_000]


def test_bytes_under_way_to_the_disk_do_not_change(files: StoredFiles) -> None:
    node = files.make()
    files.write(node, 0, DATA[:70_000])
    flushed = files.flush(node)[0]
    files.write(node, 100_000, b"dirty again, beside what is queued")
    files.write(node, 66_000, b"over what is queued")
    files.seal()
    files.settle()
    assert bytes(files.segments.read(flushed, 0, 70_000)) == DATA[:70_000]
    assert files.read(node, 66_000, 19) == b"over what is queued"
    assert files.read(node, 65_900, 100) == DATA[65_900:66_000]


def test_bytes_that_are_cut_off_under_way_to_the_disk_do_not_change_either(
    files: StoredFiles,
) -> None:
    """They share a checksum with those that stay, and a page with others that are read again."""
    node = stored(files, 200_000)
    files.write(node, 30_000, DATA[:170_000])
    files.flush(node)
    files.seal()
    files.resize(node, 40_000)
    files.resize(node, 60_000)
    expected = DATA[:30_000] + DATA[:10_000] + bytes(20_000)
    assert files.read(node, 0, 60_000) == expected
    files.settle()
    files.start(8 * MIB)
    assert files.read(files.nodes[node.ino], 0, 60_000) == expected


def test_a_page_given_up_while_it_is_queued_is_not_used_again_before(files: StoredFiles) -> None:
    node, other = files.make(), files.make()
    files.write(node, 0, DATA[:MIB])
    extent = files.flush(node)[0]
    files.forget(node)
    for index in range(7):
        files.write(other, index * MIB, bytes(MIB))
    assert isinstance(files.write(other, 7 * MIB, bytes(MIB)), WaitForSpace)
    files.seal()
    files.settle()
    assert bytes(files.segments.read(extent, 0, MIB)) == DATA[:MIB]
    assert files.write(other, 7 * MIB, bytes(MIB)) == MIB


def test_writers_wait_when_all_is_dirty_and_go_on_after_a_flush(files: StoredFiles) -> None:
    node = files.make()
    results = [files.write(node, index * MIB, bytes(MIB)) for index in range(9)]
    assert results[:8] == [MIB] * 8
    assert isinstance(results[8], WaitForSpace)
    assert files.contents.size_of(node) == 8 * MIB
    files.settle_all()
    assert results[8].retry() == MIB
    assert files.contents.size_of(node) == 9 * MIB


def test_a_file_larger_than_the_pool_is_written_and_read(files: StoredFiles) -> None:
    node = files.make()
    pieces = [Random(index).randbytes(MIB) for index in range(20)]
    for index, piece in enumerate(pieces):
        result = files.write(node, index * MIB, piece)
        if isinstance(result, WaitForSpace):
            files.settle_all()
            result = result.retry()
        assert result == MIB
    for index, piece in enumerate(pieces):
        assert files.read(node, index * MIB, MIB) == piece


def test_a_pool_full_of_dirty_pages_still_lets_others_read(files: StoredFiles) -> None:
    node = stored(files, 200_000)
    writer = files.make()
    for index in range(8):
        files.write(writer, index * MIB, bytes(MIB))
    for cold in (False, True):
        files.disk.is_cold = cold
        assert files.read(node, 50_000, 100_000) == DATA[50_000:150_000]
    assert files.contents.statistics()["bypasses"] == 2


def test_many_small_pages_make_room_for_a_large_one(files: StoredFiles) -> None:
    for _ in range(8 * 256):
        files.write(files.make(), 0, b"small")
    files.settle_all()
    assert files.write(files.make(), 0, bytes(MIB)) == MIB
    assert page_counts(files) == [7 * 256, 0, 1]


def test_a_scattered_pool_gives_a_stream_smaller_pages(files: StoredFiles) -> None:
    nodes = [files.make() for _ in range(8 * 16 - 16)]
    for node in nodes:
        files.write(node, 0, b"x" * 64 * KIB)
    files.settle_all()
    for node in nodes[::16]:
        files.write(node, 0, b"dirty")
    stream = files.make()
    for index in range(3):
        assert files.write(stream, index * MIB, DATA[index * MIB :][:MIB]) == MIB
    assert files.read(stream, 0, 3 * MIB) == DATA


def test_a_cold_read_waits_in_a_thread_and_what_it_fetched_is_kept(files: StoredFiles) -> None:
    node = stored(files, 300_000)
    files.disk.is_cold = True
    found = files.contents.read(node, 100_000, 1000)
    assert isinstance(found, Pending)
    assert bytes(found.resume(found.work())) == DATA[100_000:101_000]
    again = files.contents.read(node, 101_000, 1000)
    assert not isinstance(again, Pending)


def test_a_read_under_way_sees_what_is_written_meanwhile(files: StoredFiles) -> None:
    node = stored(files, 300_000)
    files.disk.is_cold = True
    found = files.contents.read(node, 0, 10)
    assert isinstance(found, Pending)
    fetched = found.work()
    files.write(node, 2, b"new")
    files.flush(node)
    assert bytes(found.resume(fetched)) == DATA[:2] + b"new" + DATA[5:10]


def test_a_read_under_way_survives_the_move_of_its_extent(files: StoredFiles) -> None:
    node = stored(files, 300_000)
    first = files.contents.read(node, 0, 10)
    assert not isinstance(first, Pending)
    files.disk.is_cold = True
    found = files.contents.read(node, 200_000, 10)
    assert isinstance(found, Pending)
    files.disk.is_cold = False
    old = next(iter(files.contents.extents(node)))
    files.move(node, old)
    files.segments.seal()
    assert bytes(found.resume(found.work())) == DATA[200_000:200_010]


@pytest.mark.parametrize("is_cold", [False, True])
def test_damage_is_told_of_exactly_the_damaged_unit(files: StoredFiles, is_cold: bool) -> None:
    node = stored(files, 400_000)
    extent = next(iter(files.contents.extents(node)))
    unit = 3
    where = extent.position + unit * CHECKSUM_BYTES + 17
    files.disk.flip_bit(f"segments/{extent.segment}.seg", 8 * where)
    files.disk.is_cold = is_cold
    for start in range(0, 400_000, 10_000):
        end = start + 10_000
        if start < (unit + 1) * CHECKSUM_BYTES and end > unit * CHECKSUM_BYTES:
            with pytest.raises(CorruptData):
                files.read(node, start, 10_000)
        else:
            assert files.read(node, start, 10_000) == DATA[start:end]


def test_damage_that_was_overwritten_is_no_more(files: StoredFiles) -> None:
    node = stored(files, CHECKSUM_BYTES)
    extent = next(iter(files.contents.extents(node)))
    files.disk.flip_bit(f"segments/{extent.segment}.seg", 8 * extent.position)
    files.write(node, 0, DATA[:CHECKSUM_BYTES])
    assert files.read(node, 0, CHECKSUM_BYTES) == DATA[:CHECKSUM_BYTES]


def test_damage_leaves_no_page_behind(files: StoredFiles) -> None:
    node = stored(files, 1000)
    extent = next(iter(files.contents.extents(node)))
    files.disk.flip_bit(f"segments/{extent.segment}.seg", 8 * extent.position)
    with pytest.raises(CorruptData):
        files.read(node, 0, 10)
    assert page_counts(files) == [0, 0, 0]


def test_what_the_full_disk_did_not_take_stays_dirty(files: StoredFiles) -> None:
    node = files.make()
    for index in range(3):
        files.write(node, index * MIB, DATA[index * MIB :][:MIB])
    files.disk.capacity_bytes = 2 * MIB + 500 * KIB
    extents = files.flush(node)
    assert [extent.offset for extent in extents] == [0, MIB]
    assert node.content.dirty == [2 * MIB, 3 * MIB]
    with pytest.raises(NoSpace):
        files.flush(node)
    assert files.read(node, 0, 3 * MIB) == DATA
    files.disk.capacity_bytes = 100 * MIB
    files.settle_all()
    files.start(8 * MIB)
    assert files.read(files.nodes[node.ino], 0, 3 * MIB) == DATA


def test_nobody_may_write_what_the_disk_could_not_take(files: StoredFiles) -> None:
    node = files.make()
    files.contents.set_room(100_000)
    assert files.write(node, 0, bytes(90_000)) == 90_000
    with pytest.raises(NoSpace):
        files.write(node, 90_000, bytes(90_000))
    assert files.contents.size_of(node) == 90_000
    files.flush(node)
    with pytest.raises(NoSpace):  # it has taken the room now
        files.write(node, 90_000, bytes(90_000))
    files.contents.set_room(100_000)
    assert files.write(node, 90_000, bytes(90_000)) == 90_000


def test_after_a_failed_flush_writers_are_told_until_one_succeeds(files: StoredFiles) -> None:
    node, other = files.make(), files.make()
    files.disk.fill()
    files.write(node, 0, bytes(100_000))
    with pytest.raises(NoSpace):
        files.flush(node)
    with pytest.raises(NoSpace):
        files.write(other, 0, b"x")
    files.disk.capacity_bytes = 100 * MIB
    files.flush(node)
    assert files.write(other, 0, b"x") == 1


def test_a_full_disk_is_tried_again_when_what_did_not_fit_is_gone(files: StoredFiles) -> None:
    node, other = files.make(), files.make()
    files.disk.fill()
    files.write(node, 0, bytes(100_000))
    with pytest.raises(NoSpace):
        files.flush(node)
    files.forget(node)
    assert files.write(other, 0, b"x") == 1


def test_truncated_bytes_are_zero_when_the_file_grows_again(files: StoredFiles) -> None:
    node = stored(files, 200_000)
    files.read(node, 90_000, 50_000)
    files.resize(node, 100_000)
    files.resize(node, 200_000)
    assert files.read(node, 90_000, 110_000) == DATA[90_000:100_000] + bytes(100_000)


def test_forgotten_contents_free_their_extents_and_pages(files: StoredFiles) -> None:
    node = stored(files, 200_000)
    files.read(node, 0, 10)
    files.write(node, 5, b"dirty")
    files.forget(node)
    assert files.load(node.ino) == []
    assert node.stored == 0
    assert node.content is None
    assert files.contents.dirty_bytes == 0
    assert page_counts(files) == [0, 0, 0]


def test_contents_without_pages_are_kept_up_to_a_bound(
    files: StoredFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents_module, "IDLE_MAX", 2)
    nodes = [stored(files, 100) for _ in range(4)]
    nodes = [files.nodes[node.ino] for node in nodes]
    nodes[1].opens = 1
    for node in nodes:
        files.contents.extents(node)
    assert [node.content is not None for node in nodes] == [False, True, True, True]


def test_a_write_that_evicts_its_own_files_last_page_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contents_module, "IDLE_MAX", 0)
    files = StoredFiles(pool_bytes=MIB)
    node = files.make()
    files.write(node, 0, b"x" * MIB)
    files.settle_all()
    assert files.write(node, MIB, b"y" * MIB) == MIB
    assert files.contents.size_of(node) == 2 * MIB
    assert files.read(node, 2 * MIB - 1, 10) == b"y"


def test_a_page_of_very_many_pieces_is_filled_only_where_it_is_read(files: StoredFiles) -> None:
    node = stored(files, 64 * KIB)
    for offset in range(0, 64 * KIB, KIB):
        files.write(node, offset, b"x")
        files.flush(node)
    files.settle_all()
    files.start(8 * MIB)
    node = files.nodes[node.ino]
    assert files.read(node, 1000, 100) == DATA[1000:1024] + b"x" + DATA[1025:1100]
    reads = files.disk.counts["read_into"] + files.disk.counts["pread"]
    assert files.read(node, 1000, 100) == DATA[1000:1024] + b"x" + DATA[1025:1100]
    assert files.disk.counts["read_into"] + files.disk.counts["pread"] == reads
