"""The journal keeps records in order, tells them again, rotates, and keeps to the space it has."""

from random import Random
from typing import Any
from zlib import crc32

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.disks import FaultyDisk, PowerCut, SimulatedDisk
from tests.support.journals import ACTOR, append, body, commit, lsns, settle, told
from vexfs_fuse.errors import NoSpace, StoreDamaged, StoreFailed, StoreTooNew
from vexfs_fuse.storage import journal as journal_module
from vexfs_fuse.storage.disk import Disk
from vexfs_fuse.storage.journal import FREEING_BYTES, RESERVE_BYTES, Journal
from vexfs_fuse.storage.records import RECORD_BYTES_MAX, Entry, pack_record
from vexfs_fuse.units import KIB, MIB, Inode, Lsn

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=300)
    | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=12,
)


def reopened(disk: SimulatedDisk, **options: Any) -> Journal:
    return Journal.open(disk, **options)


# --- what goes in comes out


@given(
    st.lists(
        st.tuples(
            st.text(max_size=20).filter(lambda kind: kind not in ("JournalFile", "Synced")),
            st.integers(0, 2**64 - 1),
            st.tuples(*[st.integers(0, 2**32 - 1)] * 3),
            st.dictionaries(st.text(max_size=9), values, max_size=4),
            st.integers(0, 2**63 - 1),
        ),
        max_size=8,
    )
)
def test_records_are_told_as_they_were_appended(records: list[Any]) -> None:
    disk = SimulatedDisk()
    journal = Journal.open(disk)
    for kind, inode, actor, fields, time_ns in records:
        journal.append(kind, inode, actor, fields, time_ns)
        settle(journal)
    wanted = [
        Entry(Lsn(lsn), time_ns, kind, inode, actor, fields)
        for lsn, (kind, inode, actor, fields, time_ns) in enumerate(records, 1)
    ]
    assert told(journal) == wanted
    assert told(reopened(disk)) == wanted


def test_numbers_begin_with_1_and_have_no_gaps() -> None:
    journal = Journal.open(SimulatedDisk())
    assert (journal.first_lsn, journal.next_lsn, journal.durable_lsn) == (1, 1, 0)
    numbers = [journal.append("Made", Inode(1), ACTOR, {}, 0) for _ in range(3)]
    assert numbers == [1, 2, 3]
    assert journal.next_lsn == 4


def test_buffered_records_are_not_told() -> None:
    journal = Journal.open(SimulatedDisk())
    commit(journal, 10)
    append(journal, 10)
    assert lsns(journal) == [1]
    assert journal.durable_lsn == 1


def test_sealing_nothing_gives_no_batch() -> None:
    assert Journal.open(SimulatedDisk()).seal() is None


def test_second_batch_waits_for_the_first() -> None:
    journal = Journal.open(SimulatedDisk())
    append(journal, 10)
    journal.seal()
    append(journal, 10)
    with pytest.raises(AssertionError):
        journal.seal()


def test_records_may_be_appended_while_a_batch_is_written() -> None:
    journal = Journal.open(SimulatedDisk())
    append(journal, 10)
    batch = journal.seal()
    assert batch is not None
    append(journal, 20)
    batch.write()
    journal.settle(batch)
    settle(journal)
    assert lsns(journal) == [1, 2]


def test_unpackable_body_takes_no_number() -> None:
    journal = Journal.open(SimulatedDisk())
    unpackable: list[Any] = [{"size": 2**64}, {"name": object()}, {"big": bytes(RECORD_BYTES_MAX)}]
    for fields in unpackable:
        with pytest.raises((ValueError, TypeError, OverflowError)):
            journal.append("Made", Inode(1), ACTOR, fields, 0)
    commit(journal, 10)
    assert lsns(journal) == [1]


def test_one_batch_costs_one_sync() -> None:
    disk = SimulatedDisk()
    journal = Journal.open(disk)
    append(journal, *[100] * 50)
    disk.counts.clear()
    settle(journal)
    assert disk.counts == {
        "pwritev": 2,  # records, mark
        "datasync": 1,
        "bytes_written": journal.statistics.bytes,
    }


def test_statistics_count_what_went_through() -> None:
    journal = Journal.open(SimulatedDisk())
    commit(journal, 10, 10)
    append(journal, 10)
    statistics = journal.statistics
    assert (statistics.records, statistics.batches, statistics.files) == (3, 1, 1)
    assert 20 < statistics.bytes < statistics.file_bytes
    assert statistics.buffered_bytes == journal.buffered_bytes > 10


def test_journal_is_a_msgpack_stream_whose_records_carry_their_crc() -> None:
    disk = SimulatedDisk()
    commit(Journal.open(disk, volume="v", entropy=bytes, time_ns=5), 3)
    data = disk.contents("journal/1.vxj")
    unpacker = msgpack.Unpacker(use_list=True)
    unpacker.feed(data)
    nobody = [0, 0, 0]
    header = {"format": 1, "volume": "v", "first_lsn": 1, "salt": bytes(8)}
    wanted = [
        [0, 5, "JournalFile", 0, nobody, header],
        [1, 1000, "Created", 2, list(ACTOR), body(1, 3)],
        [1, 1000, "Synced", 0, nobody, {"salt": bytes(8)}],
    ]
    position = 0
    for fields in wanted:
        *found, crc = unpacker.unpack()
        end = unpacker.tell()
        assert found == fields
        assert crc == crc32(data[position : end - len(msgpack.packb(crc))])
        position = end
    assert position == len(data)


