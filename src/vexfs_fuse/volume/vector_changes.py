"""Decides what happens to vectors: the extended attributes `user.vexfs.*`, and spaces.

`user.vexfs.vector` is the vector in the space `default`, `user.vexfs.vector.SPACE` in another; beside it
are attributes that can be read and are never listed, so that copies carry the vector alone.  The root
directory has `user.vexfs.space.SPACE` for each space: what it is; set, it makes one; removed, it drops it.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from vexfs_fuse.errors import (
    AccessDenied,
    Exists,
    InvalidArgument,
    NoAttribute,
    NotFound,
    NotPermitted,
    NotSupported,
)
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.vectors.codec import DIMENSIONS_MAX, parse, to_raw
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.space import Space
from vexfs_fuse.volume.changes import (
    SpaceCreated,
    SpaceDropped,
    VectorRemoved,
    VectorSet,
    VectorsMoved,
)
from vexfs_fuse.volume.files import Files
from vexfs_fuse.volume.saves import PutAside
from vexfs_fuse.volume.vectors import DEFAULT_SPACE, TEXT_SPACE, USER, Vectors
from vexfs_fuse.volume.writer import Caller, Writer

PREFIX: Final = b"user.vexfs."
VECTOR: Final = b"vector"
SPACE: Final = b"space"
COMPANIONS: Final = (b"dim", SPACE, b"model", b"origin", b"stale")
"""Attributes that can be read where there is a vector; `.SPACE` may follow as with `vector`."""

REINDEX: Final = PREFIX + b"reindex"
"""Set on the root directory, to KIND or KIND:NAME, it has what is derived made anew."""

ORIGINS: Final = (b"user", b"auto")
MODEL_BYTES_MAX: Final = 255
_SPACE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class VectorChanges:
    """Every change of vectors and spaces."""

    def __init__(self, vectors: Vectors, writer: Writer, files: Files) -> None:
        self._vectors = vectors
        self._writer = writer
        self._now_s = writer.clock.monotonic_s
        self._files = files
        self.aside = PutAside()
        self.reindexes: dict[str, Callable[[str | None], None]] = {}  # by kind: what does it
        self.told: dict[bytes, Callable[[Inode], Any]] = {}  # further attributes, told by others

    def tell(self, node: Node, name: bytes) -> Any:
        """Return what `get` does, or what others tell under a name, which may be a `Pending`.

        Raises
        ------
        NoAttribute
        """
        tell = self.told.get(name.removeprefix(PREFIX))
        return tell(node.ino) if tell is not None and node.is_file else self.get(node, name)

    def get(self, node: Node, name: bytes) -> bytes:
        """Return the value of an attribute of the family.

        Raises
        ------
        NoAttribute
        """
        what, space_name = _split(name)
        if node.ino == ROOT and what == SPACE:
            return self._described(space_name)
        row = self._vectors.stored(node.ino, space_name)
        if row is None:
            raise NoAttribute
        if what == VECTOR:
            return bytes(row.value)
        space = self._vectors.spaces[space_name]
        if what == b"dim":
            return b"%d" % space.dimensions
        if what == SPACE:
            return space_name.encode()
        if what == b"model":
            return space.model.encode()
        if what == b"origin":
            return ORIGINS[row.origin]
        if what == b"stale":
            return b"%d" % (row.stale or self._files.is_dirty(node))
        raise NoAttribute

    def _described(self, name: str) -> bytes:
        space = self._vectors.spaces.get(name)
        if space is None:
            raise NoAttribute
        return specification(space.dimensions, space.metric.value, space.model).encode()

    def listed(self, node: Node) -> list[bytes]:
        """Return the names of the vectors that users gave the inode as extended attributes.

        Those that an embedder made can be read too.  Were they listed, `cp -a` would make them a
        user's, and nothing would keep those of the copy up to date.
        """
        return [attribute(name) for name in self._vectors.set_by_user(node.ino)]

    def set(self, node: Node, name: bytes, value: bytes, who: Caller, origin: int = USER) -> None:
        """Set a vector; the first one of a space makes it, with the metric cosine.

        Accepted are raw float32, a JSON array, and numbers between commas or spaces.

        Raises
        ------
        NotPermitted
            An attribute that only tells.
        NotSupported
            Anything but a regular file.
        InvalidArgument
            Not a vector, or not one of this space; says why.
        Exists
            There is another space of this name.
        NoSpace, ReadOnly
        """
        if node.ino == ROOT and name == REINDEX:
            self._reindex_as_told(node, value, who)
            return
        what, space_name = _split_settable(node, name)
        if node.ino == ROOT and what == SPACE:
            self._create_as_told(space_name, value, who)
            return
        if not node.is_file:
            raise NotSupported("vectors belong to regular files")
        space = self._vectors.spaces.get(space_name)
        vector = (
            space.parse(value) if space is not None else Metric.COSINE.check(parse(value, None))
        )
        self._files.flush(node)  # else the contents of before would count as changed after
        self._writer.admit()
        if space is None:
            if space_name == TEXT_SPACE:
                raise InvalidArgument("space text is made by the embedder of texts")
            self.create_space(space_name, len(vector), "cosine", "", who)
        number = self._vectors.numbers[space_name]
        change = VectorSet(number, origin, to_raw(vector), self._files.content_sum(node))
        self._writer.commit(node.ino, change, who)

    def _create_as_told(self, name: str, value: bytes, who: Caller) -> None:
        """Make a space, unless there is the very same."""
        dim, metric, model = parse_specification(value)
        space = self._vectors.spaces.get(name)
        if space is None or (space.dimensions, space.metric.value, space.model) != (
            dim,
            metric,
            model,
        ):
            self.create_space(name, dim, metric, model, who)

    def _reindex_as_told(self, node: Node, value: bytes, who: Caller) -> None:
        if who.uid not in {0, node.uid}:
            raise AccessDenied("only the owner of the root directory has indexes made anew")
        kind, colon, name = value.decode("utf-8", "replace").partition(":")
        reindex = self.reindexes.get(kind)
        if reindex is None:
            raise InvalidArgument(f"there is no index of {kind}; of {', '.join(self.reindexes)}")
        reindex(name if colon else None)

    def remove(self, node: Node, name: bytes, who: Caller) -> None:
        """Remove a vector.

        Raises
        ------
        NoAttribute, NotPermitted, NoSpace, ReadOnly
        AccessDenied
            Only the owner of the root directory drops spaces.
        """
        what, space_name = _split_settable(node, name)
        if node.ino == ROOT and what == SPACE:
            if who.uid not in {0, node.uid}:
                raise AccessDenied("only the owner of the root directory drops vector spaces")
            if space_name not in self._vectors.spaces:
                raise NoAttribute
            self.drop_space(space_name, who)
            return
        space = self._vectors.spaces.get(space_name)
        if space is None or node.ino not in space:
            raise NoAttribute
        self._writer.admit(is_freeing=True)
        self._writer.commit(node.ino, VectorRemoved(self._vectors.numbers[space_name]), who)

    def move_by_save(self, node: Node, replaced: Node, who: Caller) -> None:
        """Hand the vectors of a replaced file on to the one that an editor has put in its place.

        This is how vim, `sed -i` and most editors save.
        """
        if node.is_file and self._vectors.takeable(node.ino, replaced.ino):
            change = VectorsMoved(replaced.ino, replaced.nlink > 0)
            self._writer.commit(node.ino, change, who)

    def put_aside(self, node: Node, parent: Inode, name: bytes, who: Caller) -> None:
        """Remember a file with vectors that was renamed to a backup's name: an editor may be saving."""
        if self._vectors.holds(node.ino):
            self.aside.remember(node.ino, parent, name, who.pid, self._now_s())

    def succeed(self, node: Node, parent: Inode, name: bytes, who: Caller) -> None:
        """Hand the vectors of a file that was put aside on to the one that was made in its place."""
        source = self.aside.take(parent, name, who.pid, self._now_s())
        if source is not None and node.is_file and self._vectors.holds(source):
            self._writer.commit(node.ino, VectorsMoved(source, True), who)

    def create_space(self, name: str, dim: int, metric: str, model: str, who: Caller) -> Space:
        """Make a vector space.

        Raises
        ------
        Exists
            There is one of this name.
        InvalidArgument, NoSpace, ReadOnly
        """
        if name in self._vectors.spaces:
            raise Exists(f"space {name}")
        check_space(name, dim, metric, model)
        self._writer.admit()
        change = SpaceCreated(self._vectors.next_number, name, dim, metric, model)
        self._writer.commit(_NO_INODE, change, who)
        return self._vectors.spaces[name]

    def drop_space(self, name: str, who: Caller) -> None:
        """Drop a vector space with all its vectors.

        Raises
        ------
        NotFound, NoSpace, ReadOnly
        """
        if name not in self._vectors.spaces:
            raise NotFound(f"space {name}")
        self._writer.admit(is_freeing=True)
        self._writer.commit(_NO_INODE, SpaceDropped(self._vectors.numbers[name]), who)


