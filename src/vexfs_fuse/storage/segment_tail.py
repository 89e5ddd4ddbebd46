"""The segment that frames are appended to, and the room that the disk has promised in it."""

from typing import Final

from vexfs_fuse.errors import NoSpace, StoreDamaged, StoreFailed
from vexfs_fuse.storage import frames
from vexfs_fuse.storage.disk import File
from vexfs_fuse.storage.segment_files import SegmentFiles
from vexfs_fuse.storage.segment_queue import SegmentQueue, Trim
from vexfs_fuse.units import MIB, Segment

RESERVED_BYTES: Final = 16 * MIB
"""How far ahead space is reserved, so that a full disk is found before anything is logged."""


class Active:
    """An open segment and its end."""

    __slots__ = ("end", "file", "reserved", "seed", "segment")

    def __init__(self, segment: Segment, file: File, seed: int, end: int) -> None:
        self.segment = segment
        self.file = file
        self.seed = seed
        self.end = end  # where the next frame starts
        self.reserved = end  # how far the disk has promised space


class SegmentTail:
    """Finds room for frames: in the last segment, or in another that is begun when it is full."""

    def __init__(
        self,
        files: SegmentFiles,
        queue: SegmentQueue,
        volume_id: bytes,
        segment_bytes: int,
        first_free: Segment,
        headroom_bytes: int,
    ) -> None:
        self.active: Active | None = None
        self.complete: dict[
            Segment, int
        ] = {}  # sizes of those completed since the store was opened
        self._files = files
        self._queue = queue
        self._volume_id = volume_id
        self._segment_bytes = segment_bytes
        self._first_free = first_free
        self._headroom_bytes = headroom_bytes

    def room(self, size: int) -> Active:
        """Return where `size` bytes can be appended.

        Raises
        ------
        NoSpace
            When the disk has no room; nothing has changed then.
        """
        active = self.active
        if active is None:
            return self._begin(size)
        if active.end + size <= active.reserved:
            return active
        if active.end + size > self._segment_bytes:
            return self._follow(active, size)
        self._reserve(active, size)
        return active

    def close(self) -> None:
        """Give back what was reserved, and close the file."""
        if self.active is not None:
            self.active.file.truncate(self.active.file.size())
            self.active.file.close()
            self.active = None

    def _begin(self, size: int) -> Active:
        """Go on where the store was left, unless that segment is full or unsound."""
        numbers = self._files.numbers()
        self.active = self._reopened(numbers[-1]) if numbers else None
        return self._created(size) if self.active is None else self.room(size)

    def _reopened(self, segment: Segment) -> Active | None:
        """Open a segment to append to it; after a crash its end is something nobody refers to."""
        file = self._files.open_writable(segment)
        try:
            header = file.pread(frames.SEGMENT_HEADER_BYTES, 0)
            frames.check_segment_header(header, self._volume_id, segment)
        except StoreDamaged:
            file.close()
            return None
        size = file.size()
        end = size + frames.padding_bytes(size)
        return Active(segment, file, frames.seed_of(self._volume_id, segment), end)

    def _follow(self, active: Active, size: int) -> Active:
        """Complete the active segment and begin the next."""
        follower = self._created(size)
        self._queue.batch.trims.append(Trim(active.file, active.end))
        self.complete[active.segment] = active.end
        return follower

    def _created(self, size: int) -> Active:
        """Make a segment with room for `size` bytes, and queue its header."""
        segment = max([self._first_free, *(Segment(n + 1) for n in self._files.numbers())])
        file = self._files.create(segment)
        active = Active(segment, file, frames.seed_of(self._volume_id, segment), 0)
        try:
            self._reserve(active, frames.SEGMENT_HEADER_BYTES + size)
        except (NoSpace, StoreFailed):
            self._files.uncreate(segment, file)
            raise
        self._queue.go_on_at(segment, file, 0)
        self._queue.keep(
            [frames.segment_header(self._volume_id, segment)], frames.SEGMENT_HEADER_BYTES
        )
        self._queue.batch.sync_names = self._files.sync_names
        active.end = frames.SEGMENT_HEADER_BYTES
        self.active = active
        return active

    def _reserve(self, active: Active, size: int) -> None:
        """Have the disk promise `size` bytes at the end, and more when it can."""
        ahead = max(size, min(RESERVED_BYTES, self._segment_bytes - active.end))
        if self._headroom_bytes and self._files.free_bytes() < ahead + self._headroom_bytes:
            ahead = size
        try:
            active.file.reserve(active.end, ahead)
        except NoSpace:
            if ahead == size:
                raise
            ahead = size
            active.file.reserve(active.end, ahead)
        active.reserved = active.end + ahead
