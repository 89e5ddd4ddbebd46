"""How a vector is written down: raw float32, JSON, lists of numbers, .npy; knows no space.

What comes out is always the raw form: float32, little-endian, no header.
"""

import json
import re
from io import BytesIO
from typing import Final

import numpy as np
from numpy.lib import format as npy

from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.vectors.arrays import Floats

DIMENSIONS_MAX: Final = 16_384
"""The kernel passes no xattr value beyond 64 KiB (XATTR_SIZE_MAX in linux/limits.h)."""

_ITEM_BYTES: Final = 4
_NPY_MAGIC: Final = b"\x93NUMPY"
_RAW: Final = np.dtype("<f4")
_SEPARATORS: Final = re.compile(r"[\s,;]+")
# Every byte that a list of numbers, a JSON array, `nan` or `inf` can have.
_TEXT: Final = re.compile(rb"[-+0-9.eE,;\s\[\]nNaAiIfFtTyY]+")


def parse(value: bytes, dimensions: int | None) -> Floats:
    """Return the vector that `value` stands for: float32, contiguous, every component finite.

    Numbers as text are told from raw float32 by their bytes: ordinary floats have bytes that no
    number has.  What could be both is text if it reads as a vector of `dimensions`.  Raises
    `InvalidArgument`, which names what is wrong and where.
    """
    if dimensions is not None and len(value) == dimensions * _ITEM_BYTES:
        return finite(_of_raw_length(value, dimensions))
    return finite(_sized(_decoded(value), dimensions))


def to_raw(vector: Floats) -> bytes:
    """Return the vector as little-endian float32."""
    return vector.astype(_RAW, copy=False).tobytes()


def from_raw(raw: bytes) -> Floats:
    """Return what `to_raw` wrote; read-only, not checked."""
    return np.frombuffer(raw, _RAW).astype(np.float32, copy=False)


def finite(vector: Floats) -> Floats:
    """Return the vector itself.  Raises `InvalidArgument` for NaN and infinity."""
    if not np.isfinite(vector).all():
        place = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise InvalidArgument(f"component {place} of the vector is {vector[place]}")
    return vector


def _of_raw_length(value: bytes, dimensions: int) -> Floats:
    if _TEXT.fullmatch(value):
        try:
            return _sized(_from_text(value.decode("ascii")), dimensions)
        except InvalidArgument:
            pass  # so the bytes of some odd floats only look like text
    return from_raw(value)


def _decoded(value: bytes) -> Floats:
    if value.startswith(_NPY_MAGIC):
        return _from_npy(value)
    if _TEXT.fullmatch(value):
        return _from_text(value.decode("ascii"))
    if len(value) % _ITEM_BYTES:
        raise InvalidArgument(
            f"{len(value)} bytes are no vector: neither text nor a multiple of 4 (raw float32)"
        )
    return from_raw(value)


def _from_npy(value: bytes) -> Floats:
    try:
        array = npy.read_array(BytesIO(value), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InvalidArgument(f"not a readable .npy file: {error}") from None
    if array.dtype.kind not in "fiu":
        raise InvalidArgument(f"a .npy file of {array.dtype} is no vector of real numbers")
    if array.ndim == 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 1:
        raise InvalidArgument(f"a .npy file of shape {array.shape} is not one vector")
    return _narrowed(array)


def _from_text(text: str) -> Floats:
    stripped = text.strip()
    if stripped.startswith("["):
        return _from_json(stripped)
    try:
        numbers = [float(word) for word in _SEPARATORS.split(stripped) if word]
    except ValueError as error:
        raise InvalidArgument(f"not a list of numbers: {error}") from None
    return _narrowed(np.array(numbers, np.float64))


def _from_json(text: str) -> Floats:
    try:
        items = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"not a JSON array: {error}") from None
    if not all(type(item) in (int, float) for item in items):
        raise InvalidArgument("a JSON array of something else than numbers is no vector")
    try:
        return _narrowed(np.array(items, np.float64))
    except OverflowError:
        raise InvalidArgument("a number in the JSON array is beyond float32") from None


def _narrowed(array: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> Floats:
    """Return the numbers as float32; those beyond its range become infinite."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


def _sized(vector: Floats, dimensions: int | None) -> Floats:
    if dimensions is not None and len(vector) != dimensions:
        raise InvalidArgument(f"the vector has {len(vector)} dimensions, the space {dimensions}")
    if not 1 <= len(vector) <= DIMENSIONS_MAX:
        raise InvalidArgument(f"a vector has 1 to {DIMENSIONS_MAX} dimensions, not {len(vector)}")
    return vector
