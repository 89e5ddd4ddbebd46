"""Vectors as they are kept and compared."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vexfs_fuse.vectors.metric import Metric


@given(
    st.integers(1, 600), st.integers(1, 40), st.sampled_from(list(Metric)), st.integers(0, 2**32)
)
def test_a_vector_is_kept_the_same_whether_it_comes_alone_or_with_others(
    dimensions: int, count: int, metric: Metric, seed: int
) -> None:
    rows = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    together = metric.prepare(rows)
    for row, kept in zip(rows, together, strict=True):
        assert metric.prepare(row).tobytes() == kept.tobytes()
