"""How contents that are in no page are read: into pages, without waiting where that can be."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from vexfs_fuse.errors import CorruptData
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.extents import ExtentMap, Hole, cut, end_of
from vexfs_fuse.storage.pool import PoolFull
from vexfs_fuse.storage.segments import SegmentGone, Segments
from vexfs_fuse.units import MIB
from vexfs_fuse.volume import runs
from vexfs_fuse.volume.content import Content, Page
from vexfs_fuse.volume.pages import UNIT_SHIFT, PageTable

FILL_PIECES_MAX: Final = 32
"""A page made of more pieces than this is filled only as far as it was asked for."""

_ZEROS: Final = memoryview(bytes(MIB))

Bytes = bytes | memoryview

Piece = memoryview | Extent | Hole
"""What some bytes of a file are: those of a page, or an extent or a hole that is in no page."""


class Fetched(NamedTuple):
    """An extent, or part of one, and its bytes."""

    extent: Extent
    data: Bytes


class Missing(NamedTuple):
    """What must be read from the disk before bytes `offset` to `end` can be answered."""

    extents: list[Extent]
    offset: int
    end: int


class ColdReads:
    """Reads through the page table.

    Attributes
    ----------
    cold_bytes
        Bytes read from segments since the start.
    bypasses
        Reads that found no page to keep what they read.
    """

    def __init__(self, table: PageTable, segments: Segments) -> None:
        self._table = table
        self._segments = segments
        self.cold_bytes = 0
        self.bypasses = 0

    def read(
        self,
        content: Content,
        extents: ExtentMap,
        offset: int,
        end: int,
        file_bytes: int,
        fetched: list[Fetched],
    ) -> Bytes | Missing:
        """Return bytes `offset` to `end`, or what has to be fetched first.

        Raises
        ------
        CorruptData
        """
        pieces = list(self._walk(content, extents, offset, end))
        if not any(isinstance(piece, Extent) for piece in pieces):
            self._table.use(content, offset, end)
            return _joined(pieces, fetched)
        try:
            pages = self._table.claim(content, offset, end, file_bytes, writing=False)
        except PoolFull:
            return self._read_around(pieces, offset, end, fetched)
        missing: list[Extent] = []
        try:
            for page in pages:
                missing += self._fill(page, extents, offset, end, file_bytes, fetched)
        finally:
            self._table.give_back(pages)
        if missing:
            return Missing(missing, offset, end)
        if len(pages) == 1:
            base = pages[0].base
            return self._table.view[base + offset : base + end]
        return _joined(list(self._walk(content, extents, offset, end)), fetched)

    def fetch(self, missing: Missing) -> list[Fetched]:
        """Read from the disk; runs in a thread.

        Raises
        ------
        CorruptData
            When bytes that were asked for are damaged; damage beside them is left out.
        """
        fetched: list[Fetched] = []
        for extent in missing.extents:
            try:
                fetched.append(self._fetch(extent))
            except SegmentGone:
                continue  # whoever resumes looks the extents up again
            except CorruptData:
                part = _clip(extent, missing.offset, missing.end)
                if part is not None:
                    fetched.append(self._fetch(part))
        return fetched

    def _fetch(self, extent: Extent) -> Fetched:
        return Fetched(extent, self._segments.read(extent, 0, extent.length))

    def _read_around(
        self, pieces: list[Piece], offset: int, end: int, fetched: list[Fetched]
    ) -> Bytes | Missing:
        """Answer without keeping anything, because no page can leave."""
        known = list(fetched)
        missing: list[Extent] = []
        for piece in pieces:
            if isinstance(piece, Extent) and _known(piece, known) is None:
                try:
                    data = self._segments.read(piece, 0, piece.length, nowait=True)
                    known.append(Fetched(piece, data))
                except BlockingIOError:
                    missing.append(piece)
        if missing:
            return Missing(missing, offset, end)
        self.bypasses += 1
        return _joined(pieces, known)

    def _fill(
        self,
        page: Page,
        extents: ExtentMap,
        offset: int,
        end: int,
        file_bytes: int,
        fetched: list[Fetched],
    ) -> list[Extent]:
        """Fill a claimed page up to its end; return what would have to wait for the disk."""
        pieces = _gaps(page, extents, page.start, min(page.end, file_bytes))
        if len(pieces) > FILL_PIECES_MAX:
            pieces = _gaps(page, extents, max(page.start, offset), min(page.end, end))
        if pieces and not fetched:  # else it was counted when it went to fetch
            page.counters.misses += 1
            page.counters.fills += any(isinstance(piece, Extent) for piece in pieces)
        missing: list[Extent] = []
        for piece in pieces:
            if isinstance(piece, Hole):
                self._store(page, piece.offset, _zeros(piece.length))
                continue
            try:
                self._load(page, piece, _clip(piece, offset, end), fetched)
            except BlockingIOError:
                missing.append(piece)
        return missing

    def _load(
        self, page: Page, extent: Extent, part: Extent | None, fetched: list[Fetched]
    ) -> None:
        """Put an extent into a page, or only the `part` that was asked for."""
        if fetched and _known(extent, fetched) is None:
            # Another round for what is read ahead would put the answer off, perhaps for ever.
            if part is not None:
                self._load_exactly(page, part, fetched)
            return
        try:
            self._load_exactly(page, extent, fetched)
        except CorruptData:
            if part is not None:
                self._load_exactly(page, part, fetched)

    def _load_exactly(self, page: Page, extent: Extent, fetched: list[Fetched]) -> None:
        data = _known(extent, fetched)
        if data is not None:
            self._store(page, extent.offset, data)
            self.cold_bytes += extent.length
            return
        start, end = extent.offset, end_of(extent)
        target = self._table.view[page.base + start : page.base + end]
        self._segments.read_into(target, extent, 0, nowait=True)
        runs.cover(page.valid, start, end)
        self.cold_bytes += extent.length

    def _store(self, page: Page, offset: int, data: Bytes) -> None:
        start = page.base + offset
        self._table.view[start : start + len(data)] = data
        runs.cover(page.valid, offset, offset + len(data))

    def _walk(self, content: Content, extents: ExtentMap, offset: int, end: int) -> Iterator[Piece]:
        """Yield what makes up the bytes: slices of pages, and what is in no page."""
        while offset < end:
            page = content.pages.get(offset >> UNIT_SHIFT)
            if page is None or page.end <= offset:
                stop = min(end, ((offset >> UNIT_SHIFT) + 1) << UNIT_SHIFT)
                yield from extents.pieces(offset, stop - offset)
            else:
                stop = min(end, page.end)
                yield from self._walk_page(page, extents, offset, stop)
            offset = stop

    def _walk_page(self, page: Page, extents: ExtentMap, offset: int, end: int) -> Iterator[Piece]:
        for start, stop in runs.parts(page.valid, offset, end):
            if offset < start:
                yield from extents.pieces(offset, start - offset)
            yield self._table.view[page.base + start : page.base + stop]
            offset = stop
        if offset < end:
            yield from extents.pieces(offset, end - offset)


def _gaps(page: Page, extents: ExtentMap, start: int, end: int) -> list[Extent | Hole]:
    """Return what makes up the bytes of the range that the page does not have."""
    return [
        piece
        for first, last in runs.gaps(page.valid, start, end)
        for piece in extents.pieces(first, last - first)
    ]


def _clip(extent: Extent, start: int, end: int) -> Extent | None:
    """Return the part of an extent within bytes `start` to `end`."""
    start, end = max(start, extent.offset), min(end, end_of(extent))
    return cut(extent, start, end) if start < end else None


def _known(extent: Extent, fetched: list[Fetched]) -> Bytes | None:
    """Return the extent's bytes if they need no reading."""
    if extent.inline is not None:
        return memoryview(extent.inline)[extent.skip : extent.skip + extent.length]
    for found, data in fetched:
        start = extent.skip - found.skip
        same_frame = (found.segment, found.position) == (extent.segment, extent.position)
        if same_frame and start >= 0 and start + extent.length <= found.length:
            return memoryview(data)[start : start + extent.length]
    return None


def _joined(pieces: list[Piece], fetched: list[Fetched]) -> Bytes:
    """Return the bytes of pieces that need no reading; without a copy when it is one."""
    buffers = [_bytes_of(piece, fetched) for piece in pieces]
    return buffers[0] if len(buffers) == 1 else b"".join(buffers)


def _bytes_of(piece: Piece, fetched: list[Fetched]) -> Bytes:
    if isinstance(piece, memoryview):
        return piece
    if isinstance(piece, Hole):
        return _zeros(piece.length)
    data = _known(piece, fetched)
    assert data is not None, "what is in no page was fetched"
    return data


def _zeros(size: int) -> Bytes:
    return _ZEROS[:size] if size <= len(_ZEROS) else bytes(size)
