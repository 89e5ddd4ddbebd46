"""Slow answers: what becomes of those that have a deadline."""

import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from tests.support.memory_vfs import MemoryVfs, MemoryVolume
from vexfs_fuse.errors import NotFound, TimedOut
from vexfs_fuse.fuse.affinity import Follower
from vexfs_fuse.pending import Pending
from vexfs_fuse.runtime.settling import PATIENT_MAX, Settling
from vexfs_fuse.runtime.syncer import Syncer
from vexfs_fuse.runtime.workers import THREADS_MAX, Workers

PATIENCE_S = 0.05


@pytest.fixture
async def settling() -> AsyncIterator[Settling]:
    workers = Workers(Follower())
    yield Settling(workers, Syncer(MemoryVolume(MemoryVfs()), Follower(), interval_s=1.0))
    workers.stop()


def pending(work: Any, resume: Any = lambda worked: worked) -> Pending[Any]:
    return Pending(work, resume, PATIENCE_S)


async def test_an_answer_in_time_is_the_answer(settling: Settling) -> None:
    twice = pending(lambda: 1, lambda worked: Pending(lambda: worked + 1, str))
    assert await settling.settle(twice) == "2"


async def test_a_deadline_is_kept_while_the_work_goes_on(settling: Settling) -> None:
    may_end = threading.Event()
    resumed: list[Any] = []
    began = time.monotonic()
    with pytest.raises(TimedOut):
        await settling.settle(pending(may_end.wait, resumed.append))
    assert time.monotonic() - began < 40 * PATIENCE_S
    may_end.set()
    await trio.sleep(PATIENCE_S)
    assert not resumed


async def test_the_deadline_is_for_all_steps_together(settling: Settling) -> None:
    def step(_: Any) -> Any:
        return Pending(lambda: time.sleep(PATIENCE_S / 10), step)

    with pytest.raises(TimedOut):
        await settling.settle(pending(lambda: None, step))


async def test_only_so_many_are_worked_on_at_once(settling: Settling) -> None:
    may_end = threading.Event()
    running = threading.Semaphore(0)

    def work() -> None:
        running.release()
        may_end.wait()

    async def settle() -> None:
        with pytest.raises(TimedOut):
            await settling.settle(pending(work))

    async with trio.open_nursery() as nursery:
        for _ in range(2 * THREADS_MAX):
            nursery.start_soon(settle)
    assert all(running.acquire(blocking=False) for _ in range(PATIENT_MAX))
    assert not running.acquire(blocking=False), "what runs on in a thread still has its turn"
    assert await settling.settle(Pending(lambda: "read", str)) == "read"
    may_end.set()
    await trio.sleep(PATIENCE_S)
    assert await settling.settle(pending(lambda: "searched")) == "searched"


async def test_a_failure_ends_the_turn(settling: Settling) -> None:
    def fail() -> None:
        raise NotFound

    for _ in range(2 * PATIENT_MAX):
        with pytest.raises(NotFound):
            await settling.settle(pending(fail))
        with pytest.raises(NotFound):
            await settling.settle(pending(lambda: None, lambda _: fail()))
    assert await settling.settle(pending(lambda: "still here")) == "still here"
