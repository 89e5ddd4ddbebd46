"""What makes vectors of text: the protocol that every embedder keeps, built in or brought by the user."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float32]]


class Embedder(Protocol):
    """A model with a name.  Vectors of different fingerprints are never compared."""

    @property
    def name(self) -> str:
        """What people call the model."""
        ...

    @property
    def dim(self) -> int:
        """Dimensions of its vectors."""
        ...

    @property
    def fingerprint(self) -> str:
        """What tells this model, its weights and its way of computing from all others.

        At most 255 bytes of UTF-8; kept as the `model` of the space whose vectors it makes.
        """
        ...

    def embed_documents(self, texts: Sequence[str]) -> Floats:
        """Return a vector for each passage: float32, shape (len(texts), dim), rows of unit length.

        Raises
        ------
        EmbedderFailed
        """
        ...

    def embed_query(self, text: str) -> Floats:
        """Return the vector of a question: float32, shape (dim,), of unit length.

        Raises
        ------
        EmbedderFailed
        """
        ...
