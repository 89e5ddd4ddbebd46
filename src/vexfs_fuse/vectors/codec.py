"""How a vector is written down: raw float32, JSON, lists of numbers, .npy; knows no space.

What comes out is always the raw form: float32, little-endian, no header.
"""

import json
import re
from typing import Final

import numpy as np

from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.vectors.arrays import Floats

DIMENSIONS_MAX: Final = 16_384
"""The kernel passes no xattr value beyond 64 KiB (XATTR_SIZE_MAX in linux/limits.h)."""

_ITEM_BYTES: Final = 4
_NPY_MAGIC: Final = b"\x93NUMPY"
_NPY_TYPE: Final = re.compile(rb"""['"]descr['"]\s*:\s*['"]([<>|=]?(?:f[248]|[iu][1248]))['"]""")
_NPY_SHAPE: Final = re.compile(rb"""['"]shape['"]\s*:\s*\(([0-9,L\s]{0,64})\)""")
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
    """Return the vector of a .npy file.

    Its header is read here: numpy evaluates it as Python, allocates what the shape asks for before it
    looks at how much there is, and fails in a dozen ways.
    """
    header, numbers = _npy_parts(value)
    kind, shape = _NPY_TYPE.search(header), _NPY_SHAPE.search(header)
    if kind is None or shape is None:
        raise InvalidArgument("not a readable .npy file, or no vector of real numbers")
    lengths = [int(length) for length in re.findall(rb"[0-9]+", shape[1])]
    if not lengths or lengths[:-1] not in ([], [1]):
        raise InvalidArgument(f"a .npy file of shape {tuple(lengths)} is not one vector")
    dtype = np.dtype(kind[1].decode())
    if len(numbers) < lengths[-1] * dtype.itemsize:
        raise InvalidArgument("not a readable .npy file: it is cut off")
    return _narrowed(np.frombuffer(numbers, dtype, lengths[-1]))


def _npy_parts(value: bytes) -> tuple[bytes, bytes]:
    """Return the header of a .npy file, which is the text of a dict, and its numbers."""
    length_bytes = 2 if value[6:7] == b"\x01" else 4
    begin = 8 + length_bytes
    end = begin + int.from_bytes(value[8:begin], "little")
    return value[begin:end], value[end:]


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
