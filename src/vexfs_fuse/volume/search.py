"""Answers a query: which files, in which order, and how that was found out.

Permission comes before distance: only files that the caller can reach from the scope and read are
candidates.  Knows no paths of queries and no directories of results; that is `vfs/search/`.
"""

import fnmatch
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from vexfs_fuse.errors import InvalidArgument, NoAttribute, NotFound
from vexfs_fuse.pending import Pending
from vexfs_fuse.tree.node import Node
from vexfs_fuse.tree.permissions import EXECUTE, READ, may
from vexfs_fuse.units import Inode
from vexfs_fuse.vectors.codec import finite, from_raw
from vexfs_fuse.vectors.hits import Hits
from vexfs_fuse.vectors.space import Space
from vexfs_fuse.volume.catalogue import (
    Bools,
    CallerOf,
    Catalogue,
    Identity,
    Slots,
    extension_of,
    is_type,
    type_of,
)
from vexfs_fuse.volume.files import Files
from vexfs_fuse.volume.query import Query
from vexfs_fuse.volume.vectors import Vectors

Floats = np.ndarray[Any, np.dtype[np.float32]]


MASKS_MAX: Final = 16
"""Answers to "which rows may be found" that are kept, a byte a row each."""


class Hit(NamedTuple):
    """One file found."""

    ino: Inode
    path: bytes  # relative to the scope
    score: float
    distance: float | None
    stale: bool


class Outcome(NamedTuple):
    """What a search found, best first, and how."""

    hits: list[Hit]
    plan: str  # exact, ann, names
    space: str | None
    model: str
    ef: int | None
    candidates: int
    recall: float | None  # running recall of approximate searches in this space


