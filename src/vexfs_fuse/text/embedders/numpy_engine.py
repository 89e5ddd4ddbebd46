"""MiniLM computed with numpy alone: several times slower than by onnxruntime, with nearly the same vectors.

Where the weights are quantised, activations are too, the way ONNX's DynamicQuantizeLinear says; the
products of whole numbers are exact in float32, so that both engines compute the same but for the order
in which rounding errors arise.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from vexfs_fuse.text.embedder import Floats
from vexfs_fuse.text.embedders.safetensors import Tensors
from vexfs_fuse.text.embedders.weights import DIM, EPSILON, HEAD_DIM, HEADS, LAYERS

_ACTIVATION_LEVELS: Final = np.float32(255)
_ROOT_HALF: Final = np.float32(np.sqrt(0.5))
_HALF, _ONE = np.float32(0.5), np.float32(1)


class NumpyEngine:
    """The model in memory: 90 MB of float32, or 55 MB if quantised."""

    name: Final = "numpy"

    def __init__(self, weights: Tensors) -> None:
        self._weights = {
            name: array.astype(np.float32) if name.endswith(".kernel") else array
            for name, array in weights.items()
        }

    def vector(self, tokens: Sequence[int]) -> Floats:
        """Return the vector of one text, of unit length."""
        hidden = self._norm(
            "embedded", self._words(tokens) + self._weights["positions"][: len(tokens)]
        )
        for layer in range(LAYERS):
            attended = self._dense(f"{layer}.attended", self._attention(layer, hidden))
            hidden = self._norm(f"{layer}.attended", attended + hidden)
            inner = _gelu(self._dense(f"{layer}.up", hidden))
            hidden = self._norm(f"{layer}.down", self._dense(f"{layer}.down", inner) + hidden)
        mean = hidden.mean(axis=0)
        unit: Floats = mean / np.linalg.norm(mean)
        return unit

    def _words(self, tokens: Sequence[int]) -> Floats:
        words = self._weights["words"][list(tokens)].astype(np.float32)
        scale = self._weights.get("words.scale")
        return words if scale is None else words * scale[list(tokens), None]

    def _norm(self, name: str, x: Floats) -> Floats:
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        normed: Floats = (
            centred / deviation * self._weights[f"{name}.gain"] + self._weights[f"{name}.shift"]
        )
        return normed

    def _dense(self, name: str, x: Floats) -> Floats:
        kernel, bias = self._weights[f"{name}.kernel"], self._weights[f"{name}.bias"]
        scale = self._weights.get(f"{name}.scale")
        if scale is None:
            return x @ kernel + bias
        levels, step = _levels(x)
        return (levels @ kernel) * (step * scale) + bias

    def _attention(self, layer: int, x: Floats) -> Floats:
        length = len(x)
        split = self._dense(f"{layer}.qkv", x).reshape(length, 3, HEADS, HEAD_DIM)
        query, key, value = split.transpose(1, 2, 0, 3)
        shares = _softmax(query @ key.transpose(0, 2, 1))
        mixed: Floats = (shares @ value).transpose(1, 0, 2).reshape(length, DIM)
        return mixed


def _levels(x: Floats) -> tuple[Floats, np.float32]:
    """Return whole numbers and the step between them, as DynamicQuantizeLinear and minus its zero."""
    low, high = min(x.min(), _ONE * 0), max(x.max(), _ONE * 0)
    step = (high - low) / _ACTIVATION_LEVELS or _ONE
    zero = np.rint(-low / step)
    levels: Floats = np.clip(np.rint(x / step) + zero, 0, _ACTIVATION_LEVELS) - zero
    return levels, step


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def _gelu(x: Floats) -> Floats:
    return x * _HALF * (_ONE + _erf(x * _ROOT_HALF))


def _erf(x: Floats) -> Floats:
    """Return the error function to 1.5e-7: Abramowitz and Stegun, 7.1.26."""
    size = np.abs(x)
    t = _ONE / (_ONE + np.float32(0.3275911) * size)
    series = np.full_like(t, 1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = series * t + np.float32(factor)
    error: Floats = np.copysign(_ONE - series * t * np.exp(-size * size), x)
    return error
