"""How dirty bytes become extents: which files wait, in what frames they leave, what they held."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Final

from vexfs_fuse.errors import NoSpace, StoreFailed
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.extents import end_of
from vexfs_fuse.storage.segment_queue import COPIED_BYTES
from vexfs_fuse.storage.segments import Segments, Staged
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import FILE_BYTES_MAX, INLINE_BYTES_MAX, MIB, Inode, Segment
from vexfs_fuse.volume import runs
from vexfs_fuse.volume.content import Content, Page
from vexfs_fuse.volume.pages import UNIT_SHIFT, PageTable

FRAME_BYTES_MAX: Final = MIB
"""The most contents in one frame: as much as the largest page, read back in one go."""

FRAMES_MAX: Final = 512
"""The most frames of one flush: their extents make a record that the journal has room for."""

FILE_OVERHEAD_BYTES: Final = 512
"""What a dirty file takes on the disk besides its bytes: a frame's header, a record, a row."""

INLINE: Final = Segment(0)

Span = tuple[Page, int, int]
"""A page, and the first byte of the file and the one after the last that are meant in it."""


class WriteBack:
    """The dirty files, in the order in which they became dirty.

    Attributes
    ----------
    nodes
        The files that have dirty bytes; their nodes must stay in memory.
    room_bytes
        The most bytes that may be dirty, because the disk could take no more; less by what is
        staged.
    dirty_bytes, flushed_bytes, flushed_frames, inline_bytes
        Bytes that are dirty now; bytes and frames staged, and bytes inlined, since the start.
    """

    def __init__(self, table: PageTable, segments: Segments) -> None:
        self._table = table
        self._segments = segments
        self.nodes: dict[Inode, Node] = {}
        self.dirty_bytes = 0
        self.room_bytes = FILE_BYTES_MAX
        self._is_full = False
        self.flushed_bytes = 0
        self.flushed_frames = 0
        self.inline_bytes = 0

    def admit(self, size: int) -> None:
        """Raise unless `size` more bytes may become dirty.

        Raises
        ------
        NoSpace
            The disk has no room for them, or had none at the last flush and that still waits.
        """
        needed = self.dirty_bytes + size + FILE_OVERHEAD_BYTES * len(self.nodes)
        if needed > self.room_bytes or (self._is_full and self.nodes):
            raise NoSpace

    def begin(self, content: Content, size: int, now_ns: int) -> None:
        """Note that a clean file of `size` bytes is about to become dirty."""
        node = content.node
        self.nodes[node.ino] = node
        content.size = size
        content.dirty_since = now_ns

    def flush(self, content: Content, *, inline_allowed: bool) -> list[Extent]:
        """Stage dirty bytes, which are clean from then on; return their extents, to be logged.

        The file is still dirty when there were too many for one record, or room for some frames only.

        Raises
        ------
        NoSpace, StoreFailed
            Nothing was staged.
        """
        dirty = content.dirty
        if len(dirty) == 2 and not inline_allowed:
            extent = self._stage_small(content, *dirty)
            if extent is not None:
                return [extent]
        flushed = dirty if len(dirty) > 2 else [_start_with_inline(content, dirty[0]), dirty[1]]
        if inline_allowed and len(dirty) == 2 and dirty[1] - flushed[0] <= INLINE_BYTES_MAX:
            extents = [self._inline(content, *flushed)]
        else:
            extents = self._stage_frames(content, flushed)
        if end_of(extents[-1]) == dirty[-1]:
            self._discard_all(content)
        else:
            self.discard(content, 0, end_of(extents[-1]))
        return extents

    def _stage_small(self, content: Content, start: int, end: int) -> Extent | None:
        """Stage the one dirty run of a file that lies in one page and is copied; None for others.

        Most files are small: this takes two thirds of the time of what stands below.
        """
        page = content.pages[start >> UNIT_SHIFT]
        length = end - start
        extents = content.extents
        if end > page.end or length >= COPIED_BYTES or (start and extents is not None):
            return None
        data = self._table.view[page.base + start : page.base + end]
        try:
            staged = self._segments.stage_copy(content.node.ino, start, (data,))
        except (NoSpace, StoreFailed):
            self._is_full = True
            raise
        if staged is None:
            return None
        self._is_full = False
        self.flushed_bytes += length
        self.flushed_frames += 1
        self.room_bytes -= length + FILE_OVERHEAD_BYTES
        self.dirty_bytes -= length
        self._table.clean(page)
        content.dirty.clear()
        del self.nodes[content.node.ino]
        return Extent(start, length, staged[0], staged[1], 0, length, staged[3])

    def discard(self, content: Content, start: int, end: int) -> None:
        """Note that bytes `start` to `end`, at least one, are no longer dirty."""
        dirty = content.dirty
        if not dirty:
            return
        if start <= dirty[0] and dirty[-1] <= end:
            self._discard_all(content)
            return
        cut = runs.parts(dirty, start, end)
        self.dirty_bytes -= runs.uncover(dirty, start, end)
        for first, last in cut:
            for page, _, _ in self._spans(content, first, last):
                if page.dirty and not runs.overlaps(dirty, page.start, page.end):
                    self._table.clean(page)

    def _discard_all(self, content: Content) -> None:
        dirty = content.dirty
        for start, end in zip(dirty[::2], dirty[1::2], strict=True):
            self.dirty_bytes -= end - start
            for page, _, _ in self._spans(content, start, end):
                if page.dirty:
                    self._table.clean(page)
        dirty.clear()
        del self.nodes[content.node.ino]

    def _stage_frames(self, content: Content, flushed: runs.Runs) -> list[Extent]:
        extents: list[Extent] = []
        if len(flushed) == 2 and flushed[1] - flushed[0] <= FRAME_BYTES_MAX:
            cuts: Iterable[tuple[int, int]] = ((flushed[0], flushed[1]),)
        else:
            cuts = islice(_frames(flushed[: 2 * FRAMES_MAX]), FRAMES_MAX)
        for start, end in cuts:
            try:
                extents.append(self._stage(content, start, end))
            except (NoSpace, StoreFailed):
                self._is_full = True
                if not extents:
                    raise
                return extents
        self._is_full = False
        return extents

    def _inline(self, content: Content, start: int, end: int) -> Extent:
        data = b"".join(self._buffers(self._spans(content, start, end)))
        self.inline_bytes += end - start
        self.room_bytes -= end - start + FILE_OVERHEAD_BYTES
        return Extent(start, end - start, INLINE, 0, 0, end - start, b"", data)

    def _stage(self, content: Content, start: int, end: int) -> Extent:
        spans = self._spans(content, start, end)
        staged = None
        if end - start < COPIED_BYTES:
            staged = self._segments.stage_copy(content.node.ino, start, self._buffers(spans))
        if staged is None:
            staged = self._stage_in_place(content, start, spans)
        self.flushed_bytes += end - start
        self.room_bytes -= end - start + FILE_OVERHEAD_BYTES
        self.flushed_frames += 1
        segment, position, frame_bytes, sums = staged
        return Extent(start, end - start, segment, position, 0, frame_bytes, sums)

    def _stage_in_place(self, content: Content, start: int, spans: list[Span]) -> Staged:
        for page, first, last in spans:
            self._table.pin(page, first, last)
        written = partial(self._written, spans)
        try:
            return self._segments.stage(content.node.ino, start, self._buffers(spans), written)
        except (NoSpace, StoreFailed):
            written()
            raise

    def _written(self, spans: list[Span]) -> None:
        """Take the pages back from the writer thread."""
        for page, start, end in spans:
            self._table.unpin(page, start, end)

    def _spans(self, content: Content, start: int, end: int) -> list[Span]:
        spans: list[Span] = []
        while start < end:
            page = content.pages[start >> UNIT_SHIFT]
            last = min(page.end, end)
            spans.append((page, start, last))
            start = last
        return spans

    def _buffers(self, spans: list[Span]) -> list[memoryview]:
        view = self._table.view
        return [view[page.base + start : page.base + end] for page, start, end in spans]


def _start_with_inline(content: Content, start: int) -> int:
    """Return where the inline extent begins that ends at byte `start`, if its bytes are here.

    Who appends a line and syncs, again and again, would else leave an extent for each line.
    """
    before = content.extents.at(start - 1) if content.extents is not None else None
    if before is None or before.inline is None or end_of(before) != start:
        return start
    page = content.pages.get(before.offset >> UNIT_SHIFT)
    here = page is not None and runs.holds(page.valid, before.offset, start)
    return before.offset if here else start


def _frames(flushed: runs.Runs) -> Iterator[tuple[int, int]]:
    """Cut runs into frames; those that need cutting, at the borders of stream pages."""
    for start, end in zip(flushed[::2], flushed[1::2], strict=True):
        while end - start > FRAME_BYTES_MAX:
            border = start - start % FRAME_BYTES_MAX + FRAME_BYTES_MAX
            yield start, border
            start = border
        yield start, end