class Search:
    """Searches one volume."""

    def __init__(
        self,
        vectors: Vectors,
        catalogue: Catalogue,
        get_xattr: Callable[[Node, bytes], bytes],
        size_times: Callable[[Node], tuple[int, int, int]],
    ) -> None:
        self._vectors = vectors
        self._catalogue = catalogue
        self._get_xattr = get_xattr
        self._size_times = size_times
        self._tree = catalogue.tree
        self._row_slots: dict[str, _RowSlots] = {}
        self._masks: OrderedDict[Any, tuple[tuple[int, int, Space], Bools]] = OrderedDict()

    def space(self, name: str) -> Space:
        """Return a space that has vectors.

        Raises
        ------
        NoAttribute
            There is none, or it is empty.
        """
        space = self._vectors.spaces.get(name)
        if space is None or not len(space):
            raise NoAttribute(f"no vectors in space {name}")
        return space

    def nearest(
        self,
        query: Query,
        vector: Floats,
        space_name: str,
        scope: Inode,
        who: Identity,
        *,
        exclude: Inode | None = None,
        mode: str = "auto",
    ) -> Outcome | Pending[Outcome]:
        """Find the files whose vectors are nearest.

        Raises
        ------
        NoAttribute, InvalidArgument
        """
        space = self.space(space_name)
        space.metric.check(finite(vector))
        if len(vector) != space.dimensions:
            raise InvalidArgument(
                f"{len(vector)} dimensions, and space {space_name} has {space.dimensions}"
            )
        mask = self._candidates(space, query, scope, who, exclude)
        count = int(np.count_nonzero(mask))
        candidates = None if count == len(space) else mask

        def finish(found: Hits | Pending[Hits]) -> Outcome | Pending[Outcome]:
            if isinstance(found, Pending):
                return Pending(found.work, lambda worked: finish(found.resume(worked)))
            hits = self._hits(found, query, scope, who, space_name)
            return Outcome(
                hits,
                found.plan,
                space_name,
                space.model,
                found.ef,
                count,
                space.recall.recall,
            )

        return finish(space.search(vector, query.k, mask=candidates, mode=mode))

    def _candidates(
        self, space: Space, query: Query, scope: Inode, who: Identity, exclude: Inode | None
    ) -> Bools:
        """Return which rows may be found; the same answer serves until something changes."""
        slots = self._slots(space)
        key = (space.name, scope, who, query._replace(k=0, min_score=None, like=None, vec=None))
        stamp = (self._catalogue.generation, space.generation, space)
        known = self._masks.get(key)
        if known is None or known[0] != stamp:
            mask = self._mask(slots, query, scope, who) & space.rows.live[: space.rows.limit]
            self._masks[key] = known = (stamp, mask)
        self._masks.move_to_end(key)
        while len(self._masks) > MASKS_MAX:
            self._masks.popitem(last=False)
        if exclude is None:
            return known[1]
        kept: Bools = known[1] & (space.rows.inos[: space.rows.limit] != exclude)
        return kept

    def _slots(self, space: Space) -> Slots:
        row_slots = self._row_slots.get(space.name)
        if row_slots is None or row_slots.space is not space:
            row_slots = self._row_slots[space.name] = _RowSlots(space, self._catalogue)
        return row_slots.slots()

    def _mask(self, slots: Slots, query: Query, scope: Inode, who: Identity) -> Bools:
        catalogue = self._catalogue
        mask = catalogue.permitted(slots, scope, who)
        mask &= catalogue.filtered(
            slots,
            extensions=query.extensions,
            types=query.types,
            size_min=query.size_min,
            size_max=query.size_max,
            since_ns=query.since_ns,
            until_ns=query.until_ns,
        )
        if query.names or query.words or query.has or query.without or query.xattrs:
            for at in np.flatnonzero(mask):
                slot = int(slots[at])
                mask[at] = self._passes(
                    catalogue.names[slot], Inode(int(catalogue.inode[slot])), query
                )
        return mask

    def _passes(self, name: bytes, ino: Inode, query: Query) -> bool:
        """Whether a file passes the filters that columns cannot answer."""
        if not all(fnmatch.fnmatchcase(name, pattern) for pattern in query.names):
            return False
        text = name.decode("utf-8", "replace").casefold()
        if not all(
            word in text
            for words in (*query.words, *query.has)
            for word in words.casefold().split()
        ):
            return False
        if any(word.casefold() in text for word in query.without):
            return False
        return all(self._has_xattr(ino, *wanted) for wanted in query.xattrs)

    def _has_xattr(self, ino: Inode, name: bytes, value: bytes) -> bool:
        try:
            return self._get_xattr(self._tree.node(ino), name) == value
        except (NoAttribute, NotFound):
            return False

    def _hits(self, found: Any, query: Query, scope: Inode, who: Identity, space: str) -> list[Hit]:
        """Look at what was found as it is now, and order it."""
        hits: list[Hit] = []
        for ino, score, distance in zip(found.inos, found.scores, found.distances, strict=True):
            if query.min_score is not None and score < query.min_score:
                continue
            if len(hits) >= query.k and score < hits[query.k - 1].score:
                break
            hit = self._hit(Inode(int(ino)), float(score), float(distance), scope, who, space)
            if hit is not None:
                hits.append(hit)
        hits.sort(key=lambda hit: (-hit.score, hit.path))
        return hits[: query.k]

    def _hit(
        self, ino: Inode, score: float, distance: float, scope: Inode, who: Identity, space: str
    ) -> Hit | None:
        try:
            node = self._tree.node(ino)
        except NotFound:
            return None
        place = self._catalogue.best_place(node, scope, who)
        if place is None or not self._catalogue.may_read(node, who):
            return None
        row = self._vectors.stored(ino, space)
        stale = row is not None and (bool(row.stale) or Files.is_dirty(node))
        return Hit(ino, self._catalogue.path(place, scope), score, distance, stale)

    def by_names(self, query: Query, scope: Inode, who: Identity) -> Outcome:
        """Find the files whose names have all the words; the share of the name that they make is the score."""
        hits = []
        words = [word for text in query.words for word in text.casefold().split()]
        for path, node in self._under(scope, who):
            name = path.rpartition(b"/")[2]
            if not self._passes(name, node.ino, query) or not self._passes_columns(
                node, name, query
            ):
                continue
            length = len(name.decode("utf-8", "replace"))
            score = min(1.0, sum(map(len, words)) / length) if words else 1.0
            if query.min_score is None or score >= query.min_score:
                hits.append(Hit(node.ino, path, score, None, False))
        hits.sort(key=lambda hit: (-hit.score, hit.path))
        return Outcome(hits[: query.k], "names", None, "", None, len(hits), None)

    def _under(self, scope: Inode, who: Identity) -> Iterator[tuple[bytes, Node]]:
        """Yield (path, node) of the regular files below `scope` that `who` can reach and read."""
        caller = CallerOf(who)
        waiting = [(b"", self._tree.node(scope))]
        while waiting:
            prefix, directory = waiting.pop()
            xattrs = self._tree.xattrs(directory)
            if not may(directory, xattrs, READ | EXECUTE, caller, who.gids.__contains__):
                continue
            for name, entry in self._tree.each_entry(directory):
                if entry.kind == stat.S_IFDIR:
                    waiting.append((prefix + name + b"/", self._tree.node(entry.ino)))
                elif entry.kind == stat.S_IFREG:
                    node = self._tree.node(entry.ino)
                    if self._catalogue.may_read(node, who):
                        yield prefix + name, node

    def _passes_columns(self, node: Node, name: bytes, query: Query) -> bool:
        """Answer for one file what `Catalogue.filtered` answers for those that have vectors."""
        extension = extension_of(name)
        size, mtime, _ = self._size_times(node)
        return (
            all(extension in wanted for wanted in query.extensions)
            and all(is_type(type_of(extension), pattern) for pattern in query.types)
            and (query.size_min is None or size >= query.size_min)
            and (query.size_max is None or size <= query.size_max)
            and (query.since_ns is None or mtime >= query.since_ns)
            and (query.until_ns is None or mtime <= query.until_ns)
        )

    def vector_of(self, node: Node, space_name: str) -> Floats:
        """Return the vector of a file, for `like=`.

        Raises
        ------
        NoAttribute
        """
        row = self._vectors.stored(node.ino, space_name)
        if row is None:
            raise NoAttribute(f"the file has no vector in space {space_name}")
        return from_raw(row.value)


class _RowSlots:
    """The catalogue's slot of each row of a space; a row may come to stand for another inode."""

    def __init__(self, space: Space, catalogue: Catalogue) -> None:
        self.space = space
        self._catalogue = catalogue
        self._inos: Slots = np.zeros(0, np.int64)
        self._slots: Slots = np.zeros(0, np.int64)

    def slots(self) -> Slots:
        """Return a slot for each row number below the space's limit."""
        rows = self.space.rows
        if len(self._inos) < rows.limit:
            self._inos = _longer(self._inos, len(rows.inos))
            self._slots = _longer(self._slots, len(rows.inos))
        known, wanted = self._inos[: rows.limit], rows.inos[: rows.limit]
        slot = self._catalogue.slot
        for row in np.flatnonzero(known != wanted):
            self._slots[row] = slot(Inode(int(wanted[row])))
        known[:] = wanted
        return self._slots[: rows.limit]


def _longer(array: Slots, length: int) -> Slots:
    longer: Slots = np.zeros(length, np.int64)
    longer[: len(array)] = array
    return longer
