"""The vectors that are measured with, and what is nearest among them."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import vectors_scale
from benchmarks.vectors_scale import NOISE, Collection, K, readable


def test_vectors_are_repeated_with_noise_and_the_nearest_of_all_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rng = np.random.default_rng(0)
    np.save(source / "base_f16.npy", rng.normal(size=(300, 16)).astype(np.float16))
    np.save(source / "queries_f16.npy", rng.normal(size=(20, 16)).astype(np.float16))
    monkeypatch.setattr(vectors_scale, "_CHUNK", 170)  # smaller than all, and no divisor of it
    made = Collection(source, tmp_path, 1_000)
    rows = np.load(made.path)
    assert rows.shape == (1_000, 16)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    far = np.linalg.norm(rows[300:600] - rows[:300], axis=1)
    assert 0.3 * NOISE < far.mean() < 2 * NOISE
    expected = np.argsort(-(made.queries @ rows.T), axis=1)[:, :K]
    assert made.nearest.tolist() == expected.tolist()


def test_a_miss_is_told() -> None:
    searched = {"recall": 0.9, "median_us": 100.0, "p99_us": 200.0}
    found = {
        "vectors": 1_000,
        "dimensions": 16,
        "shards": 2,
        "waiting": 0,
        "indexed": searched,
        "remounted": searched,
        "unmount_seconds": 1.0,
        "remount_mount_seconds": 1.0,
        "remount_first_answer_seconds": 20.0,
        "without_indexes_first_answer_seconds": 20.0,
        "graphs": [(0.0, 0), (60.0, 1_000)],
        "store_gib": {"vectors": 1.0},
    }
    for name in ("create", "import", "index", "save", "remount"):
        found |= {f"{name}_seconds": 2.0, f"{name}_resident_gib": 7.0}
    assert readable(found).count("MISSED") == 4
