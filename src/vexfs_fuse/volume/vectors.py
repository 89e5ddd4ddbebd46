"""Vectors on files: what a volume knows of them, and what each vector record does to that.

The truth is in the state view; the spaces here are derived from it, row by row, as records are applied,
so that a search sees a vector as soon as it is set.  Deciding is `volume/vector_changes.py`'s.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from vexfs_fuse.errors import CorruptData
from vexfs_fuse.storage.disk import Disk
from vexfs_fuse.storage.rows import SpaceRow, VectorRow
from vexfs_fuse.storage.state import State
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors.arrays import Longs
from vexfs_fuse.vectors.codec import from_raw
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.recall import TARGET
from vexfs_fuse.vectors.shard_file import Keys
from vexfs_fuse.vectors.space import Space
from vexfs_fuse.volume import changes
from vexfs_fuse.volume.loading import Loading

DEFAULT_SPACE: Final = "default"

TEXT_SPACE: Final = "text"
"""The space of the files' texts, which the embedder makes and not the first vector that somebody sets."""

LAST_SPACE: Final = "last_space"
"""Where the state view keeps the greatest number that a space has had."""

WHOLE: Final = 0
"""The passage that stands for a whole file."""

STALENESS_MAX: Final = 100_000
"""Inodes of which it is remembered in which spaces their vectors are stale."""

USER, AUTO = 0, 1
"""Who made a vector: a user, or an embedder."""

DIRECTORY: Final = "vectors"
"""Where in the store derived files are, a directory for each space."""


def directory_of(number: int) -> str:
    """Return the directory of a space's derived files; names may be used again, numbers never."""
    return f"{DIRECTORY}/{number}"


