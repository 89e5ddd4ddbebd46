"""The journal's files as found on the disk: which there are, and where the last one really ends.

After a crash the last file may end in a torn batch, which is cut.  It must not be confused with
damage to records that had been synced, which is never cut: `Synced` marks behind it, a following
file, or what the caller knows to have been durable tell the difference.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

from vexfs_fuse.errors import NotFound, StoreDamaged, StoreTooNew
from vexfs_fuse.storage.disk import Buffer, Disk, File
from vexfs_fuse.storage.records import FILE_HEADER, Entry, RecordReader, last_synced, record_at
from vexfs_fuse.units import Lsn

FORMAT: Final = 1
"""Revision of the journal's files."""
DIRECTORY: Final = "journal"
"""Where they are in the store."""

_HEADER_BYTES_MAX: Final = 1024
_NAME: Final = re.compile(r"([1-9][0-9]*)\.vxj")


@dataclass(slots=True)
class JournalFile:
    """One file of the journal."""

    number: int
    first_lsn: Lsn
    time_ns: int  # when it was begun: no record in the files before it is younger
    size_bytes: int = 0  # of what is known to be durable
    waypoints: list[tuple[Lsn, int]] = field(default_factory=list)
    """Where reading may start: the lsn before and the byte position, ascending; never empty."""

    def __post_init__(self) -> None:
        """Reading may always start at the header."""
        self.waypoints.append((Lsn(self.first_lsn - 1), 0))

    @property
    def name(self) -> str:
        """Its name on the disk."""
        return file_name(self.number)


class Tail(NamedTuple):
    """The journal as found, with the last file open for writing and durable."""

    files: list[JournalFile]  # ascending, at least one
    file: File
    lsn: Lsn  # of the last record
    time_ns: int  # of the last record
    salt: bytes


def file_name(number: int) -> str:
    """Return the name of the journal's `number`-th file."""
    return f"{DIRECTORY}/{number}.vxj"


def open_tail(disk: Disk, volume: str, durable_at_least: Lsn) -> Tail | None:
    """Find the files, cut a torn tail, make what is left durable; None when there is no record.

    Raises
    ------
    StoreDamaged
        Records are missing or unsound that had been synced, or it is another volume's journal.
    StoreTooNew
        A later format revision.
    """
    numbers = file_numbers(disk)
    for before, number in pairwise(numbers):
        if number != before + 1:
            raise StoreDamaged(f"{file_name(before + 1)} is missing")
    headers = [_header(disk, number, volume) for number in numbers]
    sound = [header for header in headers if header is not None]
    salt = sound[0][1] if sound else None
    is_torn = headers[-1:] == [None]
    if len(sound) + is_torn < len(headers) or (is_torn and _has_mark(disk, numbers[-1], salt)):
        raise StoreDamaged(f"{file_name(numbers[headers.index(None)])}: its header is damaged")
    tail = None
    if salt is not None:
        tail = _cut([file for file, _ in sound], disk, salt, durable_at_least)
    elif durable_at_least:
        raise StoreDamaged(f"{DIRECTORY}: the records through {durable_at_least} are missing")
    if is_torn:
        disk.remove(file_name(numbers[-1]))
    disk.sync_directory(DIRECTORY)
    return tail


def unreadable_tail(disk: Disk, lsn: Lsn) -> Tail:
    """Return what stands for the end of a journal that cannot be opened, and that must reach to `lsn`.

    A journal of it tells no records but that it is damaged; none must be appended.
    """
    numbers = file_numbers(disk) if disk.exists(DIRECTORY) else []
    if not numbers:
        return no_tail(lsn)
    file = disk.open(file_name(numbers[-1]))
    return Tail([JournalFile(numbers[-1], Lsn(lsn + 1), 0, file.size())], file, lsn, 0, b"")


def no_tail(lsn: Lsn) -> Tail:
    """Return what stands for the end of a journal that does not exist."""
    return Tail([JournalFile(1, Lsn(lsn + 1), 0)], AbsentFile(), lsn, 0, b"")


