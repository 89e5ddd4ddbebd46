"""Brings a space's shards back from the disk, one file at a time; what of them still holds counts.

A vector in a file counts when the space has its (inode, passage) at the version that the file says.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from vexfs_fuse.errors import CorruptData, NotFound, StoreFailed
from vexfs_fuse.pending import Pending
from vexfs_fuse.units import Lsn
from vexfs_fuse.vectors.arrays import Ints, Longs, Mask
from vexfs_fuse.vectors.parts import Parts
from vexfs_fuse.vectors.shard_file import Keys, SavedShard
from vexfs_fuse.vectors.store import MANIFEST, Entry, Manifest, ShardStore

_PASSAGE_BITS = 20


class _Read(NamedTuple):
    """A shard from the disk; where its vectors may belong."""

    saved: SavedShard
    rows: Longs
    found: Mask


class Restoring:
    """Hands out the reading of one file after the other, until `due` returns None.

    Attributes
    ----------
    entries
        By number of the part: the files that came back.
    problems
        Sentences on what was damaged.
    effort
        What the manifest said of it.
    """

    def __init__(self, parts: Parts, store: ShardStore, newest: Lsn) -> None:
        self._parts = parts
        self._store = store
        self._newest = newest
        self._waiting: deque[Entry] | None = None
        self._finder: _Finder | None = None
        self.total = 0
        self.entries: dict[int, Entry] = {}
        self.problems: list[str] = []
        self.effort: int | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be read."""
        return self._waiting is not None and not self._waiting

    @property
    def progress(self) -> float:
        """How much has been read, 0 to 1."""
        if self._waiting is None:
            return 0.0
        return 1.0 - len(self._waiting) / max(1, self.total)

    def due(self) -> Pending[None] | None:
        """Return the next piece of work; to be asked again when that has been resumed."""
        if self._waiting is None:
            rows = self._parts.rows
            live = np.flatnonzero(rows.live[: rows.limit])
            keys = Keys(rows.inos[live], rows.passages[live], rows.lsns[live])
            return Pending(lambda: self._begin(live, keys), self._begun)
        if not self._waiting:
            return None
        entry = self._waiting[0]
        return Pending(lambda: self._read(entry), lambda read: self._restored(entry, read))

    def _begin(self, rows: Longs, keys: Keys) -> Manifest:
        self._finder = _Finder(rows, keys)
        try:
            return self._store.manifest()
        except (CorruptData, StoreFailed) as error:
            self.problems.append(f"{self._store.path(MANIFEST)}: {error}")
            return Manifest()

    def _begun(self, manifest: Manifest) -> None:
        # What is newer than the journal was saved by another future than this one.
        entries = [entry for entry in manifest.entries if entry.newest <= self._newest]
        self._waiting = deque(entries)
        self.total = len(manifest.entries)
        self.effort = manifest.effort

    def _read(self, entry: Entry) -> _Read | None:
        assert self._finder is not None
        try:
            saved = self._store.read(entry)
        except (CorruptData, NotFound, StoreFailed) as error:
            self.problems.append(f"{self._store.path(entry.file)}: {error}")
            return None
        return _Read(saved, *self._finder.find(saved.keys))

    def _restored(self, entry: Entry, read: _Read | None) -> None:
        assert self._waiting
        self._waiting.popleft()
        if read is not None:
            number = self._parts.restore(read.saved, read.rows, read.found)
            self.entries[number] = entry


class _Finder:
    """Looks up (inode, passage) in columns by binary search."""

    def __init__(self, rows: Longs, keys: Keys) -> None:
        combined = _combined(keys.inos, keys.passages)
        order = np.argsort(combined, kind="stable")  # sorted already as a rule, and quick then
        self._sorted = combined[order]
        self._rows = rows[order]

    def find(self, keys: Keys) -> tuple[Longs, Mask]:
        """Return for each key the row that has its (inode, passage), and whether there is one."""
        count = len(keys.inos)
        if not len(self._sorted):
            return np.zeros(count, np.int64), np.zeros(count, np.bool_)
        wanted = _combined(keys.inos, keys.passages)
        places = np.searchsorted(self._sorted, wanted).clip(max=len(self._sorted) - 1)
        found: Mask = self._sorted[places] == wanted
        return self._rows[places], found


def _combined(inos: Longs, passages: Ints) -> Longs:
    return (inos << _PASSAGE_BITS) | passages
