"""Real vectors that lie beside the checkout, where somebody has put them there."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

DATA = Path(__file__).parents[3] / "shared/data"


class Collection(NamedTuple):
    """Vectors, queries, and the 100 nearest of each query by cosine (positions, nearest first)."""

    name: str
    base: npt.NDArray[np.float32]
    queries: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int32]


def collection(name: str) -> Collection:
    """Return the vectors in `shared/data/NAME`; skip the test where they are not."""
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the real vectors {name} are not in ../shared/data")
    return Collection(
        name,
        np.load(folder / "base_f16.npy").astype(np.float32),
        np.load(folder / "queries_f16.npy").astype(np.float32),
        np.load(folder / "gt_cosine_top100.npy"),
    )
