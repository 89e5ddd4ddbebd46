"""MiniLM as an ONNX graph: token ids of one text in, its vector out.

One text at a time: quantised vectors depend on what else is in their batch, and on one thread a batch
is no faster.  Without a batch there is nothing to pad or to mask.
"""

import numpy as np

from vexfs_fuse.text.embedders.onnx_format import Graph
from vexfs_fuse.text.embedders.safetensors import Tensors
from vexfs_fuse.text.embedders.weights import DIM, EPSILON, HEAD_DIM, HEADS, LAYERS

INPUT = "tokens"
OUTPUT = "vector"


def onnx_model(weights: Tensors) -> bytes:
    """Return the model file for weights in float32, or quantised."""
    return _MiniLM(weights).model()


class _MiniLM:
    def __init__(self, weights: Tensors) -> None:
        self._weights = weights
        self._graph = Graph("minilm")

    def model(self) -> bytes:
        graph = self._graph
        tokens = graph.input(INPUT, np.int64, ["length"])
        hidden = self._norm(
            "embedded", graph.add("Add", self._words(tokens), self._positions(tokens))
        )
        for layer in range(LAYERS):
            attended = self._dense(f"{layer}.attended", self._attention(layer, hidden))
            hidden = self._norm(f"{layer}.attended", graph.add("Add", attended, hidden))
            inner = self._gelu(self._dense(f"{layer}.up", hidden))
            outer = self._dense(f"{layer}.down", inner)
            hidden = self._norm(f"{layer}.down", graph.add("Add", outer, hidden))
        mean = graph.add("ReduceMean", hidden, axes=[0], keepdims=0)
        unit = graph.add("LpNormalization", mean, axis=-1, p=2)
        return graph.model(unit, [DIM], renamed=OUTPUT)

    def _weight(self, name: str) -> str:
        return self._graph.constant(name, self._weights[name])

    def _words(self, tokens: str) -> str:
        graph = self._graph
        words = graph.add("Gather", self._weight("words"), tokens)
        if "words.scale" not in self._weights:
            return words
        scale = graph.add("Gather", self._weight("words.scale"), tokens)
        column = graph.add("Unsqueeze", scale, graph.constant("last", np.array([1])))
        return graph.add("Mul", graph.add("Cast", words, to=1), column)

    def _positions(self, tokens: str) -> str:
        graph = self._graph
        zero = graph.constant("zero", np.array([0]))
        return graph.add("Slice", self._weight("positions"), zero, graph.add("Shape", tokens), zero)

    def _norm(self, name: str, x: str) -> str:
        gain, shift = self._weight(f"{name}.gain"), self._weight(f"{name}.shift")
        return self._graph.add("LayerNormalization", x, gain, shift, axis=-1, epsilon=EPSILON)

    def _dense(self, name: str, x: str) -> str:
        graph, kernel = self._graph, self._weight(f"{name}.kernel")
        if f"{name}.scale" in self._weights:
            levels, step, zero = graph.add_many("DynamicQuantizeLinear", x, outputs=3)
            whole = graph.add("MatMulInteger", levels, kernel, zero)
            scale = graph.add("Mul", step, self._weight(f"{name}.scale"))
            product = graph.add("Mul", graph.add("Cast", whole, to=1), scale)
        else:
            product = graph.add("MatMul", x, kernel)
        return graph.add("Add", product, self._weight(f"{name}.bias"))

    def _attention(self, layer: int, x: str) -> str:
        graph = self._graph
        heads = graph.constant("heads", np.array([0, 3, HEADS, HEAD_DIM]))
        split = graph.add("Reshape", self._dense(f"{layer}.qkv", x), heads)
        queries, keys, values = (
            graph.add("Gather", split, graph.constant(f"part{part}", np.array(part)), axis=1)
            for part in range(3)
        )
        query = graph.add("Transpose", queries, perm=[1, 0, 2])
        key = graph.add("Transpose", keys, perm=[1, 2, 0])
        value = graph.add("Transpose", values, perm=[1, 0, 2])
        shares = graph.add("Softmax", graph.add("MatMul", query, key), axis=-1)
        mixed = graph.add("Transpose", graph.add("MatMul", shares, value), perm=[1, 0, 2])
        return graph.add("Reshape", mixed, graph.constant("whole", np.array([0, DIM])))

    def _gelu(self, x: str) -> str:
        graph = self._graph
        root = graph.constant("root", np.float32(np.sqrt(2)))
        error = graph.add("Erf", graph.add("Div", x, root))
        above = graph.add("Mul", x, graph.add("Add", error, graph.constant("one", np.float32(1))))
        return graph.add("Mul", above, graph.constant("half", np.float32(0.5)))
