"""Turns slow answers into answers: work goes to threads, durability and space to the syncer."""

from typing import Any

from vexfs_fuse.fuse.slow import SLOW
from vexfs_fuse.pending import Durable, Pending
from vexfs_fuse.runtime.syncer import Syncer
from vexfs_fuse.runtime.workers import Workers


class Settling:
    """The settler of a running daemon."""

    def __init__(self, workers: Workers, syncer: Syncer) -> None:
        self._workers = workers
        self._syncer = syncer

    async def settle(self, answer: Any) -> Any:
        """Return what a slow answer becomes; a resumption may be slow again.

        Raises
        ------
        VexfsError
            The work failed, or the store did.
        """
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
