"""What vectors from outside must be before they are believed: the right shape, finite, of unit length."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from vexfs_fuse.errors import EmbedderFailed
from vexfs_fuse.text.embedder import Floats

DIM_MAX: Final = 16_384
"""What fits into an extended attribute."""
NAME_BYTES_MAX: Final = 255


def unit_vectors(found: Any, count: int, dim: int) -> Floats:
    """Return `count` vectors of unit length and `dim` dimensions, as float32.

    Raises
    ------
    EmbedderFailed
        They are not that many numbers, not all finite, or one has no direction.
    """
    if not count and not len(found):
        return np.empty((0, dim), np.float32)
    try:
        vectors = np.asarray(found, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise EmbedderFailed("what it gave are no vectors") from None
    if vectors.shape != (count, dim):
        raise EmbedderFailed(f"it gave the shape {vectors.shape} instead of {(count, dim)}")
    if not np.isfinite(vectors).all():
        raise EmbedderFailed("it gave numbers that are not finite")
    # By the largest first: squares of very large numbers overflow, those of very small ones vanish.
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    if not largest.all():
        raise EmbedderFailed("it gave a vector of zeros")
    vectors /= largest
    vectors /= np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    return vectors.astype(np.float32)


def checked_dim(dim: Any) -> int:
    """Return a number of dimensions; `EmbedderFailed` if it is none."""
    if isinstance(dim, bool) or not isinstance(dim, int) or not 1 <= dim <= DIM_MAX:
        raise EmbedderFailed(f"{dim!r} is no number of dimensions")
    return dim


def checked_name(name: Any) -> str:
    """Return a name; `EmbedderFailed` if it is none."""
    if not isinstance(name, str) or not name.isprintable() or not name.strip():
        raise EmbedderFailed(f"{name!r} is no name")
    if len(name.encode()) > NAME_BYTES_MAX:
        raise EmbedderFailed("its name is too long")
    return name


def checked_fingerprint(fingerprint: Any) -> str:
    """Return a fingerprint, which may be the model of a space; `EmbedderFailed` if it is none."""
    checked = checked_name(fingerprint)
    if checked.split() != [checked]:
        raise EmbedderFailed(f"the fingerprint {checked!r} has blanks")
    return checked


def shown(words: Sequence[str]) -> str:
    """Return what something is called in a message: not too much of it."""
    text = " ".join(words)
    return text if len(text) <= 80 else f"{text[:77]}..."
