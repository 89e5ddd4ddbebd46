"""Shards come back from the disk, or are known to be damaged, and never serve what is not so."""

import contextlib
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.disks import FaultyDisk, PowerCut, SimulatedDisk
from tests.vectors.worlds import clustered, finished, settle
from vexfs_fuse.errors import NoSpace
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors.hits import Hits
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.saving import Saved, SaveFailed
from vexfs_fuse.vectors.shard_file import Keys
from vexfs_fuse.vectors.space import Restored, Space

DIMENSIONS = 12
COUNT = 300
DIRECTORY = "vectors/default"
VECTORS = clustered(COUNT, DIMENSIONS)
NOBODY = Keys(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64))


def empty_space() -> Space:
    return Space("default", DIMENSIONS, Metric.COSINE, tail_rows=64)


def saved_space(disk: SimulatedDisk | FaultyDisk) -> Space:
    """Return a space of which all shards are on disk; inode = position + 1 = lsn."""
    space = empty_space()
    space.keep_in(disk, DIRECTORY, NOBODY)
    for position, vector in enumerate(VECTORS):
        space.set(Inode(position + 1), vector, Lsn(position + 1))
    settle(space)
    return space


def versions(space: Space) -> Keys:
    """Return what the volume's state would say of the space."""
    rows = np.flatnonzero(space.rows.live)
    return Keys(space.rows.inos[rows], space.rows.passages[rows], space.rows.lsns[rows])


def restored(disk: SimulatedDisk | FaultyDisk, current: Keys) -> tuple[Space, Restored]:
    """Return the space after a mount, with what was missing set again."""
    space = empty_space()
    found = space.keep_in(disk, DIRECTORY, current)
    for position in found.missing.tolist():
        ino, lsn = int(current.inos[position]), int(current.lsns[position])
        space.set(Inode(ino), VECTORS[(lsn - 1) % COUNT], Lsn(lsn))
    return space, found


def assert_same(first: Space, second: Space) -> None:
    for query in VECTORS[::29]:
        ours, theirs = (finished(space.search(query, 7, mode="exact")) for space in (first, second))
        assert ordered(ours) == ordered(theirs)


def ordered(hits: Hits) -> list[tuple[float, int]]:
    return sorted(zip(hits.scores.tolist(), hits.inos.tolist(), strict=True))


def test_a_mount_finds_the_shards_again() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    again, found = restored(disk, versions(space))
    assert found.problems == []
    assert len(found.missing) == space.statistics()["tail"]
    assert again.statistics()["shards"] == space.statistics()["shards"]
    assert_same(space, again)
    hits = finished(again.search(VECTORS[3], 5, mode="ann"))
    assert hits.plan == "ann"
    assert hits.inos[0] == 4


def test_what_changed_since_the_shards_were_saved_is_not_served_from_them() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    for ino in range(1, 100, 3):
        space.remove(Inode(ino))
        space.set(Inode(ino + 1), VECTORS[COUNT - ino], Lsn(2 * COUNT - ino + 1))
    again, found = restored(disk, versions(space))
    assert found.problems == []
    assert_same(space, again)


@given(st.data())
def test_any_flipped_bit_is_found_and_the_vectors_set_again(data: st.DataObject) -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    name = data.draw(st.sampled_from(disk.names(DIRECTORY)))
    path = f"{DIRECTORY}/{name}"
    disk.flip_bit(path, data.draw(st.integers(0, 8 * len(disk.contents(path)) - 1)))
    again, found = restored(disk, versions(space))
    assert [problem for problem in found.problems if problem.startswith(path)]
    assert_same(space, again)
    settle(again)
    assert restored(disk, versions(again))[1].problems == []


def test_damage_is_reported_once() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    disk.flip_bit(f"{DIRECTORY}/{disk.names(DIRECTORY)[0]}", 1_000)
    again = empty_space()
    assert again.keep_in(disk, DIRECTORY, versions(space)).problems
    settle(again)
    assert empty_space().keep_in(disk, DIRECTORY, versions(space)).problems == []


@given(st.integers(0, 60), st.integers(0, 2**32))
def test_a_power_cut_while_saving_leaves_whole_shards_or_none(after: int, seed: int) -> None:
    inner = SimulatedDisk()
    saved_space(inner)
    disk = FaultyDisk(inner)
    space = empty_space()
    space.keep_in(disk, DIRECTORY, NOBODY)
    for position, vector in enumerate(VECTORS):
        space.set(Inode(position + 1), vector, Lsn(position + 1))
    disk.cut_power(after=after)
    with contextlib.suppress(PowerCut):
        settle(space)
    again, found = restored(inner.crash(Random(seed)), versions(space))
    assert found.problems == []
    assert_same(space, again)


def test_a_full_disk_leaves_search_as_it_was_and_is_tried_again_with_the_next_shard() -> None:
    disk = FaultyDisk(SimulatedDisk())
    space = empty_space()
    space.keep_in(disk, DIRECTORY, NOBODY)
    disk.fail("pwritev", NoSpace(), times=1)
    for position, vector in enumerate(VECTORS):
        space.set(Inode(position + 1), vector, Lsn(position + 1))
    events = settle(space)
    assert [event for event in events if isinstance(event, SaveFailed)]
    assert not [event for event in events if isinstance(event, Saved)]
    assert finished(space.search(VECTORS[5], 3)).inos[0] == 6
    for position, vector in enumerate(VECTORS):
        space.set(Inode(1_000 + position), vector, Lsn(1_000 + position))
    assert [event for event in settle(space) if isinstance(event, Saved)]


def test_merged_shards_leave_no_files_behind() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    for position, vector in enumerate(VECTORS):
        space.set(Inode(1_000 + position), vector, Lsn(1_000 + position))
    settle(space)
    files = [name for name in disk.names(DIRECTORY) if name.endswith(".shard")]
    assert len(files) == len(space.statistics()["shards"])
    assert len(disk.names(DIRECTORY)) == len(files) + 1


def test_shards_of_another_metric_are_left_alone() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    other = Space("default", DIMENSIONS, Metric.L2, tail_rows=64)
    found = other.keep_in(disk, DIRECTORY, versions(space))
    assert len(found.missing) == COUNT
    assert "describes" in found.problems[0]


@pytest.mark.parametrize("metric", list(Metric))
def test_a_restored_graph_answers_as_before(metric: Metric) -> None:
    disk = SimulatedDisk()
    space = Space("default", DIMENSIONS, metric, tail_rows=64)
    space.keep_in(disk, DIRECTORY, NOBODY)
    for position, vector in enumerate(VECTORS):
        space.set(Inode(position + 1), vector, Lsn(position + 1), passage=position % 2)
    settle(space)
    again = Space("default", DIMENSIONS, metric, tail_rows=64)
    missing = again.keep_in(disk, DIRECTORY, versions(space)).missing
    for ino in versions(space).inos[missing].tolist():
        again.set(Inode(ino), VECTORS[ino - 1], Lsn(ino), passage=(ino - 1) % 2)
    for query in VECTORS[::17]:
        ours, theirs = (finished(each.search(query, 5, mode="ann")) for each in (space, again))
        assert ours.scores.tolist() == theirs.scores.tolist()
        assert ours.passages.tolist() == theirs.passages.tolist()
