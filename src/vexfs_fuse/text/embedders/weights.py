"""The weights of MiniLM: from those that were published to those that are computed with.

Knows the architecture (BERT with six layers) and how it is quantised; not how it is run.

A dense layer is `NAME.kernel` (inputs, outputs) and `NAME.bias`; quantised, its kernel is int8 and
`NAME.scale` holds a factor for each output.  Layers are `N.qkv`, `N.attended`, `N.up`, `N.down`;
normalisations are `NAME.gain` and `NAME.shift`.
"""

import math
from typing import Any, Final

import numpy as np

from vexfs_fuse.text.embedders.safetensors import Array, Tensors

DIM: Final = 384
LAYERS: Final = 6
HEADS: Final = 12
HEAD_DIM: Final = DIM // HEADS
TOKENS_MAX: Final = 256
"""What the model was trained with; more is cut off."""
EPSILON: Final = 1e-12
"""Of the normalisations."""

LEVELS: Final = 63
"""A quantised weight is a whole number between minus and plus this.

Seven bits, not eight: the sum of two products with eight-bit activations then fits into sixteen bits,
so that processors whose instructions saturate there (AVX2 without VNNI) compute the same as others.
"""
QUANTISATION: Final = "int7-per-output-1"
"""Changes with anything here that changes a vector."""


def folded(published: Tensors) -> dict[str, Array]:
    """Return the weights in float32, in the shapes that are computed with.

    Position and token type are one table; query, key and value one layer, the query divided by the
    root of a head's dimensions in advance.
    """
    source = _Published(published)
    made = {
        "words": source.array("embeddings.word_embeddings.weight"),
        "positions": source.array("embeddings.position_embeddings.weight")[:TOKENS_MAX]
        + source.array("embeddings.token_type_embeddings.weight")[0],
        **source.norm("embeddings.LayerNorm", "embedded"),
    }
    for layer in range(LAYERS):
        below = f"encoder.layer.{layer}."
        made |= source.attention(f"{below}attention.self.", f"{layer}.qkv")
        made |= source.dense(f"{below}attention.output.dense", f"{layer}.attended")
        made |= source.norm(f"{below}attention.output.LayerNorm", f"{layer}.attended")
        made |= source.dense(f"{below}intermediate.dense", f"{layer}.up")
        made |= source.dense(f"{below}output.dense", f"{layer}.down")
        made |= source.norm(f"{below}output.LayerNorm", f"{layer}.down")
    return made


class _Published:
    """The weights under the names that they were published with."""

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors

    def array(self, name: str) -> Array:
        return np.asarray(self._tensors[name], np.float32)

    def norm(self, name: str, as_name: str) -> dict[str, Array]:
        return {
            f"{as_name}.gain": self.array(f"{name}.weight"),
            f"{as_name}.shift": self.array(f"{name}.bias"),
        }

    def dense(self, name: str, as_name: str) -> dict[str, Array]:
        return {
            f"{as_name}.kernel": np.ascontiguousarray(self.array(f"{name}.weight").T),
            f"{as_name}.bias": self.array(f"{name}.bias"),
        }

    def attention(self, below: str, as_name: str) -> dict[str, Array]:
        parts = [self.dense(below + name, name) for name in ("query", "key", "value")]
        kernels = [part[key] for part in parts for key in part if key.endswith("kernel")]
        biases = [part[key] for part in parts for key in part if key.endswith("bias")]
        scale = np.float32(1 / math.sqrt(HEAD_DIM))
        kernels[0] = kernels[0] * scale
        biases[0] = biases[0] * scale
        return {
            f"{as_name}.kernel": np.concatenate(kernels, axis=1),
            f"{as_name}.bias": np.concatenate(biases),
        }


def quantised(weights: Tensors) -> dict[str, Array]:
    """Return the weights with kernels and words as int8, with a scale for each output or word.

    A scale for each output, where one for the whole kernel is usual: on 1,400 abstracts the vectors
    then stay at a cosine of .993 to those of float32 instead of .935.
    """
    made: dict[str, Array] = {}
    for name, array in weights.items():
        if name == "words":
            made["words"], made["words.scale"] = _quantised(array, axis=1)
        elif name.endswith(".kernel"):
            scale_name = f"{name.removesuffix('.kernel')}.scale"
            made[name], made[scale_name] = _quantised(array, axis=0)
        else:
            made[name] = array
    return made


def _quantised(array: Array, axis: int) -> tuple[Array, Array]:
    largest = np.abs(array).max(axis=axis, keepdims=True)
    scale: Any = np.where(largest > 0, largest, 1).astype(np.float32) / np.float32(LEVELS)
    return np.rint(array / scale).astype(np.int8), scale.reshape(-1)
