"""Turns slow answers into answers: work goes to threads, durability and space to the syncer."""

from collections.abc import Callable
from typing import Any, Final

import trio

from vexfs_fuse.errors import TimedOut
from vexfs_fuse.fuse.slow import SLOW
from vexfs_fuse.pending import Durable, Pending
from vexfs_fuse.runtime.syncer import Syncer
from vexfs_fuse.runtime.workers import THREADS_MAX, Workers

PATIENT_MAX: Final = THREADS_MAX // 2
"""Answers with a deadline, which are searches, that are worked on at once; cold reads have the other threads."""


class Settling:
    """The settler of a running daemon."""

    def __init__(self, workers: Workers, syncer: Syncer) -> None:
        self._workers = workers
        self._syncer = syncer
        self._patient = trio.Semaphore(PATIENT_MAX)

    def at_once(self, answer: Any) -> Any:
        """Return what a slow answer becomes if that can be done here and now, else `answer`.

        Raises
        ------
        StoreFailed
        """
        if type(answer) is Durable and self._syncer.sync_here(answer.lsn):
            return answer.value
        return answer

    def when_durable(self, answer: Durable[Any], wake: Callable[[], None]) -> None:
        """Have `wake` called once `at_once` returns the value of `answer`, or raises."""
        self._syncer.when_durable(answer.lsn, wake)

    async def settle(self, answer: Any) -> Any:
        """Return what a slow answer becomes; a resumption may be slow again.

        Raises
        ------
        VexfsError
            The work failed, or the store did.
        TimedOut
        """
        if type(answer) is Pending and answer.patience_s is not None:
            answer = await self._within(answer.patience_s, answer)
        while type(answer) in SLOW:
            if type(answer) is Pending:
                answer = answer.resume(await self._workers.run(answer.work))
            elif type(answer) is Durable:
                await self._syncer.durable(answer.lsn)
                answer = answer.value
            else:
                await self._syncer.room()
                answer = answer.retry()
        return answer

    async def _within(self, patience_s: float, pending: Pending[Any]) -> Any:
        """Wait for a turn, then for the answer, both within the deadline."""
        with trio.move_on_after(patience_s):
            await self._patient.acquire()
            return await self._in_turn(pending)
        raise TimedOut(f"{patience_s:g} s")

    async def _in_turn(self, answer: Any) -> Any:
        release = self._patient.release
        try:
            while type(answer) is Pending:
                worked = await self._workers.run(answer.work, left_behind=release)
                answer = answer.resume(worked)
        except trio.Cancelled:
            raise  # the turn is over when the thread has come to an end with the work
        except BaseException:
            release()
            raise
        release()
        return answer
