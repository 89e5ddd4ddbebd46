"""MiniLM computed by onnxruntime, on one thread."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from vexfs_fuse.text.embedder import Floats
from vexfs_fuse.text.embedders.onnx_graph import INPUT, OUTPUT, onnx_model
from vexfs_fuse.text.embedders.safetensors import Tensors

_ERRORS_ONLY: Final = 3


class OnnxEngine:
    """The model in memory.  Raises `ImportError` where onnxruntime is not installed."""

    name: Final = "onnxruntime"

    def __init__(self, weights: Tensors) -> None:
        import onnxruntime  # the package and what it loads take 40 MB and a tenth of a second

        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        self._session: Any = onnxruntime.InferenceSession(
            onnx_model(weights), options, providers=["CPUExecutionProvider"]
        )

    def vector(self, tokens: Sequence[int]) -> Floats:
        """Return the vector of one text, of unit length."""
        vector: Floats = self._session.run([OUTPUT], {INPUT: np.array(tokens, np.int64)})[0]
        return vector
