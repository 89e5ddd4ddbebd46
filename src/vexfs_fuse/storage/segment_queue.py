"""Frames on their way to the disk: queued on the loop, written in a thread, settled on the loop."""

import threading
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from vexfs_fuse.errors import VexfsError
from vexfs_fuse.storage.disk import Buffer, File
from vexfs_fuse.units import KIB, MIB, Segment

COPIED_BYTES: Final = 64 * KIB
"""Frames smaller than this are copied, so that neighbours are written as one buffer."""
CHUNK_BYTES: Final = MIB
CHUNKS_MAX: Final = 16
"""The most memory for copies, in chunks; beyond it frames stay where they are, whatever size."""

FrameKey: TypeAlias = tuple[Segment, int]
"""A frame: its segment and the position of its data.  A named one would cost 200 ns a frame."""


class Run:
    """Consecutive bytes of one segment file, written by one call."""

    __slots__ = ("buffers", "file", "position", "segment")

    def __init__(self, segment: Segment, file: File, position: int) -> None:
        self.segment = segment
        self.file = file
        self.position = position
        self.buffers: list[Buffer] = []


class Trim(NamedTuple):
    """A file that is complete: what was reserved beyond its size is given back."""

    file: File
    size_bytes: int


class SegmentBatch:
    """Frames that are written together.

    `write_out` alone frees their memory; `write` makes them durable, and with them the batches that
    were only to be written out before.
    """

    __slots__ = (
        "_failure",
        "_is_written",
        "_writing",
        "chunks",
        "earlier",
        "frames",
        "is_settled",
        "releases",
        "runs",
        "size_bytes",
        "sync_names",
        "trims",
    )

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.trims: list[Trim] = []
        self.frames: list[FrameKey] = []
        self.releases: list[Callable[[], None]] = []
        self.chunks: list[memoryview] = []
        self.size_bytes = 0
        self.sync_names: Callable[[], None] | None = None  # when a file was created
        self.earlier: list[SegmentBatch] = []
        self.is_settled = False  # the loop's; what follows belongs to the threads
        self._writing = threading.Lock()
        self._is_written = False
        self._failure: VexfsError | None = None

    def write_out(self) -> None:
        """Hand the bytes to the disk without waiting for it, unless that was done; in any thread.

        Raises
        ------
        StoreFailed, NoSpace
            When the disk refuses: neither this batch nor a later one can become durable.
        """
        with self._writing:
            if self._failure is not None:
                raise self._failure
            if self._is_written:
                return
            try:
                for run in self.runs:
                    run.file.pwritev(run.buffers, run.position)
            except VexfsError as failure:
                self._failure = failure
                raise
            self._is_written = True

    def write(self) -> None:
        """Write out, and sync everything that was written; called once, in the writer thread.

        Earlier batches are written out here unless that was done: who was to may be cancelled.

        Raises
        ------
        StoreFailed, NoSpace
            When the disk refuses; what is durable is then unknown.
        """
        batches = [*self.earlier, self]
        for batch in batches:
            batch.write_out()
        for file in {run.segment: run.file for batch in batches for run in batch.runs}.values():
            file.datasync()
        for batch in batches:
            if batch.sync_names is not None:
                batch.sync_names()
            for trim in batch.trims:
                trim.file.truncate(trim.size_bytes)


class SegmentQueue:
    """What was staged since the last `take`; belongs to the loop."""

    __slots__ = ("_chunk", "_filled", "_free_chunks", "_made", "_written", "batch")

    def __init__(self) -> None:
        self.batch = SegmentBatch()
        self._free_chunks: list[memoryview] = []
        self._made = 0  # chunks that exist, here or in batches
        self._chunk = memoryview(b"")
        self._filled = 0  # bytes of the chunk that hold something
        self._written = 0  # those of them that stand in a run's buffers

    def go_on_at(self, segment: Segment, file: File, position: int) -> None:
        """Say where the next bytes go: where the last ones of that segment ended."""
        runs = self.batch.runs
        if not runs or runs[-1].segment != segment:
            self._pass_copies_on()
            runs.append(Run(segment, file, position))

    def copy(self, parts: Sequence[Buffer], size: int) -> memoryview | None:
        """Append a copy of `size` bytes, given in parts, to the run.

        Returns the copy; None, with nothing done, when the memory for copies is used up.
        """
        if self._filled + size > len(self._chunk) and not self._take_chunk():
            return None
        start = end = self._filled
        chunk = self._chunk
        for part in parts:
            at, end = end, end + len(part)
            chunk[at:end] = part
        self._filled = end
        self.batch.size_bytes += size
        return chunk[start:end]

    def keep(self, parts: Sequence[Buffer], size: int) -> None:
        """Append `size` bytes to the run as they are; they must not change until settled."""
        self._pass_copies_on()
        self.batch.runs[-1].buffers.extend(parts)
        self.batch.size_bytes += size

    def take(self) -> SegmentBatch:
        """Return what was queued, and begin anew."""
        self._pass_copies_on()
        batch, self.batch = self.batch, SegmentBatch()
        self._chunk = memoryview(b"")  # no room in it: the next copy takes another
        return batch

    def recycle(self, batch: SegmentBatch) -> None:
        """Use a written batch's memory for the next copies."""
        self._free_chunks.extend(batch.chunks)

    def _pass_copies_on(self) -> None:
        if self._written < self._filled:
            self.batch.runs[-1].buffers.append(self._chunk[self._written : self._filled])
            self._written = self._filled

    def _take_chunk(self) -> bool:
        self._pass_copies_on()
        if not self._free_chunks:
            if self._made == CHUNKS_MAX:
                return False
            self._made += 1
            self._free_chunks.append(memoryview(bytearray(CHUNK_BYTES)))
        self._chunk = self._free_chunks.pop()
        self.batch.chunks.append(self._chunk)
        self._filled = self._written = 0
        return True
