"""Answers that take real time: what the guard hands over, and how a translation follows them."""

from collections.abc import Callable
from typing import Any, Final, Protocol

from vexfs_fuse.pending import Durable, Pending, WaitForSpace

SLOW: Final = frozenset({Pending, Durable, WaitForSpace})


class Settler(Protocol):
    """Turns a slow answer into the answer; runtime has the one that uses threads and syncs."""

    def at_once(self, answer: Any) -> Any:
        """Return what `answer` becomes if nobody has to wait for that, else `answer` itself."""
        ...

    def when_durable(self, answer: Durable[Any], wake: Callable[[], None]) -> None:
        """Have `wake` called on the loop once `at_once` does not return `answer` itself any more."""
        ...

    async def settle(self, answer: Any) -> Any:
        """Return what `answer`, one of `SLOW`, becomes.

        Raises
        ------
        VexfsError
            The work failed, or the store did.
        """
        ...


def then(answer: Any, translate: Callable[[Any], Any]) -> Any:
    """Return `answer` with `translate` applied once it is there."""
    if type(answer) is Pending:
        resume = answer.resume
        return answer._replace(resume=lambda result: then(resume(result), translate))
    if type(answer) is Durable:
        return Durable(answer.lsn, translate(answer.value))
    if type(answer) is WaitForSpace:
        return WaitForSpace(lambda: then(answer.retry(), translate))
    return translate(answer)
