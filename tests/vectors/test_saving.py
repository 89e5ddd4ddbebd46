"""Shards come back from the disk, or are known to be damaged, and never serve what is not so."""

import contextlib
from random import Random
from typing import NamedTuple

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from tests.support.disks import CHANGES, FaultyDisk, PowerCut, SimulatedDisk
from tests.vectors.worlds import DIRECTORY, clustered, finished, load, settle, versions
from vexfs_fuse.errors import NoSpace
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors import schedule, upkeep
from vexfs_fuse.vectors.hits import Hits
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.saving import Saved, SaveFailed
from vexfs_fuse.vectors.shard_file import Keys
from vexfs_fuse.vectors.space import MAX_ROOM, Space
from vexfs_fuse.vectors.store import MANIFEST, damage, remove
from vexfs_fuse.vectors.upkeep import Built

DIMENSIONS = 12
COUNT = 300
VECTORS = clustered(COUNT, DIMENSIONS)

AnyDisk = SimulatedDisk | FaultyDisk


def empty_space(metric: Metric = Metric.COSINE) -> Space:
    return Space("default", DIMENSIONS, metric, tail_rows=64)


def set_all(space: Space, first: int = 1) -> None:
    """Set all vectors; inode = lsn."""
    for number, vector in enumerate(VECTORS, first):
        space.set(Inode(number), vector, Lsn(number))


def saved_space(disk: AnyDisk) -> Space:
    """Return a space of which all shards are on disk."""
    space = opened(disk)
    set_all(space)
    settle(space)
    return space


class Restored(NamedTuple):
    space: Space
    missing: int


def restored(disk: AnyDisk, state: Space, newest: int = 10_000) -> Restored:
    """Return a space after a mount: what `state` has, its vectors from disk or, missing, from there."""
    space = opened(disk, versions(state), newest=newest, metric=state.metric)
    missing = space.absent
    vectors = [
        state.vector(Inode(int(space.rows.inos[row])), int(space.rows.passages[row]))
        for row in missing
    ]
    if len(missing):
        space.fill(missing, np.array(vectors))
    assert len(space.absent) == 0
    return Restored(space, len(missing))


def opened(
    disk: AnyDisk,
    known: Keys | None = None,
    *,
    newest: int = 10_000,
    metric: Metric = Metric.COSINE,
) -> Space:
    """Return a space as far as it can be loaded from the disk."""
    space = empty_space(metric)
    if known is not None:
        space.open_rows(known)
    space.keep_in(disk, DIRECTORY, Lsn(newest), {})
    load(space)
    return space


def assert_same(first: Space, second: Space) -> None:
    for query in VECTORS[::29]:
        ours, theirs = (finished(space.search(query, 7, mode="exact")) for space in (first, second))
        assert ordered(ours) == ordered(theirs)


def ordered(hits: Hits) -> list[tuple[float, int]]:
    return sorted(zip(hits.scores.tolist(), hits.inos.tolist(), strict=True))


def test_a_mount_finds_the_shards_again() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    again, missing = restored(disk, space)
    assert again.problems == []
    assert missing == space.statistics()["tail"]
    assert again.statistics()["shards"] == space.statistics()["shards"]
    assert_same(space, again)
    hits = finished(again.search(VECTORS[3], 5, mode="ann"))
    assert hits.plan == "ann"
    assert hits.inos[0] == 4


def test_nothing_is_written_again_after_a_mount() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    again, _ = restored(disk, space)
    before = disk.counts.copy()
    assert settle(again) == []
    assert [name for name in CHANGES if disk.counts[name] != before[name]] == []


def test_what_changed_since_the_shards_were_saved_is_not_served_from_them() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    for ino in range(1, 100, 3):
        space.remove(Inode(ino))
        space.set(Inode(ino + 1), VECTORS[COUNT - ino], Lsn(2 * COUNT - ino + 1))
    again, _ = restored(disk, space)
    assert again.problems == []
    assert_same(space, again)


