"""Real vectors that lie beside the checkout, where somebody has put them there."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

DATA = Path(__file__).parents[3] / "shared/data"

Positions = npt.NDArray[np.int64]


class Collection(NamedTuple):
    """Vectors and queries of unit length."""

    name: str
    base: npt.NDArray[np.float32]
    queries: npt.NDArray[np.float32]

    def nearest(self, count: int, allowed: Positions) -> Positions:
        """Return the positions of each query's nearest among the allowed, by an exact scan."""
        scores = self.queries @ self.base[allowed].T
        return np.asarray(allowed[np.argpartition(-scores, count, axis=1)[:, :count]])


def collection(name: str, vectors_max: int, queries: int) -> Collection:
    """Return the vectors in `../shared/data/NAME`; skip the test where they are not."""
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the real vectors {name} are not in ../shared/data")
    base = np.load(folder / "base_f16.npy")[:vectors_max].astype(np.float32)
    asked = np.load(folder / "queries_f16.npy")[:queries].astype(np.float32)
    return Collection(name, _unit(base), _unit(asked))


def _unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
