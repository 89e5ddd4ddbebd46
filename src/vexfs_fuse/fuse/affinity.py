"""Follows the CPU of a lone client, and lets go when several come.

A synchronous client and a daemon on different CPUs pay two cross-CPU wake-ups for each request,
about 15 us each in a virtual machine whose idle CPUs halt.
"""

import os
import threading
from typing import Final

SAME_SAMPLES_MIN: Final = 3
"""Samples in a row that must show one client before it is followed: eight clients that take turns
at random look like one for so long in 1 of 512 cases."""

LOOK_EVERY: Final = 16
"""Samples between two looks at where a followed client runs."""

_CPU_FIELD: Final = 36
"""Place of `processor` in /proc/PID/stat, counted after the command's closing bracket (proc(5))."""


class Follower:
    """Keeps the thread that made it on the CPU of the client that asks all the time."""

    def __init__(self) -> None:
        self._everywhere = os.sched_getaffinity(0)
        self._workers = threading.local()
        self._pid = 0
        self._same = 0
        self._seen = False
        self.cpu: int | None = None
        self.enabled = len(self._everywhere) > 1

    def seen(self, pid: int) -> None:
        """Take one sample: a request of the thread `pid` is being answered; 0 if nobody knows whose."""
        self._seen = True
        if pid != self._pid or pid == 0:
            self._pid = pid
            self._same = 0
            self._let_go()
            return
        self._same += 1
        followed = self.cpu is not None
        if self.enabled and self.lone and not (followed and self._same % LOOK_EVERY):
            self._follow(_cpu_of(pid))

    @property
    def lone(self) -> bool:
        """Whether one client has asked all the time lately."""
        return self._same >= SAME_SAMPLES_MIN

    def _follow(self, cpu: int | None) -> None:
        if cpu is None or cpu == self.cpu or cpu not in self._everywhere:
            return
        self._move({cpu})
        self.cpu = cpu

    def rest(self) -> None:
        """Let go unless a sample came since the last call; called about once a second."""
        if not self._seen:
            self._let_go()
            self._same = 0
        self._seen = False

    def _let_go(self) -> None:
        if self.cpu is not None:
            self._move(self._everywhere)
            self.cpu = None

    def _move(self, cpus: set[int]) -> None:
        try:
            os.sched_setaffinity(0, cpus)
        except OSError:  # the set of CPUs that we may use has changed, or is not ours to choose
            self.enabled = False

    def free_worker(self) -> None:
        """Let the calling thread run anywhere: it was started where its maker is kept."""
        if not getattr(self._workers, "free", False):
            self._workers.free = True
            if self.enabled:
                os.sched_setaffinity(0, self._everywhere)


def _cpu_of(pid: int) -> int | None:
    try:
        file = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return int(os.read(file, 1024).rpartition(b")")[2].split()[_CPU_FIELD])
    except (OSError, IndexError, ValueError):
        return None
    finally:
        os.close(file)
