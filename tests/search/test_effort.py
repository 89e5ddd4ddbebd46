"""How hard graphs are searched: adapted to a recall, or pinned, by options of the mount."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.mounting import OPTIONS, MountedVolume
from tests.support.vectors import VECTOR, new
from tests.vectors.worlds import clustered

COUNT, DIMENSIONS = 8_000, 384
VECTORS = clustered(COUNT, DIMENSIONS)


@contextmanager
def mounted(options: str) -> Iterator[MountedVolume]:
    """A volume whose one space has a graph."""
    volume = MountedVolume(options=f"{OPTIONS},{options}")
    try:
        volume.start()
        for position, vector in enumerate(VECTORS):
            path = volume.path / f"{position}"
            path.touch()
            os.setxattr(path, VECTOR, vector.tobytes())
        assert comes_true(lambda: space(volume.path)["tail"] == 0, within_s=60)
        yield volume
        volume.stop()
        assert volume.problems() == []
    finally:
        volume.discard()


def space(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / ".vexfs/spaces/default.json").read_text())
    return found


def comes_true(is_so: Callable[[], bool], within_s: float) -> bool:
    """As `eventually`, but asking seldom: what waits for a quiet moment must have one."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        time.sleep(0.3)
        if is_so():
            return True
    return False


def header(root: Path, query: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(new(root, query.tobytes()).splitlines()[0])
    return found


def test_a_pinned_effort_is_what_searches_spend() -> None:
    with mounted("search_ef=77") as volume:
        headers = [header(volume.path, query) for query in VECTORS[::60]]
        assert {(each["plan"], each["ef"]) for each in headers} == {("ann", 77)}
        assert space(volume.path)["ef"] == 77
        assert "search_ef = 77" in (volume.path / ".vexfs/config.toml").read_text()


def test_the_effort_follows_from_the_recall_that_is_wanted() -> None:
    with mounted("search_recall=0.5") as volume:
        for query in np.concatenate([VECTORS[:: COUNT // 800]] * 2):
            header(volume.path, query)
        assert comes_true(lambda: space(volume.path)["ef"] < 128, within_s=60)
        log = volume.log.read_text()
        assert "effort 128 -> " in log
        assert "192 questions asked again: recall " in log
        for query in VECTORS[:: COUNT // 100]:
            header(volume.path, query)
        assert comes_true(lambda: space(volume.path)["recall"] is not None, within_s=60)
        metrics = (volume.path / ".vexfs/metrics").read_text()
        assert 'vexfs_search_recall{space="default"} ' in metrics
        assert f'vexfs_search_ef{{space="default"}} {space(volume.path)["ef"]}' in metrics
        assert 0.5 <= header(volume.path, VECTORS[3])["recall"] <= 1
