"""A shard as bytes: whose vectors it holds at which version, and its graph; knows no file.

    8 bytes   magic, "VXSHARD" and the format's revision
    8 bytes   length of the header, little-endian
    header    JSON: scalars of the graph, and name, type and length of each array that follows
    arrays    little-endian, each begins at a multiple of 8 bytes from the start

The vectors themselves lie within the graph's `data_level0`.  A checksum over all of it is kept by
whoever keeps the bytes: nothing here is decoded unless that has vouched for it.
"""

import json
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from vexfs_fuse.errors import CorruptData
from vexfs_fuse.vectors.arrays import Floats, Ints, Longs
from vexfs_fuse.vectors.shard import Shard, State

Buffer: TypeAlias = bytes | bytearray | memoryview
_Array: TypeAlias = npt.NDArray[Any]

_MAGIC: Final = b"VXSHARD\x01"
_ALIGNMENT: Final = 8
_LENGTH_BYTES: Final = 8
_GRAPH: Final = ("element_levels", "data_level0", "link_lists")
# Positions serve as labels: what hnswlib looks up is the identity.
_LABELS: Final = ("label_lookup_external", "label_lookup_internal")


class Keys(NamedTuple):
    """Whose vectors lie at a shard's positions: columns of equal length; inode 0 is nobody."""

    inos: Longs
    passages: Ints
    lsns: Longs


class SavedShard(NamedTuple):
    """A shard that came back from the disk."""

    keys: Keys
    matrix: Floats
    shard: Shard


def encoded(keys: Keys, shard: Shard) -> list[Buffer]:
    """Return the bytes, in pieces.  Holds the GIL while the graph is copied."""
    state = shard.state()
    arrays: dict[str, _Array] = dict(keys._asdict())
    arrays.update((name, state.pop(name)) for name in _GRAPH)
    for name in _LABELS:
        del state[name]
    index = [(name, array.dtype.str, len(array)) for name, array in arrays.items()]
    header = json.dumps({"graph": state, "arrays": index}).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    pieces: list[Buffer] = [_MAGIC + len(header).to_bytes(_LENGTH_BYTES, "little") + header]
    for array in arrays.values():
        pieces.append(np.ascontiguousarray(array).view(np.uint8).data)
        pieces.append(bytes(-array.nbytes % _ALIGNMENT))
    return pieces


def decoded(data: memoryview, dimensions: int) -> SavedShard:
    """Return the shard.  Raises `CorruptData` for another revision or number of dimensions."""
    start = len(_MAGIC) + _LENGTH_BYTES
    if bytes(data[: len(_MAGIC)]) != _MAGIC:
        raise CorruptData("not a shard of this revision")
    end = start + int.from_bytes(data[len(_MAGIC) : start], "little")
    header = json.loads(bytes(data[start:end]))
    arrays = _arrays(data[end:], header["arrays"])
    state: State = header["graph"]
    if state["dim"] != dimensions:
        raise CorruptData(f"a shard of {state['dim']} dimensions, not {dimensions}")
    keys = Keys(arrays["inos"], arrays["passages"], arrays["lsns"])
    state.update((name, arrays[name]) for name in _GRAPH)
    count = len(keys.inos)
    for name, kind in zip(_LABELS, (np.uint64, np.uint32), strict=True):
        state[name] = np.arange(count, dtype=kind)
    return SavedShard(keys, _vectors(state, count), Shard.restored(state))


def _arrays(data: memoryview, index: list[tuple[str, str, int]]) -> dict[str, _Array]:
    arrays, start = {}, 0
    for name, kind, length in index:
        array = np.frombuffer(data, np.dtype(kind), length, start)
        arrays[name] = array
        start += array.nbytes + -array.nbytes % _ALIGNMENT
    return arrays


def _vectors(state: State, count: int) -> Floats:
    """Return the vectors out of hnswlib's records of links, vector and label."""
    records = state["data_level0"].reshape(count, state["size_data_per_element"])
    start = state["offset_data"]
    columns = records[:, start : start + 4 * state["dim"]]
    return np.ascontiguousarray(columns).view(np.float32)
