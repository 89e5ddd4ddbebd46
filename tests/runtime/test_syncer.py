"""Group commit: who waits for what, and what a failed sync does to all of them."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.memory_vfs import MemoryBatch, MemoryVfs, MemoryVolume
from vexfs_fuse.errors import NoSpace, StoreFailed
from vexfs_fuse.fuse.affinity import Follower
from vexfs_fuse.runtime.syncer import (
    FLUSH_SLICE_S,
    INLINE_RECORDS_MAX,
    INLINE_SYNC_S_MAX,
    Syncer,
)
from vexfs_fuse.runtime.workers import Workers
from vexfs_fuse.units import Lsn

SYNC_S = 0.03
INTERVAL_S = 0.02


@pytest.fixture
def volume() -> MemoryVolume:
    return MemoryVolume(MemoryVfs(), sync_s=SYNC_S)


@pytest.fixture
async def syncer(volume: MemoryVolume) -> AsyncIterator[Syncer]:
    syncer = Syncer(volume, Follower(), interval_s=INTERVAL_S)
    syncer.start()
    yield syncer
    await syncer.drain()
    syncer.stop()


def log(volume: MemoryVolume, records: int) -> Lsn:
    volume.vfs.logged_lsn = Lsn(volume.vfs.logged_lsn + records)
    return volume.vfs.logged_lsn


async def test_what_is_durable_already_does_not_wait(volume: MemoryVolume, syncer: Syncer) -> None:
    await syncer.durable(Lsn(0))
    assert syncer.batches == 0


async def test_durable_returns_when_the_record_is(volume: MemoryVolume, syncer: Syncer) -> None:
    lsn = log(volume, 3)
    await syncer.durable(lsn)
    assert volume.durable_lsn == lsn


async def test_all_who_come_during_a_sync_share_the_next_one(
    volume: MemoryVolume, syncer: Syncer
) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(syncer.durable, log(volume, 1))
            await trio.lowlevel.checkpoint()
    assert syncer.batches == 2
    assert volume.durable_lsn == 50


async def test_a_waiter_is_not_woken_by_a_batch_that_was_sealed_before_it_came(
    volume: MemoryVolume, syncer: Syncer
) -> None:
    first = log(volume, 1)
    woken: list[Lsn] = []

    async def wait(lsn: Lsn) -> None:
        await syncer.durable(lsn)
        assert volume.durable_lsn >= lsn
        woken.append(lsn)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, first)
        await wait_all_tasks_blocked()
        second = log(volume, 1)
        nursery.start_soon(wait, second)
    assert woken == [first, second]
    assert volume.batch_lsns == [first, second]


async def test_a_failed_sync_fails_all_who_wait_and_all_who_come(
    volume: MemoryVolume, syncer: Syncer, caplog: pytest.LogCaptureFixture
) -> None:
    volume.next_failure = OSError("the disk is gone")
    failed = 0

    async def wait(lsn: Lsn) -> None:
        nonlocal failed
        with pytest.raises(StoreFailed, match="the disk is gone"):
            await syncer.durable(lsn)
        failed += 1

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait, log(volume, 1))
            await trio.lowlevel.checkpoint()
    await wait(Lsn(2))
    assert failed == 4
    assert syncer.batches == 1, "a failed sync is never tried again"
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]


async def test_who_is_cancelled_leaves_and_the_others_stay(
    volume: MemoryVolume, syncer: Syncer
) -> None:
    lsn = log(volume, 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(syncer.durable, lsn)
        with trio.move_on_after(SYNC_S / 3) as scope:
            await syncer.durable(lsn)
        assert scope.cancelled_caught
    assert volume.durable_lsn == lsn


async def test_the_interval_flushes_and_syncs_without_being_asked(
    volume: MemoryVolume, syncer: Syncer
) -> None:
    lsn = log(volume, 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(syncer.run)
        await trio.sleep(INTERVAL_S * 2 + SYNC_S * 4)
        nursery.cancel_scope.cancel()
    assert volume.flushes >= 1
    assert volume.durable_lsn == lsn


async def test_nothing_to_write_makes_no_batch(volume: MemoryVolume, syncer: Syncer) -> None:
    await syncer.flush()
    assert syncer.batches == 0


async def test_room_is_there_when_dirty_pages_have_been_written_out(
    volume: MemoryVolume, syncer: Syncer
) -> None:
    workers = Workers(Follower())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(syncer.relieve, workers)
        await syncer.room()
        nursery.cancel_scope.cancel()
    workers.stop()
    assert volume.reliefs == 1


class Tedious(MemoryVolume):
    """Takes a slice for each of its files."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__(MemoryVfs())
        self._seen = seen

    def flush_aged(self, *, older_than_s: float = 0.0) -> Iterator[None]:
        for _ in range(5):
            time.sleep(FLUSH_SLICE_S)
            self._seen.append("slice")
            yield


