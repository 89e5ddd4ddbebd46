"""Maintenance: everything due is done, and requests keep their time."""

import time
from typing import Any, Final

import pytest
import trio
from trio.testing import MockClock

from tests.support.memory_vfs import MemoryVfs, MemoryVolume
from vexfs_fuse.fuse.affinity import Follower
from vexfs_fuse.observe.recorder import TOTAL, Recorder, count
from vexfs_fuse.pending import Pending
from vexfs_fuse.runtime import tasks
from vexfs_fuse.runtime.tasks import (
    BUSY_SHARE,
    HEARTBEAT_S,
    MAINTENANCE_PAUSE_S,
    PATIENCE_S,
    QUIET_S,
    Maintenance,
    heartbeat,
)
from vexfs_fuse.runtime.workers import Workers

BUSY_NS: Final = 1_000_000


def maintenance(steps: list[Any], recorder: Recorder, workers: Workers) -> Maintenance:
    volume = MemoryVolume(MemoryVfs())
    volume.steps = steps
    return Maintenance(volume, workers, recorder)


async def test_slices_and_pendings_are_done_in_order() -> None:
    resumed: list[str] = []
    steps: list[Any] = [
        None,
        Pending(lambda: "worked", resumed.append),
        None,
        Pending(lambda: "again", resumed.append),
    ]
    workers = Workers(Follower())
    await maintenance(steps, Recorder(), workers).once()
    workers.stop()
    assert resumed == ["worked", "again"]
    assert steps == []


async def test_slices_follow_each_other_while_no_request_comes() -> None:
    steps: list[Any] = [None] * 1_000
    with trio.fail_after(5):
        await maintenance(steps, Recorder(), Workers(Follower())).once()


async def test_slices_give_way_to_requests() -> None:
    recorder = Recorder()
    row = recorder.row("getattr")
    slices = 0

    class Busy(MemoryVolume):
        def maintain(self, is_quiet: Any) -> Any:
            nonlocal slices
            while True:
                slices += 1
                row[TOTAL] += BUSY_NS  # a request is answered during each
                until = trio.current_time() + 0.005
                while trio.current_time() < until:
                    pass
                yield None

    with trio.move_on_after(0.5):
        await Maintenance(Busy(MemoryVfs()), Workers(Follower()), recorder).once()
    assert slices < 0.5 / 0.005 / 2


async def test_a_request_now_and_then_stops_no_work() -> None:
    recorder = Recorder()
    row = recorder.row("open")

    class Watched(MemoryVolume):
        def maintain(self, is_quiet: Any) -> Any:
            for _ in range(5):
                yield Pending(lambda: time.sleep(0.02), lambda _: None)
                row[TOTAL] += 20_000  # a thousandth of the time

    workers = Workers(Follower())
    with trio.fail_after(5):
        began = trio.current_time()
        await Maintenance(Watched(MemoryVfs()), workers, recorder).once()
        assert trio.current_time() - began < 5 * 0.02 * BUSY_SHARE
    workers.stop()


async def test_what_is_due_waits_for_a_moment_without_requests(mock_clock: MockClock) -> None:
    recorder = Recorder()
    row = recorder.row("getattr")
    begun: list[float] = []

    class Due(MemoryVolume):
        def maintain(self, is_quiet: Any) -> Any:
            begun.append(trio.current_time())
            yield from ()

    mock_clock.rate = 0
    mock_clock.autojump_threshold = 0
    row[TOTAL] += 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Maintenance(Due(MemoryVfs()), Workers(Follower()), recorder).run)
        for _ in range(int(8 * PATIENCE_S / MAINTENANCE_PAUSE_S)):
            row[TOTAL] += 100 * BUSY_NS  # there is always a request
            await trio.sleep(MAINTENANCE_PAUSE_S / 2)
        busily = len(begun)
        await trio.sleep(4 * PATIENCE_S)
        nursery.cancel_scope.cancel()
    assert 1 <= busily <= 5
    assert len(begun) - busily > 2 * PATIENCE_S / MAINTENANCE_PAUSE_S


async def test_what_can_wait_waits_until_no_request_comes(mock_clock: MockClock) -> None:
    recorder = Recorder()
    row = recorder.row("getattr")
    asked: list[bool] = []

    class Asking(MemoryVolume):
        def maintain(self, is_quiet: Any) -> Any:
            asked.append(is_quiet())
            yield from ()

    mock_clock.autojump_threshold = 0
    upkeep = Maintenance(Asking(MemoryVfs()), Workers(Follower()), recorder)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(upkeep.run)
        for _ in range(10):
            row[TOTAL] += 1
            await trio.sleep(QUIET_S / 2)
        assert not any(asked)
        row[TOTAL] += 1
        await trio.sleep(2 * MAINTENANCE_PAUSE_S)  # one request long before the next look
        assert asked[-1]
        nursery.cancel_scope.cancel()


def test_without_a_quiet_moment_for_long_it_has_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    upkeep = Maintenance(MemoryVolume(MemoryVfs()), Workers(Follower()), recorder)
    assert not upkeep.is_quiet()
    monkeypatch.setattr(tasks, "QUIET_AWAITED_S_MAX", -1.0)
    assert upkeep.is_quiet()


async def test_the_heartbeat_measures_how_late_the_loop_is(mock_clock: MockClock) -> None:
    recorder = Recorder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(heartbeat, recorder, Follower())
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(HEARTBEAT_S + 0.25)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert count(recorder.stalls) == 1
    assert abs(recorder.stalls[TOTAL] - 250_000_000) < 1_000
