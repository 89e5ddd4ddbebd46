"""What is derived from vectors, kept in step beside requests: loaded, built, saved, removed.

All of it lies below `vectors/` in the store, a directory for each space by its number, and can be lost:
the vectors are in the state view.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from vexfs_fuse.errors import NotFound, VexfsError
from vexfs_fuse.pending import Pending, caught
from vexfs_fuse.storage.disk import Disk
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors import store
from vexfs_fuse.vectors.space import Space
from vexfs_fuse.vectors.upkeep import Built
from vexfs_fuse.volume.changes import IndexBuilt
from vexfs_fuse.volume.room import Room
from vexfs_fuse.volume.vectors import DIRECTORY, Vectors, directory_of
from vexfs_fuse.volume.writer import Writer

log = logging.getLogger(__name__)

INDEX_STEPS: Final = 8
"""Steps of a tenth of a second that an index is given before other maintenance has its turn."""

INDEX_STEPS_QUIET: Final = 40
"""The same while no request comes: each turn of others begins with a quarter of a second without work."""

LOAD_STEPS: Final = 256
"""Slices of loading, of about two milliseconds, before other maintenance has its turn."""

_NO_SHARD: Final = 1 << 62
"""More vectors than any shard has."""

_END: Final[Any] = object()

CLOSING_S: Final = 5.0
"""No shard is begun to be saved so long after unmounting began; what is not saved is built again."""


class VectorIndexes:
    """The background work of all vector spaces."""

    def __init__(
        self,
        vectors: Vectors,
        disk: Disk,
        writer: Writer,
        room: Room,
        durable_lsn: Callable[[], Lsn],
    ) -> None:
        self._vectors = vectors
        self._disk = disk
        self._writer = writer
        self._room = room
        self._durable_lsn = durable_lsn
        self._swept = False

    @property
    def _may_write(self) -> bool:
        return self._writer.refusal is None

    def load(self) -> Iterator[Pending[Any] | None]:
        """Load some of what is not in memory yet; all of it in a few rounds.

        What a search loads at this moment is left to it: there is other work meanwhile.
        """
        left = LOAD_STEPS
        for name, loading in list(self._vectors.loadings.items()):
            steps = loading.steps()
            while not loading.is_worked_on and (step := next(steps, _END)) is not _END:
                yield step
                left -= 1
                if not left:
                    return
            if loading.done and self._vectors.loadings.get(name) is loading:
                del self._vectors.loadings[name]

    def tend(self, is_quiet: Callable[[], bool]) -> Iterator[Pending[Any] | None]:
        """Build what vectors wait for and save it, a few steps for each space."""
        if self._may_write:
            yield from self._remove_dropped()
        for name, space in list(self._vectors.spaces.items()):
            for step in range(INDEX_STEPS_QUIET):
                quiet = is_quiet()
                if step >= INDEX_STEPS and not quiet:
                    break
                pending = self._due(name, space, idle=quiet)
                if pending is None:
                    break
                yield pending._replace(resume=partial(self._stepped, name, space, pending))

    def _due(self, name: str, space: Space, *, idle: bool) -> Pending[Any] | None:
        """Return a space's next piece of work; a graph is built only once the vectors are there."""
        if name in self._vectors.loadings or self._vectors.spaces.get(name) is not space:
            return None
        return space.due(idle=idle, durable=self._saved_until(), room_bytes=self._room.look())

    def _saved_until(self) -> Lsn | None:
        """Return the last record of which vectors may be saved; None when nothing may be."""
        return self._durable_lsn() if self._may_write and not self._room.is_short else None

    def _stepped(self, name: str, space: Space, pending: Pending[Any], worked: Any) -> None:
        event = pending.resume(worked)
        if isinstance(event, Built):
            if self._vectors.spaces.get(name) is space:
                change = IndexBuilt(
                    self._vectors.numbers[name],
                    event.rows,
                    round(event.seconds * 1000),
                    event.reason,
                )
                self._writer.note(Inode(0), change)
        elif event is not None:
            log.info("space %s: %s", name, event)

    def _remove_dropped(self) -> Iterator[Pending[Any] | None]:
        """Remove the directories of spaces that are no more, those of former mounts first."""
        if not self._swept:
            self._swept = True
            kept = {str(number) for number in self._vectors.numbers.values()}
            yield Pending(caught(lambda: self._sweep(kept)), _told)
        while self._vectors.dropped:
            directory = directory_of(self._vectors.dropped.pop())
            yield Pending(caught(partial(store.remove, self._disk, directory)), _told)

    def _sweep(self, kept: set[str]) -> None:
        if self._disk.exists(DIRECTORY):
            for name in self._disk.names(DIRECTORY):
                if name not in kept:
                    store.remove(self._disk, f"{DIRECTORY}/{name}")

    def save(self, now_s: Callable[[], float]) -> None:
        """Save what is not on disk, for the end; blocks, and begins no shard after `CLOSING_S`.

        What is there by then is made known all the same, else the next mount would not believe it.
        """
        end_s = now_s() + CLOSING_S
        for name, space in self._vectors.spaces.items():
            while name not in self._vectors.loadings:
                rows_min = 0 if now_s() < end_s else _NO_SHARD
                work = space.unsaved(self._saved_until(), self._room.look(), rows_min)
                if work is None:
                    break
                work.resume(work.work())

    def reindex(self, name: str | None) -> None:
        """Give up the graphs of one space, or of all, and have them built anew; vectors stay.

        Raises
        ------
        NotFound
            There is no such space.
        """
        if name is not None and name not in self._vectors.spaces:
            raise NotFound(f"space {name}")
        for each, space in self._vectors.spaces.items():
            if name in (None, each):
                space.reindex()

    def rebuild(self, name: str | None, progress: Callable[[int, int], None]) -> None:
        """Make the files of one space, or of all, anew from the state view; blocks, nobody may be served.

        Parameters
        ----------
        progress
            Called with (vectors in graphs, vectors in all).

        Raises
        ------
        NotFound
            There is no such space.
        ReadOnly
            The volume takes no changes.
        """
        if name is not None and name not in self._vectors.spaces:
            raise NotFound(f"space {name}")
        self._writer.admit(is_freeing=True)
        names = [name] if name is not None else list(self._vectors.spaces)
        remove(self._disk, [directory_of(self._vectors.numbers[each]) for each in names])
        spaces = [self._vectors.spaces[each] for each in names]
        total = sum(map(len, spaces))
        while any(each in self._vectors.loadings for each in names):
            _work_off(self.load())
        for each, space in zip(names, spaces, strict=True):
            while (pending := self._due(each, space, idle=True)) is not None:
                self._stepped(each, space, pending, pending.work())
                left = sum(other.statistics()["waiting"] for other in spaces)
                progress(total - left, total)


def _work_off(steps: Iterator[Pending[Any] | None]) -> None:
    for step in steps:
        if step is not None:
            step.resume(step.work())


def damage(disk: Disk) -> list[str]:
    """Return a sentence for each derived file that is not what it was."""
    if not disk.exists(DIRECTORY):
        return []
    return [
        problem
        for name in disk.names(DIRECTORY)
        for problem in store.damage(disk, f"{DIRECTORY}/{name}")
    ]


def remove(disk: Disk, directories: list[str] | None = None) -> None:
    """Remove what is derived, of some spaces or of all; the next mount makes it anew."""
    if not disk.exists(DIRECTORY):
        return
    if directories is None:
        directories = [f"{DIRECTORY}/{name}" for name in disk.names(DIRECTORY)]
    for directory in directories:
        store.remove(disk, directory)
    disk.sync_directory(DIRECTORY)


def _told(error: VexfsError | None) -> None:
    """Tell of what could not be removed; it goes at the next mount."""
    if error is not None:
        log.info("files of a dropped space cannot be removed now: %s", error)
