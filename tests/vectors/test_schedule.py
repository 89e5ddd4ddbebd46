"""Which parts become one shard, and when."""

from hypothesis import given
from hypothesis import strategies as st

from vexfs_fuse.vectors.schedule import FAN, NEW_VECTORS, SHARDS_MAX, Size, next_work

UNIT = 100
LIMIT = 10_000


def parts(*live: int, indexed: bool = True) -> list[Size]:
    return [Size(number, rows, rows, indexed) for number, rows in enumerate(live)]


def test_all_that_waits_is_built_together() -> None:
    work = next_work(parts(100, 100, 100, indexed=False), UNIT, LIMIT, idle=False)
    assert work == ((0, 1, 2), NEW_VECTORS)


def test_what_waits_comes_before_merging() -> None:
    waiting = Size(9, 100, 100, False)
    work = next_work([*parts(100, 100, 100, 100), waiting], UNIT, LIMIT, idle=False)
    assert work == ((9,), NEW_VECTORS)


def test_merging_comes_first_when_there_are_too_many_shards() -> None:
    waiting = Size(99, 100, 100, False)
    shards = parts(*[100] * (SHARDS_MAX + 1))
    work = next_work([*shards, waiting], UNIT, LIMIT, idle=False)
    assert work is not None
    assert work.reason == "merge"


def test_large_shards_that_cannot_be_merged_do_not_hold_up_what_waits() -> None:
    shards = parts(*[LIMIT * 9 // 10] * (2 * SHARDS_MAX), *[100] * 4)
    waiting = Size(99, 100, 100, False)
    work = next_work([*shards, waiting], UNIT, LIMIT, idle=False)
    assert work == ((99,), NEW_VECTORS)


def test_a_shard_with_many_dead_vectors_is_rebuilt() -> None:
    work = next_work([Size(0, 1_000, 690, True)], UNIT, LIMIT, idle=False)
    assert work == ((0,), "dead vectors")
    assert next_work([Size(0, 1_000, 710, True)], UNIT, LIMIT, idle=False) is None


def test_a_few_shards_are_merged_when_nobody_waits() -> None:
    assert next_work(parts(1_600, 400), UNIT, LIMIT, idle=False) is None
    assert next_work(parts(1_600, 400), UNIT, LIMIT, idle=True) == ((1, 0), "idle")
    assert next_work(parts(1_600, 100), UNIT, LIMIT, idle=True) is None


@given(st.lists(st.integers(1, LIMIT), max_size=40), st.booleans())
def test_merging_ends_with_few_shards_none_beyond_the_limit(live: list[int], idle: bool) -> None:
    sizes = parts(*live)
    number = len(sizes)
    for _ in range(len(live) + 1):
        work = next_work(sizes, UNIT, LIMIT, idle=idle)
        if work is None:
            break
        merged = sum(size.live for size in sizes if size.number in work.numbers)
        assert merged <= LIMIT
        sizes = [size for size in sizes if size.number not in work.numbers]
        sizes.append(Size(number, merged, merged, True))
        number += 1
    assert next_work(sizes, UNIT, LIMIT, idle=idle) is None
    small = [size for size in sizes if size.live <= LIMIT // FAN]
    assert len(small) <= (FAN - 1) * 5


def test_steady_growth_builds_each_vector_a_few_times_only() -> None:
    sizes: list[Size] = []
    built = 0
    for number in range(0, 640, 2):
        sizes.append(Size(number, UNIT, UNIT, False))
        while (work := next_work(sizes, UNIT, 100 * LIMIT, idle=False)) is not None:
            rows = sum(size.live for size in sizes if size.number in work.numbers)
            sizes = [size for size in sizes if size.number not in work.numbers]
            sizes.append(Size(number + 1 + 1_000 * built, rows, rows, True))
            built += rows
    assert built <= 6 * 320 * UNIT
    assert len(sizes) <= 5 * (FAN - 1)
