"""Reads a journal that another process writes: what is durable, from a record on."""

from contextlib import closing
from itertools import takewhile
from typing import Final, NamedTuple

from vexfs_fuse.errors import NotFound
from vexfs_fuse.storage.disk import Disk
from vexfs_fuse.storage.journal_files import file_name, file_numbers
from vexfs_fuse.storage.records import FILE_HEADER, MARKS, Entry, RecordReader, record_at
from vexfs_fuse.units import Inode, Lsn

NAMES_MAX: Final = 65_536
"""Records among which `named_since` looks."""

_HEADER_BYTES_MAX: Final = 1024


_NAMING: Final = frozenset({"Created", "Linked", "Unlinked", "Renamed", "Exchanged"})


class _Place(NamedTuple):
    """Where reading goes on: a file, a position in it, and the record before."""

    number: int
    position: int
    lsn: Lsn


class JournalFollower:
    """Follows the journal of a store; remembers where it has come to."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._place: _Place | None = None

    def read(self, after: Lsn, through: Lsn, count_max: int) -> list[Entry] | None:
        """Return records after one and through another, which must be durable, the oldest first.

        At most `count_max`, at least one.  None: they are no longer there, or cannot be read.
        """
        place = self._place
        if place is None or place.lsn != after:
            place = self._find(after)
        found: list[Entry] = []
        while place is not None and len(found) < count_max:
            try:
                place, some = self._read_file(place, after, through, count_max - len(found))
            except NotFound:
                return found or None
            found += some
            if place.lsn >= through or len(found) >= count_max:
                break
            place = self._begins(place.number + 1, place.lsn)
        self._place = place
        return found or None

    def named_since(self, after: Lsn, through: Lsn) -> list[tuple[Inode, Lsn]]:
        """Return which inodes got or lost names after one record and through another, and the record of each.

        Of the next `NAMES_MAX` records, as far as they can be read.
        """
        found: dict[Inode, Lsn] = {}
        for entry in self.read(after, through, NAMES_MAX) or []:
            if entry.kind in _NAMING:
                others = [entry.body[key] for key in ("replaced", "other") if entry.body.get(key)]
                found |= dict.fromkeys(map(Inode, (entry.inode, *others)), entry.lsn)
        return list(found.items())

    def _find(self, after: Lsn) -> _Place | None:
        """Return where the file begins that has the record after `after`."""
        for number in reversed(file_numbers(self._disk)):
            first = self._header_lsn(number)
            if first is not None and first <= after:
                return _Place(number, 0, first)
        return None

    def _begins(self, number: int, lsn: Lsn) -> _Place | None:
        return _Place(number, 0, lsn) if self._header_lsn(number) == lsn else None

    def _header_lsn(self, number: int) -> Lsn | None:
        """Return the record before the first of a file; None when it has no sound header."""
        try:
            with closing(self._disk.open(file_name(number))) as file:
                found = record_at(file.pread(_HEADER_BYTES_MAX, 0), 0)
        except NotFound:
            return None
        return found[0].lsn if found is not None and found[0].kind == FILE_HEADER else None

    def _read_file(
        self, place: _Place, after: Lsn, through: Lsn, count_max: int
    ) -> tuple[_Place, list[Entry]]:
        found: list[Entry] = []
        position, lsn = place.position, place.lsn
        with closing(self._disk.open(file_name(place.number))) as file:
            reader = RecordReader(file, position, lsn)
            for entry in takewhile(lambda entry: entry.lsn <= through, reader):
                position, lsn = reader.position, entry.lsn
                if entry.lsn > after and entry.kind not in MARKS:
                    found.append(entry)
                if len(found) >= count_max:
                    break
        return _Place(place.number, position, lsn), found