_NO_INODE: Final[Any] = 0
"""Subject of records about the volume as a whole."""


def attribute(space: str) -> bytes:
    """Return the extended attribute that holds a file's vector in a space."""
    suffix = b"" if space == DEFAULT_SPACE else b"." + space.encode()
    return PREFIX + VECTOR + suffix


def check_space(name: str, dim: int, metric: str, model: str) -> None:
    """Raise `InvalidArgument` unless there can be such a space."""
    check_space_name(name)
    if not 1 <= dim <= DIMENSIONS_MAX:
        raise InvalidArgument(f"a space has 1 to {DIMENSIONS_MAX} dimensions, not {dim}")
    if len(model.split()) > 1 or not _is_short(model):
        raise InvalidArgument(
            f"a model's name has up to {MODEL_BYTES_MAX} bytes of UTF-8 and no blanks"
        )
    Metric.named(metric)


def check_space_name(name: str) -> None:
    """Raise `InvalidArgument` unless a space can have this name."""
    if not _SPACE_NAME.fullmatch(name):
        raise InvalidArgument("a space's name has up to 64 letters, digits, - and _")


def _is_short(model: str) -> bool:
    try:
        return len(model.encode()) <= MODEL_BYTES_MAX
    except UnicodeEncodeError:  # an argument of a command that was other bytes
        return False


