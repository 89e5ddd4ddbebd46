"""What is a vector and what is not."""

import json
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.vectors.codec import DIMENSIONS_MAX, parse, to_raw

VECTORS = arrays(np.float32, st.integers(1, 40), elements=st.floats(-1e6, 1e6, width=32))


def npy(array: np.ndarray) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


@given(VECTORS)
def test_raw_comes_back_as_it_went_in(vector: np.ndarray) -> None:
    assert to_raw(parse(to_raw(vector), len(vector))) == to_raw(vector)


@given(VECTORS)
def test_every_way_of_writing_gives_the_same_vector(vector: np.ndarray) -> None:
    numbers = [float(number) for number in vector]
    ways = [
        json.dumps(numbers),
        json.dumps(numbers, indent=1),
        " ".join(map(repr, numbers)),
        ", ".join(map(repr, numbers)) + "\n",
    ]
    for way in ways:
        assert to_raw(parse(way.encode(), len(vector))) == to_raw(vector)
    assert to_raw(parse(npy(vector), len(vector))) == to_raw(vector)
    assert to_raw(parse(npy(vector.astype(np.float64)), None)) == to_raw(vector)


def test_numbers_as_long_as_a_raw_vector_are_numbers() -> None:
    assert parse(b"0.5, 0.5", 2).tolist() == [0.5, 0.5]


def test_bytes_that_look_like_text_but_are_no_vector_of_the_space_are_raw() -> None:
    assert len(parse(b"1111", 1)) == 1
    assert parse(b"1 1 1 1 ", 2).tobytes() == b"1 1 1 1 "


@pytest.mark.parametrize(
    ("value", "dimensions", "said"),
    [
        (b"", None, "1 to 16384 dimensions, not 0"),
        (b"[]", None, "1 to 16384 dimensions, not 0"),
        (b"1 2 3", 2, "has 3 dimensions, the space 2"),
        (b"\0" * 12, 2, "has 3 dimensions, the space 2"),
        (b"\0" * 7, None, "7 bytes are no vector"),
        (b"[1,  nan]", 2, "not a JSON array"),
        (b"[1, NaN]", 2, "component 1 of the vector is nan"),
        (b"1 nan", 2, "component 1 of the vector is nan"),
        (b"[1, Infinity]", 2, "component 1 of the vector is inf"),
        (b"inf 1", 2, "component 0 of the vector is inf"),
        (b"1e39 1", 2, "component 0 of the vector is inf"),
        (b"1 2 --3", None, "not a list of numbers"),
        (b"[1, [2]]", None, "something else than numbers"),
        (b"[1, 2", None, "not a JSON array"),
        (b"[[[[", None, "not a JSON array"),
        (np.array([1, np.nan], "<f4").tobytes(), 2, "component 1 of the vector is nan"),
        (npy(np.zeros((2, 2))), None, "shape (2, 2) is not one vector"),
        (npy(np.array(["a"])), None, "no vector of real numbers"),
        (npy(np.ones(3))[:-3], None, "not a readable .npy file"),
        (b"\0" * 4 * (DIMENSIONS_MAX + 1), None, "1 to 16384 dimensions, not 16385"),
    ],
)
def test_what_is_wrong_is_said(value: bytes, dimensions: int | None, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(value, dimensions)
    assert said in str(caught.value)


HEADERS = (
    "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }",
    '{"shape": (4L,), "fortran_order": True, "descr": "<f4"}',
)


def npy_of(header: str, *, version: int = 1) -> bytes:
    """Write a .npy file of 1.0 four times, with this header."""
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + b"\0\0\x80?" * 4


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_npy_files_of_other_programs_are_read(header: str, version: int) -> None:
    assert parse(npy_of(header, version=version), 4).tolist() == [1, 1, 1, 1]


SHAPES = ("1099511627776,", "9" * 30 + ",", "True,", "-4,", "", "2, 2", "0, 9223372036854775807")
TYPES = ("'<04'", "'|O'", "'<c8'", "[('a', '<f4')]", "'S99999999999'", "'<f4,<f4'", "5")


@pytest.mark.parametrize(
    "header",
    [
        *("", "(" * 9_000, "-" * 9_000 + "1", '"' * 3, "{[]: 2}", "{1: 2, 'descr': '<f4'}"),
        *(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({each}), }}" for each in SHAPES),
        *(f"{{'descr': {each}, 'fortran_order': False, 'shape': (4,), }}" for each in TYPES),
    ],
)
def test_a_hostile_npy_header_is_refused(header: str) -> None:
    """On these numpy fails with MemoryError, TypeError, TokenError and others, or takes memory."""
    with pytest.raises(InvalidArgument):
        parse(npy_of(header), None)


@given(
    st.sampled_from(HEADERS),
    st.lists(st.tuples(st.integers(0, 90), st.sampled_from("0123456789()[]{}',:<>f|OU-+ \n\0"))),
)
def test_a_changed_npy_header_is_no_worse_than_refused(
    header: str, changes: list[tuple[int, str]]
) -> None:
    for place, character in changes:
        header = header[:place] + character + header[place + 1 :]
    try:
        parse(npy_of(header), None)
    except InvalidArgument:
        pass


@given(st.binary(max_size=200), st.none() | st.integers(1, 8))
def test_any_bytes_are_a_finite_vector_or_refused(value: bytes, dimensions: int | None) -> None:
    try:
        vector = parse(value, dimensions)
    except InvalidArgument:
        return
    assert vector.dtype == np.float32
    assert np.isfinite(vector).all()
    assert dimensions in (None, len(vector))
