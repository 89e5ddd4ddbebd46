"""The pool against a set of byte ranges: no two pages overlap, none is lost, nothing leaks."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from vexfs_fuse.storage.pool import PAGE_BYTES, SLAB_BYTES, SLOT_SHIFT, Pool, PoolFull
from vexfs_fuse.units import KIB, MIB, Slot

SMALL, MEDIUM, LARGE = PAGE_BYTES
SLABS = 3


class Pages(RuleBasedStateMachine):
    """Pages come, are pinned, and go in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(SLABS * MIB)
        self.sizes: dict[Slot, int] = {}  # of every page whose memory is not free
        self.owned: list[Slot] = []  # allocated and not freed
        self.pinned: list[Slot] = []  # one entry for each pin

    @rule(size=st.sampled_from(PAGE_BYTES), count=st.sampled_from([1, 5, 40]))
    def allocate(self, size: int, count: int) -> None:
        for _ in range(count):
            try:
                slot = self.pool.allocate(size)
            except PoolFull:
                assert self.free_pages_possible(size) == 0
                return
            assert slot not in self.sizes
            self.sizes[slot] = size
            self.owned.append(slot)

    def free_pages_possible(self, size: int) -> int:
        """Pages of this size that fit where no other page's slab is."""
        foreign = {slot >> 8 for slot, other in self.sizes.items() if other != size}
        taken = sum(1 for other in self.sizes.values() if other == size)
        return (SLABS - len(foreign)) * (SLAB_BYTES // size) - taken

    @precondition(lambda self: self.owned)
    @rule(data=st.data(), count=st.sampled_from([1, 5, 40]))
    def free(self, data: st.DataObject, count: int) -> None:
        for _ in range(min(count, len(self.owned))):
            index = data.draw(st.integers(0, len(self.owned) - 1))
            slot = self.owned.pop(index)
            self.pool.free(slot, self.sizes[slot])
            self.forget(slot)

    @precondition(lambda self: self.owned)
    @rule(data=st.data())
    def pin(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(self.owned))
        self.pool.pin(slot)
        self.pinned.append(slot)

    @precondition(lambda self: self.pinned)
    @rule(data=st.data())
    def unpin(self, data: st.DataObject) -> None:
        slot = self.pinned.pop(data.draw(st.integers(0, len(self.pinned) - 1)))
        self.pool.unpin(slot)
        self.forget(slot)

    def forget(self, slot: Slot) -> None:
        if slot not in self.owned and slot not in self.pinned:
            del self.sizes[slot]

    @invariant()
    def pages_never_overlap(self) -> None:
        end = 0
        for slot in sorted(self.sizes):
            assert slot << SLOT_SHIFT >= end
            end = (slot << SLOT_SHIFT) + self.sizes[slot]
        assert end <= len(self.pool.view)

    @invariant()
    def the_account_is_right(self) -> None:
        uses = {use.page_bytes: use for use in self.pool.statistics()}
        for size in PAGE_BYTES:
            assert uses[size].pages_used == list(self.sizes.values()).count(size)
            pages = uses[size].pages_used + uses[size].pages_free
            assert pages == uses[size].slabs * (SLAB_BYTES // size)
        assert sum(use.slabs for use in uses.values()) + self.pool.free_slabs == SLABS
        assert self.pool.pins == len(self.pinned)

    @invariant()
    def pinned_pages_are_shared(self) -> None:
        for slot in self.owned:
            assert self.pool.is_shared(slot) == (slot in self.pinned)

    def teardown(self) -> None:
        for slot in self.pinned:
            self.pool.unpin(slot)
        for slot in self.owned:
            self.pool.free(slot, self.sizes[slot])
        assert len([self.pool.allocate(LARGE) for _ in range(SLABS)]) == SLABS


TestPages = Pages.TestCase


@pytest.fixture
def pool() -> Pool:
    return Pool(2 * MIB)


def fill(pool: Pool, size: int) -> list[Slot]:
    return [pool.allocate(size) for _ in range(pool.slabs * SLAB_BYTES // size)]


@pytest.mark.parametrize("size", PAGE_BYTES)
def test_the_budget_is_used_up_and_not_exceeded(pool: Pool, size: int) -> None:
    fill(pool, size)
    for other in PAGE_BYTES:
        with pytest.raises(PoolFull):
            pool.allocate(other)


def test_a_page_holds_what_was_put_there_and_nothing_else_changes(pool: Pool) -> None:
    slots = [pool.allocate(SMALL) for _ in range(3)]
    for number, slot in enumerate(slots):
        pool.page(slot, SMALL)[:] = bytes([number + 1]) * SMALL
    assert [pool.page(slot, SMALL).tobytes() for slot in slots] == [
        bytes([number]) * SMALL for number in (1, 2, 3)
    ]


def test_a_pinned_page_is_not_handed_out_again_before_its_last_unpin(pool: Pool) -> None:
    slots = fill(pool, LARGE)
    pool.pin(slots[0])
    pool.pin(slots[0])
    pool.free(slots[0], LARGE)
    pool.unpin(slots[0])
    with pytest.raises(PoolFull):
        pool.allocate(LARGE)
    pool.unpin(slots[0])
    assert pool.allocate(LARGE) == slots[0]


def test_a_slab_that_has_emptied_serves_another_size(pool: Pool) -> None:
    for slot in fill(pool, SMALL):
        pool.free(slot, SMALL)
    assert len(fill(pool, LARGE)) == 2


def test_a_lone_page_that_comes_and_goes_keeps_its_slab(pool: Pool) -> None:
    first = pool.allocate(SMALL)
    pool.free(first, SMALL)
    assert pool.allocate(SMALL) == first
    assert pool.free_slabs == 1


def test_pages_are_taken_from_the_fuller_slab_so_that_the_other_can_drain(pool: Pool) -> None:
    slots = fill(pool, MEDIUM)
    older, younger = slots[:16], slots[16:]
    for slot in [*older[:15], younger[0]]:
        pool.free(slot, MEDIUM)
    assert pool.allocate(MEDIUM) == younger[0]
    pool.free(older[15], MEDIUM)
    assert pool.free_slabs == 1


def test_the_smallest_pool_has_one_slab() -> None:
    assert Pool(1).slabs == 1


def test_a_budget_is_rounded_down_to_slabs() -> None:
    assert len(Pool(3 * MIB - KIB).view) == 2 * MIB


@given(st.sampled_from(PAGE_BYTES))
def test_pages_start_at_multiples_of_their_size(size: int) -> None:
    pool = Pool(2 * MIB)
    assert all((slot << SLOT_SHIFT) % size == 0 for slot in fill(pool, size))


def freed_twice(pool: Pool, slot: Slot) -> None:
    pool.free(slot, SMALL)
    pool.free(slot, SMALL)


def pinned_when_free(pool: Pool, slot: Slot) -> None:
    pool.free(slot, SMALL)
    pool.pin(slot)


@pytest.mark.parametrize("misuse", [freed_twice, pinned_when_free])
def test_misuse_is_found_at_once(pool: Pool, misuse: Callable[[Pool, Slot], None]) -> None:
    with pytest.raises(AssertionError):
        misuse(pool, pool.allocate(SMALL))


def test_the_owners_counts_come_back_in_the_statistics(pool: Pool) -> None:
    pool.counters[SMALL].hits += 3
    pool.counters[SMALL].misses += 2
    pool.counters[SMALL].evictions += 1
    small = pool.statistics()[0]
    assert (small.hits, small.misses, small.evictions) == (3, 2, 1)
