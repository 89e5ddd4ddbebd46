"""Rows of the state view and their checksums, both ways.

A packed row is what SQLite gets: the columns of `schema.py` with `sum` as the last.  The sum is a
CRC-32: it finds every single flipped bit and every burst of up to 32, and costs least on rows of a
hundred bytes.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple
from zlib import crc32

from vexfs_fuse.errors import CorruptData
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.units import Segment

Row = tuple[Any, ...]

TARGET: Final = 14
"""Place of the one column of a node that is not an integer."""

CHILDREN: Final = 12
"""Place of the number of names that a directory has."""

_node_integers = struct.Struct("<15q").pack
_dentry_integers = struct.Struct("<4q").pack
_xattr_integers = struct.Struct("<2q").pack
_extent_integers = struct.Struct("<8q").pack
_vector_integers = struct.Struct("<6q").pack
_pair = struct.Struct("<2q").pack


def pack_node(row: Row) -> Row:
    """Return a node's row, as `Node.row` gives it, with its sum."""
    return (*row, _node_sum(row))


def _node_sum(row: Row) -> int:
    target = row[TARGET]
    total = crc32(_node_integers(*row[:TARGET], row[TARGET + 1]))
    return total if target is None else crc32(b"\0" + target, total)


def pack_dentry(parent: int, name: bytes, entry: tuple[int, int, int]) -> Row:
    """Return the row of a name."""
    ino, cookie, kind = entry
    return parent, name, ino, cookie, kind, crc32(name, crc32(_dentry_integers(parent, *entry)))


def _dentry_sum(row: Row) -> int:
    parent, name, ino, cookie, kind, _ = row
    return crc32(name, crc32(_dentry_integers(parent, ino, cookie, kind)))


def pack_xattr(ino: int, name: bytes, value: bytes) -> Row:
    """Return the row of an extended attribute."""
    return ino, name, value, _xattr_sum((ino, name, value))


def _xattr_sum(row: Row) -> int:
    ino, name, value = row[:3]
    return crc32(value, crc32(name, crc32(_xattr_integers(ino, len(name)))))


def pack_extent(ino: int, extent: Extent) -> Row:
    """Return the row of an extent."""
    row = (ino, *extent)
    return (*row, _extent_sum(row))


def _extent_sum(row: Row) -> int:
    sums, inline = row[7:9]
    total = crc32(sums, crc32(_extent_integers(*row[:7], len(sums))))
    return total if inline is None else crc32(b"\0" + inline, total)


def extent_of(row: Row) -> Extent:
    """Return the extent in a verified row."""
    return Extent(*row[1:9])


class VectorRow(NamedTuple):
    """A vector as stored: `origin` 0 user, 1 auto; `value` little-endian float32."""

    lsn: int
    origin: int
    stale: int
    value: bytes


class SpaceRow(NamedTuple):
    """A vector space as stored."""

    space: int
    name: bytes
    dim: int
    metric: bytes
    model: bytes


def pack_vector(ino: int, space: int, passage: int, vector: VectorRow) -> Row:
    """Return the row of a vector."""
    row = (ino, space, passage, *vector)
    return (*row, _vector_sum(row))


def _vector_sum(row: Row) -> int:
    return crc32(row[6], crc32(_vector_integers(*row[:6])))


def vector_of(row: Row) -> VectorRow:
    """Return the vector in a verified row."""
    return VectorRow(*row[3:7])


def pack_space(space: SpaceRow) -> Row:
    """Return the row of a vector space."""
    return (*space, _space_sum(space))


def _space_sum(row: Row) -> int:
    space, name, dim, metric, model = row[:5]
    return crc32(b"\0".join((name, metric, model)), crc32(_pair(space, dim)))


def pack_segment(segment: Segment, live_bytes: int) -> Row:
    """Return the row of a segment's live bytes."""
    return segment, live_bytes, crc32(_pair(segment, live_bytes))


def _segment_sum(row: Row) -> int:
    return crc32(_pair(row[0], row[1]))


def pack_meta(key: str, value: int | bytes) -> Row:
    """Return a row of `meta`."""
    return key, value, _meta_sum((key, value))


def _meta_sum(row: Row) -> int:
    key, value = row[:2]
    key = key.encode() if isinstance(key, str) else key
    return crc32(key + (b"\0" + value if isinstance(value, bytes) else b"=%d" % value))


class Table(NamedTuple):
    """A table of the view: its name in messages, how many columns make its key, its checksum."""

    name: str
    keys: int
    sum: Callable[[Row], int]

    def holds(self, row: Row) -> bool:
        """Whether the row's sum is right."""
        try:
            return bool(self.sum(row) == row[-1])
        except (TypeError, ValueError, IndexError, struct.error):
            return False  # damage has changed the type of a column, or it is another table's

    def verify(self, row: Row) -> Row:
        """Return the row if its sum is right.

        Raises
        ------
        CorruptData
            It is not; names the table and the key.
        """
        if self.holds(row):
            return row
        raise CorruptData(f"{self.describe(row)} does not match its checksum")

    def describe(self, row: Row) -> str:
        """Return the table and the key of a row, for messages."""
        key = ", ".join(repr(column) for column in row[: self.keys])
        return f"state row {self.name}[{key}]"


def readings(rowid: int | None, values: Row) -> Iterator[Row]:
    """Yield what a raw record can mean as a row, columns in the order of the tables.

    SQLite keeps an integer primary key as the record's rowid; the second copy of a name has another
    order.
    """
    yield values
    if rowid is not None:
        yield (rowid, *values[1:])
    if len(values) == len(_LISTED):
        yield tuple(values[place] for place in _LISTED)


_LISTED: Final = (0, 2, 3, 1, 4, 5)
"""Where the index `dentries_listed` has the columns of `dentries`."""

META: Final = Table("meta", 1, _meta_sum)
NODES: Final = Table("nodes", 1, _node_sum)
DENTRIES: Final = Table("dentries", 2, _dentry_sum)
XATTRS: Final = Table("xattrs", 2, _xattr_sum)
EXTENTS: Final = Table("extents", 2, _extent_sum)
VECTORS: Final = Table("vectors", 3, _vector_sum)
SPACES: Final = Table("spaces", 1, _space_sum)
SEGMENTS: Final = Table("segments", 1, _segment_sum)
