"""Remembers what has changed, in order, for those who keep something that follows from it."""

from typing import Final

KEPT_MAX: Final = 65_536
"""Changes that are remembered; whoever is further behind begins anew."""


class ChangeLog:
    """Numbers of what has changed; a place in the log is how many came before."""

    def __init__(self) -> None:
        self._kept: list[int] = []
        self._forgotten = 0

    @property
    def end(self) -> int:
        """The place after the last change."""
        return self._forgotten + len(self._kept)

    def append(self, number: int) -> None:
        """Note a change."""
        if len(self._kept) >= KEPT_MAX:
            half = KEPT_MAX // 2
            del self._kept[:half]
            self._forgotten += half
        self._kept.append(number)

    def extend(self, numbers: list[int]) -> None:
        """Note many changes."""
        for start in range(0, len(numbers), KEPT_MAX // 2):
            some = numbers[start : start + KEPT_MAX // 2]
            if len(self._kept) + len(some) > KEPT_MAX:
                self._forgotten += len(self._kept)
                self._kept.clear()
            self._kept += some

    def since(self, place: int) -> list[int] | None:
        """Return what has changed since a place; None when that is not remembered."""
        return self._kept[place - self._forgotten :] if place >= self._forgotten else None
