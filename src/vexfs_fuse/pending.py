"""Slow work as a value.

A core method returns its answer, or one of these when the answer takes real time.  The shell runs the
work away from the event loop and calls `resume` back on it; tests hold pendings and resume them in any
order, so that interleavings are explored without threads.
"""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from vexfs_fuse.errors import VexfsError
from vexfs_fuse.units import Lsn

T = TypeVar("T")


class Pending(NamedTuple, Generic[T]):
    """`resume(work())` is the answer, or again one of this module's values.

    `work` runs in a thread, over immutable inputs only; an exception that it raises is the caller's
    answer.  `resume` runs on the loop and must look at the world afresh.  With `patience_s`, the answer
    is `TimedOut` when it is not there after so many seconds, and only so many such answers are worked
    on at once; `resume` may then never be called.
    """

    work: Callable[[], Any]
    resume: Callable[[Any], Any]
    patience_s: float | None = None


def caught(work: Callable[[], T]) -> Callable[[], T | VexfsError]:
    """Return `work` as a function that returns its expected failure instead of raising it.

    For background work: nobody waits for an answer, so that `resume` must see to the failure.
    """

    def run() -> T | VexfsError:
        try:
            return work()
        except VexfsError as failure:
            return failure

    return run


class Durable(NamedTuple, Generic[T]):
    """`value` is the answer once the journal is durable through `lsn`."""

    lsn: Lsn
    value: T


class WaitForSpace(NamedTuple):
    """The pool is full of dirty pages: `retry()` on the loop once the next batch has been written."""

    retry: Callable[[], Any]
