"""Indexes of vectors come back with a mount, or are made anew, whatever happened to their files."""

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from tests.support.mounting import MountedVolume
from tests.support.searching import eventually
from tests.support.vectors import VECTOR, paths
from vexfs_fuse.storage.disk import LocalDisk
from vexfs_fuse.volume import vector_indexes

DIM: Final = 1_536
COUNT: Final = 1_300
"""A graph is begun with 512 vectors of so many dimensions."""

ROUNDS: Final = int(os.environ.get("VEXFS_CRASH_ROUNDS", "4"))


def vectors(seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(COUNT, DIM)).astype(np.float32)


def populate(root: Path) -> None:
    for number, vector in enumerate(vectors()):
        path = root / str(number)
        path.touch()
        os.setxattr(path, VECTOR, vector.tobytes())


def space(volume: MountedVolume) -> dict[str, Any]:
    status = json.loads((volume.path / ".vexfs/status.json").read_text())
    found: dict[str, Any] = status["volume"]["spaces"][0]
    return found


def wait_for(volume: MountedVolume, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    told: dict[str, Any] = {}

    def look() -> bool:
        told.update(space(volume))
        time.sleep(0.1)  # what can wait needs a moment without requests
        return is_so(told)

    assert eventually(look, within_s=120), told
    return told


def is_saved(told: dict[str, Any]) -> bool:
    return bool(told["shards"] and told["saved"] == told["shards"] and not told["building"])


def assert_finds_what_is_stored(volume: MountedVolume) -> None:
    """Compare some searches with a scan over the vectors as they are read back."""
    names = [path.name for path in volume.path.iterdir()]
    stored = np.array(
        [np.frombuffer(os.getxattr(volume.path / name, VECTOR), "<f4") for name in names]
    )
    unit = stored / np.linalg.norm(stored, axis=1, keepdims=True)
    for query in vectors(seed=1)[:5]:
        best = [names[at] for at in np.argsort(-(unit @ query))[:10]]
        assert paths(volume.path, vector=query.tolist(), k=10, mode="exact") == best
    for name in names[:20]:
        near = paths(volume.path, vector=stored[names.index(name)].tolist(), k=1)
        assert near == [name]


def damage(volume: MountedVolume) -> list[str]:
    return vector_indexes.damage(LocalDisk(volume.store))


@pytest.fixture
def indexed(volume: MountedVolume) -> MountedVolume:
    """A mounted volume whose vectors are in graphs, on disk."""
    populate(volume.path)
    wait_for(volume, is_saved)
    return volume


def test_a_remount_loads_graphs_and_builds_none(indexed: MountedVolume) -> None:
    before = wait_for(indexed, is_saved)
    indexed.remount()
    told = wait_for(indexed, lambda told: told["loading"] is None)
    assert told["built"] == 0
    assert told["saved"] == told["shards"] == before["shards"]
    assert_finds_what_is_stored(indexed)


def test_a_search_right_after_the_mount_is_right(indexed: MountedVolume) -> None:
    indexed.remount()
    query = vectors()[17]
    assert paths(indexed.path, vector=query.tolist(), k=1) == ["17"]


def test_removed_files_are_made_anew_while_searches_go_on(indexed: MountedVolume) -> None:
    indexed.stop()
    shutil.rmtree(indexed.store / "vectors")
    indexed.start()
    assert_finds_what_is_stored(indexed)
    wait_for(indexed, is_saved)
    assert_finds_what_is_stored(indexed)
    indexed.stop()  # without a warning in the log
    assert damage(indexed) == []
    assert indexed.problems() == []


def test_a_flipped_bit_is_warned_of_once(indexed: MountedVolume) -> None:
    indexed.stop()
    shard = next((indexed.store / "vectors").rglob("*.shard"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 4
    shard.write_bytes(data)
    assert [problem for problem in indexed.problems() if shard.name in problem]
    indexed.start()
    assert_finds_what_is_stored(indexed)
    indexed.expect_in_log(rf"WARNING.*{shard.name}")
    wait_for(indexed, is_saved)
    indexed.remount()
    assert_finds_what_is_stored(indexed)


def test_killed_at_any_moment_the_index_is_the_stored_vectors(unmounted: MountedVolume) -> None:
    rng = random.Random(os.environ.get("VEXFS_CRASH_SEED") or None)
    unmounted.start()
    populate(unmounted.path)
    wait_for(unmounted, lambda told: told["shards"] > 0)
    for round_ in range(ROUNDS):
        end = time.monotonic() + rng.uniform(0.0, 2.0)
        replaced = vectors(seed=10 + round_)
        while time.monotonic() < end:
            number = rng.randrange(COUNT)
            os.setxattr(unmounted.path / str(number), VECTOR, replaced[number].tobytes())
            if rng.random() < 0.02:
                time.sleep(0.2)  # a moment to save
        unmounted.kill9()
        assert damage(unmounted) == []
        unmounted.start()
        assert_finds_what_is_stored(unmounted)
    unmounted.stop()
    assert unmounted.problems() == []