def test_what_changes_while_the_shards_are_read_is_not_served_from_them() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    again = empty_space()
    again.open_rows(versions(space))
    again.keep_in(disk, DIRECTORY, Lsn(10_000), {})
    ino = 1
    while (work := again.restoring()) is not None:
        read = work.work()
        for each in (space, again):
            each.remove(Inode(ino))
            each.set(Inode(ino + 1), VECTORS[COUNT - ino], Lsn(2_000 + ino))
            each.set(Inode(1_000 + ino), VECTORS[ino], Lsn(3_000 + ino))
        ino += 7
        work.resume(read)
    left = again.absent
    again.fill(left, VECTORS[again.rows.inos[left] - 1])
    assert ino > 8
    assert_same(space, again)


def test_vectors_that_were_set_again_before_loading_are_found_in_graphs() -> None:
    """As replaying the journal does."""
    disk = SimulatedDisk()
    space = saved_space(disk)
    again = empty_space()
    again.open_rows(versions(space))
    for ino in range(1, 50):
        again.set(Inode(ino), VECTORS[ino - 1], Lsn(ino))
    again.keep_in(disk, DIRECTORY, Lsn(10_000), {})
    load(again)
    assert again.statistics()["tail"] == 0
    left = again.absent
    again.fill(left, VECTORS[again.rows.inos[left] - 1])
    assert_same(space, again)


@given(st.data())
def test_any_flipped_bit_is_found_and_the_vectors_are_asked_for(data: st.DataObject) -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    name = data.draw(st.sampled_from(disk.names(DIRECTORY)))
    path = f"{DIRECTORY}/{name}"
    disk.flip_bit(path, data.draw(st.integers(0, 8 * len(disk.contents(path)) - 1)))
    assert [problem for problem in damage(disk, DIRECTORY) if problem.startswith(path)]
    again, _ = restored(disk, space)
    assert [problem for problem in again.problems if problem.startswith(path)]
    assert_same(space, again)
    settle(again)
    assert restored(disk, again).space.problems == []
    assert list(damage(disk, DIRECTORY)) == []


def test_damage_is_reported_once() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    disk.flip_bit(f"{DIRECTORY}/{disk.names(DIRECTORY)[0]}", 1_000)
    again, _ = restored(disk, space)
    assert again.problems
    settle(again)
    assert restored(disk, space).space.problems == []


def test_a_missing_shard_is_damage_a_missing_directory_is_not() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    shard = next(name for name in disk.names(DIRECTORY) if name.endswith(".shard"))
    disk.remove(f"{DIRECTORY}/{shard}")
    assert list(damage(disk, DIRECTORY)) != []
    assert restored(disk, space).space.problems != []
    remove(disk, DIRECTORY)
    assert not disk.exists(DIRECTORY)
    assert list(damage(disk, DIRECTORY)) == []
    again, missing = restored(disk, space)
    assert again.problems == []
    assert missing == COUNT
    settle(again)
    assert restored(disk, again).missing < COUNT


def test_files_of_another_revision_are_made_anew_without_a_word() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    path = f"{DIRECTORY}/{MANIFEST}"
    text = disk.contents(path).partition(b"\n")[2].replace(b'"revision": 1', b'"revision": 7')
    disk.remove(path)
    with contextlib.closing(disk.create(path)) as file:
        file.pwritev([xxhash.xxh3_64_hexdigest(text).encode() + b"\n" + text], 0)
    assert list(damage(disk, DIRECTORY)) == []
    again, missing = restored(disk, space)
    assert (again.problems, missing) == ([], COUNT)
    settle(again)
    assert restored(disk, again).missing < COUNT


def test_shards_with_records_that_the_journal_has_lost_are_not_believed() -> None:
    """Their numbers come again, for other vectors."""
    disk = SimulatedDisk()
    space = saved_space(disk)
    assert restored(disk, space, newest=COUNT).missing < COUNT
    assert restored(disk, space, newest=10).missing == COUNT


