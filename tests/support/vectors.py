"""Vectors on files as programs set, read and search them."""

import json
import os
import struct
from pathlib import Path
from typing import Any, Final

VECTOR: Final = "user.vexfs.vector"


def raw(*numbers: float) -> bytes:
    """Return numbers as little-endian float32."""
    return struct.pack(f"<{len(numbers)}f", *numbers)


def attribute(space: str) -> str:
    """Return the attribute that holds a vector in a space."""
    return VECTOR if space == "default" else f"{VECTOR}.{space}"


def told(path: Path, what: str, space: str = "default") -> str:
    """Return one of the attributes beside a vector."""
    suffix = "" if space == "default" else f".{space}"
    return os.getxattr(path, f"user.vexfs.{what}{suffix}").decode()


def make_space(root: Path, name: str, dim: int, metric: str = "cosine", model: str = "") -> None:
    """Make a vector space; `root` is the volume's root directory."""
    value = f"dim={dim} metric={metric}" + (f" model={model}" if model else "")
    os.setxattr(root, f"user.vexfs.space.{name}", value.encode())


def ask(directory: Path, **query: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ask `.search/.new` of a directory; return the header and the hits."""
    descriptor = os.open(directory / ".search/.new", os.O_RDWR)
    try:
        os.write(descriptor, json.dumps(query).encode())
        answer = b""
        while part := os.pread(descriptor, 1 << 20, len(answer)):
            answer += part
    finally:
        os.close(descriptor)
    header, *hits = map(json.loads, answer.splitlines())
    return header, hits


def new(directory: Path, query: bytes) -> bytes:
    """Write a question into `.search/.new`, and return what one read of the same descriptor gives."""
    descriptor = os.open(directory / ".search/.new", os.O_RDWR)
    try:
        assert os.write(descriptor, query) == len(query)
        return os.read(descriptor, 1 << 20)
    finally:
        os.close(descriptor)


def paths(directory: Path, **query: Any) -> list[str]:
    """Return the paths of the hits, best first."""
    return [hit["path"] for hit in ask(directory, **query)[1]]