async def test_relief_gives_way_between_two_slices() -> None:
    seen: list[str] = []
    syncer = Syncer(Tedious(seen), Follower(), interval_s=INTERVAL_S)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(syncer.relieve, Workers(Follower()))
        syncer.press()
        for _ in range(10):
            seen.append("request")
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    told = " ".join(seen)
    assert told.count("slice") > 2
    assert "slice slice slice" not in told  # chance decides which task goes first in a pass of trio


async def test_room_is_asked_for_again_when_nothing_was_written_out(syncer: Syncer) -> None:
    with trio.fail_after(5):
        await syncer.room()


async def test_there_is_no_room_in_a_volume_that_failed(
    volume: MemoryVolume, syncer: Syncer
) -> None:
    volume.failure = "no disk"
    with pytest.raises(StoreFailed, match="no disk"):
        await syncer.room()


async def test_a_bug_in_a_batch_does_not_end_the_thread(
    volume: MemoryVolume, syncer: Syncer, caplog: pytest.LogCaptureFixture
) -> None:
    volume.next_failure = ZeroDivisionError("a bug")
    with pytest.raises(StoreFailed, match="a bug"):
        await syncer.durable(log(volume, 1))
    volume.failure = volume.next_failure = None
    await syncer.durable(log(volume, 1))


async def test_drain_waits_for_the_batch_under_way(volume: MemoryVolume, syncer: Syncer) -> None:
    lsn = log(volume, 1)
    await syncer.flush()
    await syncer.drain()
    assert volume.durable_lsn == lsn


class LoneClient(Follower):
    """Sees one client only."""

    lone = True


class NotingBatch:
    """Notes which thread runs it; has contents if its volume says so."""

    def __init__(self, batch: MemoryBatch, volume: "Threads") -> None:
        self.lsn = batch.lsn
        self.segments = b"contents" if volume.with_contents else None
        self._batch = batch
        self._threads = volume.threads

    def run(self) -> None:
        self._threads.append(threading.get_ident())
        self._batch.run()


class Threads(MemoryVolume):
    """Notes which threads write."""

    with_contents = False

    def __init__(self, sync_s: float = 0.0) -> None:
        super().__init__(MemoryVfs(), sync_s)
        self.threads: list[int] = []

    def seal(self) -> Any:
        batch = super().seal()
        return batch and NotingBatch(batch, self)


async def threads_used(volume: Threads, follower: Follower, batches: int, records: int = 1) -> int:
    """Make so many batches durable; return how many of the last ten were written on the loop."""
    syncer = Syncer(volume, follower, interval_s=INTERVAL_S)
    syncer.start()
    for _ in range(batches):
        await syncer.durable(log(volume, records))
    await syncer.drain()
    syncer.stop()
    return volume.threads[-10:].count(threading.get_ident())


async def test_a_lone_client_s_records_are_written_on_the_loop_while_the_disk_is_quick() -> None:
    assert await threads_used(Threads(), LoneClient(), 50) == 10


async def test_several_clients_leave_it_to_the_thread() -> None:
    assert await threads_used(Threads(), Follower(), 50) == 0


async def test_a_slow_disk_is_left_to_the_thread() -> None:
    volume = Threads(sync_s=INLINE_SYNC_S_MAX * 2)
    assert await threads_used(volume, LoneClient(), 30) == 0


async def test_contents_are_left_to_the_thread() -> None:
    volume = Threads()
    volume.with_contents = True
    assert await threads_used(volume, LoneClient(), 30) == 0


async def test_many_records_are_left_to_the_thread() -> None:
    assert await threads_used(Threads(), LoneClient(), 30, INLINE_RECORDS_MAX + 1) == 0


class Refusing(MemoryVolume):
    """Has dirty files that find no space."""

    def flush_aged(self, *, older_than_s: float = 0.0) -> Any:
        raise NoSpace


async def test_a_flush_that_fails_as_no_flush_should_is_not_hidden() -> None:
    syncer = Syncer(Refusing(MemoryVfs()), Follower(), interval_s=INTERVAL_S)
    with pytest.raises(NoSpace):
        await syncer.flush()
