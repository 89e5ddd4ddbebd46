"""A vector space: vectors by inode, and the nearest of them; what is set is found at once.

Knows no names, no permissions (those come as a mask) and no disk.
"""

from typing import Any, Final, TypeVar

import numpy as np

from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.pending import Pending
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors import codec, planner, schedule, search
from vexfs_fuse.vectors.arrays import Doubles, Floats, Longs, Mask
from vexfs_fuse.vectors.calibration import Calibration, Questions
from vexfs_fuse.vectors.exact import Ask, View, cut
from vexfs_fuse.vectors.hits import Hits
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.parts import Parts
from vexfs_fuse.vectors.planner import Cost, Field
from vexfs_fuse.vectors.recall import EffortChanged, Recall, Sample
from vexfs_fuse.vectors.restoring import Restoring
from vexfs_fuse.vectors.rows import Row, Rows
from vexfs_fuse.vectors.saving import Saved, SaveFailed, Saving
from vexfs_fuse.vectors.search import Nearest, Task
from vexfs_fuse.vectors.shard_file import Keys
from vexfs_fuse.vectors.store import Disk, ShardStore
from vexfs_fuse.vectors.upkeep import Upkeep

T = TypeVar("T")

LOOP_NS_MAX: Final = 2_000_000.0
"""A search that is expected to take longer is handed out as `Pending`."""

CALIBRATED_MIN: Final = 2_000
"""In a space of fewer vectors, graphs are hardly ever asked."""

SLACK: Final = 32
"""How many more a search in a thread looks for, to make up for what is removed meanwhile."""

EVERYTHING: Final = Lsn(2**63 - 1)
MAX_ROOM: Final = 2**63 - 1

MODES: Final = ("auto", "exact", "ann")


