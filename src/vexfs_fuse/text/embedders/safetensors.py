"""The safetensors format: named arrays in one file.

    u64 little-endian: length of the header
    header: JSON, name -> {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}
    data: offsets count from here

Knows nothing of what the arrays mean.
"""

import json
import math
import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from vexfs_fuse.errors import CorruptData

HEADER_BYTES_MAX: Final = 1024 * 1024
"""Of the files that are read here; the format permits a hundred times as much."""

_LENGTH: Final = struct.Struct("<Q")
_DTYPES: Final[dict[str, Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}
_NAMES: Final = {dtype: name for name, dtype in _DTYPES.items()}

Array = np.ndarray[Any, np.dtype[Any]]
Tensors = Mapping[str, Array]


def read(data: bytes | memoryview) -> dict[str, Array]:
    """Return the arrays in `data`, read-only views of it.

    Raises
    ------
    CorruptData
        It is no such file, or an array is not wholly in it.
    """
    view = memoryview(data).toreadonly()
    if len(view) < _LENGTH.size:
        raise CorruptData("too short for safetensors")
    (length,) = _LENGTH.unpack_from(view)
    start = _LENGTH.size + length
    if length > HEADER_BYTES_MAX or start > len(view):
        raise CorruptData("the header of safetensors is too long")
    try:
        header = json.loads(bytes(view[_LENGTH.size : start]))
    except ValueError as error:
        raise CorruptData(f"the header of safetensors: {error}") from None
    if not isinstance(header, dict):
        raise CorruptData("the header of safetensors is no object")
    return {
        name: _array(name, entry, view[start:])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _array(name: str, entry: Any, data: memoryview) -> Array:
    try:
        dtype = _DTYPES[entry["dtype"]]
        shape = [int(size) for size in entry["shape"]]
        begin, end = (int(offset) for offset in entry["data_offsets"])
    except (KeyError, TypeError, ValueError):
        raise CorruptData(f"the entry of {name} in safetensors") from None
    whole = min(shape, default=0) >= 0 and math.prod(shape) * dtype.itemsize == end - begin
    if not (whole and 0 <= begin <= end <= len(data)):
        raise CorruptData(f"{name} is not where safetensors says")
    return np.frombuffer(data[begin:end], dtype).reshape(shape)


def write(tensors: Tensors) -> bytes:
    """Return the file that holds these arrays."""
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    position = 0
    for name, array in tensors.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        part = little.tobytes()
        header[name] = {
            "dtype": _NAMES[little.dtype],
            "shape": list(array.shape),
            "data_offsets": [position, position + len(part)],
        }
        parts.append(part)
        position += len(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # arrays begin at multiples of eight
    return b"".join([_LENGTH.pack(len(text)), text, *parts])