@given(st.dictionaries(st.text(max_size=9), values, max_size=4), st.integers(0, 2**63))
def test_record_is_packed_like_msgpack_packs_it(held: dict[str, Any], lsn: int) -> None:
    record = pack_record((lsn, 8, "Made", 9, ACTOR, held, 0))
    assert msgpack.packb(msgpack.unpackb(record)) == record


# --- files


def many_files(disk: Disk, **options: Any) -> Journal:
    """Ten batches of two records, two batches to a file."""
    journal = Journal.open(disk, file_bytes_max=400, **options)
    for _ in range(10):
        commit(journal, 50, 50)
    return journal


def test_full_file_is_followed_by_the_next() -> None:
    disk = SimulatedDisk()
    journal = many_files(disk)
    assert disk.names("journal") == ["1.vxj", "2.vxj", "3.vxj", "4.vxj", "5.vxj"]
    assert journal.statistics.files == 5
    assert lsns(journal) == list(range(1, 21))
    assert lsns(reopened(disk)) == list(range(1, 21))


def test_more_than_nine_files_are_told_in_order() -> None:
    disk = SimulatedDisk()
    journal = Journal.open(disk, file_bytes_max=1)
    for _ in range(12):
        commit(journal, 1)
    assert lsns(reopened(disk)) == list(range(1, 13))


@pytest.mark.parametrize("after", range(21))
def test_replay_begins_after_any_record(after: int) -> None:
    disk = SimulatedDisk()
    journal = many_files(disk)
    wanted = list(range(after + 1, 21))
    assert lsns(journal, after) == wanted
    assert lsns(reopened(disk), after) == wanted


def test_replay_of_the_end_reads_no_more_than_the_end() -> None:
    disk = SimulatedDisk()
    journal = Journal.open(disk)
    for _ in range(20):
        commit(journal, *[10 * KIB] * 10)
    disk.counts.clear()
    assert lsns(journal, 199) == [200]
    assert disk.counts["pread"] <= 3


def test_settled_file_gives_back_what_it_had_reserved() -> None:
    disk = SimulatedDisk()
    journal = many_files(disk)
    reserved = disk.total_bytes() - disk.free_bytes() - journal.statistics.file_bytes
    assert reserved <= 2 * RESERVE_BYTES


def test_dropping_removes_whole_old_files() -> None:
    disk = SimulatedDisk()
    journal = many_files(disk)
    remove = journal.drop_through(Lsn(10))
    assert journal.first_lsn == 9
    assert remove is not None
    remove()
    assert disk.names("journal") == ["3.vxj", "4.vxj", "5.vxj"]
    assert lsns(reopened(disk), 8) == list(range(9, 21))


def test_last_file_is_never_dropped() -> None:
    journal = many_files(SimulatedDisk())
    assert journal.drop_through(Lsn(20))
    assert journal.statistics.files == 1
    assert journal.drop_through(Lsn(20)) is None


def test_dropping_keeps_as_many_bytes_as_asked() -> None:
    journal = many_files(SimulatedDisk())
    total = journal.statistics.file_bytes
    assert journal.drop_through(Lsn(20), keep_bytes=total) is None
    assert journal.drop_through(Lsn(20), keep_bytes=total - 1)
    assert journal.first_lsn == 5


def test_dropping_by_age_keeps_files_with_young_records() -> None:
    journal = many_files(SimulatedDisk())
    assert journal.drop_through(Lsn(20), keep_bytes=MIB, keep_since_ns=10_001)
    assert journal.first_lsn == 9


def test_replay_of_dropped_records_is_refused() -> None:
    journal = many_files(SimulatedDisk())
    journal.drop_through(Lsn(10))
    with pytest.raises(StoreDamaged):
        told(journal, 7)


@pytest.mark.parametrize("changes", range(8))
def test_interrupted_dropping_leaves_no_gap(changes: int) -> None:
    disk = SimulatedDisk()
    faulty = FaultyDisk(disk)
    remove = many_files(faulty).drop_through(Lsn(20))
    assert remove is not None
    faulty.cut_power(after=changes)
    try:
        remove()
    except PowerCut:
        pass
    for seed in range(20):
        assert lsns(reopened(disk.crash(Random(seed))), 19) == [20]


def test_missing_file_is_damage() -> None:
    disk = SimulatedDisk()
    many_files(disk)
    disk.remove("journal/3.vxj")
    with pytest.raises(StoreDamaged, match=r"3\.vxj"):
        reopened(disk)


def test_foreign_files_are_left_alone() -> None:
    disk = SimulatedDisk()
    many_files(disk)
    disk.create("journal/notes.txt")
    assert lsns(reopened(disk)) == list(range(1, 21))
    assert disk.exists("journal/notes.txt")


