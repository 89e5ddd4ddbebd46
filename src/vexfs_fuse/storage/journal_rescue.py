"""What is left of a damaged journal: its sound records, past the damage, and a journal to go on with.

Behind damage there is no telling where a record begins, and contents of files stand in records: a user
could plant one.  Reading goes on behind the next `Synced` mark with the journal's salt, which nobody
outside knows.  So damage costs a batch.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import Final, NamedTuple

from vexfs_fuse.errors import VexfsError
from vexfs_fuse.storage.disk import Disk, File
from vexfs_fuse.storage.journal import begin
from vexfs_fuse.storage.journal_files import DIRECTORY, file_name, file_numbers, header_of
from vexfs_fuse.storage.records import (
    MARKS,
    SYNCED,
    SYNCED_BYTES_MAX,
    Entry,
    RecordReader,
    last_synced,
    next_synced,
)
from vexfs_fuse.units import KIB, Lsn

DAMAGED: Final = "journal.damaged"
"""Where files go that the journal cannot go on with."""

_ARRAY_OF_7: Final = 0x97


class Gap(NamedTuple):
    """Records that are lost; none where only the mark behind a batch is: `first` is after `last` then."""

    place: str
    first: Lsn
    last: Lsn


def sound_records(disk: Disk) -> Iterator[Entry | Gap]:
    """Yield all records that are sound, in order, and the gaps between them; changes nothing."""
    numbers = file_numbers(disk) if disk.exists(DIRECTORY) else []
    salt = _salt(disk, numbers)
    reached: Lsn | None = None
    for number in numbers:
        with closing(disk.open(file_name(number))) as file:
            for found in _in_file(file, salt):
                if isinstance(found, Gap):
                    if reached is not None and (found.last > reached or found.first > found.last):
                        yield found._replace(first=Lsn(reached + 1), last=max(reached, found.last))
                    reached = max(reached or found.last, found.last)
                elif reached is None or found.lsn > reached:
                    yield found
                    reached = found.lsn


def _in_file(file: File, salt: bytes | None) -> Iterator[Entry | Gap]:
    """Yield what is in one file; a gap before its first record, as its header tells it."""
    header = header_of(file)
    position, lsn = 0, Lsn(0)
    if header is not None:
        lsn = header[0].lsn
        yield Gap(file.name, Lsn(1), lsn)
    while True:
        reader = RecordReader(file, position, lsn)
        yield from (entry for entry in reader if entry.kind not in MARKS)
        behind = _behind_mark(file, reader.position, reader.lsn, salt)
        if behind is not None:
            yield Gap(f"{file.name}, byte {reader.position}", Lsn(reader.lsn + 1), reader.lsn)
            position, lsn = behind, reader.lsn
            continue
        mark = next_synced(file, reader.position, salt) if salt is not None else None
        if mark is None:
            return
        yield Gap(f"{file.name}, byte {reader.position}", Lsn(reader.lsn + 1), mark[0].lsn)
        lsn, position = mark[0].lsn, mark[1]


def _behind_mark(file: File, position: int, lsn: Lsn, salt: bytes | None) -> int | None:
    """Return where the record after `lsn` begins, if only a mark between the two is damaged."""
    data = file.pread(SYNCED_BYTES_MAX, position)
    if SYNCED.encode() not in data and (salt is None or salt not in data):
        return None
    for place in range(1, len(data)):
        if data[place] == _ARRAY_OF_7:
            reader = RecordReader(file, position + place, lsn)
            if next(iter(reader), None) is not None and reader.lsn == lsn + 1:
                return position + place
    return None


def _salt(disk: Disk, numbers: list[int]) -> bytes | None:
    """Return the journal's salt, None when nothing that can be trusted tells it."""
    for number in numbers:
        with closing(disk.open(file_name(number))) as file:
            header = header_of(file)
        if header is not None:
            return bytes(header[0].body["salt"])
    if not numbers:
        return None
    with closing(disk.open(file_name(numbers[-1]))) as file:
        mark = last_synced(file, None)
        # What a user has planted stands before the mark of its batch.
        if mark is None or not _is_blank(file, mark[1]):
            return None
        return bytes(mark[0].body["salt"])


def _is_blank(file: File, position: int) -> bool:
    """Whether nothing but zeros follows."""
    while data := file.pread(256 * KIB, position):
        if data.count(0) != len(data):
            return False
        position += len(data)
    return True


def renew(disk: Disk, volume: str, last: Lsn, salt: bytes, time_ns: int) -> list[str]:
    """Leave a sound journal that ends with the record `last`; return what was done, as sentences.

    The sound files at its end stay, if they reach to `last`; else it begins anew behind that.  All
    others go to `DAMAGED`.
    """
    numbers = file_numbers(disk) if disk.exists(DIRECTORY) else []
    kept = _sound_end(disk, volume, numbers, last)
    if not kept:
        disk.make_directory(DIRECTORY)
        number = max(numbers, default=0) + 1
        begin(disk, volume, salt, time_ns, number=number, first_lsn=Lsn(last + 1)).file.close()
        kept = [number]
    aside = [number for number in numbers if number not in kept]
    disk.make_directory(DAMAGED)
    for number in aside:  # the oldest first: a gap would look like a lost file
        name = file_name(number)
        disk.rename(name, name.replace(DIRECTORY, DAMAGED, 1))
        disk.sync_directory(DAMAGED)
        disk.sync_directory(DIRECTORY)
    disk.sync_directory("")
    return [f"the journal goes on with {file_name(kept[0])}; {len(aside)} files went to {DAMAGED}/"]


def _sound_end(disk: Disk, volume: str, numbers: list[int], last: Lsn) -> list[int]:
    """Return the files at the end that are sound, follow each other and reach to `last`."""
    kept: list[int] = []
    expected: int | None = None
    for number in reversed(numbers):
        if kept and number != kept[0] - 1:
            break
        reach = _reach(disk, number, volume, is_last=not kept)
        if reach is None or (expected is not None and reach[1] != expected):
            break
        if not kept and reach[1] != last:
            break
        kept.insert(0, number)
        expected = reach[0]
    return kept


def _reach(disk: Disk, number: int, volume: str, *, is_last: bool) -> tuple[Lsn, Lsn] | None:
    """Return the records before and at the end of a sound file; None for any other."""
    try:
        with closing(disk.open(file_name(number))) as file:
            header = header_of(file)
            if header is None or header[0].body["volume"] != volume:
                return None
            reader = RecordReader(file, 0, header[0].lsn)
            for _ in reader:
                pass
            is_whole = reader.is_at_end or (is_last and _is_blank(file, reader.position))
            return (header[0].lsn, reader.lsn) if is_whole else None
    except VexfsError:
        return None
