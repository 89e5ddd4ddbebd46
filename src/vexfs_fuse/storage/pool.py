"""The memory that file contents are cached in: one arena, cut into pages of three sizes.

The arena is taken once and never grows.  It consists of slabs of 1 MiB; a slab is one page, or is
carved on demand into pages of 64 KiB or 4 KiB, and is whole again when its last page is freed.
Pages are handed out as numbers, not as arrays, and the owner slices the one long-lived `view`:
`benchmarks/pool.py` tells the difference.  The pool does not know what a page holds, nor which page
should leave: that is the owner's, with `storage.sieve`.
"""

from typing import Final, NamedTuple, cast

import numpy as np

from vexfs_fuse.units import KIB, MIB, Slot

PAGE_BYTES: Final = (4 * KIB, 64 * KIB, MIB)
"""The sizes of a page: small files, random access, streams."""

SLAB_BYTES: Final = MIB
SLOT_SHIFT: Final = 12
"""A slot times 4 KiB is the page's place in `Pool.view`."""

_SLAB_SHIFT: Final = 8  # slots per slab, as a shift
_HUGE_PAGE_BYTES: Final = 2 * MIB


class PoolFull(Exception):
    """No page of this size is free: evict something, or wait until something is written.

    A signal to the owner of the pages, never a user's answer.
    """


class Counters:
    """What the owner of the pages counts, for one page size."""

    __slots__ = ("evictions", "fills", "hits", "misses")

    def __init__(self) -> None:
        self.hits = 0  # reads of a page that had the bytes
        self.misses = 0  # reads that had to fill one
        self.fills = 0  # those among them for which there were stored bytes, and not only holes
        self.evictions = 0


class SizeUse(NamedTuple):
    """How one page size uses the pool."""

    page_bytes: int
    slabs: int
    pages_used: int
    pages_free: int  # within carved slabs; a free slab belongs to no size
    hits: int
    misses: int
    fills: int
    evictions: int


