"""Keeps a text index and a volume's vectors of text in step with the volume's files.

It follows the journal from its own position: what a record affects is noted in the index, as pending,
together with the position, and looked at when its time has come.  A look tells how the file is *now*, so
that it does not matter how often, or in which order, anything is looked at.  Knows no process and no
socket; what it does, it does in steps.
"""

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from heapq import heappop, heappush
from typing import Final, NamedTuple

from vexfs_fuse.text.desk import Affected, Desk, Look
from vexfs_fuse.text.embedder import Embedder
from vexfs_fuse.text.filing import STAMPS_MAX, Extracting, Filing, Limits, remember
from vexfs_fuse.text.index import TextIndex
from vexfs_fuse.units import ROOT, Inode, Lsn

QUIET_S: Final = 0.1
"""A file that was changed less long ago is left alone: more may come at once."""

RESTLESS_S: Final = 30.0
"""A file that is never closed, or never quiet, is indexed after so long, and again after so long."""

LOOKS_MAX: Final = 64
"""Files that are looked at with one question."""

FOLLOWED_S: Final = 0.5
"""The journal is followed so often while there is other work."""

COMMIT_S: Final = 0.5
"""What was done is committed to the index at least so often."""


class Report(NamedTuple):
    """How it goes."""

    pending: int
    indexed: int
    """Files in the index."""
    failed: int
    """Those among them whose text cannot be had."""
    cut: int
    """Those among them that have more text than is indexed of one file."""
    looked_at: int
    """Files looked at since the start."""
    embedded: int
    """Passages embedded since the start."""
    position: Lsn


class _Waiting(NamedTuple):
    """A file that was not quiet, and since when it has not been."""

    due_s: float
    since_s: float


