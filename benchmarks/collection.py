"""Real vectors with real questions and their exact answers, as they lie in a folder."""

import argparse
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

DATA: Final = Path(__file__).parents[2] / "shared/data"
"""Where the collections lie unless --data says otherwise."""


class Collection(NamedTuple):
    """Vectors, queries, and the positions of each query's nearest, nearest first."""

    base: Any
    queries: Any
    truth: Any

    @property
    def unit(self) -> Any:
        """The vectors at unit length."""
        return self.base / np.linalg.norm(self.base, axis=1, keepdims=True)

    def nearest(self, queries: Any, allowed: Any, count: int) -> Any:
        """Return the positions of each query's nearest among those allowed, by an exact scan."""
        scores = queries @ self.unit[allowed].T
        return allowed[np.argsort(-scores, axis=1, kind="stable")[:, :count]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let the command line say which collection."""
    parser.add_argument("--data", type=Path, default=DATA, help="where the collections lie")
    parser.add_argument("--collection", default="wordnet50k", help="which of them")


def load(folder: Path) -> Collection:
    """Return what lies in a folder: float16 vectors and queries, the exact 100 nearest."""
    base, queries = (
        np.load(folder / f"{name}_f16.npy").astype(np.float32) for name in ("base", "queries")
    )
    return Collection(base, queries, np.load(folder / "gt_cosine_top100.npy"))


def part_of(real: Collection, vectors: int, queries: int) -> Collection:
    """Return the first vectors and queries, with the exact answers for those."""
    part = Collection(real.base[:vectors], real.queries[:queries], real.truth)
    return part._replace(truth=part.nearest(part.queries, np.arange(vectors), 100))
