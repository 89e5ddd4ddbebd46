"""Reads the journal as it lies on the disk; changes nothing, so the store may be in use."""

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from vexfs_fuse.errors import StoreDamaged
from vexfs_fuse.storage.disk import Disk
from vexfs_fuse.storage.journal_files import DIRECTORY, file_name
from vexfs_fuse.storage.records import FILE_HEADER, MARKS, Entry, RecordReader, record_at

_HEADER_BYTES_MAX: Final = 1024
_NAME: Final = re.compile(r"([1-9][0-9]*)\.vxj")


def scan(disk: Disk) -> Iterator[Entry]:
    """Yield all sound records in order; each file is read until it ends or stops making sense.

    Raises
    ------
    StoreDamaged
        A file other than the last does not reach to where the next begins: the last one alone may
        end in a torn batch.
    """
    names = map(_NAME.fullmatch, disk.names(DIRECTORY))
    reached = None
    for number in sorted(int(name[1]) for name in names if name):
        with closing(disk.open(file_name(number))) as file:
            header = record_at(file.pread(_HEADER_BYTES_MAX, 0), 0)
            if header is None or header[0].kind != FILE_HEADER:
                continue  # a file just begun, or damaged: what follows tells
            first = header[0].lsn
            if reached is not None and first != reached:
                raise StoreDamaged(f"{file_name(number)} begins after {first}, not {reached}")
            reader = RecordReader(file, 0, first)
            yield from (entry for entry in reader if entry.kind not in MARKS)
            reached = reader.lsn
