"""Group commit: many requests for durability, one sync at a time, in one thread.

Whoever comes while a batch is being written shares the next one.
"""

import logging
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from time import perf_counter
from typing import Any, Final, Protocol, TypeAlias

import trio

from vexfs_fuse.errors import StoreFailed
from vexfs_fuse.fuse.affinity import Follower
from vexfs_fuse.pending import Pending
from vexfs_fuse.runtime.workers import Workers
from vexfs_fuse.units import Lsn

FLUSH_SLICE_S: Final = 0.001
"""Time that the interval's flush takes from requests at a stretch."""

ROOM_RETRY_S: Final = 0.01
"""Pause of a writer for whom there is no room although nothing waits to be written."""

INLINE_SYNC_S_MAX: Final = 0.001
"""Syncs that took longer than this of late are left to the thread, even for a lone client."""

INLINE_RECORDS_MAX: Final = 64
"""The most records that a batch may have to be written on the loop."""

_RECENT: Final = 8
"""Syncs over which their time is averaged."""

_log = logging.getLogger(__name__)


Waiter: TypeAlias = tuple[Lsn, Callable[[], None]]
"""Which record is waited for to be durable, and what is called when it is, or never will be."""


class Batch(Protocol):
    """What `volume.seal` returns."""

    lsn: Lsn
    segments: Any  # None when no contents are to be written

    def run(self) -> None:
        """Write and sync, in the thread."""
        ...


class Synced(Protocol):
    """What the syncer needs of a volume."""

    durable_lsn: Lsn

    @property
    def logged_lsn(self) -> Lsn:
        """The last record."""
        ...

    @property
    def failure(self) -> str | None:
        """Why the volume takes no changes."""
        ...

    def seal(self) -> Any:
        """Return a batch, or None when there is nothing to write."""
        ...

    def settle(self, batch: Any, error: BaseException | None) -> None:
        """Take note of what became of a batch."""
        ...

    def when_pressed(self, relief: Callable[[], None]) -> None:
        """Have `relief` called when much is dirty."""
        ...

    def relieve(self) -> Pending[None] | None:
        """Return what writes dirty pages out, None when there are none."""
        ...

    def flush_aged(self, *, older_than_s: float = 0.0) -> Any:
        """Stage dirty contents, file by file."""
        ...


