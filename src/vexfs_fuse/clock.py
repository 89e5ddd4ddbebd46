"""Time as a dependency, so that tests can turn it."""

import time
from functools import partial
from typing import Final, Protocol

CLOCK_REALTIME_COARSE: Final = 5
"""From linux/time.h; the time module has no name for it."""


class Clock(Protocol):
    """Where the core gets its time from."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC, as `time.time_ns`."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment, never going back."""
        ...


class SystemClock:
    """The machine's clock, with the grain of the kernel's own file times (a tick, 1 to 10 ms).

    The kernel stamps utimensat(2) with UTIME_NOW from its coarse clock, and pyfuse3 does not tell that
    time from one that a program chose: stamps of a finer clock would lie after it, and times go back.
    """

    now_ns = staticmethod(partial(time.clock_gettime_ns, CLOCK_REALTIME_COARSE))
    monotonic_s = staticmethod(time.monotonic)
