"""Which extent holds which bytes of one file, whatever stores or caches them."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from vexfs_fuse.storage.extent import Extent


class Hole(NamedTuple):
    """File bytes `offset` to `offset + length` that no extent holds: they read as zeros."""

    offset: int
    length: int


class Changes(NamedTuple):
    """What a change did to a file's rows: delete `removed` first, then put `added`.

    `freed` are the pieces that no longer hold anything; `grown` is the change of the bytes held.
    """

    removed: list[Extent]  # rows that went away or were cut, as they were
    added: list[Extent]
    freed: list[Extent]
    grown: int


NOTHING: Final = Changes([], [], [], 0)


class ExtentMap:
    """The extents of one file, sorted and never overlapping."""

    __slots__ = ("_extents", "_offsets")

    def __init__(self, extents: Iterable[Extent] = ()) -> None:
        self._extents = sorted(extents) if extents else []
        self._offsets = [extent.offset for extent in self._extents]

    def __iter__(self) -> Iterator[Extent]:
        return iter(self._extents)

    def __len__(self) -> int:
        return len(self._extents)

    def insert(self, extents: Iterable[Extent]) -> Changes:
        """Lay `extents` over what is there, in their order, and cut or free what they cover."""
        laid = list(extents)
        if len(laid) == 1 and not self._extents:  # a file's first flush: a third of the time below
            self._extents, self._offsets = laid, [laid[0].offset]
            return Changes([], laid[:], [], laid[0].length)
        removed: list[Extent] = []
        added: dict[int, Extent] = {}
        freed: list[Extent] = []
        grown = 0
        for extent in laid:
            self._lay(extent, removed, added, freed)
            grown += extent.length
        return Changes(removed, list(added.values()), freed, grown - _held(freed))

    def truncate(self, size: int) -> Changes:
        """Cut everything from byte `size` on."""
        return self.punch(size, max(size, self.end))

    def punch(self, start: int, end: int) -> Changes:
        """Make a hole of bytes `start` to `end`."""
        first = self._first_ending_after(start)
        last = bisect_left(self._offsets, end, first)
        covered = self._extents[first:last]
        if not covered:
            return NOTHING
        kept = []
        if covered[0].offset < start:
            kept.append(cut(covered[0], covered[0].offset, start))
        if end_of(covered[-1]) > end:
            kept.append(cut(covered[-1], end, end_of(covered[-1])))
        self._replace(first, last, kept)
        freed = [
            cut(extent, max(extent.offset, start), min(end_of(extent), end)) for extent in covered
        ]
        return Changes(covered, kept, freed, -_held(freed))

    @property
    def end(self) -> int:
        """The first byte behind all extents."""
        return end_of(self._extents[-1]) if self._extents else 0

    def data_from(self, offset: int) -> int | None:
        """Return the first byte from `offset` on that an extent holds; None if there is none."""
        index = self._first_ending_after(offset)
        return max(offset, self._offsets[index]) if index < len(self._extents) else None

    def hole_from(self, offset: int) -> int:
        """Return the first byte from `offset` on that no extent holds."""
        index = self._first_ending_after(offset)
        while index < len(self._extents) and self._offsets[index] <= offset:
            offset = end_of(self._extents[index])
            index += 1
        return offset

    def at(self, offset: int) -> Extent | None:
        """Return the extent that holds the byte at `offset`, whole; None for a hole."""
        index = self._first_ending_after(offset)
        if index < len(self._extents) and self._extents[index].offset <= offset:
            return self._extents[index]
        return None

    def pieces(self, offset: int, size: int) -> list[Extent | Hole]:
        """Return what makes up bytes `offset` to `offset + size`: extents cut to fit, and holes."""
        end = offset + size
        pieces: list[Extent | Hole] = []
        index = self._first_ending_after(offset)
        while offset < end:
            extent = self._extents[index] if index < len(self._extents) else None
            if extent is None or extent.offset >= end:
                pieces.append(Hole(offset, end - offset))
                break
            if extent.offset > offset:
                pieces.append(Hole(offset, extent.offset - offset))
            piece = cut(extent, max(extent.offset, offset), min(end_of(extent), end))
            pieces.append(piece)
            offset = end_of(piece)
            index += 1
        return pieces

    def holds(self, piece: Extent) -> bool:
        """Whether all bytes of `piece` are still what is at its place in the file."""
        return self.pieces(piece.offset, piece.length) == [piece]

    def _lay(
        self,
        extent: Extent,
        removed: list[Extent],
        added: dict[int, Extent],
        freed: list[Extent],
    ) -> None:
        start, end = extent.offset, end_of(extent)
        first = self._first_ending_after(start)
        last = bisect_left(self._offsets, end, first)
        laid = [extent]
        for covered in self._extents[first:last]:
            if covered.offset < start:
                laid.insert(0, cut(covered, covered.offset, start))
            if end_of(covered) > end:
                laid.append(cut(covered, end, end_of(covered)))
            freed.append(cut(covered, max(covered.offset, start), min(end_of(covered), end)))
            # A row that an earlier extent of this change added is not stored yet.
            if added.pop(covered.offset, None) is None:
                removed.append(covered)
        added.update((piece.offset, piece) for piece in laid)
        self._replace(first, last, laid)

    def _first_ending_after(self, offset: int) -> int:
        index = bisect_right(self._offsets, offset)
        if index and end_of(self._extents[index - 1]) > offset:
            index -= 1
        return index

    def _replace(self, first: int, last: int, extents: list[Extent]) -> None:
        self._extents[first:last] = extents
        self._offsets[first:last] = [extent.offset for extent in extents]


def end_of(extent: Extent) -> int:
    """Return the first byte of the file after `extent`."""
    return extent.offset + extent.length


def cut(extent: Extent, start: int, end: int) -> Extent:
    """Return the part of `extent` that holds file bytes `start` to `end`."""
    offset, length, segment, position, skip, frame_bytes, sums, inline = extent
    skipped = start - offset
    if not skipped and end - start == length:
        return extent
    return Extent(start, end - start, segment, position, skip + skipped, frame_bytes, sums, inline)


def _held(extents: Iterable[Extent]) -> int:
    return sum(extent.length for extent in extents)
