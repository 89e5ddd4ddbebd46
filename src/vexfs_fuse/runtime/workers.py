"""A bounded number of threads for work that would hold the event loop.

A trip through a queue and back costs 8 us, trio.to_thread.run_sync 52.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

import trio

from vexfs_fuse.fuse.affinity import Follower

THREADS_MAX: Final = 8
"""Cold reads of a fast disk overlap, and a few long searches leave room for them."""


class _Job:
    """One piece of work and the task that waits for it."""

    __slots__ = ("failure", "left_behind", "result", "task", "work")

    def __init__(self, work: Callable[[], Any], task: trio.lowlevel.Task) -> None:
        self.work = work
        self.task = task
        self.left_behind: Callable[[], None] | None = (
            None  # what is called if nobody waits any more
        )
        self.result: Any = None
        self.failure: BaseException | None = None

    def do(self) -> None:
        """Run in the thread; whatever is raised belongs to the waiting task."""
        try:
            self.result = self.work()
        except BaseException as failure:  # noqa: BLE001
            self.failure = failure

    def answer(self) -> Any:
        """Return or raise what came of it."""
        if self.failure is not None:
            raise self.failure
        return self.result


class Workers:
    """Threads that start with the first work and end with `stop`.

    How much can wait is bounded by the number of requests that the session lets be suspended.
    """

    def __init__(self, follower: Follower, *, threads_max: int = THREADS_MAX) -> None:
        self._follower = follower
        self._threads_max = threads_max
        self._threads: list[threading.Thread] = []
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._waiting = 0
        self._token: trio.lowlevel.TrioToken | None = None

    async def run(
        self, work: Callable[[], Any], *, left_behind: Callable[[], None] | None = None
    ) -> Any:
        """Return `work()`, run in a thread.

        The work cannot be ended.  Without `left_behind`, neither can the waiting for it; with it, who
        is cancelled waits no more, and `left_behind` is called on the loop when the work has ended.
        """
        job = _Job(work, trio.lowlevel.current_task())

        def leave(_raise_cancel: Any) -> trio.lowlevel.Abort:
            if left_behind is None:
                return trio.lowlevel.Abort.FAILED
            job.left_behind = left_behind
            return trio.lowlevel.Abort.SUCCEEDED

        self._token = trio.lowlevel.current_trio_token()
        self._waiting += 1
        if self._waiting > len(self._threads) < self._threads_max:
            self._start_thread()
        self._jobs.put(job)
        await trio.lowlevel.wait_task_rescheduled(leave)
        return job.answer()

    def _start_thread(self) -> None:
        name = f"vexfs-worker-{len(self._threads)}"
        thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        self._follower.free_worker()
        while (job := self._jobs.get()) is not None:
            job.do()
            assert self._token is not None
            self._token.run_sync_soon(self._done, job)

    def _done(self, job: _Job) -> None:
        self._waiting -= 1
        if job.left_behind is None:
            trio.lowlevel.reschedule(job.task)
        else:
            job.left_behind()

    def stop(self) -> None:
        """End the threads; nothing may be waiting any more."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
