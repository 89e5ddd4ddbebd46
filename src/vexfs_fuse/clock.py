"""Time as a dependency, so that tests can turn it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where the core gets its time from."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC, as `time.time_ns`."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment, never going back."""
        ...


class SystemClock:
    """The machine's clock."""

    now_ns = staticmethod(time.time_ns)
    monotonic_s = staticmethod(time.monotonic)
