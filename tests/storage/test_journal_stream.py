"""The journal can be read as one growing stream of msgpack."""

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.disks import SimulatedDisk
from tests.support.journals import append, commit, lsns
from vexfs_fuse.errors import NotFound
from vexfs_fuse.storage.journal import Journal
from vexfs_fuse.units import Lsn


def journal_of_files(disk: SimulatedDisk, count: int) -> Journal:
    """Return a journal with one batch of two records in each file."""
    journal = Journal.open(disk, file_bytes_max=200)
    for _ in range(count):
        commit(journal, 50, 50)
    return journal


def concatenated(disk: SimulatedDisk, first: int, last: int) -> bytes:
    return b"".join(disk.contents(f"journal/{number}.vxj") for number in range(first, last + 1))


def records(data: bytes) -> list[Any]:
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    return [fields for fields in unpacker if fields[2] not in ("JournalFile", "Synced")]


def test_stream_is_all_files_from_the_oldest_on() -> None:
    disk = SimulatedDisk()
    journal = journal_of_files(disk, 4)
    journal.drop_through(Lsn(2))
    data = journal.stream().read(0, 10**6)
    assert data == concatenated(disk, 2, 4)
    assert len(data) == journal.statistics.file_bytes
    assert [fields[0] for fields in records(data)] == lsns(journal, 2)


@given(st.integers(0, 1200), st.integers(0, 1200))
def test_any_part_of_the_stream_can_be_read(offset: int, size: int) -> None:
    disk = SimulatedDisk()
    journal = journal_of_files(disk, 4)
    wanted = concatenated(disk, 1, 4)[offset : offset + size]
    assert journal.stream().read(offset, size) == wanted


def test_stream_grows_by_whole_batches_and_new_files() -> None:
    disk = SimulatedDisk()
    journal = journal_of_files(disk, 2)
    stream = journal.stream()
    end = len(stream.read(0, 10**6))
    append(journal, 10)
    assert stream.read(end, 100) == b""
    commit(journal, 10)
    commit(journal, 10)
    assert [fields[0] for fields in records(stream.read(end, 10**6))] == [5, 6, 7]


def test_offsets_stay_when_old_files_go() -> None:
    disk = SimulatedDisk()
    journal = journal_of_files(disk, 4)
    stream = journal.stream()
    whole = stream.read(0, 10**6)
    remove = journal.drop_through(Lsn(4))
    assert remove is not None
    remove()
    kept = len(concatenated(disk, 3, 4))
    assert stream.read(len(whole) - kept, 10**6) == whole[-kept:]
    with pytest.raises(NotFound):
        stream.read(0, 1)
