"""Which CPUs a daemon and its clients may use: the same for every file system in a run.

With one client, two wake-ups across CPUs for each request cost more than the request itself, so an
accident of scheduling changes a figure four to five times over.  Hence two placements:

pinned (the default)
    One client shares one CPU with the whole daemon.  Several clients share all CPUs but the first,
    which the daemon has to itself.
free
    The scheduler decides, and whatever a daemon does by itself about its CPU counts.
"""

import os
from dataclasses import dataclass
from typing import Literal

Name = Literal["pinned", "free"]


@dataclass(frozen=True, slots=True)
class Placement:
    """The CPUs of a daemon with all its threads, and of the clients."""

    daemon: frozenset[int]
    clients: frozenset[int]

    def daemon_prefix(self) -> list[str]:
        """Return what to put before the daemon's command."""
        return _prefix(self.daemon)

    def client_prefix(self) -> list[str]:
        """Return what to put before the client's command."""
        return _prefix(self.clients)


def placement(name: Name, clients: int) -> Placement:
    """Return where a run with so many clients is placed."""
    cpus = sorted(os.sched_getaffinity(0))
    if name == "free" or len(cpus) == 1:
        return Placement(frozenset(cpus), frozenset(cpus))
    if clients == 1:
        return Placement(frozenset(cpus[-1:]), frozenset(cpus[-1:]))
    return Placement(frozenset(cpus[:1]), frozenset(cpus[1:]))


def _prefix(cpus: frozenset[int]) -> list[str]:
    return ["taskset", "-c", ",".join(map(str, sorted(cpus)))]
