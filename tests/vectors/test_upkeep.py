"""Graphs are built beside searches and changes, without anybody noticing."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.vectors.worlds import clustered, finished, settle
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors import shard
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.space import Space
from vexfs_fuse.vectors.upkeep import BuildFailed, Built

VECTORS = clustered(3_000, 24)
TAIL_ROWS = 256


def filled(count: int = len(VECTORS)) -> Space:
    space = Space("default", 24, Metric.COSINE, tail_rows=TAIL_ROWS)
    for position, vector in enumerate(VECTORS[:count]):
        space.set(Inode(position + 1), vector, Lsn(position + 1))
    return space


def answers(space: Space, mode: str = "auto") -> list[list[int]]:
    queries = VECTORS[:: len(VECTORS) // 40]
    return [finished(space.search(query, 5, mode=mode)).inos.tolist() for query in queries]


def test_answers_before_during_and_after_building_are_the_same() -> None:
    space = filled()
    before = answers(space)
    for _ in range(1_000):
        pending = space.due(idle=True)
        if pending is None:
            break
        outcome = pending.work()
        assert answers(space, "exact") == before
        pending.resume(outcome)
        assert answers(space, "exact") == before
    assert space.due(idle=True) is None
    same = sum(ours == theirs for ours, theirs in zip(answers(space, "ann"), before, strict=True))
    assert same >= 0.9 * len(before)


def test_building_in_a_thread_while_vectors_come_and_go_loses_none() -> None:
    space = filled(1_000)
    with ThreadPoolExecutor(1) as thread:
        pending = space.due(idle=False)
        future = None if pending is None else thread.submit(pending.work)
        for position in range(1_000, 3_000):
            space.set(Inode(position + 1), VECTORS[position], Lsn(position + 1))
            space.remove(Inode(position - 999))
            assert finished(space.search(VECTORS[position], 1)).inos[0] == position + 1
            if future is not None and pending is not None and future.done():
                pending.resume(future.result())
                pending = space.due(idle=False)
                future = None if pending is None else thread.submit(pending.work)
        if future is not None and pending is not None:
            pending.resume(future.result())
    settle(space)
    assert len(space) == 1_000
    hits = finished(space.search(VECTORS[2_500], 1_000))
    assert set(hits.inos.tolist()) == set(range(2_001, 3_001))


def test_what_waits_for_a_graph_comes_between_the_steps_of_a_merge() -> None:
    space = filled(4 * TAIL_ROWS)
    numbers = []
    for first in range(0, 8 * TAIL_ROWS, TAIL_ROWS):
        for position in range(first, first + TAIL_ROWS):
            space.set(Inode(position + 1), VECTORS[position], Lsn(10_000 + position))
        while (pending := space.due(idle=False)) is not None:
            event = pending.resume(pending.work())
            if isinstance(event, Built):
                numbers.append(event.reason)
                break
    assert "new vectors" in numbers
    assert space.statistics()["build_failures"] == 0


def test_a_build_that_fails_is_an_event_and_search_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    space = filled()
    with monkeypatch.context() as broken:
        broken.setattr("vexfs_fuse.vectors.construction.ShardBuilder", no_memory)
        events = settle(space)
    assert [type(event) for event in events] == [BuildFailed]
    assert finished(space.search(VECTORS[7], 1)).inos.tolist() == [8]
    for position in range(TAIL_ROWS):
        space.set(Inode(5_000 + position), VECTORS[position], Lsn(5_000 + position))
    assert [event for event in settle(space) if isinstance(event, Built)]


def test_vectors_of_nobody_take_no_memory() -> None:
    space = filled()
    settle(space)
    for ino in range(1, 3_001):
        space.remove(Inode(ino))
    settle(space)
    assert space.statistics()["shards"] == []
    assert finished(space.search(VECTORS[0], 5)).inos.tolist() == []
    assert finished(space.search(VECTORS[0], 5, mask=np.ones(3_000, bool))).candidates == 0


def test_a_tail_that_has_much_gets_a_graph_when_nobody_waits() -> None:
    space = filled(TAIL_ROWS + TAIL_ROWS // 2)
    settle(space, idle=False)
    assert space.statistics()["tail"] == TAIL_ROWS // 2
    before = answers(space, "exact")
    settle(space)
    assert space.statistics()["tail"] == 0
    assert answers(space, "exact") == before


def test_a_tail_that_has_little_stays_one() -> None:
    space = filled(TAIL_ROWS + TAIL_ROWS // 4 - 1)
    settle(space)
    assert space.statistics()["tail"] == TAIL_ROWS // 4 - 1


def test_a_large_shard_is_built_on_all_cores_when_nobody_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shard, "threads_to_build", lambda: 2)
    vectors = np.random.default_rng(0).normal(size=(700, 8)).astype(np.float32)
    for small_rows, step_rows in ((100, 128), (1_000, 64)):
        monkeypatch.setattr(shard, "SMALL_ROWS", small_rows)
        builder = shard.ShardBuilder(vectors, Metric.L2)
        builder.add_some()
        assert builder.count == 64
        while not builder.finished:
            before = builder.count
            builder.add_some(alone=True)
            assert builder.count == min(before + step_rows, len(vectors))
        built = builder.shard()
        for number in range(0, len(vectors), 50):
            answer = built.nearest(vectors[number], 1, 50)
            assert answer is not None
            assert answer[0].tolist() == [number]
