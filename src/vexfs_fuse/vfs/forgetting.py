"""References that the kernel gives back, let go of a slice at a time; knows not what they refer to.

A dropped cache gives back 65,000 in one request, which held the loop for 35 ms.  They may wait: counts add up
the same in any order, and an inode that is referred to a while longer is only kept longer.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import length_hint
from typing import Final, TypeAlias

FORGET_SLICE: Final = 1_000
"""References that are let go of at a stretch: about half a millisecond."""

FORGETS_WAITING_MAX: Final = 16
"""Requests of up to a mebibyte that wait; the oldest is seen to at once when another one comes."""

References: TypeAlias = Iterable[tuple[int, int]]
"""Inodes, each with how many references to it are given back."""


class Forgetting:
    """Passes references on to `forget`, all in the end, and not too many at once.

    Whoever works through `chores`, generators to be made anew each time, lets go of those that wait.
    """

    def __init__(
        self, forget: Callable[[References], None], chores: list[Callable[[], Iterator[None]]]
    ) -> None:
        self._forget = forget
        chores.append(self.slices)
        self._waiting: deque[Iterator[tuple[int, int]]] = deque()

    def take(self, references: References) -> None:
        """Pass some on, and keep the others for `slices`."""
        if length_hint(references) <= FORGET_SLICE:
            self._forget(references)
            return
        rest = iter(references)
        self._forget(islice(rest, FORGET_SLICE))
        self._waiting.append(rest)
        if len(self._waiting) > FORGETS_WAITING_MAX:
            self._forget(self._waiting.popleft())

    def slices(self) -> Iterator[None]:
        """Pass on what waits; yields after each slice."""
        while self._waiting:
            some = list(islice(self._waiting[0], FORGET_SLICE))
            if len(some) < FORGET_SLICE:
                self._waiting.popleft()
            self._forget(some)
            yield
