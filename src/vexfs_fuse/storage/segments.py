"""Where file contents last: append-only segment files of checksummed frames.

`stage` finds room and queues a frame on the loop; a batch of them is written and synced in the
writer thread, and settled on the loop.  A staged frame is readable at once.  Nothing here knows
which file a byte belongs to now: that the extents say, and `count` keeps the sum of what they hold.
"""

import mmap
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from vexfs_fuse.errors import CorruptData, StoreFailed
from vexfs_fuse.storage import frames
from vexfs_fuse.storage.damage import DamageFound
from vexfs_fuse.storage.disk import BLOCK_BYTES, Buffer, Disk
from vexfs_fuse.storage.extent import NOWHERE, Extent
from vexfs_fuse.storage.segment_files import SegmentFiles, SegmentGone
from vexfs_fuse.storage.segment_queue import (
    COPIED_BYTES,
    FrameKey,
    SegmentBatch,
    SegmentQueue,
)
from vexfs_fuse.storage.segment_scan import FrameAt, frames_in
from vexfs_fuse.storage.segment_tail import SegmentTail
from vexfs_fuse.units import CHECKSUM_BYTES, MIB, Inode, Segment

__all__ = ["SegmentBatch", "SegmentGone", "SegmentUse", "Segments", "Staged", "Statistics"]

FIRST_SEGMENT: Final = Segment(1)
SEGMENT_BYTES: Final = 256 * MIB
_ZEROS: Final = bytes(frames.ALIGNMENT)


class Staged(NamedTuple):
    """Where a frame will be: the fields that an `Extent` needs."""

    segment: Segment
    position: int
    frame_bytes: int
    sums: bytes


class SegmentUse(NamedTuple):
    """How much of a segment file is still contents of something."""

    segment: Segment
    live_bytes: int
    size_bytes: int


class Statistics(NamedTuple):
    """Counts since the segments were opened; of reads in several threads some may be missed."""

    segments: int
    dropped: int
    live_bytes: int
    queued_bytes: int  # staged and not settled
    frames_staged: int
    bytes_staged: int
    frames_copied: int
    reads: int
    bytes_read: int
    mismatches: int


