"""Writes ONNX models: the few messages of its protobuf format that a computation graph needs.

Knows nothing of any model.  Field numbers are those of onnx.proto; a model written here needs no
package to be made, and onnx's own checker judges it in the tests.
"""

import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

IR_VERSION: Final = 8
OPSET: Final = 17
"""LayerNormalization came with it."""

_VARINT, _BYTES, _FIXED32 = 0, 2, 5
_TYPES: Final = {
    np.dtype(np.float32): 1,
    np.dtype(np.uint8): 2,
    np.dtype(np.int8): 3,
    np.dtype(np.int64): 7,
}
_ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_INTS = 1, 2, 7

Array = np.ndarray[Any, np.dtype[Any]]
Attribute = float | int | Sequence[int]


class Graph:
    """A graph under construction.  Operators are added in the order in which they run."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[bytes] = []
        self._constants: dict[str, bytes] = {}
        self._inputs: list[bytes] = []

    def input(self, name: str, dtype: Any, shape: Sequence[int | str]) -> str:
        """Declare an input; a dimension may be a number or a name."""
        self._inputs.append(_value(name, np.dtype(dtype), shape))
        return name

    def constant(self, name: str, array: Any) -> str:
        """Keep an array in the model, once for each name."""
        if name not in self._constants:
            self._constants[name] = _tensor(name, np.asarray(array))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Attribute) -> str:
        """Add an operator with one output; return the name of that."""
        return self.add_many(operator, *inputs, outputs=1, **attributes)[0]

    def add_many(
        self, operator: str, *inputs: str, outputs: int, **attributes: Attribute
    ) -> list[str]:
        """Add an operator with several outputs."""
        number = len(self._nodes)
        made = [f"{operator}_{number}_{output}" for output in range(outputs)]
        self._nodes.append(_node(operator, inputs, made, attributes))
        return made

    def model(self, output: str, shape: Sequence[int | str], *, renamed: str) -> bytes:
        """Return the model, an ONNX file; `output` is float32 and called `renamed`."""
        self._nodes.append(_node("Identity", [output], [renamed], {}))
        graph = b"".join(
            [
                *(_field(1, node) for node in self._nodes),
                _field(2, self._name.encode()),
                *(_field(5, tensor) for tensor in self._constants.values()),
                *(_field(11, value) for value in self._inputs),
                _field(12, _value(renamed, np.dtype(np.float32), shape)),
            ]
        )
        opset = _field(1, b"") + _number(2, OPSET)
        return _number(1, IR_VERSION) + _field(8, opset) + _field(7, graph)


def _node(
    operator: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    attributes: dict[str, Attribute],
) -> bytes:
    return b"".join(
        [
            *(_field(1, name.encode()) for name in inputs),
            *(_field(2, name.encode()) for name in outputs),
            _field(3, outputs[0].encode()),
            _field(4, operator.encode()),
            *(_field(5, _attribute(name, value)) for name, value in attributes.items()),
        ]
    )


def _attribute(name: str, value: Attribute) -> bytes:
    named = _field(1, name.encode())
    if isinstance(value, float):
        return named + _key(2, _FIXED32) + struct.pack("<f", value) + _number(20, _ATTRIBUTE_FLOAT)
    if isinstance(value, int):
        return named + _number(3, value) + _number(20, _ATTRIBUTE_INT)
    numbers = b"".join(_number(8, each) for each in value)
    return named + numbers + _number(20, _ATTRIBUTE_INTS)


def _tensor(name: str, array: Array) -> bytes:
    raw = np.ascontiguousarray(array).tobytes()
    dims = b"".join(_number(1, size) for size in array.shape)
    return dims + _number(2, _TYPES[array.dtype]) + _field(8, name.encode()) + _field(9, raw)


def _value(name: str, dtype: "np.dtype[Any]", shape: Sequence[int | str]) -> bytes:
    dims = b"".join(
        _field(1, _number(1, size) if isinstance(size, int) else _field(2, size.encode()))
        for size in shape
    )
    tensor = _number(1, _TYPES[dtype]) + _field(2, dims)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _field(number: int, content: bytes) -> bytes:
    return _key(number, _BYTES) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _key(number, _VARINT) + _varint(value)


def _key(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _varint(value: int) -> bytes:
    """Return seven bits a byte, the least first; a negative number as its 64-bit complement."""
    rest = value & 0xFFFF_FFFF_FFFF_FFFF
    made = bytearray()
    while rest > 0x7F:
        made.append(rest & 0x7F | 0x80)
        rest >>= 7
    made.append(rest)
    return bytes(made)
