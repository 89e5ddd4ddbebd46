"""Brings shards to the disk when there is time, and finds at mount what of them still holds."""

from typing import Any, NamedTuple

import numpy as np

from vexfs_fuse.errors import NoSpace, StoreFailed
from vexfs_fuse.pending import Pending
from vexfs_fuse.vectors.arrays import Ints, Longs, Mask
from vexfs_fuse.vectors.part import Part
from vexfs_fuse.vectors.parts import Parts
from vexfs_fuse.vectors.shard_file import Keys
from vexfs_fuse.vectors.store import Entry, ShardStore

_PASSAGE_BITS = 20


class Saved(NamedTuple):
    """The shards in memory are on disk now: `shards` of them, with `vectors`."""

    shards: int
    vectors: int


class SaveFailed(NamedTuple):
    """A shard could not be written; it will be built again at the next mount, if need be."""

    reason: str


class Saving:
    """Knows which parts the store has; hands out one piece of work at a time."""

    def __init__(self, parts: Parts, store: ShardStore) -> None:
        self._parts = parts
        self._store = store
        self._entries: dict[int, Entry] = {}
        self._committed: set[int] | None = set()
        self._failed_at = -1
        self.failures = 0

    def due(self) -> Pending[Saved | SaveFailed | None] | None:
        """Return the writing of one shard or of the manifest, when memory and store differ.

        After a failure nothing, until a further shard has been built.
        """
        parts = {part.number: part for part in self._parts.all if part.shard is not None}
        if self._failed_at == self._newest():
            return None
        for number in self._entries.keys() - parts.keys():
            del self._entries[number]
        for number in sorted(parts.keys() - self._entries.keys()):
            return self._writing(parts[number])
        return None if self._entries.keys() == self._committed else self._committing()

    def restore(self, current: Keys) -> tuple[Longs, list[str]]:
        """Fill an empty space from the store, as far as it agrees with the `current` versions.

        Returns the positions in `current` of what is still to be set, and sentences on what was
        damaged.  `current` has no (inode, passage) twice; it is what the volume's state says.
        """
        loaded = self._store.load()
        found = np.zeros(len(current.inos), np.bool_)
        finder = _Finder(current)
        for entry, saved in loaded.shards:
            positions, live = finder.find(saved.keys, found)
            number = self._parts.restore(saved, live)
            found[positions[live]] = True
            self._entries[number] = entry
        # A damaged shard is still named by the manifest: that is to be written again.
        self._committed = None if loaded.problems else set(self._entries)
        return np.flatnonzero(~found), loaded.problems

    def _writing(self, part: Part) -> Pending[Saved | SaveFailed | None]:
        keys, shard = self._parts.keys_of(part), part.shard
        assert shard is not None
        return self._guarded(
            lambda: self._store.write(keys, shard),
            lambda entry: self._entries.__setitem__(part.number, entry),
        )

    def _committing(self) -> Pending[Saved | SaveFailed | None]:
        entries = dict(self._entries)

        def committed(_: None) -> Saved:
            self._committed = set(entries)
            return Saved(len(entries), sum(entry.vectors for entry in entries.values()))

        return self._guarded(lambda: self._store.commit(list(entries.values())), committed)

    def _newest(self) -> int:
        return max((part.number for part in self._parts.all if part.shard is not None), default=0)

    def _guarded(self, work: Any, resume: Any) -> Pending[Saved | SaveFailed | None]:
        """A full or failing disk is an answer: what is not saved is only slower to get again."""

        def attempt() -> Any:
            try:
                return work()
            except (NoSpace, StoreFailed) as error:
                return SaveFailed(str(error))

        def answer(outcome: Any) -> Saved | SaveFailed | None:
            if isinstance(outcome, SaveFailed):
                self.failures += 1
                self._failed_at = self._newest()
                return outcome
            saved: Saved | None = resume(outcome)
            return saved

        return Pending(attempt, answer)


class _Finder:
    """Looks up (inode, passage) in columns by binary search."""

    def __init__(self, current: Keys) -> None:
        combined = _combined(current.inos, current.passages)
        self._order = np.argsort(combined)
        self._sorted = combined[self._order]
        self._lsns = current.lsns

    def find(self, keys: Keys, taken: Mask) -> tuple[Longs, Mask]:
        """Return for each key its position in `current`, and whether it is there, as it was."""
        if not len(self._sorted):
            return np.zeros(len(keys.inos), np.int64), np.zeros(len(keys.inos), np.bool_)
        wanted = _combined(keys.inos, keys.passages)
        places = np.searchsorted(self._sorted, wanted).clip(max=len(self._sorted) - 1)
        positions = self._order[places]
        live = (self._sorted[places] == wanted) & (self._lsns[positions] == keys.lsns)
        return positions, live & ~taken[positions]


def _combined(inos: Longs, passages: Ints) -> Longs:
    return (inos << _PASSAGE_BITS) | passages
