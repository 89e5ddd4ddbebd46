"""Answers a query: which files, in which order, and how that was found out.

Permission comes before distance: only files that the caller can reach from the scope and read are
candidates.  Knows no paths of queries and no directories of results; that is `vfs/search/`.
"""

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from vexfs_fuse.errors import InvalidArgument, NoAttribute, NotFound, VexfsError
from vexfs_fuse.pending import Pending
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.vectors.codec import finite, from_raw
from vexfs_fuse.vectors.hits import Hits
from vexfs_fuse.vectors.space import Space
from vexfs_fuse.volume.by_names import ByNames
from vexfs_fuse.volume.catalogue import MANY_NAMES, Bools, Catalogue, Identity, Place, Slots
from vexfs_fuse.volume.files import Files
from vexfs_fuse.volume.filters import Filters, matcher
from vexfs_fuse.volume.hits import Hit, Outcome
from vexfs_fuse.volume.name_blocks import BLOCK_NAMES, NameBlocks
from vexfs_fuse.volume.query import Query
from vexfs_fuse.volume.row_slots import RowSlots
from vexfs_fuse.volume.slices import in_slices, then
from vexfs_fuse.volume.vectors import WHOLE, Vectors
from vexfs_fuse.volume.word_filter import ANY_WORDS, WordFilter

Floats = np.ndarray[Any, np.dtype[np.float32]]

MASKS_MAX: Final = 16
"""Answers to "which rows may be found" that are kept, a byte a row each."""

STEP_FILES: Final = 128
"""Files between two looks at the clock."""

UNKNOWN_ROWS_MIN: Final = 100_000
"""The files of fewer vectors are all looked at in half a second, and each search is quicker then."""

LOOKED_AT_MAX: Final = 1_024
"""So many of the nearest are looked at one by one, before all files are."""

SPARE: Final = 22
"""So many more than are wanted are looked at first."""

_MORE: Final = 8
_NO_ROWS: Final = np.zeros(0, np.int64)


class Target(NamedTuple):
    """What the hits are to be near to, and the file that shall not be among them."""

    vector: Floats
    space: Space
    exclude: Inode | None


class Near(NamedTuple):
    """The nearest rows, how many could have been among them, and of which generation they are."""

    found: Hits
    candidates: int
    generation: int


