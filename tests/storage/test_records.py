"""Records are found again in what a disk holds, sound ones only."""

import pytest

from tests.support.disks import SimulatedDisk
from vexfs_fuse.storage.disk import File
from vexfs_fuse.storage.records import (
    SYNCED,
    SYNCED_BYTES_MAX,
    Fields,
    RecordReader,
    last_synced,
    pack_record,
    record_at,
)
from vexfs_fuse.units import KIB, Lsn

SALT = b"saltsalt"
NOBODY = (0, 0, 0)
READ_BYTES = 256 * KIB


def packed(*fields: Fields) -> bytes:
    return b"".join(map(pack_record, fields))


def made(lsn: int, size: int = 10) -> Fields:
    return (lsn, 5, "Made", 7, NOBODY, {"filler": bytes(size)}, 0)


def synced(lsn: int, salt: bytes = SALT) -> Fields:
    return (lsn, 5, SYNCED, 0, NOBODY, {"salt": salt}, 0)


def file_of(data: bytes) -> File:
    file = SimulatedDisk().create("f")
    file.pwritev([data], 0)
    return file


def test_longest_mark_keeps_its_bound() -> None:
    longest = (2**63, 2**63, SYNCED, 0, NOBODY, {"salt": SALT}, 0)
    assert len(packed(longest)) <= SYNCED_BYTES_MAX


def test_reader_tells_where_it_stopped() -> None:
    good = packed(made(1), made(2), synced(2))
    reader = RecordReader(file_of(good + packed(made(3))[:-1]), 0, Lsn(0))
    assert [entry.lsn for entry in reader] == [1, 2, 2]
    assert (reader.position, reader.lsn) == (len(good), 2)


@pytest.mark.parametrize("lsn", [1, 3, 4])
def test_reader_stops_at_a_gap_or_a_repetition(lsn: int) -> None:
    reader = RecordReader(file_of(packed(made(1), made(lsn))), 0, Lsn(0))
    assert [entry.lsn for entry in reader] == [1]


def test_reader_stops_at_its_end() -> None:
    one = packed(made(1))
    reader = RecordReader(file_of(one + packed(made(2))), 0, Lsn(0), len(one))
    assert [entry.lsn for entry in reader] == [1]
    assert reader.position == len(one)


def test_records_longer_than_one_read_are_read() -> None:
    data = packed(*[made(lsn, READ_BYTES - 50 + lsn) for lsn in range(1, 9)], made(9, 10**6))
    assert [entry.lsn for entry in RecordReader(file_of(data), 0, Lsn(0))] == list(range(1, 10))


@pytest.mark.parametrize(
    "junk",
    [
        b"\xdd\xff\xff\xff\xff",  # an array of 4 billion
        b"\xc6\xff\xff\xff\xff",  # 4 GiB of bytes
        b"\x91" * 5000,  # an array in an array in an ...
        b"\xc1",  # what msgpack never uses
        b"\x97\x01\x01\xa1\xff",  # a kind that is no UTF-8
        b"\xd7\xff" + b"\xff" * 8,  # a timestamp beyond time
        b"\x81\x01\x01",  # a map with a number for a key
        b"\x93\x01\x02\x03",
        b"\0" * 1000,
    ],
)
def test_junk_is_no_record(junk: bytes) -> None:
    assert record_at(junk, 0) is None
    reader = RecordReader(file_of(packed(made(1)) + junk), 0, Lsn(0))
    assert [entry.lsn for entry in reader] == [1]


@pytest.mark.parametrize("shift", range(-80, 80))
def test_mark_is_found_wherever_reads_divide_it(shift: int) -> None:
    marks = packed(synced(1), synced(2))
    file = file_of(bytes(300) + marks + bytes(READ_BYTES + shift))
    found = last_synced(file, SALT)
    assert found is not None
    assert (found[0].lsn, found[1]) == (2, 300 + len(marks))


def test_last_sound_mark_with_the_salt_counts() -> None:
    sound = packed(synced(1))
    damaged = bytearray(packed(synced(3)))
    damaged[-1] ^= 1
    file = file_of(sound + packed(synced(2, b"no salt!")) + damaged)
    found = last_synced(file, SALT)
    assert found is not None
    assert (found[0].lsn, found[1]) == (1, len(sound))


def test_no_mark_is_found_where_there_is_none() -> None:
    assert last_synced(file_of(b""), SALT) is None
    assert last_synced(file_of(b"\xa6Synced" * 10**5), SALT) is None
