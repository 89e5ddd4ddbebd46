"""Brings shards to the disk when there is time, and knows which are there.

Only what cannot be taken back is saved: vectors of records that are durable.  A record's number may
come again after a crash that took the record, for another vector.
"""

from typing import Any, Final, NamedTuple

from vexfs_fuse.errors import NoSpace, StoreFailed
from vexfs_fuse.pending import Pending
from vexfs_fuse.units import Lsn
from vexfs_fuse.vectors.part import Part
from vexfs_fuse.vectors.parts import Parts
from vexfs_fuse.vectors.recall import Recall
from vexfs_fuse.vectors.restoring import Restoring
from vexfs_fuse.vectors.store import Manifest, ShardStore

ROOM_SHARE: Final = 2
"""A shard is saved when it takes at most this fraction (1/2) of the room that the disk has."""


class Saved(NamedTuple):
    """The shards in memory are on disk now: `shards` of them, with `vectors`."""

    shards: int
    vectors: int


class SaveFailed(NamedTuple):
    """A shard could not be written; it will be built again at the next mount, if need be."""

    reason: str


class Saving:
    """Knows which parts the store has; hands out one piece of work at a time."""

    def __init__(self, parts: Parts, recall: Recall, store: ShardStore, found: Restoring) -> None:
        """Begin with the files that were found at mount."""
        self._parts = parts
        self._recall = recall
        self._store = store
        self._entries = dict(found.entries)
        # What was not believed is still named by the manifest: that is to be written again.
        whole = len(found.entries) == found.total and not found.problems
        self._committed = set(self._entries) if whole else None
        self._committed_effort = found.effort
        self._swept = False
        self._failed_at = -1
        self.failures = 0

    @property
    def count(self) -> int:
        """How many shards are on disk."""
        return len(self._entries)

    def due(
        self, durable: Lsn, room_bytes: int, rows_min: int = 0
    ) -> Pending[Saved | SaveFailed | None] | None:
        """Return the writing of one shard or of the manifest, when memory and store differ.

        Shards with fewer than `rows_min` vectors are left for later.  After a failure nothing, until a
        further shard has been built.
        """
        parts = {part.number: part for part in self._parts.all if part.shard is not None}
        if self._failed_at == self._newest():
            return None
        for number in self._entries.keys() - parts.keys():
            del self._entries[number]
        for number in sorted(parts.keys() - self._entries.keys()):
            part = parts[number]
            if part.used < rows_min:
                continue
            if self._newest_in(part) > durable:
                return None
            if part.bytes * ROOM_SHARE <= room_bytes:
                return self._writing(part)
        if self._differs():
            return self._committing()
        return None if self._swept else self._sweeping()

    def _differs(self) -> bool:
        """Whether the manifest on disk is not what it should be."""
        if self._entries.keys() != self._committed:
            return True
        return bool(self._entries) and self._effort != self._committed_effort

    @property
    def _effort(self) -> int | None:
        """The effort as it is worth keeping: one that the user holds is in his configuration."""
        return self._committed_effort if self._recall.pinned else self._recall.ef

    def _newest_in(self, part: Part) -> int:
        return int(self._parts.keys_of(part).lsns.max(initial=0))

    def _writing(self, part: Part) -> Pending[Saved | SaveFailed | None]:
        keys, shard = self._parts.keys_of(part), part.shard
        assert shard is not None
        return self._guarded(
            lambda: self._store.write(keys, shard),
            lambda entry: self._entries.__setitem__(part.number, entry),
        )

    def _committing(self) -> Pending[Saved | SaveFailed | None]:
        entries, effort = dict(self._entries), self._effort

        def committed(_: None) -> Saved:
            self._committed, self._committed_effort = set(entries), effort
            self._swept = True
            return Saved(len(entries), sum(entry.vectors for entry in entries.values()))

        manifest = Manifest(tuple(entries.values()), effort)
        return self._guarded(lambda: self._store.commit(manifest), committed)

    def _sweeping(self) -> Pending[Saved | SaveFailed | None]:
        entries = list(self._entries.values())

        def swept(_: None) -> None:
            self._swept = True

        return self._guarded(lambda: self._store.sweep(entries), swept)

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