class Segments:
    """All segment files of a volume; `damage` is what reads have met.

    Reading may happen in any thread, dropping too; everything else belongs to the loop.
    """

    def __init__(
        self,
        disk: Disk,
        volume_id: bytes,
        segment_bytes: int,
        first_free: Segment,
        headroom_bytes: int,
    ) -> None:
        self._volume_id = volume_id
        self._files = SegmentFiles(disk)
        self._queue = SegmentQueue()
        self._tail = SegmentTail(
            self._files, self._queue, volume_id, segment_bytes, first_free, headroom_bytes
        )
        self._staged: dict[FrameKey, Sequence[Buffer]] = {}
        self._live: dict[Segment, int] = {}
        self._unsynced: list[SegmentBatch] = []  # written out, or about to be
        self._unsettled_bytes = 0  # of sealed batches
        self._frames_staged = self._bytes_staged = self._frames_copied = 0
        self._reads = self._bytes_read = self._mismatches = 0
        self.damage = DamageFound()

    @classmethod
    def open(
        cls,
        disk: Disk,
        volume_id: bytes,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        first_free: Segment = FIRST_SEGMENT,
        headroom_bytes: int = 0,
        live_bytes: Mapping[Segment, int] | None = None,
    ) -> "Segments":
        """Open the segments of a volume; nothing is written before the first `stage`.

        Parameters
        ----------
        disk
            The store.
        volume_id
            16 bytes that stand in every segment file.
        segment_bytes
            The size at which a segment is complete.
        first_free
            The lowest number for a segment that may be made: higher than that of any ever used.
        headroom_bytes
            What nothing is reserved of ahead of need.
        live_bytes
            By segment, what the extents hold of it.
        """
        segments = cls(disk, volume_id, segment_bytes, first_free, headroom_bytes)
        segments._live.update(live_bytes or {})
        return segments

    def stage(
        self,
        inode: Inode,
        offset: int,
        buffers: Sequence[memoryview],
        release: Callable[[], None],
    ) -> Staged:
        """Queue one run of a file's bytes as a frame.

        Parameters
        ----------
        inode, offset
            The file, and the place of the first byte in it; told to `fsck`, otherwise unused.
        buffers
            The bytes, 1 to `frames.FRAME_BYTES_MAX` of them, in consecutive buffers of unsigned
            bytes.  They must not change before `release` is called.
        release
            Called once when the buffers are no longer needed: before this returns when they were
            copied (frames under 64 KiB), else by `settle`.

        Raises
        ------
        NoSpace
            When the disk has no room; nothing is queued then.
        StoreFailed
            When the disk fails otherwise.
        """
        length = sum(map(len, buffers))
        assert 0 < length <= frames.FRAME_BYTES_MAX, "the caller cuts what is longer"
        is_large = length >= COPIED_BYTES
        if not is_large:
            copied = self.stage_copy(inode, offset, buffers)
            if copied is not None:
                release()
                return copied
        prefix_bytes = frames.prefix_bytes(length)
        padding = frames.padding_bytes(prefix_bytes + length)
        size = prefix_bytes + length + padding
        active = self._tail.room(size + BLOCK_BYTES if is_large else size)
        # Large frames are written directly from the pool, which takes data on a block's border.
        gap = -(active.end + prefix_bytes) % BLOCK_BYTES if is_large else 0
        start = active.end + gap
        sums = frames.sums_of(buffers)
        prefix = frames.frame_prefix(inode, offset, length, sums, active.seed, start)
        head = _in_blocks(gap, prefix) if is_large else prefix
        queue = self._queue
        queue.go_on_at(active.segment, active.file, active.end)
        queue.keep([head, *buffers, _ZEROS[:padding]], gap + size)
        queue.batch.releases.append(release)
        active.end = start + size
        return self._staged_at(active.segment, start + prefix_bytes, length, sums, buffers)

    def stage_copy(self, inode: Inode, offset: int, buffers: Sequence[memoryview]) -> Staged | None:
        """Do what `stage` does for a frame under `COPIED_BYTES`: its buffers are free on return.

        None, with nothing done, when memory for copies ran out.  Raises what `stage` does.
        """
        length = len(buffers[0]) if len(buffers) == 1 else sum(map(len, buffers))
        prefix_bytes = frames.prefix_bytes(length)
        padding = frames.padding_bytes(prefix_bytes + length)
        size = prefix_bytes + length + padding
        active = self._tail.room(size)
        start = active.end
        sums = frames.sums_of(buffers)
        prefix = frames.frame_prefix(inode, offset, length, sums, active.seed, start)
        queue = self._queue
        queue.go_on_at(active.segment, active.file, start)
        copy = queue.copy((prefix, *buffers, _ZEROS[:padding]), size)
        if copy is None:
            return None
        self._frames_copied += 1
        active.end = start + size
        data = (copy[prefix_bytes : prefix_bytes + length],)
        return self._staged_at(active.segment, start + prefix_bytes, length, sums, data)

    def _staged_at(
        self,
        segment: Segment,
        position: int,
        length: int,
        sums: bytes,
        data: Sequence[memoryview],
    ) -> Staged:
        """Take note of a frame that is queued; until it is durable it is read from `data`."""
        key = segment, position
        self._staged[key] = data
        self._queue.batch.frames.append(key)
        self._frames_staged += 1
        self._bytes_staged += length
        return Staged(segment, position, length, sums)

    def seal(self) -> SegmentBatch | None:
        """Return what is to be written and synced, for the writer thread; None for nothing."""
        if not self._queue.batch.runs and not self._unsynced:
            return None
        batch = self._take()
        batch.earlier, self._unsynced = self._unsynced, []
        return batch

    def take_out(self) -> SegmentBatch | None:
        """Return what was staged, to be written out now and synced with the next `seal`."""
        if not self._queue.batch.runs:
            return None
        batch = self._take()
        self._unsynced.append(batch)
        return batch

    def _take(self) -> SegmentBatch:
        batch = self._queue.take()
        self._unsettled_bytes += batch.size_bytes
        return batch

    def settle(self, batch: SegmentBatch, error: BaseException | None = None) -> None:
        """Let go of a sealed batch once it is durable.

        After an error the frames stay in memory, and readable: a volume that has turned read-only
        still shows what it had accepted.
        """
        if error is not None:
            return
        for durable in (*batch.earlier, batch):
            self.settle_out(durable)
            for trim in durable.trims:
                trim.file.close()

    def settle_out(self, batch: SegmentBatch) -> None:
        """Let go of the memory of a batch that was written out, unless that was done."""
        if batch.is_settled:
            return
        batch.is_settled = True
        for key in batch.frames:
            del self._staged[key]
        self._unsettled_bytes -= batch.size_bytes
        self._queue.recycle(batch)
        for release in batch.releases:
            release()

    def read(self, extent: Extent, start: int, size: int, *, nowait: bool = False) -> memoryview:
        """Return `size` bytes from byte `start` of an extent, verified.

        Raises
        ------
        CorruptData
            When they are not what was written.
        SegmentGone
            When the segment was dropped after the extent was looked up: look again.
        BlockingIOError
            With `nowait`, when that would wait for the disk.
        """
        first = extent.skip + start
        low, high = frames.units_around(first, first + size, extent.frame_bytes)
        data = np.empty(high - low, np.uint8).data
        self._fill(data, extent, low, nowait)
        return data[first - low : first - low + size]

    def read_into(
        self, buffer: memoryview, extent: Extent, start: int, *, nowait: bool = False
    ) -> None:
        """Fill `buffer` from byte `start` of an extent, as `read` does.

        Whole checksum units are read in place.  After an error the buffer holds anything.
        """
        first = extent.skip + start
        end = first + len(buffer)
        if frames.units_around(first, end, extent.frame_bytes) == (first, end):
            self._fill(buffer, extent, first, nowait)
        else:
            buffer[:] = self.read(extent, start, len(buffer), nowait=nowait)

    def count(self, segment: Segment, change_bytes: int) -> None:
        """Account for extents that came to hold bytes of a segment, or no longer do."""
        if segment:
            self._live[segment] = self._live.get(segment, 0) + change_bytes

    def uses(self) -> list[SegmentUse]:
        """Return the use of every segment but the last, which is or will be appended to."""
        sizes = self._tail.complete
        segments = self._files.numbers()[:-1]
        for segment in segments:
            if segment not in sizes:
                sizes[segment] = self._files.size_bytes(segment)
        return [SegmentUse(n, self._live.get(n, 0), sizes[n]) for n in segments]

    def missing(self) -> list[Segment]:
        """Return the segments of which extents hold something, and that do not exist."""
        existing = set(self._files.numbers())
        return sorted(
            n for n, size in self._live.items() if size and n not in existing and n != NOWHERE
        )

    @property
    def reserved_bytes(self) -> int:
        """What the disk has promised beyond what is staged."""
        active = self._tail.active
        return active.reserved - active.end if active is not None else 0

    def live_bytes(self, segment: Segment) -> int:
        """Return how many bytes of a segment extents hold."""
        return self._live.get(segment, 0)

    def frames(self, segment: Segment) -> list[FrameAt]:
        """Return what a segment's file says is in it; in any thread.

        Raises
        ------
        SegmentGone, CorruptData, StoreFailed
        """
        file = self._files.hold(segment)
        try:
            return list(frames_in(file, frames.seed_of(self._volume_id, segment)))
        finally:
            self._files.release(segment)

    def drop(self, segment: Segment) -> None:
        """Remove a complete segment whose contents have moved, once nobody reads it."""
        self._live.pop(segment, None)
        self._files.drop(segment)

    def statistics(self) -> Statistics:
        """Return the counts."""
        return Statistics(
            segments=len(self._files.numbers()),
            dropped=self._files.dropped,
            live_bytes=sum(self._live.values()),
            queued_bytes=self._queue.batch.size_bytes + self._unsettled_bytes,
            frames_staged=self._frames_staged,
            bytes_staged=self._bytes_staged,
            frames_copied=self._frames_copied,
            reads=self._reads,
            bytes_read=self._bytes_read,
            mismatches=self._mismatches,
        )

    def close(self) -> None:
        """Close the files; what is not settled is lost."""
        self._tail.close()
        self._files.close()

    def _fill(self, target: memoryview, extent: Extent, low: int, nowait: bool) -> None:
        """Fill `target` with whole checksum units from byte `low` of the extent's frame."""
        self._reads += 1
        self._bytes_read += len(target)
        unit = low // CHECKSUM_BYTES
        if extent.inline is not None:
            target[:] = memoryview(extent.inline)[low : low + len(target)]
            return
        staged = self._staged.get((extent.segment, extent.position))
        if staged is not None:
            _gather(target, staged, low)
            # In another thread the frame may have been settled meanwhile, and its memory used for
            # something else; then it is in the file.
            if frames.first_mismatch(target, extent.sums, unit) is None:
                return
        self._fill_from_file(target, extent, low, nowait)
        bad = frames.first_mismatch(target, extent.sums, unit)
        if bad is not None:
            raise self._mismatch(extent, bad * CHECKSUM_BYTES)

    def _fill_from_file(self, target: memoryview, extent: Extent, low: int, nowait: bool) -> None:
        try:
            file = self._files.hold(extent.segment)
        except CorruptData as missing:
            self.damage.note(str(missing))
            raise
        try:
            count = file.read_into(target, extent.position + low, nowait=nowait)
        except StoreFailed as error:
            self.damage.note(f"{_place(extent, low)}: {error}")
            raise CorruptData(_place(extent, low)) from error
        finally:
            self._files.release(extent.segment)
        if count < len(target):
            raise self._mismatch(extent, low + count)

    def _mismatch(self, extent: Extent, at: int) -> CorruptData:
        """Return what to raise for bytes that are not what was written, and take note of them."""
        self._mismatches += 1
        damage = CorruptData(f"{_place(extent, at)} does not match its checksum")
        self.damage.note(str(damage))
        return damage


def _in_blocks(gap: int, prefix: bytes) -> Buffer:
    """Return zeros and a frame's prefix; in whole blocks of memory if they are that long."""
    size = gap + len(prefix)
    if size % BLOCK_BYTES:
        return bytes(gap) + prefix
    blocks = memoryview(mmap.mmap(-1, size))
    blocks[gap:] = prefix
    return blocks


def _gather(target: memoryview, buffers: Sequence[Buffer], start: int) -> None:
    """Copy `len(target)` bytes from byte `start` of consecutive buffers."""
    done = 0
    for buffer in buffers:
        if start >= len(buffer):
            start -= len(buffer)
            continue
        part = buffer[start : start + len(target) - done]
        target[done : done + len(part)] = part
        done += len(part)
        start = 0
        if done == len(target):
            return


def _place(extent: Extent, at: int) -> str:
    """Say where something is wrong, `at` bytes into the extent's frame."""
    return f"segment {extent.segment}, byte {extent.position + at}"
