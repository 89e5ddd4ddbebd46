"""Work that must stay on the loop, a slice at a time."""

from collections.abc import Generator
from functools import partial
from time import perf_counter
from typing import Any, Final, TypeVar

from vexfs_fuse.pending import Pending

T = TypeVar("T")

SLICE_S: Final = 0.002
"""A search leaves the loop to others after so long."""


def in_slices(steps: Generator[Pending[Any] | None, None, T]) -> T | Pending[T]:
    """Return what `steps` returns, now, or in a while; it may be left alone wherever it yields.

    A `Pending` that it yields is worked and resumed before the next step.
    """
    end_s = perf_counter() + SLICE_S
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            answer: T = end.value
            return answer
        if step is not None:
            return Pending(step.work, partial(_resumed, step, steps))
        if perf_counter() > end_s:
            return Pending(_nothing, lambda _: in_slices(steps))


def _resumed(
    step: Pending[Any], steps: Generator[Pending[Any] | None, None, T], worked: Any
) -> T | Pending[T]:
    step.resume(worked)
    return in_slices(steps)


def then(found: Any, use: Any) -> Any:
    """Return what `use` makes of an answer, now or once it is there."""
    if type(found) is Pending:
        resume = found.resume
        return found._replace(resume=lambda worked: then(resume(worked), use))
    return use(found)


def _nothing() -> None:
    """Do no work: what matters is that others have had their turn."""