class Indexer:
    """One volume's indexer.

    `index` commits what is done together with the position it belongs to.  `distrusted` are files
    during which an indexer has ended before: they are recorded as failures.
    """

    def __init__(
        self,
        desk: Desk,
        index: TextIndex,
        extractor: Extracting,
        embedder: Embedder | None,
        limits: Limits,
        clock_s: Callable[[], float],
        distrusted: frozenset[Inode] = frozenset(),
    ) -> None:
        self._desk = desk
        self._index = index
        self._clock_s = clock_s
        self._filing = Filing(desk, index, extractor, embedder, limits, self._add, distrusted)
        self._queue: OrderedDict[Inode, None] = OrderedDict.fromkeys(index.pending)
        self._hinted: OrderedDict[Inode, None] = OrderedDict()
        self._waiting: dict[Inode, _Waiting] = {}
        self._alarms: list[tuple[float, Inode]] = []
        self._unconfirmed: OrderedDict[Inode, Lsn] = OrderedDict()
        self._looked: OrderedDict[Inode, Lsn] = OrderedDict()
        self._urgent: Generator[None, None, None] | None = None
        self._job: Generator[None, None, None] | None = None
        self._job_ino: Inode | None = None
        self._batch: list[tuple[Inode, Look | None]] = []
        self._followed_s = -FOLLOWED_S
        self._committed_s = clock_s()
        self._files = 0
        self._begin_if_changed(self._filing.means)

    def _begin_if_changed(self, means: str) -> None:
        """Have everything looked at when it was indexed by other means."""
        if self._index.get_meta("means") != means:
            self._look_at_everything()
            self._index.set_meta("means", means)

    def _look_at_everything(self) -> None:
        self._add(ROOT)
        for ino in self._index.inodes():
            self._add(ino)

    # -- steps ---------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Files that are not done, as far as the journal was followed."""
        jobs = (self._urgent is not None) + (self._job is not None) + len(self._batch)
        return len(self._queue.keys() | self._hinted.keys() | self._waiting.keys()) + jobs

    def report(self) -> Report:
        """Return how it goes."""
        return Report(
            self.pending,
            *self._index.counts(),
            self._files,
            self._filing.embedded,
            Lsn(self._index.position),
        )

    def step(self) -> bool:
        """Do some work, a tenth of a second or so; whether there was any."""
        self._take_hints()
        self._follow_at_times()
        self._confirm()
        worked = self._work()
        if not worked:
            worked = self._follow()
        if not worked or self._clock_s() - self._committed_s >= COMMIT_S:
            self._commit()
        return worked

    def wait_s(self) -> float:
        """Return how long there is nothing to do if nothing happens."""
        while self._alarms and self._alarms[0][1] not in self._waiting:
            heappop(self._alarms)
        if not self._alarms:
            return FOLLOWED_S if self._unconfirmed else 60.0
        return max(0.0, self._alarms[0][0] - self._clock_s())

    def _take_hints(self) -> None:
        for ino in self._desk.hints():
            self._index.pending.add(ino)
            self._unconfirmed.pop(ino, None)
            self._hinted[ino] = None

    def _follow_at_times(self) -> None:
        if self._clock_s() - self._followed_s >= FOLLOWED_S:
            self._follow()

    def _follow(self) -> bool:
        """Note what the next records of the journal affect; whether there were any."""
        self._followed_s = self._clock_s()
        index, durable = self._index, self._desk.durable
        if index.position == durable:
            return False
        followed = None
        if 0 < index.position < durable:
            followed = self._desk.follow(Lsn(index.position))
        if followed is None:
            index.position = durable
            self._look_at_everything()
        else:
            index.position = followed.position
            for affected in followed.affected:
                self._note(affected)
        return True

    def _note(self, affected: Affected) -> None:
        """Have an inode looked at, unless it was after the record."""
        lsn, ino = affected
        if ino == ROOT:
            self._look_at_everything()
        elif self._looked.get(ino, 0) < lsn:
            self._add(ino)

    def _add(self, ino: Inode) -> None:
        self._index.pending.add(ino)
        self._unconfirmed.pop(ino, None)
        if ino not in self._waiting:
            self._queue[ino] = None

    def _confirm(self) -> None:
        """Let go of what was done and has become durable; until then a crash may undo it."""
        while self._unconfirmed:
            ino, lsn = next(iter(self._unconfirmed.items()))
            if lsn > self._desk.durable:
                return
            del self._unconfirmed[ino]
            self._index.pending.discard(ino)

    def _commit(self) -> None:
        self._index.commit()
        self._committed_s = self._clock_s()

    # -- which file ----------------------------------------------------------------------------

    def _work(self) -> bool:
        """Go on with a file, those just closed before all others; whether there is one."""
        if self._urgent is None and (ino := self._next_urgent()) is not None:
            (look,) = self._desk.look([ino])
            if ino == self._job_ino:
                self._job = self._job_ino = None  # it has read what is no longer there
            self._urgent = self._file(ino, look)
        if self._urgent is not None:
            if next(self._urgent, _END) is _END:
                self._urgent = None
            return True
        if self._job is None:
            while not self._batch and self._queue:
                self._look_ahead()
            if self._batch:
                self._job_ino, look = self._batch.pop()
                self._job = self._file(self._job_ino, look)
        if self._job is not None:
            if next(self._job, _END) is _END:
                self._job = self._job_ino = None
            return True
        return False

    def _next_urgent(self) -> Inode | None:
        if self._hinted:
            ino, _ = self._hinted.popitem(last=False)
            self._queue.pop(ino, None)
            self._batch = [each for each in self._batch if each[0] != ino]
            return ino
        now_s = self._clock_s()
        while self._alarms and self._alarms[0][0] <= now_s:
            due_s, ino = heappop(self._alarms)
            waiting = self._waiting.get(ino)
            if waiting is not None and waiting.due_s == due_s:
                return ino
        return None

    def _look_ahead(self) -> None:
        """Look at the next files that are pending."""
        inos = [self._queue.popitem(last=False)[0] for _ in range(min(LOOKS_MAX, len(self._queue)))]
        self._batch = list(zip(inos, self._desk.look(inos), strict=True))[::-1]

    # -- one file ------------------------------------------------------------------------------

    def _file(self, ino: Inode, look: Look | None) -> Generator[None, None, None]:
        """Bring what is known of an inode up to date; yields where something else may go first."""
        lsn = self._desk.logged
        if look is None:
            self._waiting.pop(ino, None)
            self._filing.forget(ino)
        elif look.is_directory:
            yield from self._below(ino)
        elif not self._is_ready(look):
            return
        else:
            if not look.stamp:
                (settled,) = self._desk.look([ino], settle=True)
                if settled is None or not settled.stamp:
                    self._postpone(ino, RESTLESS_S)
                    return
                look, lsn = settled, self._desk.logged
            if not (yield from self._filing.file(look)):
                self._postpone(ino, QUIET_S)
                return
            self._waiting.pop(ino, None)
        self._files += 1
        remember(self._looked, ino, lsn, STAMPS_MAX)
        if ino not in self._queue and ino not in self._hinted:
            self._unconfirmed.pop(ino, None)
            self._unconfirmed[ino] = self._desk.logged

    def _is_ready(self, look: Look) -> bool:
        """Whether a file is closed and quiet, or has not been for too long."""
        if not look.writers and look.quiet_s >= QUIET_S:
            return True
        now_s = self._clock_s()
        waiting = self._waiting.get(look.ino)
        since_s = now_s if waiting is None else waiting.since_s
        if now_s - since_s >= RESTLESS_S:
            return True
        self._postpone(look.ino, RESTLESS_S if look.writers else QUIET_S - look.quiet_s)
        return False

    def _postpone(self, ino: Inode, seconds: float) -> None:
        now_s = self._clock_s()
        waiting = self._waiting.get(ino)
        since_s = (
            now_s if waiting is None or now_s - waiting.since_s >= RESTLESS_S else waiting.since_s
        )
        due_s = min(now_s + seconds, since_s + RESTLESS_S)
        self._waiting[ino] = _Waiting(due_s, since_s)
        heappush(self._alarms, (due_s, ino))

    def _below(self, directory: Inode) -> Iterator[None]:
        """Have everything below a directory looked at."""
        cookie = 0
        while True:
            inos, cookie = self._desk.listing(directory, cookie)
            for ino in inos:
                self._add(ino)
            if not cookie:
                return
            yield


_END: Final = object()
