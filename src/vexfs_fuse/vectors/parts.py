"""All vectors of a space in memory: the tail, full parts that wait, shards; and whose they are.

Everything here is on the loop and takes microseconds; what takes longer is described by `Source` and
`View` and done elsewhere.
"""

from typing import Final

import numpy as np

from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors.arrays import Floats, Longs, Mask
from vexfs_fuse.vectors.construction import Construction, Source
from vexfs_fuse.vectors.exact import View
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.part import Part
from vexfs_fuse.vectors.rows import POSITION_BITS, POSITION_MASK, Place, Row, Rows
from vexfs_fuse.vectors.schedule import Size, Work
from vexfs_fuse.vectors.shard_file import Keys, SavedShard

_TAIL_PARTS: Final = 4
"""A tail of less than such a part is scanned as quickly as a graph is asked."""


class Parts:
    """Where vectors are; `rows` says whose."""

    def __init__(self, dimensions: int, metric: Metric, tail_rows: int) -> None:
        self.dimensions = dimensions
        self.tail_rows = tail_rows
        self.metric = metric
        self.rows = Rows()
        self.appended = 0
        """Vectors that ever came."""
        self._parts: dict[int, Part] = {}
        self._claimed: set[int] = set()
        self._next = 0
        self._tail = self._begin_tail()

    def append(self, ino: Inode, passage: int, lsn: Lsn, vector: Floats) -> Row:
        """Add a prepared vector in the place of the one that the passage had."""
        tail = self._tail
        row, before = self.rows.put(ino, passage, lsn, tail.next_place())
        tail.append(vector, row)
        if before >= 0:
            self._kill(before)
        self.appended += 1
        if tail.full:
            self._end_tail()
        return row

    def drop(self, row: Row) -> None:
        """Forget a row and its vector."""
        place = self.rows.drop(row)
        if place >= 0:
            self._kill(place)

    def vector(self, row: Row) -> Floats:
        """Return a row's vector as it is kept; a copy."""
        place = int(self.rows.places[row])
        part = self._parts[place >> POSITION_BITS]
        return np.array(part.matrix[place & POSITION_MASK])

    @property
    def all(self) -> list[Part]:
        """The parts in order of their numbers."""
        return [self._parts[number] for number in sorted(self._parts)]

    @property
    def square_max(self) -> float:
        """The greatest squared length of any vector, at least."""
        return max(part.square_max for part in self._parts.values())

    def close_tail(self) -> bool:
        """Let the tail wait for a graph before it is full, if it holds enough; whether it does."""
        tail = self._tail
        if tail.live_count * _TAIL_PARTS < tail.capacity:
            return False
        tail.capacity = tail.used
        self._tail = self._begin_tail()
        return True

    def views(self) -> list[View]:
        """What a search on the loop looks at; nothing is copied."""
        return [part.view() for part in self.all if part.live_count]

    def sizes(self) -> list[Size]:
        """The full parts that nobody works on; those with nothing live are let go first."""
        full = [part for part in self.all if part.full and part.number not in self._claimed]
        for part in full:
            if not part.live_count:
                del self._parts[part.number]
        return [
            Size(part.number, part.used, part.live_count, part.shard is not None)
            for part in full
            if part.live_count
        ]

    def claim(self, work: Work) -> Construction:
        """Begin a construction over the vectors that are live now."""
        self._claimed.update(work.numbers)
        sources = [self._source(number) for number in work.numbers]
        return Construction(work, self._next_number(), sources, self.metric)

    def publish(self, construction: Construction) -> Part:
        """Put a finished shard in the place of the parts that it was made from.

        What has been removed or set anew since it was begun is dead in it.
        """
        rows = construction.rows
        part = Part.over(construction.number, construction.matrix, self.metric)
        part.shard = construction.shard
        self._adopt(part, rows, self.rows.places[rows] == construction.places)
        for number in construction.work.numbers:
            del self._parts[number]
        self.release(construction)
        return part

    def release(self, construction: Construction) -> None:
        """Let others work on what the construction was made from."""
        self._claimed.difference_update(construction.work.numbers)

    def restore(self, saved: SavedShard, rows: Longs, live: Mask) -> int:
        """Take in a shard from the disk; return its number.

        `rows` says for each position whose vector it may be, `live` which are to be considered.  One
        counts if its row has that version, and no vector yet but perhaps one without a graph.
        """
        part = Part.over(self._next_number(), saved.matrix, self.metric)
        part.shard = saved.shard
        positions = np.flatnonzero(live)
        inos, passages, lsns = saved.keys
        current = self.rows.current(
            rows[positions], inos[positions], passages[positions], lsns[positions]
        )
        positions = positions[current]
        live = np.zeros(len(live), np.bool_)
        live[positions] = True
        for position in positions[self.rows.places[rows[positions]] >= 0].tolist():
            place = Place(int(self.rows.places[rows[position]]))
            if self._parts[place >> POSITION_BITS].shard is None:
                self._kill(place)
            else:
                live[position] = False
        self._adopt(part, rows, live)
        self.appended += int(np.count_nonzero(live))
        return part.number

    def fill(self, rows: Longs, vectors: Floats) -> None:
        """Give rows that have none their vectors, prepared."""
        done = 0
        while done < len(rows):
            tail = self._tail
            some = rows[done : done + tail.capacity - tail.used]
            places = np.arange(tail.used, tail.used + len(some)) | (tail.number << POSITION_BITS)
            tail.extend(vectors[done : done + len(some)], some)
            self.rows.places[some] = places
            done += len(some)
            if tail.full:
                self._end_tail()
        self.appended += len(rows)

    def forget_graphs(self) -> None:
        """Let all vectors wait for graphs again."""
        for part in self._parts.values():
            part.shard = None

    def keys_of(self, part: Part) -> Keys:
        """Return whose vectors lie in a part, by position."""
        rows, live = part.rows[: part.used], part.live[: part.used]
        return Keys(
            np.where(live, self.rows.inos[rows], 0),
            np.where(live, self.rows.passages[rows], 0),
            np.where(live, self.rows.lsns[rows], 0),
        )

    def _adopt(self, part: Part, rows: Longs, live: Mask) -> None:
        part.revive(live, rows)
        places = np.arange(len(rows), dtype=np.int64) | (part.number << POSITION_BITS)
        self.rows.places[rows[live]] = places[live]
        self._parts[part.number] = part

    def _source(self, number: int) -> Source:
        part = self._parts[number]
        positions = np.flatnonzero(part.live[: part.used])
        places = positions | (number << POSITION_BITS)
        return Source(part.vectors, positions, part.rows[positions], places)

    def _kill(self, place: Place) -> None:
        self._parts[place >> POSITION_BITS].kill(place & POSITION_MASK)

    def _next_number(self) -> int:
        self._next += 1
        return self._next

    def _begin_tail(self) -> Part:
        number = self._next_number()
        part = Part(number, self.tail_rows, self.dimensions, self.metric)
        self._parts[number] = part
        return part

    def _end_tail(self) -> None:
        """Begin a tail; what little is live in the full one moves into it, and needs no graph."""
        full, self._tail = self._tail, self._begin_tail()
        if full.live_count > full.capacity // 2:
            return
        for position in np.flatnonzero(full.live).tolist():
            row = Row(int(full.rows[position]))
            self.rows.places[row] = self._tail.next_place()
            self._tail.append(full.matrix[position], row)
        del self._parts[full.number]