def specification(dim: int, metric: str, model: str) -> str:
    """Return a space as its attribute tells of it; `parse_specification` is the way back."""
    return f"dim={dim} metric={metric}" + (f" model={model}" if model else "")


def parse_specification(value: bytes) -> tuple[int, str, str]:
    """Return dimension, metric and model of `dim=384 metric=cosine model=NAME`; `dim` must be there.

    Raises
    ------
    InvalidArgument
    """
    fields = {"metric": "cosine", "model": ""}
    for word in value.decode("utf-8", "replace").split():
        key, equals, told = word.partition("=")
        if not equals or key not in {"dim", "metric", "model"}:
            raise InvalidArgument(f"a space is dim=N metric=NAME model=NAME, not {word}")
        fields[key] = told
    if not re.fullmatch("[0-9]{1,5}", fields.get("dim", "")):
        raise InvalidArgument("a space needs its dimension: dim=N")
    return int(fields["dim"]), fields["metric"], fields["model"]


def _split_settable(node: Node, name: bytes) -> tuple[bytes, str]:
    """Return the same for an attribute that is to be changed.

    Raises
    ------
    NotPermitted
        It only tells, or there is none of this name.
    """
    what, dot, _ = name.removeprefix(PREFIX).partition(b".")
    if what == VECTOR or (what == SPACE and dot and node.ino == ROOT):
        return _split(name)
    raise NotPermitted(f"{name.decode(errors='replace')} only tells")


def _split(name: bytes) -> tuple[bytes, str]:
    """Return what an attribute tells, and of which space."""
    what, dot, space = name.removeprefix(PREFIX).partition(b".")
    if what != VECTOR and what not in COMPANIONS:
        raise NoAttribute
    return what, space.decode("ascii", "replace") if dot else DEFAULT_SPACE