class Pool:
    """Pages over one arena of a fixed size.

    A page has a reference count: 1 from `allocate`, one more for each `pin`.  Its memory is handed
    out again when both `free` and the last `unpin` have come, in whichever order; so a page may be
    given up while the writer thread still reads it.  All methods belong to the loop.

    Attributes
    ----------
    view
        The arena; `view[slot << SLOT_SHIFT:][:page_bytes]` is a page.
    counters
        By page size, for the owner to increment.
    slabs
        The number of slabs: the budget in MiB.
    pins
        The number of pins not yet undone.
    """

    def __init__(self, budget_bytes: int) -> None:
        """Reserve the arena; the machine's memory is touched as pages are used.

        Parameters
        ----------
        budget_bytes
            The most bytes of pages; rounded down to slabs, at least one.
        """
        self.slabs = max(1, budget_bytes // SLAB_BYTES)
        self._arena = _aligned_zeros(self.slabs * SLAB_BYTES)
        self.view = self._arena.data
        self.counters = {size: Counters() for size in PAGE_BYTES}
        self.pins = 0
        self._references = [0] * (self.slabs << _SLAB_SHIFT)
        # Lists of free slots: each slab's (a slab that is whole, or one page, has the list of all
        # whole ones); by size, that of the slab it allocates from, and those of its other slabs
        # that have room.  The current slab is kept even when idle: else a lone page that comes and
        # goes would carve it each time.
        self._whole = [Slot(slab << _SLAB_SHIFT) for slab in reversed(range(self.slabs))]
        self._free_slots = [self._whole] * self.slabs
        self._current: dict[int, list[Slot]] = {size: [] for size in PAGE_BYTES}
        self._current[SLAB_BYTES] = self._whole
        self._partial: dict[int, dict[int, list[Slot]]] = {size: {} for size in PAGE_BYTES}
        self._slab_page_bytes = [SLAB_BYTES] * self.slabs

    def allocate(self, page_bytes: int) -> Slot:
        """Take a page; its bytes are whatever was there before.

        Raises
        ------
        PoolFull
            When no page of this size is free.
        """
        free = self._current[page_bytes]
        slot = free.pop() if free else self._allocate_elsewhere(page_bytes)
        self._references[slot] = 1
        return slot

    def free(self, slot: Slot, page_bytes: int) -> None:
        """Give a page up; its memory is reused at once, or when the last pin goes."""
        references = self._references
        count = references[slot] - 1
        references[slot] = count
        if not count:
            free = self._free_slots[slot >> _SLAB_SHIFT]
            free.append(slot)
            if free is not self._current[page_bytes]:
                pages = len(free)
                if pages == 1 or pages == SLAB_BYTES // page_bytes:
                    self._sort_slab(slot >> _SLAB_SHIFT, page_bytes)
        elif count < 0:
            references[slot] = 0
            raise AssertionError(f"slot {slot} was freed twice")

    def pin(self, slot: Slot) -> None:
        """Keep a page's memory from being reused, until as many calls of `unpin`."""
        assert self._references[slot], "a free page cannot be pinned"
        self._references[slot] += 1
        self.pins += 1

    def unpin(self, slot: Slot) -> None:
        """Undo one `pin`."""
        self.pins -= 1
        self.free(slot, self._slab_page_bytes[slot >> _SLAB_SHIFT])

    def is_shared(self, slot: Slot) -> bool:
        """Whether the page is pinned: who changes its bytes must copy it first."""
        return self._references[slot] > 1

    def page(self, slot: Slot, page_bytes: int) -> memoryview:
        """Return a page's bytes, writable."""
        start = slot << SLOT_SHIFT
        return self.view[start : start + page_bytes]

    def statistics(self) -> list[SizeUse]:
        """Return the use by page size, smallest first; costs a walk over the slabs."""
        return [self._use(size) for size in PAGE_BYTES]

    @property
    def free_slabs(self) -> int:
        """Slabs that no page size holds."""
        return len(self._whole)

    def _allocate_elsewhere(self, page_bytes: int) -> Slot:
        """Take a page when the current slab has none."""
        partial = self._partial[page_bytes]
        if partial:
            # The youngest is the fullest, so that older ones may drain and return as whole slabs.
            free = partial.popitem()[1]
        else:
            if not self._whole and not self._uncarve_idle():
                raise PoolFull
            if page_bytes == SLAB_BYTES:
                return self._whole.pop()
            free = self._carve(self._whole.pop(), page_bytes)
        self._current[page_bytes] = free
        return free.pop()

    def _carve(self, first: Slot, page_bytes: int) -> list[Slot]:
        """Make a whole slab into pages; return the list of its free ones."""
        slab = first >> _SLAB_SHIFT
        step = page_bytes >> SLOT_SHIFT
        # Not Slot by Slot: a NewType is a call, and 256 of them would take 15 us.
        slots = range(first + (1 << _SLAB_SHIFT) - step, first - 1, -step)
        free = cast("list[Slot]", list(slots))
        self._free_slots[slab] = free
        self._slab_page_bytes[slab] = page_bytes
        return free

    def _sort_slab(self, slab: int, page_bytes: int) -> None:
        """Note that a slab, not a current one, has its first free page or no used one any more."""
        free = self._free_slots[slab]
        if len(free) == 1:
            self._partial[page_bytes][slab] = free
        else:
            del self._partial[page_bytes][slab]
            self._uncarve(slab)

    def _uncarve(self, slab: int) -> None:
        self._free_slots[slab] = self._whole
        self._slab_page_bytes[slab] = SLAB_BYTES
        self._whole.append(Slot(slab << _SLAB_SHIFT))

    def _uncarve_idle(self) -> bool:
        """Take back the current slabs of which no page is used; return whether there was one."""
        for size in PAGE_BYTES[:-1]:
            free = self._current[size]
            if len(free) == SLAB_BYTES // size:
                self._current[size] = []
                self._uncarve(free[0] >> _SLAB_SHIFT)
        return bool(self._whole)

    def _use(self, size: int) -> SizeUse:
        if size == SLAB_BYTES:
            slabs, free = self._slab_page_bytes.count(size) - len(self._whole), 0
        else:
            slabs = self._slab_page_bytes.count(size)
            free = len(self._current[size]) + sum(map(len, self._partial[size].values()))
        counted = self.counters[size]
        used = slabs * (SLAB_BYTES // size) - free
        return SizeUse(
            size,
            slabs,
            used,
            free,
            counted.hits,
            counted.misses,
            counted.fills,
            counted.evictions,
        )


def _aligned_zeros(size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return zeros that start on a huge page's boundary, so that a slab never straddles two."""
    raw = np.zeros(size + _HUGE_PAGE_BYTES, np.uint8)
    shift = -raw.ctypes.data % _HUGE_PAGE_BYTES
    return raw[shift : shift + size]