class AbsentFile:
    """A file that is not there: empty, and not to be written."""

    name = DIRECTORY

    def pread(self, size: int, offset: int) -> bytes:
        """Return nothing."""
        return b""

    def read_into(self, buffer: Buffer, offset: int, *, nowait: bool = False) -> int:
        """Read nothing."""
        return 0

    def pwritev(self, buffers: Sequence[Buffer], offset: int) -> None:
        """Refuse."""
        raise NotFound(self.name)

    def reserve(self, offset: int, size: int) -> None:
        """Refuse."""
        raise NotFound(self.name)

    def datasync(self) -> None:
        """Refuse."""
        raise NotFound(self.name)

    def truncate(self, size: int) -> None:
        """Refuse."""
        raise NotFound(self.name)

    def punch(self, offset: int, size: int) -> None:
        """Refuse."""
        raise NotFound(self.name)

    def size(self) -> int:
        """Return that there is nothing."""
        return 0

    def close(self) -> None:
        """Do nothing."""


def file_numbers(disk: Disk) -> list[int]:
    """Return the files' numbers, ascending."""
    matches = map(_NAME.fullmatch, disk.names(DIRECTORY))
    return sorted(int(match[1]) for match in matches if match)


def journal_volumes(disk: Disk) -> Iterator[str]:
    """Yield the volume that each file with a sound header belongs to."""
    for number in file_numbers(disk) if disk.exists(DIRECTORY) else ():
        with closing(disk.open(file_name(number))) as file:
            found = header_of(file)
        if found is not None:
            yield found[0].body["volume"]


def _header(disk: Disk, number: int, volume: str) -> tuple[JournalFile, bytes] | None:
    """Return what a file's first record tells, with the salt; None when it is not sound."""
    with closing(disk.open(file_name(number))) as file:
        found = header_of(file)
        size = file.size()
    if found is None:
        return None
    body = found[0].body
    if body["format"] > FORMAT:
        raise StoreTooNew(f"{file.name} has revision {body['format']}")
    if body["volume"] != volume:
        raise StoreDamaged(f"{file.name} belongs to volume {body['volume']!r}, not {volume!r}")
    return JournalFile(number, body["first_lsn"], found[0].time_ns, size), body["salt"]


def header_of(file: File) -> tuple[Entry, int] | None:
    """Return a file's header and where it ends; None when it is not sound."""
    found = record_at(file.pread(_HEADER_BYTES_MAX, 0), 0)
    return found if found and found[0].kind == FILE_HEADER else None


def _has_mark(disk: Disk, number: int, salt: bytes | None) -> bool:
    with closing(disk.open(file_name(number))) as file:
        return last_synced(file, salt) is not None


def _cut(files: list[JournalFile], disk: Disk, salt: bytes, durable_at_least: Lsn) -> Tail:
    last = files[-1]
    file = disk.open(last.name, writable=True)
    found = last_synced(file, salt) or header_of(file)
    assert found is not None, "its header was read a moment ago"
    mark, proven = found
    reader = RecordReader(file, proven, mark.lsn)
    newest = (deque(reader, maxlen=1) or [mark])[0]
    if reader.lsn < durable_at_least:
        file.close()
        raise StoreDamaged(
            f"{last.name}: no sound record at byte {reader.position}, but the records through "
            f"{durable_at_least} had been synced"
        )
    _make_durable(file, proven, reader.position)
    last.size_bytes = reader.position
    last.waypoints.append((mark.lsn, proven))
    return Tail(files, file, reader.lsn, newest.time_ns, salt)


def _make_durable(file: File, proven: int, end: int) -> None:
    """Sync what follows the last mark, and cut what follows that.

    It is written once more, because the page cache may hold it as clean after a sync that failed.
    """
    file.pwritev([file.pread(end - proven, proven)], proven)
    if file.size() > end:
        file.truncate(end)
    file.datasync()