class Syncer:
    """Runs the batches of one volume: on demand, and every `interval_s`.

    Two thread switches and four passes of trio cost as much as a quick sync.  So a batch of a few
    records that a lone client waits for is written on the loop, as long as the disk is quick: nobody
    else is kept waiting then.
    """

    def __init__(self, volume: Synced, follower: Follower, *, interval_s: float) -> None:
        self._volume = volume
        self._follower = follower
        self._interval_s = interval_s
        self._batches: SimpleQueue[Batch | None] = SimpleQueue()
        self._waiters: list[Waiter] = []
        self._room = trio.lowlevel.ParkingLot()
        self._pressure = trio.Event()
        self._busy = False
        self._again = False
        self._thread: threading.Thread | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._sync_s = INLINE_SYNC_S_MAX  # recent average
        self.batches = 0

    def start(self) -> None:
        """Start the thread; in the trio run that will use it."""
        self._token = trio.lowlevel.current_trio_token()
        self._volume.when_pressed(self.press)
        self._thread = threading.Thread(target=self._write, name="vexfs-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the batches that were handed to it."""
        if self._thread is not None:
            self._batches.put(None)
            self._thread.join()
            self._thread = None

    async def drain(self) -> None:
        """Return when the thread has done, and the volume settled, what it was handed."""
        while self._busy:
            await self._room.park()

    async def durable(self, lsn: Lsn) -> None:
        """Return when the journal is durable through `lsn`.

        Raises
        ------
        StoreFailed
            It will never be.
        """
        while not self.sync_here(lsn):
            waiter = (lsn, partial(trio.lowlevel.reschedule, trio.lowlevel.current_task()))

            def leave(_raise_cancel: Any, waiter: Waiter = waiter) -> trio.lowlevel.Abort:
                self._waiters.remove(waiter)  # runs in the task that cancels
                return trio.lowlevel.Abort.SUCCEEDED

            self._waiters.append(waiter)
            await trio.lowlevel.wait_task_rescheduled(leave)

    def when_durable(self, lsn: Lsn, wake: Callable[[], None]) -> None:
        """Have `wake` called when `sync_here`, which was asked a moment ago, gives another answer.

        A task for each of many who wait would cost as much as a quick sync.
        """
        self._waiters.append((lsn, wake))

    def sync_here(self, lsn: Lsn) -> bool:
        """Begin what makes the journal durable through `lsn`; return whether it is by now.

        Raises
        ------
        StoreFailed
            It will never be.
        """
        if lsn > self._volume.durable_lsn:
            self._refuse_if_failed()
            self._begin(inline=True)
        return lsn <= self._volume.durable_lsn

    def _refuse_if_failed(self) -> None:
        if self._volume.failure is not None:
            raise StoreFailed(self._volume.failure)

    async def room(self) -> None:
        """Return when a batch with dirty contents has been written, so that pages are free again.

        Raises
        ------
        StoreFailed
        """
        self._refuse_if_failed()
        self.press()
        with trio.move_on_after(ROOM_RETRY_S):
            await self._room.park()

    def press(self) -> None:
        """Have dirty pages written out soon."""
        self._pressure.set()

    async def relieve(self, workers: Workers) -> None:
        """Write dirty pages out whenever they press, until cancelled."""
        while True:
            await self._pressure.wait()
            self._pressure = trio.Event()
            await self._stage()
            pending = self._volume.relieve()
            if pending is not None:
                pending.resume(await workers.run(pending.work))
            self._room.unpark_all()

    async def run(self) -> None:
        """Flush what is dirty and sync, every interval, until cancelled."""
        while True:
            await trio.sleep(self._interval_s)
            await self.flush()

    async def flush(self) -> None:
        """Stage all dirty contents, a slice at a time, and begin a batch."""
        await self._stage()
        self._begin()

    async def _stage(self) -> None:
        until = trio.current_time() + FLUSH_SLICE_S
        for _ in self._volume.flush_aged():
            if trio.current_time() >= until:
                await trio.lowlevel.checkpoint()
                until = trio.current_time() + FLUSH_SLICE_S

    def _begin(self, *, inline: bool = False) -> None:
        """Hand the next batch to the thread, now or when it has done the one that it has.

        With `inline` it may also be written here and now.
        """
        if self._busy:
            self._again = True
            return
        self._again = False
        batch = self._volume.seal()
        if batch is None:
            self._wake(self._served())
            return
        self._busy = True
        if inline and self._may_write_here(batch):
            self._written(batch, *_timed(batch))
        else:
            self._batches.put(batch)

    def _may_write_here(self, batch: Batch) -> bool:
        return (
            self._follower.lone
            and self._sync_s < INLINE_SYNC_S_MAX
            and batch.segments is None
            and batch.lsn - self._volume.durable_lsn <= INLINE_RECORDS_MAX
        )

    def _write(self) -> None:
        """Run batches in the thread, in order."""
        self._follower.free_worker()
        while (batch := self._batches.get()) is not None:
            error, took_s = _timed(batch)
            assert self._token is not None
            self._token.run_sync_soon(self._written, batch, error, took_s)

    def _written(self, batch: Batch, error: BaseException | None, took_s: float) -> None:
        self._busy = False
        self.batches += 1
        self._sync_s += (took_s - self._sync_s) / _RECENT
        if error is not None:
            _log.critical("a batch could not be made durable", exc_info=error)
        self._volume.settle(batch, error)
        served = self._served()
        if self._again or self._waiters:
            self._begin()  # the disk works on while answers are given
        self._wake(served)

    def _served(self) -> list[Waiter]:
        """Take out whose records are durable, everybody when none will be again."""
        durable = Lsn(2**63) if self._volume.failure is not None else self._volume.durable_lsn
        waiters = self._waiters
        self._waiters = [waiter for waiter in waiters if waiter[0] > durable]
        return [waiter for waiter in waiters if waiter[0] <= durable]

    def _wake(self, waiters: list[Waiter]) -> None:
        for _, wake in waiters:
            wake()
        self._room.unpark_all()


def _timed(batch: Batch) -> tuple[BaseException | None, float]:
    """Run a batch; return what it raised and the seconds it took.

    Whatever that is, it ends the volume's writing and not the thread: others wait for it.
    """
    error: BaseException | None = None
    began = perf_counter()
    try:
        batch.run()
    except BaseException as failure:  # noqa: BLE001
        error = failure
    return error, perf_counter() - began
