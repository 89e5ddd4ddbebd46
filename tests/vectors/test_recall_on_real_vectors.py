"""Recall at the default effort, on vectors that came from a model and not from a random generator.

The quick run takes a part of each collection, the night all of it.
"""

import numpy as np
import pytest

from tests.support.disks import SimulatedDisk
from tests.vectors.real_vectors import Collection, Positions, collection
from tests.vectors.worlds import DIRECTORY, finished, load, settle, versions
from vexfs_fuse.units import GIB, Inode, Lsn
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.space import Space

QUERIES = 200
COUNT = 10
RECALL_MIN = 0.95
BUSY_EVERY = 5_000


@pytest.fixture(
    scope="module",
    params=[
        ("wordnet50k", 12_000),
        ("glove100k", 16_000),
        pytest.param(("wordnet50k", 50_000), marks=pytest.mark.night),
        pytest.param(("glove100k", 100_000), marks=pytest.mark.night),
    ],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def real(request: pytest.FixtureRequest) -> Collection:
    name, vectors_max = request.param
    return collection(name, vectors_max, QUERIES)


class World:
    """A space that holds some of the collection's vectors; inode = position + 1."""

    def __init__(self, real: Collection) -> None:
        self.real = real
        self.space = Space("default", real.base.shape[1], Metric.COSINE)
        self.lsn = 0

    @property
    def positions(self) -> Positions:
        rows = self.space.rows
        return np.sort(rows.inos[: rows.limit][rows.live[: rows.limit]]) - 1

    def set(self, positions: Positions) -> None:
        """Set vectors as a busy client does: background work runs between, never to its end."""
        for position in positions.tolist():
            self.lsn += 1
            self.space.set(Inode(position + 1), self.real.base[position], Lsn(self.lsn))
            if self.lsn % BUSY_EVERY == 0:
                settle(self.space, idle=False)

    def remove(self, positions: Positions) -> None:
        for position in positions.tolist():
            self.space.remove(Inode(position + 1))

    def recall(self, allowed: Positions | None = None) -> float:
        """Return recall@10; every search gives as many hits as there can be."""
        mask = None
        candidates = self.positions
        if allowed is not None:
            candidates = allowed
            mask = np.isin(self.space.rows.inos, allowed + 1) & self.space.rows.live
        truth = self.real.nearest(COUNT, candidates)
        found = 0
        for query, nearest in zip(self.real.queries, truth, strict=True):
            hits = finished(self.space.search(query, COUNT, mask=mask))
            assert len(hits.inos) >= COUNT
            found += len(set((hits.inos[:COUNT] - 1).tolist()) & set(nearest.tolist()))
        return found / COUNT / QUERIES


@pytest.fixture
def world(real: Collection) -> World:
    return World(real)


def everything(real: Collection) -> Positions:
    return np.arange(len(real.base))


def chosen(real: Collection, share: float) -> Positions:
    rng = np.random.default_rng(1)
    return np.flatnonzero(rng.random(len(real.base)) < share)


def test_recall_holds_while_vectors_come_and_after_merging(world: World) -> None:
    world.set(everything(world.real))
    assert world.recall() >= RECALL_MIN
    while (pending := world.space.due(idle=True)) is not None:
        outcome = pending.work()
        world.space.search(world.real.queries[0], COUNT)
        pending.resume(outcome)
    told = world.space.statistics()
    assert max(told["shards"]) > 0.8 * told["vectors"]
    assert world.recall() >= RECALL_MIN


def test_recall_holds_under_filters_of_any_selectivity(world: World) -> None:
    world.set(everything(world.real))
    settle(world.space)
    for share in (0.002, 0.01, 0.1, 0.5):
        assert world.recall(chosen(world.real, share)) >= RECALL_MIN


def test_recall_holds_when_a_filter_allows_only_what_is_far(world: World) -> None:
    world.set(everything(world.real))
    scores = world.real.base @ world.real.queries[0]
    far = np.sort(np.argsort(scores)[: len(scores) // 2])
    assert world.recall(far) >= RECALL_MIN


def test_recall_holds_after_half_has_been_deleted(world: World) -> None:
    world.set(everything(world.real))
    settle(world.space, idle=False)
    world.remove(everything(world.real)[::2])
    assert world.recall() >= RECALL_MIN
    settle(world.space)
    assert world.space.statistics()["dead"] < world.space.parts.tail_rows
    assert world.recall() >= RECALL_MIN


def test_recall_holds_after_half_has_been_updated(world: World) -> None:
    world.set(everything(world.real))
    world.set(everything(world.real)[::2])
    assert world.recall() >= RECALL_MIN


def kept(world: World) -> SimulatedDisk:
    """Give the space a directory; what is built from now on is saved."""
    disk = SimulatedDisk(4 * GIB)
    world.space.keep_in(disk, DIRECTORY, Lsn(0), {})
    load(world.space)
    return disk


def restarted(world: World, disk: SimulatedDisk) -> World:
    """Return the world after a mount: graphs from the disk, what they lack from the vectors."""
    again = World(world.real)
    again.lsn = world.lsn
    again.space.open_rows(versions(world.space))
    again.space.keep_in(disk, DIRECTORY, Lsn(world.lsn), {})
    load(again.space)
    missing = again.space.absent
    assert len(missing) < len(again.space)
    if len(missing):
        again.space.fill(missing, world.real.base[again.space.rows.inos[missing] - 1])
    return again


def test_recall_holds_after_a_restart(world: World) -> None:
    disk = kept(world)
    world.set(everything(world.real))
    settle(world.space)
    again = restarted(world, disk)
    assert again.recall() >= RECALL_MIN
    for share in (0.01, 0.3):
        assert again.recall(chosen(world.real, share)) >= RECALL_MIN


def test_recall_holds_after_a_restart_that_follows_half_of_deletions(world: World) -> None:
    disk = kept(world)
    world.set(everything(world.real))
    settle(world.space)
    world.remove(everything(world.real)[::2])
    again = restarted(world, disk)  # killed before anything was built or saved again
    assert again.recall() >= RECALL_MIN
    settle(again.space)
    assert restarted(again, disk).recall() >= RECALL_MIN


def test_recall_holds_after_a_restart_that_follows_half_of_updates(world: World) -> None:
    disk = kept(world)
    world.set(everything(world.real))
    settle(world.space)
    world.set(everything(world.real)[::2])
    again = restarted(world, disk)
    assert again.recall() >= RECALL_MIN
    settle(again.space)
    assert restarted(again, disk).recall() >= RECALL_MIN


@pytest.mark.night
def test_recall_holds_after_every_vector_has_been_set_ten_times(world: World) -> None:
    rng = np.random.default_rng(2)
    disk = kept(world)
    world.set(everything(world.real))
    for _ in range(9):
        world.set(rng.permutation(everything(world.real)))
    assert world.recall() >= RECALL_MIN
    settle(world.space)
    assert restarted(world, disk).recall() >= RECALL_MIN
    statistics = world.space.statistics()
    vectors_bytes = world.real.base.nbytes
    assert statistics["vectors"] == len(world.real.base)
    assert statistics["bytes"] < 4 * vectors_bytes
