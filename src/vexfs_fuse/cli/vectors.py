"""What the commands about vectors share: attributes of files, and spaces as the root directory tells them."""

import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vexfs_fuse.cli import mounted
from vexfs_fuse.errors import InvalidArgument, NoAttribute
from vexfs_fuse.vectors import codec
from vexfs_fuse.vectors.arrays import Floats
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.volume.vector_changes import attribute, check_space_name, parse_specification
from vexfs_fuse.volume.vectors import DEFAULT_SPACE

STDIN = "-"


class Known(NamedTuple):
    """A vector space of a mounted volume."""

    name: str
    dim: int
    metric: str
    model: str


def space_at(path: Path, name: str) -> Known | None:
    """Return a space of the volume that `path` is in, or None if there is none of this name.

    Raises
    ------
    InvalidArgument
        There can be no space of this name.
    NotFound
        `path` is in no mounted volume.
    """
    check_space_name(name)
    root = mounted.volume_at(path)
    try:
        told = os.getxattr(root, f"user.vexfs.space.{name}")
    except OSError as error:
        if error.errno == NoAttribute.errno:
            return None
        raise
    return Known(name, *parse_specification(told))


def checked(value: bytes, space: Known | None) -> Floats:
    """Return the vector that `value` is, as the space will take it.

    Raises
    ------
    InvalidArgument
        Says what is wrong, which a mount can tell by a number only.
    """
    vector = codec.parse(value, space.dim if space is not None else None)
    return Metric.named(space.metric if space is not None else "cosine").check(vector)


def set_vector(path: str | bytes, space: str, vector: Floats) -> None:
    """Set a file's vector."""
    os.setxattr(path, attribute(space), codec.to_raw(vector))


def vector_at(path: Path, space: str) -> Floats:
    """Return a file's vector.

    Raises
    ------
    NoAttribute
    """
    return codec.from_raw(_told(path, attribute(space), f"{path} has no vector in space {space}"))


def spaces_of(path: Path) -> list[str]:
    """Return the spaces in which a file has a vector."""
    prefix = attribute(DEFAULT_SPACE).decode()
    return [
        name.removeprefix(prefix).removeprefix(".") or DEFAULT_SPACE
        for name in os.listxattr(path)
        if name == prefix or name.startswith(f"{prefix}.")
    ]


def describe(path: Path, space: str) -> dict[str, Any]:
    """Return what is told of a file's vector, without the vector."""

    def told(what: str) -> str:
        name = f"user.vexfs.{what}.{space}".encode()
        return _told(path, name, f"{path} has no vector in space {space}").decode()

    return {
        "space": space,
        "dimensions": int(told("dim")),
        "model": told("model") or None,
        "origin": told("origin"),
        "stale": told("stale") == "1",
    }


def _told(path: Path, name: bytes, complaint: str) -> bytes:
    try:
        return os.getxattr(path, name)
    except OSError as error:
        if error.errno == NoAttribute.errno:
            raise NoAttribute(complaint) from None
        raise


def read_value(name: str) -> bytes:
    """Return what a file holds, or standard input."""
    return sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()


def read_rows(name: str) -> "np.ndarray[Any, Any]":
    """Return the vectors of a .npy file, one a row, without reading them yet.

    Raises
    ------
    InvalidArgument
    """
    try:
        rows = np.load(name, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InvalidArgument(f"{name} is no .npy file: {error}") from None
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind not in "fiu":
        raise InvalidArgument(f"{name} holds no table of numbers, one vector a row")
    return rows
