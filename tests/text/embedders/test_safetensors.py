"""safetensors: what is written is read back, and damage is told, never read."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vexfs_fuse.errors import CorruptData
from vexfs_fuse.text.embedders import safetensors

tensors = st.dictionaries(
    st.text(max_size=20).filter(lambda name: name != "__metadata__"),
    st.sampled_from(["<f4", "<f2", "<i8", "<i4", "i1", "u1"]).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, min_side=0, max_side=5))
    ),
    max_size=5,
)


def written(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@given(tensors)
def test_what_is_written_is_read_back(made: dict[str, safetensors.Array]) -> None:
    read = safetensors.read(safetensors.write(made))
    assert list(read) == list(made)
    for name, array in made.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_the_format_is_the_published_one() -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
        "a": {"dtype": "I8", "shape": [2, 2], "data_offsets": [0, 4]},
    }
    data = bytes([1, 2, 255, 4]) + struct.pack("<2f", 1.5, -2)
    read = safetensors.read(written(header, data))
    assert read["a"].tolist() == [[1, 2], [-1, 4]]
    assert read["b"].tolist() == [1.5, -2]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        struct.pack("<Q", 1 << 60),
        struct.pack("<Q", 10) + b"{}",
        struct.pack("<Q", 2 * 1024 * 1024) + b" " * (2 * 1024 * 1024),
        written(b"{"),
        written(b"\xff"),
        written([]),
        written({"a": 1}),
        written({"a": {}}),
        written({"a": {"dtype": "F8", "shape": [], "data_offsets": [0, 1]}}, b"x"),
        written({"a": {"dtype": "I8", "shape": [2], "data_offsets": [0, 1]}}, b"xx"),
        written({"a": {"dtype": "I8", "shape": [2], "data_offsets": [0, 2]}}, b"x"),
        written({"a": {"dtype": "I8", "shape": [-1, -2], "data_offsets": [0, 2]}}, b"xx"),
        written({"a": {"dtype": "I8", "shape": [1], "data_offsets": [-1, 0]}}, b"x"),
        written({"a": {"dtype": "I8", "shape": "no", "data_offsets": [0, 1]}}, b"x"),
        written({"a": {"dtype": "I8", "shape": [1], "data_offsets": [0]}}, b"x"),
    ],
)
def test_damage_is_told(data: bytes) -> None:
    with pytest.raises(CorruptData):
        safetensors.read(data)


@given(st.binary(max_size=200), st.integers(0, 100))
def test_no_bytes_read_anything_but_arrays_or_damage(data: bytes, length: int) -> None:
    for attempt in (data, struct.pack("<Q", length) + data):
        try:
            safetensors.read(attempt)
        except CorruptData:
            pass


def test_what_is_read_cannot_be_changed() -> None:
    read = safetensors.read(safetensors.write({"a": np.zeros(3, np.float32)}))
    with pytest.raises(ValueError, match="read-only"):
        read["a"][0] = 1