class Search:
    """Searches one volume."""

    def __init__(
        self,
        vectors: Vectors,
        catalogue: Catalogue,
        get_xattr: Callable[[Node, bytes], bytes],
        size_times: Callable[[Node], tuple[int, int, int]],
        dirty: Callable[[], Iterable[Inode]],
    ) -> None:
        self._vectors = vectors
        self._catalogue = catalogue
        self._tree = catalogue.tree
        self._dirty = dirty
        self._filters = Filters(catalogue.tree, get_xattr, size_times)
        self._name_blocks = NameBlocks(catalogue.names, catalogue.looked_at)
        self._row_slots: dict[str, RowSlots] = {}
        self._surveyed: dict[str, Space] = {}  # of whose files all was known at some time
        self._masks: OrderedDict[Any, _Known] = OrderedDict()
        self.by_names = ByNames(catalogue, self._filters).find

    @property
    def generation(self) -> int:
        """Grows with everything that may alter which files are found."""
        return self._catalogue.generation

    def is_surveyed(self, name: str) -> bool:
        """Whether all files of a space have been looked at since the mount."""
        return self._surveyed.get(name) is self._vectors.spaces.get(name)

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

    def target(self, vector: Any, space_name: str, exclude: Inode | None) -> Target:
        """Return a vector as something to search for.

        Raises
        ------
        NoAttribute, InvalidArgument
        """
        space = self.space(space_name)
        wanted: Floats = np.ascontiguousarray(vector, np.float32)
        space.metric.check(finite(wanted))
        if len(wanted) != space.dimensions:
            raise InvalidArgument(
                f"{len(wanted)} dimensions, and space {space_name} has {space.dimensions}"
            )
        return Target(wanted, space, exclude)

    def nearest(
        self,
        query: Query,
        target: Target,
        scope: Inode,
        who: Identity,
        words: WordFilter = ANY_WORDS,
    ) -> Outcome | Pending[Outcome]:
        """Find the files whose vectors are nearest to what `target` made."""
        space = target.space
        is_large = len(space) >= UNKNOWN_ROWS_MIN
        if (
            is_large
            and not self.is_surveyed(space.name)
            and words is ANY_WORDS
            and not query.has_filters
        ):
            return self._one_by_one(query, target, scope, who)
        return self._among_all(query, target, scope, who, words)

    def _among_all(
        self, query: Query, target: Target, scope: Inode, who: Identity, words: WordFilter
    ) -> Outcome | Pending[Outcome]:
        space = target.space

        def outcome(near: Near) -> Outcome:
            hits = self._hits(near, query, scope, who, space.name)
            recall = space.recall.recall
            plan, ef = near.found.plan, near.found.ef
            return Outcome(hits, plan, space.name, space.model, ef, near.candidates, recall)

        answer: Outcome | Pending[Outcome] = then(
            self.near(query, target, scope, who, query.k, words), outcome
        )
        return answer

    def _one_by_one(
        self, query: Query, target: Target, scope: Inode, who: Identity
    ) -> Outcome | Pending[Outcome]:
        """Look at the nearest of all rows until enough may be found, while little is known of files.

        After a mount a million files take seconds to look at, and most often the first few will do.
        Whoever finds too few among many of the nearest waits for all.
        """
        space = target.space

        def ask(count: int) -> Any:
            wanted = count + (target.exclude is not None)
            mode = "exact" if query.mode == "exact" else "auto"
            is_stored = target.exclude is not None
            found = space.search(target.vector, wanted, mode=mode, is_stored=is_stored)
            return then(found, lambda found: judge(found.without(target.exclude), count))

        def judge(found: Hits, count: int) -> Any:
            self._catalogue.slots_of(found.inos.tolist())  # their changes alter the answer
            near = Near(found, 0, -1)  # of no generation: nothing has been made sure of
            hits = self._hits(near, query, scope, who, space.name)
            floor = query.min_score
            beyond = floor is not None and len(found.scores) and found.scores[-1] < floor
            if len(hits) < query.k and len(found.inos) >= count and not beyond:
                if count >= LOOKED_AT_MAX:
                    return self._among_all(query, target, scope, who, ANY_WORDS)
                return ask(count * _MORE)
            everyone = who.uid == 0 and scope == ROOT
            candidates = len(space) - (target.exclude is not None) if everyone else len(hits)
            recall = space.recall.recall
            return Outcome(hits, found.plan, space.name, space.model, found.ef, candidates, recall)

        answer: Outcome | Pending[Outcome] = then(
            in_slices(self._loaded(space)), lambda _: ask(query.k + SPARE)
        )
        return answer

    def near(
        self,
        query: Query,
        target: Target,
        scope: Inode,
        who: Identity,
        count: int,
        words: WordFilter = ANY_WORDS,
        *,
        wholes: bool = False,
    ) -> "Near | Pending[Near]":
        """Find the `count` rows nearest to a target; with `wholes`, passages of files do not count."""
        vector, space, exclude = target
        mode = "exact" if query.mode == "exact" else "auto"

        def search(mask: Bools) -> Any:
            rows = space.rows
            if wholes and not rows.single:
                mask = mask & (rows.passages[: rows.limit] == WHOLE)
            if words is not ANY_WORDS:
                mask = mask & words.lets_pass(rows.inos[: rows.limit])
            allowed = int(np.count_nonzero(mask))
            everything = allowed == len(space)
            wanted = count + (exclude is not None)  # a mask without it would cost more
            found = space.search(
                vector,
                wanted,
                mask=None if everything else mask,
                mode=mode,
                is_stored=exclude is not None,
            )
            if exclude is not None:
                allowed -= rows.count_of(exclude, mask)
            generation = self.generation
            return then(found, lambda found: Near(found.without(exclude), allowed, generation))

        near: Near | Pending[Near] = then(
            in_slices(self._candidates(space, query, scope, who)), search
        )
        return near

    def permitted(
        self, inos: Slots, query: Query, scope: Inode, who: Identity
    ) -> Generator[None, None, Bools]:
        """Return which of these inodes are files that `who` may find, and that pass the filters."""
        self._note_dirty(query)
        catalogue = self._catalogue
        slots = np.array([catalogue.slot(Inode(ino)) for ino in inos.tolist()], np.int64)
        while catalogue.is_behind:
            yield from catalogue.refresh()
        mask = self._mask(slots, query, scope, who)
        mask &= catalogue.inode[slots] == inos
        yield from self._pass_words(mask, slots, query)
        return mask

    def _note_dirty(self, query: Query) -> None:
        if query.asks_size_or_time:
            for ino in self._dirty():
                self._catalogue.note(ino)

    def _candidates(
        self, space: Space, query: Query, scope: Inode, who: Identity
    ) -> Generator[Pending[Any] | None, None, Bools]:
        """Return which rows may be found; the same answer serves until something changes."""
        yield from self._loaded(space)
        self._note_dirty(query)
        key = (
            space.name,
            scope,
            who,
            query._replace(k=0, min_score=None, like=None, vec=None, vector=""),
        )
        while True:
            slots = yield from self._slots_of(space)
            row_slots = self._row_slots[space.name]
            known = self._masks.get(key)
            place = _Place(
                row_slots, self._catalogue.epoch, self._catalogue.looked_at.end, row_slots.given.end
            )
            changed = None if known is None else self._changed(known.place, place, slots)
            if known is not None and changed is not None and not len(changed):
                break
            mask: Bools = np.zeros(space.rows.limit, np.bool_)
            if known is None or changed is None:
                changed = np.arange(len(mask))
            else:
                mask[: len(known.mask)] = known.mask
            found = self._mask(slots[changed], query, scope, who)
            yield from self._pass_words(found, slots[changed], query)
            mask[changed] = found
            self._masks[key] = _Known(place, mask)
        self._masks.move_to_end(key)
        while len(self._masks) > MASKS_MAX:
            self._masks.popitem(last=False)
        live: Bools = known.mask & space.rows.live[: space.rows.limit]
        return live

    def _loaded(self, space: Space) -> Generator[Pending[Any] | None, None, None]:
        """Take the steps that are left until all vectors of a space are in memory."""
        loading = self._vectors.loadings.get(space.name)
        if loading is not None and loading.space is space:
            yield from loading.steps()

    def _changed(self, before: "_Place", now: "_Place", slots: Slots) -> Slots | None:
        """Return the rows that must be looked at again; None: all of them."""
        catalogue = self._catalogue
        if before.row_slots is not now.row_slots or before.epoch != now.epoch:
            return None
        looked_at = catalogue.looked_at.since(before.looked_at)
        given = now.row_slots.given.since(before.given)
        if looked_at is None or given is None:
            return None
        if not looked_at and not given:
            return _NO_ROWS
        outdated = np.zeros(len(catalogue.names), np.bool_)
        outdated[looked_at] = True
        rows = outdated[slots]
        rows[given] = True
        found: Slots = np.flatnonzero(rows)
        return found

    def catch_up(self) -> Iterator[None]:
        """Take in what the next search must know of all files, when there is time.

        Damage is left to searches to tell.
        """
        for space in list(self._vectors.spaces.values()):
            try:
                yield from self._slots_of(space)
            except VexfsError:
                return

    def _slots_of(self, space: Space) -> Generator[None, None, Slots]:
        """Return the catalogue's slot of each row, all of them up to date."""
        row_slots = self._row_slots.get(space.name)
        if row_slots is None or row_slots.space is not space:
            row_slots = self._row_slots[space.name] = RowSlots(space, self._catalogue)
        while row_slots.is_behind or self._catalogue.is_behind:
            yield from row_slots.follow()
            yield from self._catalogue.refresh()
        self._surveyed[space.name] = space
        return row_slots.slots()

    def _mask(self, slots: Slots, query: Query, scope: Inode, who: Identity) -> Bools:
        catalogue = self._catalogue
        mask = catalogue.permitted(slots, scope, who)
        passed = catalogue.filtered(
            slots,
            extensions=query.extensions,
            types=query.types,
            size_min=query.size_min,
            size_max=query.size_max,
            since_ns=query.since_ns,
            until_ns=query.until_ns,
        )
        for at in np.flatnonzero(mask & (catalogue.special[slots] & MANY_NAMES != 0)):
            node = self._tree.node(Inode(int(catalogue.inode[slots[at]])))
            passed[at] = self._passing_name(node, query, scope, who) is not None
        return mask & passed

    def _passing_name(self, node: Node, query: Query, scope: Inode, who: Identity) -> Place | None:
        """Return the first name by which `who` finds a file and that passes the filters."""
        filtered = query.has_filters
        for place in self._catalogue.found_at(node, scope, who):
            if not filtered or self._filters.passes(place.name, node, query):
                return place
        return None

    def _pass_words(self, mask: Bools, slots: Slots, query: Query) -> Generator[None, None, None]:
        """Take out of a mask what does not pass the filters that columns cannot answer."""
        catalogue = self._catalogue
        plain = catalogue.special[slots] & MANY_NAMES == 0
        if query.names and np.count_nonzero(mask & plain) >= BLOCK_NAMES:
            for pattern in query.names:
                matching = yield from self._name_blocks.matching(pattern, matcher(pattern))
                known = slots < len(matching)  # one given meanwhile is looked at again
                mask &= ~plain | (known & matching[np.where(known, slots, 0)])
            query = query._replace(names=())
        passes = self._filters.for_words(query)
        if passes is None:
            return
        positions = np.flatnonzero(mask & plain)
        for start in range(0, len(positions), STEP_FILES):
            some = positions[start : start + STEP_FILES]
            at = slots[some]
            names, inos = catalogue.names, catalogue.inode[at].tolist()
            mask[some] = [
                passes(names[slot], Inode(ino)) for slot, ino in zip(at.tolist(), inos, strict=True)
            ]
            yield

    def _hits(self, near: Near, query: Query, scope: Inode, who: Identity, space: str) -> list[Hit]:
        """Look at what was found as it is now, and order it."""
        hits: list[Hit] = []
        found = near.found
        look = self._unchanged_hit if near.generation == self.generation else self.hit
        columns = found.inos.tolist(), found.scores.tolist(), found.distances.tolist()
        for ino, score, distance in zip(*columns, strict=True):
            if query.min_score is not None and score < query.min_score:
                continue
            if len(hits) >= query.k and score < hits[query.k - 1].score:
                break
            hit = look(Inode(ino), score, distance, query, scope, who, space)
            if hit is not None:
                hits.append(hit)
        hits.sort(key=lambda hit: (-hit.score, hit.path))
        return hits[: query.k]

    def _unchanged_hit(
        self,
        ino: Inode,
        score: float,
        distance: float | None,
        query: Query,
        scope: Inode,
        who: Identity,
        space: str,
    ) -> Hit | None:
        """As `hit`, while all that the mask of candidates was made from is still so."""
        place = self._catalogue.sure_place(ino)
        if place is None:
            return self.hit(ino, score, distance, query, scope, who, space)
        node = self._tree.nodes.get(ino)  # one that is not there was not written to
        is_dirty = node is not None and Files.is_dirty(node)
        stale = is_dirty or self._vectors.is_stale(ino, space)
        return Hit(ino, self._catalogue.path(place, scope), score, distance, stale)

    def hit(
        self,
        ino: Inode,
        score: float,
        distance: float | None,
        query: Query,
        scope: Inode,
        who: Identity,
        space: str,
    ) -> Hit | None:
        """Look at a file that was found as it is now; None if `who` does not find it any more."""
        try:
            node = self._tree.node(ino)
        except NotFound:
            return None
        if not self._catalogue.may_read(node, who):
            return None
        place = self._passing_name(node, query, scope, who)
        if place is None:
            return None
        stale = self._vectors.is_stale(ino, space) or Files.is_dirty(node)
        return Hit(ino, self._catalogue.path(place, scope), score, distance, stale)

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


class _Place(NamedTuple):
    """How far changes were followed."""

    row_slots: "RowSlots"
    epoch: int
    looked_at: int
    given: int


class _Known(NamedTuple):
    """Which rows stand for files that may be found, as of some place; whether they are live is another matter."""

    place: _Place
    mask: Bools  # not to be changed: searches under way look at it