class Space:
    """Vectors of one dimension under one metric.

    An inode has one vector, or several passages of its contents have one each.  `generation` grows
    with every change of what a search could answer.
    """

    def __init__(
        self,
        name: str,
        dimensions: int,
        metric: Metric,
        model: str = "",
        *,
        tail_rows: int | None = None,
    ) -> None:
        if not 1 <= dimensions <= codec.DIMENSIONS_MAX:
            raise InvalidArgument(
                f"a space has 1 to {codec.DIMENSIONS_MAX} dimensions, not {dimensions}"
            )
        self.name = name
        self.dimensions = dimensions
        self.metric = metric
        self.model = model
        self.generation = 0
        self.last_lsn = Lsn(0)
        self.recall = Recall()
        self.loop_ns_max = LOOP_NS_MAX
        self.parts = Parts(dimensions, metric, tail_rows or schedule.tail_rows(dimensions))
        self.upkeep = Upkeep(self.parts)
        self._cost = Cost(dimensions)
        self._store: ShardStore | None = None
        self._found: Restoring | None = None
        self._saving: Saving | None = None
        self._busy = False
        self._questions = Questions()
        self._calibration: Calibration | None = None
        self._calibrated_for: tuple[int, int] | None = None

    @property
    def rows(self) -> Rows:
        """Whose vectors there are: masks are made over its columns."""
        return self.parts.rows

    def __len__(self) -> int:
        return self.rows.count

    def __contains__(self, ino: Inode) -> bool:
        return bool(self.rows.of(ino))

    def parse(self, value: bytes) -> Floats:
        """Return the vector that a user wrote.  Raises `InvalidArgument` if it cannot be here."""
        return self.metric.check(codec.parse(value, self.dimensions))

    def set(self, ino: Inode, vector: Floats, lsn: Lsn, passage: int = 0) -> Row:
        """Give the passage of an inode a vector that `parse` let through; return its row."""
        self.generation += 1
        self.last_lsn = max(self.last_lsn, lsn)
        return self.parts.append(ino, passage, lsn, self.metric.prepare(vector))

    def remove(self, ino: Inode, passage: int | None = None) -> int:
        """Forget an inode, or one passage of it; return how many vectors went."""
        if passage is None:
            rows = self.rows.of(ino)
        else:
            row = self.rows.find(ino, passage)
            rows = [] if row is None else [row]
        for row in rows:
            self.parts.drop(row)
        self.generation += len(rows)
        return len(rows)

    def vector(self, ino: Inode, passage: int = 0) -> Floats | None:
        """Return a vector as it is compared: under cosine of unit length."""
        row = self.rows.find(ino, passage)
        return None if row is None else self.parts.vector(row)

    def search(
        self,
        query: Floats,
        count: int,
        *,
        mask: Mask | None = None,
        ef: int | None = None,
        mode: str = "auto",
        per_inode: bool = True,
        is_stored: bool = False,
    ) -> Hits | Pending[Hits]:
        """Return the `count` nearest, at least that many whenever there are candidates.

        Parameters
        ----------
        query
            What `parse` let through.
        count
            At least 1.
        mask
            Which rows are candidates: over row numbers, as long as `rows.limit` or longer, not to be
            changed afterwards.  None: all.  What a `Pending` answers may have been forbidden since.
        ef
            The effort in graphs instead of the one that holds the target recall.
        mode
            `auto`; `exact` compares every candidate, `ann` asks every graph.
        per_inode
            Whether only the best passage of an inode counts.
        is_stored
            Whether the question is a vector of the space: that is found so easily that nothing is
            learned from it about other questions.

        """
        if mode not in MODES:
            raise InvalidArgument(f"there is no mode {mode!r} of vector search")
        if count < 1:
            raise InvalidArgument(f"{count} hits cannot be searched for")
        ask = self._ask(self.metric.prepare(query), count)
        if not is_stored:
            self._questions.offer(ask.query)
        task = self._task(ask, mask, ef or self.recall.ef, mode, per_inode=per_inode)
        if task.plan.ns > self.loop_ns_max:
            return self._in_a_thread(task, ask)
        nearest = search.run(task, ask)
        if not task.plan.exact and not is_stored:
            self.recall.offer(lambda: self._sample(ask, mask, nearest, per_inode=per_inode))
        return self._hits(task, nearest)

    def open_rows(self, known: Keys) -> None:
        """Say for an empty space whose vectors it has, at which versions; they come later.

        They come by `restoring` and by `fill`; until it is `complete`, a search misses some.
        """
        self.rows.put_many(*known)
        self.generation += 1
        self.last_lsn = max(self.last_lsn, Lsn(int(known.lsns.max(initial=0))))

    def keep_in(self, disk: Disk, directory: str, newest: Lsn, identity: dict[str, Any]) -> None:
        """Have shards in a directory of the store, now that all rows are known.

        `newest` is the last record of the journal: files that know later ones are not believed.
        `identity` says what the directory belongs to, in words of JSON.
        """
        self._store = ShardStore(disk, directory, {**identity, **self._description()})
        self._found = Restoring(self.parts, self._store, newest)

    def restoring(self) -> Pending[None] | None:
        """Return the loading of the next shard, None when all are there; then `absent` is right."""
        if self._found is None or self._saving is not None:
            return None
        work = self._found.due()
        if work is None:
            assert self._store is not None
            self._saving = Saving(self.parts, self.recall, self._store, self._found)
            if self._found.effort is not None:
                self.recall.resume(self._found.effort)
        return work

    @property
    def problems(self) -> list[str]:
        """Sentences on shards that were found damaged."""
        return [] if self._found is None else self._found.problems

    @property
    def absent(self) -> Longs:
        """Rows whose vector is not in memory."""
        return self.rows.absent

    def fill(self, rows: Longs, vectors: Floats) -> None:
        """Give absent rows the vectors that they should have."""
        self.parts.fill(rows, self.metric.prepare(vectors))
        self.generation += 1

    def forget(self, row: Row) -> None:
        """Forget a row whose vector cannot be had any more."""
        self.parts.drop(row)
        self.generation += 1

    def reindex(self) -> None:
        """Give up all graphs and their files, and build them anew as `due` is asked for work."""
        self.parts.forget_graphs()

    def unsaved(
        self, durable: Lsn | None, room_bytes: int, rows_min: int = 0
    ) -> Pending[Saved | SaveFailed | None] | None:
        """Return the saving of what is not on disk yet, for the end: repeat until None.

        `durable` is the last record whose vectors may be saved; None: save nothing.
        """
        if self._saving is None or self._busy or durable is None:
            return None
        return self._alone(self._saving.due(durable, room_bytes, rows_min))

    def due(
        self, *, idle: bool, durable: Lsn | None = EVERYTHING, room_bytes: int = MAX_ROOM
    ) -> Pending[Any] | None:
        """Return the next piece of work, about a tenth of a second in a thread, or None.

        One at a time: None until `resume` has been called, which answers an event for the journal (`Built`,
        `BuildFailed`, `EffortChanged`, `Saved`, `SaveFailed`) or None.  What can wait is done when `idle` only.
        When nothing is to be built and enough was asked, the effort is calibrated, once for the graphs there are.
        Saved is what is `durable`, on a disk that has so much room, once all that was saved before is loaded;
        shards that are too large to be merged before others are built: a crash need not take hours of work.
        """
        if self._busy:
            return None
        if idle:
            final = schedule.shard_rows_max(self.dimensions) // 2
            saving = self.unsaved(durable, room_bytes, final)
            if saving is not None:
                return saving
        work: Pending[Any] | None = self.upkeep.due(idle=idle)
        if work is None:
            work = self._calibrating()
        if work is None and idle:
            work = self._judging() or self.unsaved(durable, room_bytes)
        return work if self._busy else self._alone(work)

    def statistics(self) -> dict[str, Any]:
        """Return what there is to say about the space, for people and metrics."""
        parts = self.parts.all
        return {
            "name": self.name,
            "model": self.model,
            **self._description(),
            "vectors": len(self),
            "inodes": self.rows.inodes,
            "dead": sum(part.dead for part in parts),
            "tail": sum(part.live_count for part in parts if part.shard is None),
            "waiting": sum(part.live_count for part in parts if part.full and part.shard is None),
            "shards": sorted(part.used for part in parts if part.shard is not None),
            "saved": 0 if self._saving is None else self._saving.count,
            "loaded": self.loaded,
            "bytes": sum(part.bytes for part in parts),
            **self.upkeep.statistics(),
            **self.recall.statistics(),
        }

    @property
    def loaded(self) -> float:
        """How much of what was saved has been read again, 0 to 1."""
        return 1.0 if self._found is None else self._found.progress

    def _alone(self, pending: Pending[T] | None) -> Pending[T] | None:
        """Hand out no other work before this has been resumed."""
        if pending is None:
            return None
        self._busy = True

        def resume(outcome: Any) -> Any:
            self._busy = False
            return pending.resume(outcome)

        return Pending(pending.work, resume)

    def _description(self) -> dict[str, Any]:
        return {"dimensions": self.dimensions, "metric": self.metric.value}

    def _ask(self, prepared: Floats, count: int) -> Ask:
        doubt = self.metric.doubt(prepared, self.parts.square_max)
        return Ask(prepared, count, self.metric, doubt)

    def _task(self, ask: Ask, mask: Mask | None, ef: int, mode: str, *, per_inode: bool) -> Task:
        rows = self.rows
        views = self.parts.views()
        candidates, allowed = rows.count, None
        if mask is not None:
            allowed = mask[: rows.limit] & rows.live[: rows.limit]
            candidates = int(np.count_nonzero(allowed))
        field = _field(views, candidates, rows.count)
        plan = planner.plan(
            self._cost, field, ask.wanted, ef, masked=allowed is not None, mode=mode
        )
        places = None
        if allowed is not None and plan.exact:
            places = np.sort(rows.places[: rows.limit][allowed])
        inos = rows.inos if per_inode and not rows.single else None
        forced = mode == planner.ANN
        return Task(views, plan, ef, rows.count, candidates, mask, places, inos, forced)

    def _hits(self, task: Task, nearest: Nearest) -> Hits:
        return Hits(
            self.rows.inos[nearest.rows],
            self.rows.passages[nearest.rows],
            nearest.scores,
            self.metric.distances(nearest.scores),
            task.plan.name,
            0 if task.plan.exact else task.ef,
            nearest.scanned,
            task.candidates,
        )

    def _in_a_thread(self, task: Task, ask: Ask) -> Pending[Hits]:
        """Search over copies of what may change, and look at the world again afterwards."""
        limit = self.rows.limit
        inos, lsns = self.rows.inos[:limit].copy(), self.rows.lsns[:limit].copy()
        copied = task._replace(
            views=[view._replace(live=view.live.copy()) for view in task.views],
            inos=None if task.inos is None else inos,
        )
        more = ask._replace(wanted=ask.wanted + SLACK)

        def resume(nearest: Nearest) -> Hits:
            rows = nearest.rows
            kept = self.rows.live[rows] & (self.rows.inos[rows] == inos[rows])
            rows, scores = rows[kept], nearest.scores[kept]
            for place in np.flatnonzero(self.rows.lsns[rows] != lsns[rows]).tolist():
                vector = self.parts.vector(Row(int(rows[place])))
                scores[place] = self.metric.scores(ask.query, vector[np.newaxis])[0]
            order = np.lexsort((rows, -scores))
            rows, scores = cut(rows[order], scores[order], ask.wanted)
            return self._hits(task, Nearest(rows, scores, nearest.scanned))

        return Pending(lambda: search.run(copied, more), resume)

    def _sample(self, ask: Ask, mask: Mask | None, nearest: Nearest, *, per_inode: bool) -> Sample:
        rows, scores = nearest.rows[: ask.wanted], nearest.scores[: ask.wanted]
        return Sample(ask.query, mask, per_inode, self.last_lsn, rows, scores)

    def _judging(self) -> Pending[EffortChanged | None] | None:
        """Repeat a sampled search exactly, among the vectors that are still what they were."""
        sample = self.recall.take()
        if sample is None:
            return None
        limit = self.rows.limit
        mask = self.rows.live[:limit] & (self.rows.lsns[:limit] <= sample.lsn)
        if sample.mask is not None:
            seen = min(limit, len(sample.mask))
            mask[:seen] &= sample.mask[:seen]
            mask[seen:] = False
        found = sample.scores[mask[sample.rows]]
        ask = self._ask(sample.query, max(1, len(found)))
        task = self._task(ask, mask, self.recall.ef, planner.EXACT, per_inode=sample.per_inode)
        copied = task._replace(inos=None if task.inos is None else task.inos.copy())
        return Pending(
            lambda: search.run(copied, ask),
            lambda nearest: self.recall.judge(found, nearest.scores),
        )

    def _calibrating(self) -> Pending[EffortChanged | None] | None:
        """Return the next step towards the effort that the questions need, of these graphs."""
        if self._calibration is None:
            graphs = self._graphs()
            if graphs == self._calibrated_for or graphs is None or self.recall.pinned:
                return None
            if not self._questions.are_enough:
                return None
            self._calibrated_for = graphs
            self._calibration = self._calibration_now()
        calibration = self._calibration
        return Pending(lambda: calibration.step(), self._take_calibrated)

    def _graphs(self) -> tuple[int, int] | None:
        """Return what changes when graphs have become others for most vectors; None without such."""
        parts = [part for part in self.parts.all if part.shard is not None]
        if 2 * sum(part.live_count for part in parts) < len(self) or len(self) < CALIBRATED_MIN:
            return None
        largest = max(parts, key=lambda part: part.live_count)
        half = 2 * largest.live_count >= len(self)
        return largest.number if half else 0, len(self).bit_length()

    def _calibration_now(self) -> Calibration:
        asks = [self._ask(query, planner.K_OF_EFFORT) for query in self._questions.all()]
        task = self._task(asks[0], None, self.recall.ef, planner.ANN, per_inode=False)
        views = [view._replace(live=view.live.copy()) for view in task.views]
        task = task._replace(views=views)

        def answer(ask: Ask, ef: int) -> Doubles:
            return search.run(task._replace(ef=ef), ask).scores

        return Calibration(asks, views, answer, self.recall.target)

    def _take_calibrated(self, calibration: Calibration) -> EffortChanged | None:
        if calibration.found is None:
            return None
        self._calibration = None
        return self.recall.calibrated(*calibration.found)


def _field(views: list[View], candidates: int, live: int) -> Field:
    graphs = [view.live_count for view in views if view.shard is not None]
    scanned = sum(len(view.vectors) for view in views if view.shard is None)
    return Field(graphs, scanned, candidates, live)
