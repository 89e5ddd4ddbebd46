"""Everything that can be seen of a volume, as plain data: what a frozen store is compared by."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from vexfs_fuse.pending import Pending
from vexfs_fuse.storage.extents import Hole
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import FILE_BYTES_MAX, ROOT, Inode
from vexfs_fuse.volume.volume import Volume

Seen = dict[str, Any]

LISTED_MAX = 10_000


def everything(volume: Volume) -> dict[str, Seen]:
    """Return what is at every path, and the vector spaces; all of it can be written as JSON."""
    found = {path: _seen(volume, node) for path, node in _walk(volume, ROOT, "/")}
    found["spaces"] = {
        row.name.decode(): [row.dim, row.metric.decode(), row.model.decode()]
        for row in volume.view.spaces().values()
    }
    return found


def _walk(volume: Volume, ino: Inode, path: str) -> Iterator[tuple[str, Node]]:
    node = volume.tree.node(ino)
    yield path, node
    for name, entry in volume.tree.entries_after(node, 0, LISTED_MAX) if node.is_dir else ():
        yield from _walk(volume, entry.ino, f"{path.rstrip('/')}/{_text(name)}")


def _seen(volume: Volume, node: Node) -> Seen:
    volume_vectors = volume.view.vectors(node.ino)
    xattrs = volume.tree.xattrs(node)
    return {
        "ino": node.ino,
        "mode": oct(node.mode),
        "owner": [node.uid, node.gid],
        "links": node.nlink,
        "size": node.size,
        "stored": node.stored,
        "device": node.rdev,
        "times": [node.atime, node.mtime, node.ctime, node.btime],
        "target": None if node.target is None else _text(node.target),
        "xattrs": {_text(name): _digest(xattrs[name]) for name in sorted(xattrs)},
        "vectors": {
            f"{space}.{passage}": [vector.origin, vector.stale, vector.value.hex()]
            for (space, passage), vector in sorted(volume_vectors.items())
        },
        "contents": list(_contents(volume, node)) if node.is_file else None,
    }


def _contents(volume: Volume, node: Node) -> Iterator[list[Any]]:
    """Yield offset, length and hash of each run of stored bytes."""
    start = end = 0
    for piece in volume.contents.extents(node).pieces(0, min(node.size, FILE_BYTES_MAX)):
        if not isinstance(piece, Hole):
            end = piece.offset + piece.length
            continue
        if start < end:
            yield _run(volume, node, start, end)
        start = end = piece.offset + piece.length
    if start < end:
        yield _run(volume, node, start, end)


def _run(volume: Volume, node: Node, start: int, end: int) -> list[Any]:
    found: Any = volume.contents.read(node, start, end - start)
    while isinstance(found, Pending):
        found = found.resume(found.work())
    return [start, end - start, sha256(found).hexdigest()]


def _digest(value: bytes) -> str:
    return value.hex() if len(value) <= 64 else f"{len(value)} bytes, {sha256(value).hexdigest()}"


def _text(name: bytes) -> str:
    return name.decode(errors="backslashreplace")