class Vectors:
    """All vector spaces of a volume, by name."""

    def __init__(self, view: State) -> None:
        self._view = view
        self.spaces: dict[str, Space] = {}
        self.numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._stale: set[Inode] = set()  # known to have nothing but stale vectors
        self._staleness: dict[Inode, dict[str, bool]] = {}  # as far as searches have asked
        self.changes = 0  # grows with every change of a vector
        self.loadings: dict[str, Loading] = {}
        """Spaces whose vectors are not all in memory yet."""
        self.dropped: list[int] = []
        """Numbers of spaces that have gone, whose files are still there."""
        self._keep: Callable[[Space, int], None] = _nowhere
        self._recall_wanted = TARGET
        self._ef_pinned: int | None = None

    def tune(self, recall_wanted: float, ef_pinned: int | None) -> None:
        """Say which recall searches of spaces to come are to have, or which effort, whatever follows."""
        self._recall_wanted, self._ef_pinned = recall_wanted, ef_pinned

    def load(self, disk: Disk, newest: Lsn, volume: str) -> None:
        """Open the spaces of the view: whose vectors there are; the vectors follow, see `loadings`.

        Saved shards are believed that know no record after `newest`, the journal's last, and belong
        to this `volume`.
        """

        def keep(space: Space, number: int) -> None:
            identity = {"volume": volume, "space": number, "name": space.name}
            space.keep_in(disk, directory_of(number), newest, identity)
            self.loadings[space.name] = Loading(space, number, self._view)

        self._keep = keep
        for row in self._view.spaces().values():
            self._add(row, self._view.listed_vectors(row.space))

    def _add(self, row: SpaceRow, known: Longs | None = None) -> None:
        name = row.name.decode()
        space = Space(name, row.dim, Metric.named(row.metric.decode()), row.model.decode())
        space.recall.target = self._recall_wanted
        space.recall.pin(self._ef_pinned)
        if known is not None and len(known):
            inos, passages, lsns = known.T
            space.open_rows(Keys(inos, passages.astype(np.int32), lsns))
        self.spaces[name] = space
        self.numbers[name] = row.space
        self._names[row.space] = name
        self._keep(space, row.space)

    @property
    def next_number(self) -> int:
        """The number of the next space; that of a dropped one is not given again."""
        last = self._view.get_meta(LAST_SPACE)
        return max(last if isinstance(last, int) else 0, *self._names, 0) + 1

    def holds(self, ino: Inode) -> bool:
        """Whether an inode has any vector."""
        return any(ino in space for space in self.spaces.values())

    def names_of(self, ino: Inode) -> list[str]:
        """Return the names of the spaces in which an inode has a vector.

        Raises
        ------
        CorruptData
            A row of the inode is damaged, which may be that of another vector.
        """
        found = [name for name, space in self.spaces.items() if ino in space]
        if not found:
            self._require_none(ino)
        return found

    def set_by_user(self, ino: Inode) -> list[str]:
        """Return the names of the spaces in which a user gave an inode a vector."""
        found = ((name, self.stored(ino, name)) for name in self.names_of(ino))
        return [name for name, row in found if row is not None and row.origin == USER]

    def stored(self, ino: Inode, name: str) -> VectorRow | None:
        """Return an inode's vector as the view has it, or None.

        Raises
        ------
        CorruptData
            As `names_of`.
        """
        number = self.numbers.get(name)
        if number is None or ino not in self.spaces[name]:
            self._require_none(ino, name)
            return None
        return self._view.vector(ino, number, WHOLE)

    def is_stale(self, ino: Inode, name: str) -> bool:
        """Whether the contents of an inode have changed since its vector in a space was set."""
        known = self._staleness.get(ino)
        if known is None:
            if len(self._staleness) >= STALENESS_MAX:
                self._staleness.clear()
            known = self._staleness[ino] = {}
        if name not in known:
            row = self.stored(ino, name)
            known[name] = row is not None and bool(row.stale)
        return known[name]

    def passages(self, ino: Inode, name: str) -> list[int]:
        """Return the numbers of an inode's vectors in a space, ascending; 0 is the whole."""
        rows = self.spaces[name].rows
        return [int(rows.passages[row]) for row in rows.of(ino)]

    def _require_none(self, ino: Inode, name: str | None = None) -> None:
        """Make sure that an inode has no vector that damage keeps from being found.

        What spaces know comes from an index without checksums; it costs a look into the rows.
        """
        if not self.spaces:
            return
        for number, _ in self._view.vectors(ino):
            if name is None or self._names.get(number) == name:
                raise CorruptData(f"inode {ino} has a vector that cannot be found")

    def statistics(self) -> list[dict[str, Any]]:
        """Return what there is to say about each space, the same columns for all."""
        return [
            _columns(space.statistics(), self.loadings.get(name))
            for name, space in self.spaces.items()
        ]

    # -- apply ---------------------------------------------------------------------------------

    def apply_space_created(
        self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.SpaceCreated
    ) -> None:
        """A space exists."""
        row = SpaceRow(
            change.space,
            change.name.encode(),
            change.dim,
            change.metric.encode(),
            change.model.encode(),
        )
        self._view.put_space(change.space, row)
        self._view.put_meta(LAST_SPACE, change.space)
        self._add(row)
        self.changes += 1

    def apply_space_dropped(
        self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.SpaceDropped
    ) -> None:
        """A space is gone, with its vectors."""
        name = self._names.pop(change.space)
        rows = self.spaces.pop(name).rows
        for row in np.flatnonzero(rows.live[: rows.limit]).tolist():
            owner, passage = Inode(int(rows.inos[row])), int(rows.passages[row])
            self._view.put_vector(owner, change.space, passage, None)
        self._view.put_space(change.space, None)
        del self.numbers[name]
        self._staleness.clear()
        loading = self.loadings.pop(name, None)
        if loading is not None:
            loading.done = True
        self.dropped.append(change.space)
        self.changes += 1

    def apply_vector_set(
        self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.VectorSet
    ) -> None:
        """An inode has a vector."""
        self._drop(ino, change.space, beside=WHOLE)
        row = VectorRow(lsn, change.origin, 0, change.value)
        self._put(ino, change.space, WHOLE, row)
        self._stale.discard(ino)
        self.changes += 1

    def apply_passages_set(
        self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.PassagesSet
    ) -> None:
        """An inode has vectors of its passages."""
        if not change.values:
            self._freshen(ino, change.space)
        elif change.first == WHOLE:
            self._drop(ino, change.space)
        for passage, value in enumerate(change.values, change.first):
            self._put(ino, change.space, passage, VectorRow(lsn, AUTO, 0, value))
        self._stale.discard(ino)
        self.changes += 1

    def _freshen(self, ino: Inode, number: int) -> None:
        row = self._view.vector(ino, number, WHOLE)
        if row is not None:
            self._view.put_vector(ino, number, WHOLE, row._replace(stale=0))

    def _put(self, ino: Inode, number: int, passage: int, row: VectorRow) -> None:
        self._staleness.pop(ino, None)
        self._view.put_vector(ino, number, passage, row)
        self.spaces[self._names[number]].set(ino, from_raw(row.value), Lsn(row.lsn), passage)

    def _drop(self, ino: Inode, number: int, *, beside: int | None = None) -> None:
        """Remove an inode's vectors from a space, all or all but one."""
        self._staleness.pop(ino, None)
        name = self._names[number]
        for passage in self.passages(ino, name):
            if passage != beside:
                self._view.put_vector(ino, number, passage, None)
                self.spaces[name].remove(ino, passage)

    def apply_vector_removed(
        self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.VectorRemoved
    ) -> None:
        """An inode has one vector less."""
        self._drop(ino, change.space)
        self.changes += 1

    def apply_vectors_moved(
        self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.VectorsMoved
    ) -> None:
        """An inode takes another's vectors, or copies of them, stale."""
        source = Inode(change.source)
        taken = {self.numbers[name] for name in self.takeable(ino, source)}
        for number in taken:
            self._drop(ino, number)
        for (number, passage), row in self._view.vectors(source).items():
            if number in taken:
                self._put(ino, number, passage, row._replace(lsn=lsn, stale=1))
            if not change.keeps:
                self._view.put_vector(source, number, passage, None)
        if not change.keeps:
            for space in self.spaces.values():
                space.remove(source)
        self.changes += 1

    def takeable(self, ino: Inode, source: Inode) -> list[str]:
        """Return the spaces in which an inode that takes another's place takes its vectors, too."""
        return [name for name in self.names_of(source) if self._is_better(source, ino, name)]

    def _is_better(self, source: Inode, ino: Inode, name: str) -> bool:
        """Whether the vectors of `source` are worth more to an inode than what it has itself."""
        own = self.stored(ino, name)
        if own is None:
            return True
        other = self.stored(source, name)
        return own.origin == AUTO and other is not None and other.origin != AUTO

    def apply_nothing(self, lsn: Lsn, time_ns: int, ino: Inode, change: Any) -> None:
        """Records of searches and indexes change no state."""

    def contents_changed(self, ino: Inode) -> None:
        """Mark an inode's vectors stale: those that stand for the whole say so for all."""
        if ino in self._stale:
            return
        names = self.names_of(ino)
        if not names:
            return
        for name in names:
            row = self.stored(ino, name)
            if row is not None and not row.stale:
                self._view.put_vector(ino, self.numbers[name], WHOLE, row._replace(stale=1))
        self._staleness.pop(ino, None)
        self._stale.add(ino)

    def forget(self, ino: Inode) -> None:
        """Drop an inode's vectors, because the inode is gone; its rows go with it."""
        for space in self.spaces.values():
            if ino in space:
                space.remove(ino)
                self.changes += 1
        self._stale.discard(ino)
        self._staleness.pop(ino, None)

    def table(self) -> Iterator[tuple[type, Any]]:
        """Yield what applies each kind of record."""
        yield changes.SpaceCreated, self.apply_space_created
        yield changes.SpaceDropped, self.apply_space_dropped
        yield changes.VectorSet, self.apply_vector_set
        yield changes.PassagesSet, self.apply_passages_set
        yield changes.VectorRemoved, self.apply_vector_removed
        yield changes.VectorsMoved, self.apply_vectors_moved
        yield changes.Searched, self.apply_nothing
        yield changes.IndexBuilt, self.apply_nothing


def _nowhere(space: Space, number: int) -> None:
    """Have a space in memory alone."""


def _columns(told: dict[str, Any], loading: Loading | None) -> dict[str, Any]:
    building = told["building"]
    return {
        "name": told["name"],
        "dimensions": told["dimensions"],
        "metric": told["metric"],
        "model": told["model"] or None,
        "vectors": told["vectors"],
        "tail": told["tail"],
        "waiting": told["waiting"],
        "shards": len(told["shards"]),
        "saved": told["saved"],
        "dead": told["dead"],
        "bytes": told["bytes"],
        "ef": told["ef"],
        "recall": None if told["recall"] is None else round(told["recall"], 4),
        "judged": told["recall_samples"],
        "built": told["built"],
        "build_s": round(told["build_seconds"], 3),
        "loading": None if loading is None else f"{loading.progress:.0%}",
        "building": f"{building[-1]['progress']:.0%}" if building else None,
    }
