"""Derived files of a store: saved when there is time, told of when damaged, in nobody's way."""

import dataclasses
import logging
import stat
import threading
from collections.abc import Iterator
from itertools import chain, repeat
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from tests.support.stores import ROOT_USER, Mounted, SimulatedStore
from tests.vectors.worlds import finished
from vexfs_fuse.errors import NotFound
from vexfs_fuse.pending import Pending
from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.vectors import schedule
from vexfs_fuse.vectors.hits import Hits
from vexfs_fuse.vectors.space import Space
from vexfs_fuse.volume import search, vector_indexes
from vexfs_fuse.volume.catalogue import Identity
from vexfs_fuse.volume.check import check
from vexfs_fuse.volume.hits import Outcome
from vexfs_fuse.volume.query import Query

COUNT = 40
DIM = 4
VECTORS = np.random.default_rng(0).normal(size=(2 * COUNT, DIM)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few vectors make a graph."""
    monkeypatch.setattr(schedule, "tail_rows", lambda dimensions: 8)


@pytest.fixture
def store() -> Iterator[SimulatedStore]:
    store = SimulatedStore()
    yield store
    store.remove()


def inodes(mounted: Mounted) -> list[Inode]:
    return [Inode(ino) for _, ino in mounted.entries(ROOT)]


def populate(mounted: Mounted, first: int = 0, end: int = COUNT) -> None:
    for number in range(first, end):
        name = b"%d" % number
        ino = mounted.vfs.mknod(ROOT, name, stat.S_IFREG | 0o644, 0, ROOT_USER).ino
        mounted.vfs.setxattr(ino, b"user.vexfs.vector", VECTORS[number].tobytes(), ROOT_USER)


def settle(store: SimulatedStore, mounted: Mounted) -> None:
    """Commit, build and save everything."""
    store.clock.advance(11)
    mounted.sync()
    for _ in range(4):
        mounted.maintain()


def saved(store: SimulatedStore) -> None:
    """Leave a store at rest whose one space is on disk."""
    mounted = store.open()
    populate(mounted)
    settle(store, mounted)
    mounted.close()


def space(mounted: Mounted) -> Space:
    return mounted.volume.applier.vectors.spaces["default"]


def status(mounted: Mounted) -> dict[str, object]:
    found: dict[str, object] = mounted.volume.status()["spaces"][0]
    return found


def load(mounted: Mounted) -> None:
    for step in mounted.volume.indexes.load():
        if step is not None:
            step.resume(step.work())


def nearest(mounted: Mounted, number: int) -> int:
    """Return the inode that a search finds first."""
    load(mounted)
    answer: Hits | Pending[Hits] = space(mounted).search(VECTORS[number], 3)
    return int(finished(answer).inos[0])


def test_a_mount_takes_graphs_from_the_disk_and_builds_none(store: SimulatedStore) -> None:
    saved(store)
    mounted = store.open()
    assert status(mounted)["loading"] == "0%"
    mounted.maintain()
    told = status(mounted)
    assert told["loading"] is None
    assert told["shards"] == told["saved"] == 1
    assert told["built"] == 0
    assert nearest(mounted, 5) == inodes(mounted)[5]
    assert check(mounted.volume) == []
    mounted.close()


def test_what_was_built_last_is_saved_at_unmount(store: SimulatedStore) -> None:
    mounted = store.open()
    populate(mounted)
    while (work := space_due(mounted, idle=False)) is not None:
        work.resume(work.work())
    assert status(mounted)["saved"] == 0
    load(mounted)
    mounted.close()
    again = store.open()
    load(again)
    assert again.volume.status()["spaces"][0]["saved"] == 1
    again.close()


def space_due(mounted: Mounted, *, idle: bool) -> Pending | None:
    return space(mounted).due(idle=idle)


def test_what_was_saved_when_unmounting_took_too_long_is_believed(store: SimulatedStore) -> None:
    mounted = store.open()
    for first in (0, COUNT // 2):
        populate(mounted, first, first + COUNT // 2)
        load(mounted)
        while (work := space_due(mounted, idle=False)) is not None:
            work.resume(work.work())
    assert status(mounted)["shards"] == 2
    mounted.volume.commit_all()
    ticks = chain([0.0, 0.0], repeat(vector_indexes.CLOSING_S + 1))
    mounted.volume.indexes.save(lambda: next(ticks))
    assert status(mounted)["saved"] == 1
    store.kill(mounted)
    again = store.open()
    load(again)
    assert status(again)["shards"] == 1
    assert nearest(again, 5) == inodes(again)[5]
    again.close()


def test_saving_at_unmount_ends(store: SimulatedStore) -> None:
    mounted = store.open()
    populate(mounted)
    load(mounted)
    while (work := space_due(mounted, idle=False)) is not None:
        work.resume(work.work())
    ticks = chain([0.0], repeat(vector_indexes.CLOSING_S + 1))
    mounted.volume.commit_all()
    mounted.volume.indexes.save(lambda: next(ticks))
    assert status(mounted)["saved"] == 0
    mounted.close()


def test_membership_and_vectors_are_known_before_anything_is_loaded(store: SimulatedStore) -> None:
    saved(store)
    mounted = store.open()
    ino = inodes(mounted)[7]
    assert mounted.vfs.getxattr(ino, b"user.vexfs.vector", ROOT_USER) == VECTORS[7].tobytes()
    assert b"user.vexfs.vector" in mounted.vfs.listxattr(ino, ROOT_USER)
    assert len(space(mounted)) == COUNT
    assert check(mounted.volume) == []
    mounted.close()


def test_what_is_set_and_removed_before_loading_counts(store: SimulatedStore) -> None:
    saved(store)
    mounted = store.open()
    inos = inodes(mounted)
    mounted.vfs.setxattr(inos[3], b"user.vexfs.vector", VECTORS[COUNT].tobytes(), ROOT_USER)
    mounted.vfs.removexattr(inos[4], b"user.vexfs.vector", ROOT_USER)
    assert nearest(mounted, COUNT) == inos[3]
    assert inos[4] not in space(mounted)
    assert check(mounted.volume) == []
    mounted.close()


def outcome(answer: Any) -> Outcome:
    """Return what a search comes to, however long it takes."""
    while isinstance(answer, Pending):
        answer = answer.resume(answer.work())
    assert isinstance(answer, Outcome)
    return answer


def test_the_first_search_after_a_mount_looks_at_few_files(
    store: SimulatedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(store)
    monkeypatch.setattr(search, "UNKNOWN_ROWS_MIN", COUNT - 2)
    monkeypatch.setattr(search, "SPARE", 2)
    mounted = store.open()
    load(mounted)
    everyone = Identity(0, frozenset())
    asked = mounted.volume.search
    query, target = Query(k=3), asked.target(VECTORS[7], "default", None)
    plain = outcome(asked.nearest(query, target, ROOT, everyone))
    assert not mounted.volume.search.is_surveyed("default")
    before = asked.generation
    mounted.vfs.unlink(ROOT, b"%d" % (COUNT - 1), ROOT_USER)
    mounted.vfs.unlink(ROOT, b"7", ROOT_USER)
    assert asked.generation > before
    list(mounted.volume.names.purge())  # lets go of what has no name
    plain = outcome(asked.nearest(query, target, ROOT, everyone))
    assert not mounted.volume.search.is_surveyed("default")
    among_all = outcome(asked.nearest(query._replace(names=(b"*",)), target, ROOT, everyone))
    assert mounted.volume.search.is_surveyed("default")
    assert plain.hits == among_all.hits
    assert plain.candidates == among_all.candidates == COUNT - 2
    check(mounted.volume)
    mounted.close()


def test_two_may_load_at_once(store: SimulatedStore) -> None:
    """One of them goes away with a piece that he has worked, the other with one that he has not."""
    saved(store)
    mounted = store.open()
    loading = mounted.volume.applier.vectors.loadings["default"]
    first, second = loading.steps(), loading.steps()
    ours, theirs = next(first), next(second)
    assert ours is not None
    assert theirs is not None
    ours.work()  # never resumed
    theirs.resume(theirs.work())
    next(second)  # never worked
    assert nearest(mounted, 5) == inodes(mounted)[5]
    assert check(mounted.volume) == []
    mounted.close()


def test_background_work_does_not_wait_for_what_a_search_loads(store: SimulatedStore) -> None:
    saved(store)
    mounted = store.open()
    loading = mounted.volume.applier.vectors.loadings["default"]
    searching = next(loading.steps())
    assert searching is not None
    entered, go_on = threading.Event(), threading.Event()

    def slow_names(directory: str) -> list[str]:
        entered.set()
        go_on.wait(10)
        return []

    disk: Any = mounted.volume.disk  # counts what passes, and has the other one inside
    with patch.object(disk.disk, "names", slow_names):
        thread = threading.Thread(target=searching.work)
        thread.start()
        assert entered.wait(10)
        assert loading.is_worked_on
        assert list(mounted.volume.indexes.load()) == []
        go_on.set()
        thread.join()
    assert nearest(mounted, 5) == inodes(mounted)[5]
    mounted.close()


def test_damage_is_warned_of_once_and_made_good(
    store: SimulatedStore, caplog: pytest.LogCaptureFixture
) -> None:
    saved(store)
    store.disk.flip_bit("vectors/1/1.shard", 5_000)
    [problem] = vector_indexes.damage(store.disk)
    assert problem == "vectors/1/1.shard: does not match its checksum"
    mounted = store.open()
    assert nearest(mounted, 5) == inodes(mounted)[5]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "vectors/1/1.shard" in caplog.text
    settle(store, mounted)
    assert check(mounted.volume) == []
    mounted.close()
    assert vector_indexes.damage(store.disk) == []
    caplog.clear()
    mounted = store.open()
    load(mounted)
    assert status(mounted)["saved"] == 1
    assert caplog.records == []
    mounted.close()


def test_missing_files_are_made_anew_without_a_warning(
    store: SimulatedStore, caplog: pytest.LogCaptureFixture
) -> None:
    saved(store)
    vector_indexes.remove(store.disk)
    mounted = store.open()
    assert nearest(mounted, 5) == inodes(mounted)[5]
    settle(store, mounted)
    assert status(mounted)["saved"] == 1
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
    mounted.close()


def test_a_vector_whose_row_is_damaged_is_told_of_and_left_out(
    store: SimulatedStore, caplog: pytest.LogCaptureFixture
) -> None:
    saved(store)
    vector_indexes.remove(store.disk)
    mounted = store.open()
    mounted.volume.view._database.writer.execute(
        "UPDATE vectors SET stale = 1 WHERE ino = ?", (inodes(mounted)[6],)
    )
    mounted.volume.view._database.refresh()
    load(mounted)
    assert len(space(mounted)) == COUNT - 1
    assert "1 vectors cannot be read" in caplog.text
    mounted.volume.view.close()


def test_a_read_only_mount_loads_and_writes_nothing(store: SimulatedStore) -> None:
    saved(store)
    store.disk.flip_bit("vectors/1/1.shard", 5_000)
    before = store.disk.copy()
    store.config = dataclasses.replace(store.config, ro=True)
    mounted = store.open()
    settle(store, mounted)
    assert nearest(mounted, 5) == inodes(mounted)[5]
    assert status(mounted)["shards"] == 1  # built in memory
    mounted.close()
    for name in before.names("vectors/1"):
        assert store.disk.contents(f"vectors/1/{name}") == before.contents(f"vectors/1/{name}")
    assert store.disk.names("vectors/1") == before.names("vectors/1")


def test_on_a_disk_that_is_short_of_room_nothing_is_saved(
    store: SimulatedStore, caplog: pytest.LogCaptureFixture
) -> None:
    mounted = store.open()
    populate(mounted)
    mounted.sync()
    store.disk.fill()
    mounted.volume.room.look()
    mounted.maintain()
    assert status(mounted)["shards"] == 1
    assert status(mounted)["saved"] == 0
    assert not store.disk.exists("vectors")
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
    mounted.close()


def test_a_dropped_space_loses_its_directory(store: SimulatedStore) -> None:
    saved(store)
    mounted = store.open()
    mounted.vfs.removexattr(ROOT, b"user.vexfs.space.default", ROOT_USER)
    mounted.maintain()
    assert store.disk.names("vectors") == []
    populated = inodes(mounted)[0]
    mounted.vfs.setxattr(populated, b"user.vexfs.vector", VECTORS[0].tobytes(), ROOT_USER)
    settle(store, mounted)
    assert check(mounted.volume) == []
    mounted.close()


def test_a_space_dropped_just_before_a_kill_loses_its_directory_at_the_next_mount(
    store: SimulatedStore,
) -> None:
    saved(store)
    mounted = store.open()
    mounted.vfs.removexattr(ROOT, b"user.vexfs.space.default", ROOT_USER)
    mounted.sync()
    store.kill(mounted)
    mounted = store.open()
    mounted.maintain()
    assert store.disk.names("vectors") == []
    mounted.close()


def test_a_space_is_dropped_while_it_is_loaded(
    store: SimulatedStore, caplog: pytest.LogCaptureFixture
) -> None:
    saved(store)
    mounted = store.open()
    steps = mounted.volume.indexes.load()
    step = next(steps)
    assert step is not None
    mounted.vfs.removexattr(ROOT, b"user.vexfs.space.default", ROOT_USER)
    step.resume(step.work())
    for step in steps:
        assert step is None
    assert caplog.records == []
    assert check(mounted.volume) == []
    mounted.close()


def test_files_of_another_volume_are_not_believed(store: SimulatedStore) -> None:
    saved(store)
    path = "vectors/1/manifest.json"
    assert IDENTITY_UUID in store.disk.contents(path)


IDENTITY_UUID = b"6a0f6d3e-8f6c-4c0e-9c53-0f1e2d3c4b5a"


def test_indexing_anew_keeps_vectors_searchable(store: SimulatedStore) -> None:
    saved(store)
    mounted = store.open()
    load(mounted)
    mounted.volume.indexes.reindex("default")
    assert status(mounted)["shards"] == 0
    assert nearest(mounted, 5) == inodes(mounted)[5]
    settle(store, mounted)
    assert status(mounted)["saved"] == status(mounted)["shards"] == 1
    assert status(mounted)["built"] == 1
    with pytest.raises(NotFound):
        mounted.volume.indexes.reindex("nothing")
    mounted.close()


def test_what_can_wait_waits_for_a_quiet_moment(store: SimulatedStore) -> None:
    mounted = store.open()
    populate(mounted)
    mounted.sync()
    for _ in range(4):
        for step in mounted.volume.maintain(lambda: False):
            if step is not None:
                step.resume(step.work())
    assert status(mounted)["shards"]
    assert status(mounted)["saved"] == 0
    mounted.maintain()
    assert status(mounted)["saved"]
    mounted.close()


@pytest.mark.parametrize("seed", range(10))
def test_a_power_cut_after_saving_takes_no_vector(store: SimulatedStore, seed: int) -> None:
    mounted = store.open()
    populate(mounted)
    settle(store, mounted)
    store.cut_power(Random(seed), mounted)
    mounted = store.open()
    load(mounted)
    assert status(mounted)["saved"] == 1
    assert len(space(mounted)) == COUNT
    assert check(mounted.volume) == []
    mounted.close()
