"""After a crash and a remount, searches know exactly the vectors that are stored."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.support.mounting import MountedVolume
from tests.support.vectors import VECTOR, ask, attribute, make_space, raw, told
from vexfs_fuse.cli.mounted import sync

FILES = 300


def assert_index_is_what_is_stored(root: Path) -> None:
    """Search with every file's vector: it finds that file first, and all files in all."""
    stored = {}
    for path in root.iterdir():
        if VECTOR in os.listxattr(path):
            stored[path.name] = np.frombuffer(os.getxattr(path, VECTOR), "<f4")
    for name in list(stored)[::40]:
        _, hits = ask(root, vector=stored[name].tolist(), k=1000)
        unit = stored[name] / np.linalg.norm(stored[name])
        expected = {
            other: float(vector @ unit / np.linalg.norm(vector)) for other, vector in stored.items()
        }
        assert {hit["path"] for hit in hits} == set(expected)
        assert all(abs(hit["score"] - expected[hit["path"]]) < 1e-5 for hit in hits)


def fill(root: Path) -> None:
    rng = np.random.default_rng(1)
    for number, vector in enumerate(rng.standard_normal((FILES, 16), np.float32)):
        (root / f"f{number}").write_bytes(b"")
        os.setxattr(root / f"f{number}", VECTOR, vector.tobytes())
    for number in range(0, FILES, 3):
        (root / f"f{number}").unlink()
    for number in range(1, FILES, 3):
        os.removexattr(root / f"f{number}", VECTOR)
        os.setxattr(root / f"f{number}", VECTOR, raw(*([float(number)] * 15), -1))


def fsck(volume: MountedVolume) -> str:
    return subprocess.run(
        [sys.executable, "-m", "vexfs_fuse", "fsck", "--store", volume.store],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": "src"},
    ).stdout


def test_a_kill_loses_no_vector_that_was_synced(own: MountedVolume) -> None:
    fill(own.path)
    make_space(own.path, "other", 2, "l2", "m")
    os.setxattr(own.path / "f2", attribute("other"), b"1 2")
    sync(own.path)
    own.kill9()
    assert "is sound" in fsck(own)
    own.start()
    assert len([path for path in own.path.iterdir() if VECTOR in os.listxattr(path)]) == 200
    assert told(own.path / "f2", "model", "other") == "m"
    assert_index_is_what_is_stored(own.path)


def test_a_kill_in_the_middle_leaves_vectors_and_searches_in_step(own: MountedVolume) -> None:
    for _ in range(3):
        fill(own.path)
        own.kill9()
        assert "is sound" in fsck(own)
        own.start()
        assert_index_is_what_is_stored(own.path)


def test_a_remount_keeps_vectors_and_staleness(own: MountedVolume) -> None:
    (own.path / "a").write_text("one")
    os.setxattr(own.path / "a", VECTOR, raw(1, 2))
    (own.path / "a").write_text("two")
    own.remount()
    assert os.getxattr(own.path / "a", VECTOR) == raw(1, 2)
    assert told(own.path / "a", "stale") == "1"
    assert [hit["stale"] for hit in ask(own.path, vector=[1, 2])[1]] == [True]
