"""The semantic journal: every change to a volume in order, and through which it is durable.

`append` buffers in memory; `seal` makes a batch of what was buffered, whose `write` runs in the
writer thread; `settle`, back on the loop, makes it count.  What records mean is the volume's
business.
"""

import os
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from itertools import pairwise
from operator import itemgetter
from typing import Final, NamedTuple

from vexfs_fuse.errors import NoSpace, StoreDamaged, VexfsError
from vexfs_fuse.storage.disk import Disk, File
from vexfs_fuse.storage.journal_batch import Begun, JournalBatch
from vexfs_fuse.storage.journal_files import (
    DIRECTORY,
    FORMAT,
    JournalFile,
    Tail,
    file_name,
    open_tail,
)
from vexfs_fuse.storage.journal_stream import JournalStream
from vexfs_fuse.storage.records import (
    FILE_HEADER,
    MARKS,
    RECORD_BYTES_MAX,
    SYNCED,
    SYNCED_BYTES_MAX,
    Body,
    Entry,
    Fields,
    RecordReader,
    pack_record,
)
from vexfs_fuse.units import KIB, MIB, NS_PER_S, Inode, Lsn

__all__ = ["Entry", "Journal", "JournalBatch", "JournalStatistics"]

FILE_BYTES_MAX: Final = 64 * MIB
"""A file that has reached this size is followed by another with the next batch."""
RESERVE_BYTES: Final = 4 * MIB
"""Space is reserved on the disk in steps of this size."""
FREEING_BYTES: Final = MIB
"""The end of what is reserved, which only changes that free space may use."""
ZEROED_BYTES: Final = 256 * KIB
"""So much is written as zeros ahead of small batches.  A sync after bytes were overwritten waits
for the disk alone (0.13 ms); after the file grew, also for the file system's own journal, which
took 4 ms where its thread had to wait for a CPU."""
SMALL_BATCH_BYTES: Final = 64 * KIB
FREQUENT_NS: Final = NS_PER_S // 2
"""Batches that are larger or less frequent are not those of somebody who waits for each change."""
RECORD_BYTES_USUAL: Final = 128 * KIB
"""For records up to this size `reserve_space` need not be told one."""

_WAYPOINT_BYTES: Final = 256 * KIB  # a follower that starts anew reads at most this much in vain
_SALT_BYTES: Final = 8
_NOBODY: Final = (0, 0, 0)


class JournalStatistics(NamedTuple):
    """What `vexfs status` tells of the journal; counts are since it was opened."""

    records: int  # appended
    bytes: int  # appended
    batches: int  # settled
    files: int
    file_bytes: int  # of all files, as far as they are durable
    buffered_bytes: int  # appended, not yet durable


