"""Which pages a file has: how they are taken, outgrown, copied, evicted and dropped.

A page is in the sieve, and so may leave, exactly when it is clean, not queued to the writer and not
claimed by the operation that runs now.
"""

from collections.abc import Callable
from typing import Final

from vexfs_fuse.storage.pool import PAGE_BYTES, Pool, PoolFull
from vexfs_fuse.storage.sieve import Sieve
from vexfs_fuse.units import KIB, Slot
from vexfs_fuse.volume import runs
from vexfs_fuse.volume.content import Content, Page

SMALL, UNIT, STREAM = PAGE_BYTES
UNIT_SHIFT: Final = UNIT.bit_length() - 1
STREAM_BYTES_MIN: Final = 512 * KIB
"""A request of this size at the border of a MiB gets a stream page, whatever came before."""

_SLAB_SLOTS: Final = STREAM // SMALL
_STREAM_EVICTIONS_MAX: Final = 4
"""How many victims, each with its neighbours, may go for one stream page."""


class PageTable:
    """The pages of all files.

    Parameters
    ----------
    emptied
        Called with a content whose last page was evicted.
    """

    def __init__(self, pool: Pool, emptied: Callable[[Content], None]) -> None:
        self.pool = pool
        self.view = pool.view
        self.sieve: Sieve[Page] = Sieve()
        self.touch = self.sieve.touch
        self._emptied = emptied
        self._resident: dict[Slot, Page] = {}

    def claim(
        self, content: Content, offset: int, end: int, file_bytes: int, *, writing: bool
    ) -> list[Page]:
        """Return pages over bytes `offset` to `end`, to be filled now; then call `give_back`.

        Nothing can evict them meanwhile.  No byte is queued in them that may be filled: of the range
        when `writing`, else those that were cut off.

        Raises
        ------
        PoolFull
            When there is not enough that may leave; no page is claimed then.
        """
        claimed: list[Page] = []
        position = offset
        try:
            while position < end:
                page = content.pages.get(position >> UNIT_SHIFT)
                if page is None:
                    streaming = position > offset or self._follows(content, position)
                    page = self._add(content, position, end, file_bytes, writing, streaming)
                    claimed.append(page)
                else:
                    self.sieve.remove(page)
                    claimed.append(page)
                    if end > page.end and page.page_bytes == SMALL:
                        page = claimed[-1] = self._copy(page, UNIT)
                    elif page.queued and (
                        runs.overlaps(page.queued, position, end)
                        if writing
                        else _gap_is_queued(page)
                    ):
                        page = claimed[-1] = self._copy(page, page.page_bytes)
                position = page.end
        except PoolFull:
            self.give_back(claimed)
            raise
        return claimed

    def give_back(self, pages: list[Page]) -> None:
        """End a claim: what is clean may leave from now on, what stayed empty is dropped."""
        for page in pages:
            if not page.valid:
                self.drop(page)
            elif not page.dirty and page.queued is None:
                self.sieve.insert(page)

    def use(self, content: Content, offset: int, end: int) -> None:
        """Note that the pages over bytes `offset` to `end` were read."""
        for unit in range(offset >> UNIT_SHIFT, ((end - 1) >> UNIT_SHIFT) + 1):
            page = content.pages.get(unit)
            if page is not None:
                self.touch(page)
                page.counters.hits += 1

    def pin(self, page: Page, start: int, end: int) -> None:
        """Keep the bytes `start` to `end` of the page as they are, for the writer thread."""
        self.pool.pin(page.slot)
        self.sieve.remove(page)
        if page.queued is None:
            page.queued = []
        runs.cover(page.queued, start, end)

    def unpin(self, page: Page, start: int, end: int) -> None:
        """Undo a `pin` of the same bytes."""
        self.pool.unpin(page.slot)
        queued = page.queued
        assert queued is not None
        runs.uncover(queued, start, end)
        if not queued:
            page.queued = None
            self._may_leave(page)

    def clean(self, page: Page) -> None:
        """Note that nothing of the page is dirty any more."""
        page.dirty = False
        self._may_leave(page)

    def cut(self, content: Content, start: int, end: int) -> None:
        """Forget bytes `start` to `end`; `Content.dirty` is cut already."""
        first, last = start >> UNIT_SHIFT, end >> UNIT_SHIFT
        for page in {page for unit, page in content.pages.items() if first <= unit <= last}:
            since, until = max(start, page.start), min(end, page.end)
            if since >= until:
                continue
            runs.uncover(page.valid, since, until)
            if not page.valid:
                self.drop(page)
            elif page.dirty and not runs.overlaps(content.dirty, page.start, page.end):
                self.clean(page)

    def drop_all(self, content: Content) -> None:
        """Forget all pages of a file, dirty or not."""
        for page in set(content.pages.values()):
            self.drop(page)

    def drop(self, page: Page) -> None:
        """Forget a page; its memory goes back when the writer thread has read it."""
        content = page.content
        assert content is not None
        for unit in range(page.start >> UNIT_SHIFT, ((page.end - 1) >> UNIT_SHIFT) + 1):
            del content.pages[unit]
        page.content = None
        self.sieve.remove(page)
        del self._resident[page.slot]
        self.pool.free(page.slot, page.page_bytes)

    def _may_leave(self, page: Page) -> None:
        if page.content is not None and not page.dirty and page.queued is None:
            self.sieve.insert(page)

    def _follows(self, content: Content, position: int) -> bool:
        """Whether the byte before `position` is here, as it is when somebody reads or writes on."""
        page = content.pages.get((position - 1) >> UNIT_SHIFT)
        return page is not None and page.valid[-1] == position

    def _add(
        self,
        content: Content,
        position: int,
        end: int,
        file_bytes: int,
        writing: bool,
        streaming: bool,
    ) -> Page:
        if file_bytes <= SMALL:
            return self._install(content, 0, SMALL, self._allocate(SMALL))
        if position % STREAM == 0 and (streaming or end - position >= STREAM_BYTES_MIN):
            worth = writing or file_bytes - position >= STREAM_BYTES_MIN
            slot = self._allocate_stream(content, position) if worth else None
            if slot is not None:
                return self._install(content, position, STREAM, slot)
        return self._install(content, position & -UNIT, UNIT, self._allocate(UNIT))

    def _install(self, content: Content, start: int, page_bytes: int, slot: Slot) -> Page:
        page = Page(content, start, page_bytes, slot, self.pool.counters[page_bytes])
        self._resident[slot] = page
        for unit in range(start >> UNIT_SHIFT, ((page.end - 1) >> UNIT_SHIFT) + 1):
            content.pages[unit] = page
        return page

    def _copy(self, page: Page, page_bytes: int) -> Page:
        """Put a page of `page_bytes` with the same bytes in the place of a claimed one."""
        content = page.content
        assert content is not None
        slot = self._allocate(page_bytes)
        valid, dirty = page.valid, page.dirty
        source = page.base
        self.drop(page)
        copy = self._install(content, page.start, page_bytes, slot)
        copy.valid, copy.dirty = valid, dirty
        for start, end in runs.parts(valid, page.start, page.end):
            self.view[copy.base + start : copy.base + end] = self.view[
                source + start : source + end
            ]
        return copy

    def _allocate(self, page_bytes: int) -> Slot:
        while True:
            try:
                return self.pool.allocate(page_bytes)
            except PoolFull:
                if not self._evict(page_bytes):
                    raise

    def _allocate_stream(self, content: Content, start: int) -> Slot | None:
        units = range(start >> UNIT_SHIFT, (start + STREAM) >> UNIT_SHIFT)
        if any(unit in content.pages for unit in units):
            return None
        for _ in range(_STREAM_EVICTIONS_MAX + 1):
            try:
                return self.pool.allocate(STREAM)
            except PoolFull:
                if not self._evict(STREAM):
                    break
        return None

    def _evict(self, page_bytes: int) -> bool:
        """Let the least used page go; where a larger one is wanted, its neighbours too."""
        page = self.sieve.evict()
        if page is None:
            return False
        leaving = [page]
        if page.page_bytes < page_bytes:
            first = page.slot - page.slot % _SLAB_SLOTS
            slots = map(Slot, range(first, first + _SLAB_SLOTS))
            neighbours = [self._resident[slot] for slot in slots if slot in self._resident]
            leaving += [neighbour for neighbour in neighbours if neighbour in self.sieve]
        for each in leaving:
            content = each.content
            assert content is not None
            each.counters.evictions += 1
            self.drop(each)
            if not content.pages:
                self._emptied(content)
        return True


def _gap_is_queued(page: Page) -> bool:
    """Whether the writer thread has yet to read bytes that the file has no more."""
    queued = page.queued or []
    gaps = runs.gaps(page.valid, page.start, page.end)
    return any(runs.overlaps(queued, start, end) for start, end in gaps)