def test_only_what_is_durable_is_saved() -> None:
    disk = SimulatedDisk()
    space = opened(disk)
    set_all(space)
    while (work := space.due(idle=True, durable=Lsn(COUNT // 2))) is not None:
        work.resume(work.work())
    assert space.statistics()["shards"]
    assert not disk.exists(DIRECTORY)
    while (work := space.unsaved(Lsn(COUNT), MAX_ROOM)) is not None:
        work.resume(work.work())
    assert space.statistics()["saved"] == len(space.statistics()["shards"])


def test_a_large_shard_is_saved_before_others_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (schedule, upkeep):
        monkeypatch.setattr(module, "shard_rows_max", lambda dimensions: 128)
    disk = SimulatedDisk()
    space = opened(disk)
    set_all(space)
    while not space.statistics()["saved"]:
        work = space.due(idle=True)
        assert work is not None
        work.resume(work.work())
    told = space.statistics()
    assert told["waiting"] >= 64
    assert told["built"] == 1
    while not any(name.endswith(MANIFEST) for name in disk.names(DIRECTORY)):
        work = space.due(idle=True)
        assert work is not None
        work.resume(work.work())
    assert restored(disk, space).missing < COUNT


def test_no_shard_is_written_that_takes_most_of_the_room() -> None:
    disk = SimulatedDisk()
    space = opened(disk)
    set_all(space)
    while (work := space.due(idle=True, room_bytes=1_000)) is not None:
        work.resume(work.work())
    assert space.statistics()["saved"] == 0
    assert [event for event in settle(space) if isinstance(event, Saved)]


@given(st.integers(0, 60), st.integers(0, 2**32))
def test_a_power_cut_while_saving_leaves_whole_shards_or_none(after: int, seed: int) -> None:
    inner = SimulatedDisk()
    saved_space(inner)
    disk = FaultyDisk(inner)
    space = opened(disk)
    set_all(space)
    disk.cut_power(after=after)
    with contextlib.suppress(PowerCut):
        settle(space)
    again, _ = restored(inner.crash(Random(seed)), space)
    assert again.problems == []
    assert_same(space, again)


def test_a_full_disk_leaves_search_as_it_was_and_is_tried_again_with_the_next_shard() -> None:
    disk = FaultyDisk(SimulatedDisk())
    space = opened(disk)
    disk.fail("pwritev", NoSpace(), times=1)
    set_all(space)
    events = settle(space)
    assert [event for event in events if isinstance(event, SaveFailed)]
    assert not [event for event in events if isinstance(event, Saved)]
    assert finished(space.search(VECTORS[5], 3)).inos[0] == 6
    set_all(space, 1_000)
    assert [event for event in settle(space) if isinstance(event, Saved)]


def test_merged_shards_leave_no_files_behind() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    set_all(space, 1_000)
    settle(space)
    files = [name for name in disk.names(DIRECTORY) if name.endswith(".shard")]
    assert len(files) == len(space.statistics()["shards"])
    assert len(disk.names(DIRECTORY)) == len(files) + 1


def test_a_space_is_indexed_anew_when_asked_and_keeps_its_files_until_then() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    before = disk.names(DIRECTORY)
    space.reindex()
    assert space.statistics()["shards"] == []
    assert disk.names(DIRECTORY) == before
    assert finished(space.search(VECTORS[5], 3)).inos[0] == 6
    assert [event for event in settle(space) if isinstance(event, Built)]
    assert not set(before) & {*disk.names(DIRECTORY)} - {MANIFEST}
    assert restored(disk, space).missing == space.statistics()["tail"]


def test_the_effort_that_searches_came_to_is_kept() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    space.recall.resume(200)
    settle(space)
    assert restored(disk, space).space.recall.ef == 200


def test_shards_of_another_metric_are_left_alone() -> None:
    disk = SimulatedDisk()
    space = saved_space(disk)
    other = opened(disk, versions(space), metric=Metric.L2)
    assert len(other.absent) == COUNT
    assert "describes" in other.problems[0]


@pytest.mark.parametrize("metric", list(Metric))
def test_a_restored_graph_answers_as_before(metric: Metric) -> None:
    disk = SimulatedDisk()
    space = opened(disk, metric=metric)
    for number, vector in enumerate(VECTORS, 1):
        space.set(Inode(number), vector, Lsn(number), passage=number % 2)
    settle(space)
    again, missing = restored(disk, space)
    assert missing < COUNT
    for query in VECTORS[::17]:
        ours, theirs = (finished(each.search(query, 5, mode="ann")) for each in (space, again))
        assert ours.scores.tolist() == pytest.approx(theirs.scores.tolist(), abs=1e-6)
        assert ours.passages.tolist() == theirs.passages.tolist()