class Journal:
    """The log of one volume; made by `open`.  Its methods belong to the loop."""

    __slots__ = (
        "_batch",
        "_batches",
        "_buffer",
        "_disk",
        "_durable",
        "_end",
        "_file",
        "_file_bytes_max",
        "_files",
        "_first",
        "_headroom_bytes",
        "_lsn",
        "_reserved",
        "_room",
        "_salt",
        "_sealed",
        "_sealed_at_ns",
        "_settled_bytes",
        "_time_ns",
        "_volume",
        "_zeroed",
        "owed_bytes",
    )

    def __init__(
        self, disk: Disk, tail: Tail, volume: str, file_bytes_max: int, headroom_bytes: int
    ) -> None:
        self._disk = disk
        self._volume = volume
        self._salt = tail.salt
        self._file_bytes_max = file_bytes_max
        self._headroom_bytes = headroom_bytes
        self.owed_bytes: Callable[[], int] = int  # what others will take of the disk soon
        self._files = tail.files  # durable ones, ascending
        self._file = tail.file  # the last one, where the next batch goes
        self._first = self._lsn = self._durable = tail.lsn
        self._time_ns = tail.time_ns  # of the last record
        self._buffer: list[bytes] = []
        self._batch: JournalBatch | None = None  # sealed, not settled
        self._batches = 0
        self._settled_bytes = 0
        # Byte positions in the last file: where the next batch goes, where the buffered records
        # will end, through where space is reserved, and how much of that every change may use.
        self._sealed = self._end = tail.files[-1].size_bytes
        self._reserved = self._room = 0
        self._zeroed = 0  # through where zeros were written in it
        self._sealed_at_ns = -FREQUENT_NS

    @classmethod
    def open(
        cls,
        disk: Disk,
        *,
        volume: str = "",
        file_bytes_max: int = FILE_BYTES_MAX,
        headroom_bytes: int = 0,
        durable_at_least: Lsn = Lsn(0),  # noqa: B008 - a number
        entropy: Callable[[int], bytes] = os.urandom,
        time_ns: int = 0,
    ) -> "Journal":
        """Find the journal's end and cut a torn tail, or begin one; what is there is then durable.

        Blocks for a few syncs.  Records before the last batch are checked by `replay`, not here.

        Parameters
        ----------
        disk
            The store.
        volume
            The volume's id, which every file's header must name.
        file_bytes_max
            The size at which a file is full.
        headroom_bytes
            What must stay free on the disk, but for changes that free space.
        durable_at_least
            A record known to have been synced: the one that the state view has applied.
        entropy
            Where the salt of a new journal comes from.
        time_ns
            The time at which a new journal begins.

        Raises
        ------
        StoreDamaged
            Records that had been synced are missing or unsound.
        StoreTooNew
            A later format revision.
        """
        disk.make_directory(DIRECTORY)
        disk.sync_directory("")
        tail = open_tail(disk, volume, durable_at_least)
        if tail is None:
            tail = begin(disk, volume, entropy(_SALT_BYTES), time_ns)
        journal = cls(disk, tail, volume, file_bytes_max, headroom_bytes)
        journal._reserve_if_possible()
        return journal

    @property
    def next_lsn(self) -> Lsn:
        """The number of the next record."""
        return Lsn(self._lsn + 1)

    @property
    def first_lsn(self) -> Lsn:
        """The number of the oldest record kept; `next_lsn` while there is none."""
        return self._files[0].first_lsn

    @property
    def durable_lsn(self) -> Lsn:
        """The number of the last record known to survive a power cut."""
        return self._durable

    def append(
        self,
        kind: str,
        inode: Inode,
        actor: tuple[int, int, int],
        body: Body,
        time_ns: int,
    ) -> Lsn:
        """Take a record into the buffer; return its number.

        `body` holds what msgpack knows: None, bool, int below 2**64, float, bytes, str, list, tuple
        and dict with str keys; lists come back as tuples.  Raises `ValueError`, and takes nothing,
        for a record over `RECORD_BYTES_MAX`.
        """
        lsn = self._lsn + 1
        record = pack_record((lsn, time_ns, kind, inode, actor, body, 0))
        size = len(record)
        if size > RECORD_BYTES_MAX:
            raise ValueError(f"a {kind} record of {size} bytes")
        self._buffer.append(record)
        self._end += size
        self._time_ns = time_ns
        self._lsn = lsn  # type: ignore[assignment]  # calling Lsn() takes 60 ns
        return lsn  # type: ignore[return-value]

    def reserve_space(self, size: int = RECORD_BYTES_USUAL, *, is_freeing: bool = False) -> None:
        """Make sure that `size` more bytes of records can be written; ask before deciding.

        What only frees space (`is_freeing`: unlink, truncate, what a writer has long been promised)
        may use the last `FREEING_BYTES` as well, so that a full store can be emptied.

        Raises
        ------
        NoSpace
            The disk is full.
        """
        if self._end + size > self._room:
            self._reserve_ahead(size, is_freeing)

    def seal(self) -> JournalBatch | None:
        """Return what was buffered as a batch to be written, None when there is nothing.

        The batch before must be settled: after a failed one the journal is at its end.
        """
        assert self._batch is None, "the batch before is not settled"
        if not self._buffer:
            return None
        begun = self._begin_next() if self._sealed >= self._file_bytes_max else None
        mark = (self._lsn, self._time_ns, SYNCED, 0, _NOBODY, {"salt": self._salt}, 0)
        packed = pack_record(mark)
        self._end += len(packed)
        batch = JournalBatch(
            self._lsn, self._file, self._sealed, self._end, self._buffer, packed, begun
        )
        batch.zeros = self._zeros_behind(batch)
        self._buffer = []
        self._batch = batch
        self._sealed = self._end
        return batch

    def _zeros_behind(self, batch: JournalBatch) -> int:
        """Return how many zeros to write behind a batch that reaches beyond those written before."""
        end = batch.end
        is_frequent = self._time_ns - self._sealed_at_ns < FREQUENT_NS
        self._sealed_at_ns = self._time_ns
        if (
            end <= self._zeroed
            or end - batch.position > SMALL_BATCH_BYTES
            or not (is_frequent and batch.begun is None)
        ):
            return 0
        self._zeroed = min(end + ZEROED_BYTES, self._reserved)
        return max(0, self._zeroed - end)

    def settle(self, batch: JournalBatch) -> None:
        """Count a batch that was written as durable."""
        assert batch is self._batch, "batches settle in the order of sealing"
        self._batch = None
        if batch.begun is not None:
            self._files.append(batch.begun.journal_file)
        last = self._files[-1]
        if batch.position - last.waypoints[-1][1] >= _WAYPOINT_BYTES:
            last.waypoints.append((self._durable, batch.position))
        last.size_bytes = batch.end
        self._durable = batch.lsn
        self._batches += 1
        self._settled_bytes += batch.end - batch.position

    def replay(self, after: int) -> Iterator[Entry]:
        """Tell the durable records after a number, through the last one at the time it is told.

        Raises
        ------
        StoreDamaged
            A record is unsound, or the ones asked for are no longer kept.
        """
        if after + 1 < self.first_lsn:
            raise StoreDamaged(
                f"records {after + 1} to {self.first_lsn - 1} are not in the journal"
            )
        files = tuple(self._files)
        start = bisect_right(files, after + 1, key=lambda file: file.first_lsn) - 1
        for index in range(max(0, start), len(files)):
            lsn = yield from self._replay_file(files[index], after)
            if index + 1 < len(files) and lsn + 1 != files[index + 1].first_lsn:
                raise StoreDamaged(f"{files[index].name}: it ends with record {lsn}, too early")

    def _replay_file(self, journal_file: JournalFile, after: int) -> Generator[Entry, None, Lsn]:
        end = journal_file.size_bytes
        waypoint = bisect_right(journal_file.waypoints, after, key=itemgetter(0)) - 1
        lsn, position = journal_file.waypoints[max(0, waypoint)]
        with closing(self._disk.open(journal_file.name)) as file:
            reader = RecordReader(file, position, lsn, end)
            for entry in reader:
                if entry.lsn > after and entry.kind not in MARKS:
                    yield entry
        if reader.position != end:
            raise StoreDamaged(f"{journal_file.name}: no sound record at byte {reader.position}")
        return reader.lsn

    def stream(self) -> JournalStream:
        """Return the bytes on the disk, marks included, beginning with the oldest file."""
        return JournalStream(self._disk, self._files)

    def drop_through(
        self, lsn: Lsn, *, keep_bytes: int = 0, keep_since_ns: int = 0
    ) -> Callable[[], None] | None:
        """Forget old files; return what removes them, for a thread, or None if none is to go.

        A file goes when none of its records is after `lsn`, and all files together hold more than
        `keep_bytes` or its records are all older than `keep_since_ns`.
        """
        total = self._file_bytes
        names = []
        for file, following in pairwise(self._files):
            is_wanted = total <= keep_bytes and following.time_ns >= keep_since_ns
            if is_wanted or following.first_lsn > lsn + 1:
                break
            total -= file.size_bytes
            names.append(file.name)
        del self._files[: len(names)]
        return partial(_remove, self._disk, names) if names else None

    @property
    def buffered_bytes(self) -> int:
        """Bytes of the records that were appended and are in no batch yet."""
        return self._end - self._sealed

    @property
    def statistics(self) -> JournalStatistics:
        """What is in the journal and went through it."""
        return JournalStatistics(
            records=self._lsn - self._first,
            bytes=self._settled_bytes,
            batches=self._batches,
            files=len(self._files),
            file_bytes=self._file_bytes,
            buffered_bytes=self.buffered_bytes,
        )

    @property
    def _file_bytes(self) -> int:
        return sum(file.size_bytes for file in self._files)

    def close(self) -> None:
        """Close the last file; what was not settled is lost, what is reserved stays so."""
        if self._batch is None and self._zeroed > self._sealed:
            self._cut_zeros()
        self._file.close()

    def _cut_zeros(self) -> None:
        try:
            self._file.truncate(self._sealed)
            self._file.reserve(self._sealed, self._reserved - self._sealed)
        except VexfsError:
            pass  # whoever opens the journal cuts them, and reserves what it can

    def _reserve_ahead(self, size: int, is_freeing: bool) -> None:
        needed = self._end + size + SYNCED_BYTES_MAX
        usual = needed + FREEING_BYTES
        steps = -(-usual // RESERVE_BYTES) * RESERVE_BYTES
        most = self._headroom_bytes + self.owed_bytes()
        if (
            self._is_reserved_through(steps, most)
            or self._is_reserved_through(usual, 0 if is_freeing else most)
            or (is_freeing and self._is_reserved_through(needed, 0))
        ):
            return
        raise NoSpace(self._file.name)

    def _is_reserved_through(self, target: int, left_bytes: int) -> bool:
        """Reserve unless that was done; what is free then must not be less than `left_bytes`."""
        if target <= self._reserved:
            return True
        start = max(self._reserved, self._sealed)
        if left_bytes and self._disk.free_bytes() < target - start + left_bytes:
            return False
        try:
            self._file.reserve(start, target - start)
        except NoSpace:
            return False
        self._set_reserved(target)
        return True

    def _set_reserved(self, reserved: int) -> None:
        self._reserved = reserved
        self._room = reserved - FREEING_BYTES - SYNCED_BYTES_MAX

    def _reserve_if_possible(self) -> None:
        try:
            self._reserve_ahead(0, is_freeing=True)
        except NoSpace:
            pass  # the volume opens all the same: to read, and perhaps to free space

    def _begin_next(self) -> Begun | None:
        """Turn to the next file; None where that fails, and this one must grow."""
        number = self._files[-1].number + 1
        first_lsn = Lsn(self._durable + 1)
        records = [pack_record(_header(self._volume, self._salt, first_lsn, self._time_ns))]
        records += self._buffer
        size = len(records[0]) + self._end - self._sealed
        file = _create_reserved(self._disk, file_name(number), size + RESERVE_BYTES)
        if file is None:
            return None
        journal_file = JournalFile(number, first_lsn, self._time_ns)
        begun = Begun(self._disk, journal_file, self._file, self._sealed)
        self._file = file
        self._buffer = records
        self._sealed = self._zeroed = 0
        self._end = size
        self._set_reserved(size + RESERVE_BYTES)
        return begun


def _create_reserved(disk: Disk, name: str, size: int) -> File | None:
    """Create a file with room for `size` bytes; None if that fails, be the disk full or broken.

    A broken disk shows again when the batch is written, where a failure is expected.
    """
    try:
        file = disk.create(name)
    except VexfsError:
        return None
    try:
        file.reserve(0, size)
    except VexfsError:
        file.close()
        _remove_if_possible(disk, name)
        return None
    return file


def _remove_if_possible(disk: Disk, name: str) -> None:
    """Remove a file that may as well stay: without a header, the next opening removes it."""
    try:
        disk.remove(name)
    except VexfsError:
        pass


def begin(
    disk: Disk,
    volume: str,
    salt: bytes,
    time_ns: int,
    *,
    number: int = 1,
    first_lsn: Lsn = Lsn(1),  # noqa: B008 - a number
) -> Tail:
    """Create the first file of a journal; one that goes on after a repair has other numbers."""
    header = pack_record(_header(volume, salt, first_lsn, time_ns))
    file = disk.create(file_name(number))
    file.pwritev([header], 0)
    file.datasync()
    disk.sync_directory(DIRECTORY)
    journal_file = JournalFile(number, first_lsn, time_ns, len(header))
    return Tail([journal_file], file, Lsn(first_lsn - 1), time_ns, salt)


def _header(volume: str, salt: bytes, first_lsn: Lsn, time_ns: int) -> Fields:
    body = {"format": FORMAT, "volume": volume, "first_lsn": first_lsn, "salt": salt}
    return (first_lsn - 1, time_ns, FILE_HEADER, 0, _NOBODY, body, 0)


def _remove(disk: Disk, names: list[str]) -> None:
    for name in names:
        disk.remove(name)
        disk.sync_directory(DIRECTORY)  # each before the next: a gap would look like a lost file
