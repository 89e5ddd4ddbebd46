"""A line on the terminal that tells how far a long command is."""

import sys
import time
from typing import Final

QUIET_S: Final = 1.0
"""What takes less needs no telling."""
REDRAW_S: Final = 0.2


class Progress:
    """Draws on standard error, if that is a terminal; `done` clears the line."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._next_s = time.monotonic() + QUIET_S
        self._drawn = False
        self._terminal = sys.stderr.isatty()

    def show(self, text: str) -> None:
        """Tell how far it is; does nothing most of the time, so call it often."""
        now_s = time.monotonic()
        if self._terminal and now_s >= self._next_s:
            self._next_s = now_s + REDRAW_S
            self._drawn = True
            print(f"\r\033[K{self._title}: {text}", end="", file=sys.stderr, flush=True)

    def share(self, done: int, total: int) -> None:
        """Tell how much of a whole is done, with a bar."""
        filled = 30 * done // max(total, 1)
        self.show(f"[{'#' * filled}{'.' * (30 - filled)}] {done} of {total}")

    def done(self) -> None:
        """Clear the line."""
        if self._drawn:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
