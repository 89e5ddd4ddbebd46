"""Every change to a volume is one of these records; their fields are the body of the journal record.

Times are those of the journal record.  A record is immutable: a NamedTuple, because making one costs
0.4 us against 1.3 us for a frozen dataclass (`docs/decisions/records-are-named-tuples.md`).
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple

from msgspec import Struct, defstruct

from vexfs_fuse.units import Inode


class Formatted(NamedTuple):
    """The first record of a volume: its root directory, inode 1."""

    mode: int
    uid: int
    gid: int


class Created(NamedTuple):
    """A new inode under a new name.  `xattrs` are the access lists that it inherits, as [name, value]."""

    parent: Inode
    name: bytes
    mode: int
    uid: int
    gid: int
    rdev: int
    target: bytes | None
    xattrs: Sequence[Sequence[bytes]] | None


class Linked(NamedTuple):
    """A further name for the inode."""

    parent: Inode
    name: bytes


class Unlinked(NamedTuple):
    """A name is gone, of whatever kind; the inode with its last link once nobody uses it."""

    parent: Inode
    name: bytes


class Renamed(NamedTuple):
    """The inode goes by another name; `replaced` is the inode that had it, or 0."""

    parent: Inode
    name: bytes
    new_parent: Inode
    new_name: bytes
    replaced: Inode


class Exchanged(NamedTuple):
    """The inode and `other` swap their names."""

    parent: Inode
    name: bytes
    new_parent: Inode
    new_name: bytes
    other: Inode


class AttributesSet(NamedTuple):
    """Mode (permission bits), owner, group, times; None leaves one as it is.

    `acl` is the access list that follows the mode, `uncapable` says that security.capability goes.
    """

    mode: int | None
    uid: int | None
    gid: int | None
    atime: int | None
    mtime: int | None
    acl: bytes | None
    uncapable: bool


class Accessed(NamedTuple):
    """The contents were read: atime moves, ctime does not."""

    atime: int


class Resized(NamedTuple):
    """The file was truncated or extended to `size`; `mode` loses its set-id bits where it must."""

    size: int
    mode: int | None
    uncapable: bool


class Punched(NamedTuple):
    """Contents became a hole: `length` bytes from `offset`; the file has `size` bytes then."""

    offset: int
    length: int
    size: int


class ExtentWritten(NamedTuple):
    """Contents reached the segments.

    Each of `extents` is [offset, length, segment, position, skip, frame_bytes, sums, inline].
    """

    size: int
    mtime: int
    ctime: int
    extents: Sequence[Sequence[Any]]


class ExtentMoved(NamedTuple):
    """The compactor copied live contents; `extents` as in `ExtentWritten`."""

    extents: Sequence[Sequence[Any]]


class XattrSet(NamedTuple):
    """An extended attribute; `mode` is what an access list makes of the mode, else None."""

    name: bytes
    value: bytes
    mode: int | None


class XattrRemoved(NamedTuple):
    """An extended attribute is gone; `mode` says what an access list with nothing to add said."""

    name: bytes
    mode: int | None


class Purged(NamedTuple):
    """Inodes without links that nobody uses any more are gone, with their contents."""

    inodes: Sequence[int]


class SpaceCreated(NamedTuple):
    """A vector space: `metric` is cosine, ip or l2, `model` the fingerprint of what makes its vectors."""

    space: int
    name: str
    dim: int
    metric: str
    model: str


class SpaceDropped(NamedTuple):
    """A vector space is gone, with all its vectors."""

    space: int


class VectorSet(NamedTuple):
    """A vector of the inode in a space.

    `origin` is 0 for a user's and 1 for an embedder's, `value` little-endian float32; `content` is the
    `Files.content_sum` of what the vector stands for, None when nobody summed it.
    """

    space: int
    origin: int
    value: bytes
    content: int | None = None


class PassagesSet(NamedTuple):
    """What an embedder made of the inode's contents: vectors in a space, those from `first` on.

    `values[0]` is that of passage `first`, each little-endian float32.  Passage 0 is the whole, the mean
    of the others; one passage alone is the whole.  With `first` 0 all vectors of before are gone.  Without
    values nothing goes: the contents are again those that the vectors were made of.  `content` as in
    `VectorSet`.
    """

    space: int
    content: int | None
    values: Sequence[bytes]
    first: int = 0


class VectorRemoved(NamedTuple):
    """The inode's vector in a space is gone, with those of its passages."""

    space: int


class VectorsMoved(NamedTuple):
    """The inode was saved over the inode `source`: it takes its vectors, which are stale now.

    With `keeps` it gets copies, because `source` goes on under another name.  In a space in which the
    inode has a vector already, only a user's takes the place of an embedder's.
    """

    source: int
    keeps: bool = False


class Searched(NamedTuple):
    """Somebody searched; what for is told by kind and hash, never by its words.

    `query` is the XXH3 of the query's segments, `scope` the directory, `plan` how it was answered.
    """

    scope: int
    query: int
    space: str
    plan: str
    k: int
    hits: int
    took_us: int


class IndexBuilt(NamedTuple):
    """An index over vectors of a space was built or built anew; `reason` says why."""

    space: int
    rows: int
    took_ms: int
    reason: str


class Mounted(NamedTuple):
    """A daemon took the store."""

    version: str
    read_only: bool


class Unmounted(NamedTuple):
    """The daemon left the store in order."""


class Repaired(NamedTuple):
    """`vexfs fsck --repair` changed the state; `problems` is what it found, `lost` which segments are."""

    problems: Sequence[str]
    lost: Sequence[int] = ()


Change = (
    Formatted
    | Created
    | Linked
    | Unlinked
    | Renamed
    | Exchanged
    | AttributesSet
    | Accessed
    | Resized
    | Punched
    | ExtentWritten
    | ExtentMoved
    | XattrSet
    | XattrRemoved
    | Purged
    | SpaceCreated
    | SpaceDropped
    | VectorSet
    | PassagesSet
    | VectorRemoved
    | VectorsMoved
    | Searched
    | IndexBuilt
    | Mounted
    | Unmounted
    | Repaired
)


class Kinds:
    """The kinds of records that this format revision knows, by their names in the journal."""

    FILESYSTEM: ClassVar[tuple[type, ...]] = (
        Formatted,
        Created,
        Linked,
        Unlinked,
        Renamed,
        Exchanged,
        AttributesSet,
        Accessed,
        Resized,
        Punched,
        ExtentWritten,
        ExtentMoved,
        XattrSet,
        XattrRemoved,
        Purged,
    )
    VECTOR: ClassVar[tuple[type, ...]] = (
        SpaceCreated,
        SpaceDropped,
        VectorSet,
        PassagesSet,
        VectorRemoved,
        VectorsMoved,
        IndexBuilt,
    )
    SEARCH: ClassVar[tuple[type, ...]] = (Searched,)
    SYSTEM: ClassVar[tuple[type, ...]] = (Mounted, Unmounted, Repaired)
    BY_NAME: ClassVar[dict[str, type]] = {
        kind.__name__: kind for kind in FILESYSTEM + VECTOR + SEARCH + SYSTEM
    }


# A structure of eight fields is made in 0.14 us, a dict in 0.34, and is packed faster.
_BODIES: Final = {
    kind: defstruct(name, kind._fields, gc=False)  # type: ignore[attr-defined]  # a NamedTuple
    for name, kind in Kinds.BY_NAME.items()
}


def body(change: Change) -> Struct:
    """Return the journal body of a change: it is packed as a map of the change's fields."""
    return _BODIES[change.__class__](*change)
