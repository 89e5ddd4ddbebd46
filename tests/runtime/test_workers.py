"""Threads for slow work: how many, and how their results come back."""

import os
import threading
import time
from collections.abc import AsyncIterator

import pytest
import trio

from vexfs_fuse.errors import CorruptData
from vexfs_fuse.fuse.affinity import Follower
from vexfs_fuse.runtime.workers import Workers

THREADS_MAX = 3


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    workers = Workers(Follower(), threads_max=THREADS_MAX)
    yield workers
    workers.stop()


async def test_work_runs_in_another_thread_and_its_result_comes_back(workers: Workers) -> None:
    assert await workers.run(threading.get_ident) != threading.get_ident()


async def test_a_failure_is_raised_where_it_is_waited_for(workers: Workers) -> None:
    def fail() -> None:
        raise CorruptData("block 7")

    with pytest.raises(CorruptData, match="block 7"):
        await workers.run(fail)
    assert await workers.run(lambda: "the thread lives") == "the thread lives"


async def test_work_overlaps_up_to_the_bound(workers: Workers) -> None:
    running = 0
    most = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(THREADS_MAX * 4):
            nursery.start_soon(workers.run, work)
    assert most == THREADS_MAX


async def test_one_after_another_needs_one_thread(workers: Workers) -> None:
    threads = {await workers.run(threading.get_ident) for _ in range(5)}
    assert len(threads) == 1


async def test_begun_work_is_waited_for_even_when_cancelled(workers: Workers) -> None:
    done = []

    def work() -> None:
        time.sleep(0.05)
        done.append(True)

    with trio.move_on_after(0.01):
        await workers.run(work)
    assert done == [True]


async def test_a_worker_is_not_kept_on_the_cpu_of_the_client_that_is_followed() -> None:
    everywhere = os.sched_getaffinity(0)
    follower = Follower()
    workers = Workers(follower)
    try:
        os.sched_setaffinity(0, {min(everywhere)})
        assert await workers.run(lambda: os.sched_getaffinity(0)) == everywhere
    finally:
        os.sched_setaffinity(0, everywhere)
        workers.stop()