def test_journal_of_another_volume_is_refused() -> None:
    disk = SimulatedDisk()
    Journal.open(disk, volume="a")
    with pytest.raises(StoreDamaged, match="volume 'a'"):
        reopened(disk, volume="b")


def test_later_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimulatedDisk()
    monkeypatch.setattr(journal_module, "FORMAT", 2)
    Journal.open(disk)
    with pytest.raises(StoreTooNew):
        reopened(disk)


# --- a full disk


def fill(journal: Journal, *, is_freeing: bool) -> int:
    """Append as long as there is room; return how many records that were."""
    count = 0
    while True:
        try:
            journal.reserve_space(is_freeing=is_freeing)
        except NoSpace:
            return count
        append(journal, 10 * KIB)
        count += 1
        if count % 7 == 0:
            settle(journal)


def test_what_was_admitted_can_be_written_on_a_full_disk() -> None:
    disk = SimulatedDisk(capacity_bytes=10 * MIB)
    journal = Journal.open(disk)
    count = fill(journal, is_freeing=False)
    assert count * 10 * KIB > 10 * MIB - FREEING_BYTES - RESERVE_BYTES
    disk.fill()
    settle(journal)
    assert len(told(reopened(disk))) == count


def test_space_can_be_freed_on_a_full_disk() -> None:
    disk = SimulatedDisk(capacity_bytes=10 * MIB)
    journal = Journal.open(disk)
    fill(journal, is_freeing=False)
    freeing = fill(journal, is_freeing=True)
    assert freeing * 10 * KIB > FREEING_BYTES // 2
    settle(journal)


def test_full_disk_opens_with_room_to_free_space() -> None:
    disk = SimulatedDisk(capacity_bytes=10 * MIB)
    journal = Journal.open(disk)
    count = fill(journal, is_freeing=False)
    settle(journal)
    journal.close()
    disk.fill()
    journal = reopened(disk)
    with pytest.raises(NoSpace):
        journal.reserve_space()
    freeing = fill(journal, is_freeing=True)
    assert freeing * 10 * KIB > FREEING_BYTES // 2
    settle(journal)
    assert len(told(reopened(disk))) == count + freeing


def test_space_that_came_back_is_used() -> None:
    disk = SimulatedDisk(capacity_bytes=10 * MIB)
    journal = Journal.open(disk)
    fill(journal, is_freeing=True)
    disk.capacity_bytes += 10 * MIB
    assert fill(journal, is_freeing=False) * 10 * KIB > 5 * MIB
    settle(journal)


def test_full_file_grows_on_when_there_is_no_room_for_the_next() -> None:
    disk = SimulatedDisk(capacity_bytes=6 * MIB)
    journal = Journal.open(disk, file_bytes_max=100)
    for _ in range(5):
        journal.reserve_space()
        commit(journal, 100)
    assert disk.names("journal") == ["1.vxj"]
    assert lsns(reopened(disk)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("operation", ["create", "reserve"])
def test_full_file_grows_on_when_the_next_cannot_be_made(operation: str) -> None:
    disk = FaultyDisk(SimulatedDisk())
    journal = Journal.open(disk, file_bytes_max=1)
    append(journal, 100)
    disk.fail(operation, StoreFailed("sda"))
    settle(journal)
    assert disk.names("journal") == ["1.vxj"]
    commit(journal, 100)
    assert disk.names("journal") == ["1.vxj", "2.vxj"]
    assert lsns(journal) == [1, 2]


def test_big_records_are_told_their_size() -> None:
    disk = SimulatedDisk(capacity_bytes=10 * MIB)
    journal = Journal.open(disk)
    journal.reserve_space(7 * MIB)
    with pytest.raises(NoSpace):
        journal.reserve_space(10 * MIB)
    disk.fill()
    commit(journal, 7 * MIB - KIB)


def test_reserved_space_is_enough_for_the_mark_too() -> None:
    disk = SimulatedDisk(capacity_bytes=10 * MIB)
    journal = Journal.open(disk)
    fill(journal, is_freeing=False)
    settle(journal)
    disk.fill()
    record_bytes = 0
    while True:
        try:
            journal.reserve_space(record_bytes or KIB, is_freeing=True)
        except NoSpace:
            break
        before = journal.buffered_bytes
        append(journal, 10)
        record_bytes = journal.buffered_bytes - before
    settle(journal)
    assert disk.free_bytes() == 0


def test_space_is_reserved_in_steps() -> None:
    disk = SimulatedDisk()
    journal = Journal.open(disk)
    disk.counts.clear()
    for _ in range(1000):
        journal.reserve_space()
        append(journal, 10 * KIB)
    assert disk.counts["reserve"] <= 1000 * 10 * KIB / RESERVE_BYTES + 1


def test_failed_sync_leaves_the_records_unsettled() -> None:
    disk = FaultyDisk(SimulatedDisk())
    journal = Journal.open(disk)
    append(journal, 10)
    batch = journal.seal()
    assert batch is not None
    disk.fail("datasync", StoreFailed("sda"))
    with pytest.raises(StoreFailed):
        batch.write()
    assert journal.durable_lsn == 0
    assert told(journal) == []
