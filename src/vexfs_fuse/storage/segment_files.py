"""The open segment files: who reads them, and which go away once nobody does."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from vexfs_fuse.errors import CorruptData, NotFound
from vexfs_fuse.storage.disk import Disk, File
from vexfs_fuse.storage.frames import SEGMENT_HEADER_BYTES, volume_in_header
from vexfs_fuse.units import Segment

DIRECTORY: Final = "segments"
FILES_OPEN_MAX: Final = 128
"""Segment files kept open when nobody reads them."""

_SUFFIX: Final = ".seg"


class SegmentGone(Exception):
    """The segment was dropped: its contents have moved, ask for the extents again.

    A signal to the reader of contents, never a user's answer.
    """


class _Open:
    __slots__ = ("file", "holds")

    def __init__(self, file: File) -> None:
        self.file = file
        self.holds = 0


class SegmentFiles:
    """Segment files by number; any thread may use it.

    Files are kept open for reading; one that is written to belongs to whoever writes it.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._lock = threading.Lock()
        self._open: OrderedDict[Segment, _Open] = OrderedDict()  # the least recently held first
        self._existing = set(_numbers(disk))
        self._dropped: set[Segment] = set()  # grows by one for each segment's worth of data written

    def numbers(self) -> list[Segment]:
        """Return the segments that exist, in ascending order."""
        with self._lock:
            return sorted(self._existing)

    @property
    def dropped(self) -> int:
        """How many segments have gone since the files were opened."""
        return len(self._dropped)

    def create(self, segment: Segment) -> File:
        """Make a file and return it for writing; durable once `sync_names` has returned."""
        self._disk.make_directory(DIRECTORY)
        file = self._disk.create(file_name(segment))
        with self._lock:
            self._existing.add(segment)
        return file

    def uncreate(self, segment: Segment, file: File) -> None:
        """Undo `create`, when nothing was ever written to the file."""
        with self._lock:
            self._existing.discard(segment)
        file.close()
        self._disk.remove(file_name(segment))

    def open_writable(self, segment: Segment) -> File:
        """Open an existing file for writing."""
        return self._disk.open(file_name(segment), writable=True)

    def sync_names(self) -> None:
        """Return when the names of all created files would survive a power cut."""
        self._disk.sync_directory(DIRECTORY)
        self._disk.sync_directory("")

    def hold(self, segment: Segment) -> File:
        """Keep a file open, and existing, until `release`.

        Raises
        ------
        SegmentGone
            When it was dropped.
        CorruptData
            When the file is missing.
        """
        with self._lock:
            if segment in self._dropped:
                raise SegmentGone(segment)
            entry = self._open.get(segment) or self._opened(segment)
            self._open.move_to_end(segment)
            entry.holds += 1
            return entry.file

    def release(self, segment: Segment) -> None:
        """Undo one hold; the last one of a dropped segment removes its file."""
        with self._lock:
            entry = self._open[segment]
            entry.holds -= 1
            if not entry.holds and segment in self._dropped:
                self._remove(segment)

    def drop(self, segment: Segment) -> None:
        """Remove a segment's file, as soon as nobody holds it.

        After a crash it may exist again: a removal is not worth a sync.
        """
        with self._lock:
            self._existing.discard(segment)
            self._dropped.add(segment)
            entry = self._open.get(segment)
            if entry is None or not entry.holds:
                self._remove(segment)

    def size_bytes(self, segment: Segment) -> int:
        """Return the size of a segment's file; raises as `hold` does."""
        file = self.hold(segment)
        try:
            return file.size()
        finally:
            self.release(segment)

    def free_bytes(self) -> int:
        """Return the space left on the disk."""
        return self._disk.free_bytes()

    def close(self) -> None:
        """Close every file that is open for reading."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].file.close()

    def _opened(self, segment: Segment) -> _Open:
        try:
            file = self._disk.open(file_name(segment))
        except NotFound as error:
            raise CorruptData(f"segment {segment} is missing") from error
        if len(self._open) >= FILES_OPEN_MAX:
            self._close_idle()
        entry = self._open[segment] = _Open(file)
        return entry

    def _close_idle(self) -> None:
        idle = next((segment for segment, entry in self._open.items() if not entry.holds), None)
        if idle is not None:
            self._open.pop(idle).file.close()

    def _remove(self, segment: Segment) -> None:
        entry = self._open.pop(segment, None)
        if entry is not None:
            entry.file.close()
        self._disk.remove(file_name(segment))


def file_name(segment: Segment) -> str:
    """Return the name of a segment's file in the store."""
    return f"{DIRECTORY}/{segment}{_SUFFIX}"


def segment_volumes(disk: Disk) -> Iterator[bytes]:
    """Yield the volume, 16 bytes, that each segment with a sound header belongs to."""
    for segment in _numbers(disk):
        with closing(disk.open(file_name(segment))) as file:
            volume = volume_in_header(file.pread(SEGMENT_HEADER_BYTES, 0), segment)
        if volume is not None:
            yield volume


def _numbers(disk: Disk) -> list[Segment]:
    if not disk.exists(DIRECTORY):
        return []
    stems = [name.removesuffix(_SUFFIX) for name in disk.names(DIRECTORY) if name.endswith(_SUFFIX)]
    return [Segment(int(stem)) for stem in stems if stem.isdecimal()]
