"""The embedder that comes with vexfs: all-MiniLM-L6-v2, 384 dimensions, quantised.

Knows how text becomes tokens and tokens a vector; not where models are kept.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np

from vexfs_fuse.text.embedder import Floats
from vexfs_fuse.text.embedders import wordpiece
from vexfs_fuse.text.embedders.numpy_engine import NumpyEngine
from vexfs_fuse.text.embedders.onnx_engine import OnnxEngine
from vexfs_fuse.text.embedders.safetensors import Tensors
from vexfs_fuse.text.embedders.weights import DIM, QUANTISATION, TOKENS_MAX
from vexfs_fuse.text.embedders.wordpiece import WordPiece

NAME: Final = "all-MiniLM-L6-v2"

_log = logging.getLogger(__name__)


class Engine(Protocol):
    """What computes the model."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def vector(self, tokens: Sequence[int]) -> Floats:
        """Return the vector of one text: float32, shape (384,), of unit length."""
        ...


class MiniLM:
    """The embedder.  Questions and passages are embedded alike."""

    name: Final = NAME
    dim: Final = DIM

    def __init__(self, engine: Engine, tokenizer: WordPiece, fingerprint: str) -> None:
        self.engine = engine
        self.fingerprint = fingerprint
        self._tokenizer = tokenizer

    def embed_documents(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of texts, computed one by one: see `onnx_graph`."""
        vectors = np.empty((len(texts), DIM), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            row[:] = self.embed_query(text)
        return vectors

    def embed_query(self, text: str) -> Floats:
        """Return the vector of a text; of one without words, too."""
        return self.engine.vector(self._tokenizer.encode(text, TOKENS_MAX))

    def close(self) -> None:
        """Nothing is held but memory."""


def open_minilm(weights: Tensors, vocabulary: bytes, fingerprint: str) -> MiniLM:
    """Return the embedder, computed by onnxruntime or, where that is not installed, by numpy."""
    return MiniLM(best_engine(weights), WordPiece(vocabulary), fingerprint)


def best_engine(weights: Tensors) -> Engine:
    """Return onnxruntime's engine if it is installed, else numpy's."""
    try:
        return OnnxEngine(weights)
    except ImportError:
        _log.info("onnxruntime is not installed: numpy computes the model, several times slower")
        return NumpyEngine(weights)


def fingerprint(weights_sha256: str, vocabulary_sha256: str) -> str:
    """Return what tells these weights, computed this way, from all others.

    The name, and 64 bits of the SHA-256 of what decides about a vector: the published weights, how
    they are quantised, the vocabulary, the tokenizer, and where a text is cut off.
    """
    decisive = [weights_sha256, QUANTISATION, vocabulary_sha256, wordpiece.REVISION, TOKENS_MAX]
    digest = hashlib.sha256(json.dumps(decisive).encode()).hexdigest()
    return f"{NAME}-{digest[:16]}"
