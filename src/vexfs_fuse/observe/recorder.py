"""What requests and the loop leave behind for the metrics: plain lists, a few nanoseconds each.

A request is counted once, in one cell of its operation's latency row; all totals are sums of
cells, made when somebody asks.  That costs 67 ns; one in prometheus_client 500, and a lock.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

Row: TypeAlias = list[int]
"""Latencies of one operation: `CELLS` counts, then the sum of all times in ns.

A plain list, as a subclass of list costs 147 ns an increment.  The hot path writes
`row[elapsed_ns.bit_length()] += 1; row[TOTAL] += elapsed_ns` itself: a call would double the price.
"""

CELLS: Final = 64
"""Cells of a row; cell `b` counts times of `b` bits: 2**(b-1) <= ns < 2**b."""

TOTAL: Final = 64
"""Index of a row's last entry, the sum of all times in ns."""

EVENTS: Final = MappingProxyType(
    {
        "negative_entry": "lookups answered with an absence that the kernel may keep",
        "keep_cache": "opens that let the kernel keep the pages it has",
        "direct_io": "opens that bypass the kernel's page cache",
        "suspended": "requests that had to wait for the disk or for another thread",
        "buffer_kept": "writes that waited for room, each with a buffer of 1 MiB beside the pool",
    }
)
"""Things counted besides requests, and what they are."""


def blank_row() -> Row:
    """Return a row that has counted nothing."""
    return [0] * (CELLS + 1)


def count(row: Row) -> int:
    """Return how many events the row has counted."""
    return sum(row) - row[TOTAL]


def quantile_ns(row: Row, fraction: float) -> int:
    """Return a time that `fraction` of all events did not exceed, right to a factor of two."""
    wanted = fraction * count(row)
    seen = 0
    for bits in range(CELLS):
        seen += row[bits]
        if seen and seen >= wanted:
            return (1 << bits) - 1
    return 0


class Recorder:
    """All counters of one mount; made once, shared by the shell's parts, read at a scrape.

    `latency` has a row for each operation, `failures` counts by operation and errno name, `events`
    by the names in `EVENTS`; `stalls` is a row of the times that the event loop was late; `searches`
    has a row for each plan and space (empty for none).
    """

    __slots__ = (
        "bytes_read",
        "bytes_written",
        "events",
        "failures",
        "latency",
        "searches",
        "stalls",
    )

    def __init__(self) -> None:
        self.latency: dict[str, Row] = {}
        self.failures: dict[tuple[str, str], int] = {}
        self.events: dict[str, int] = dict.fromkeys(EVENTS, 0)
        self.stalls = blank_row()
        self.searches: dict[tuple[str, str], Row] = {}
        self.bytes_read = 0
        self.bytes_written = 0

    def row(self, operation: str) -> Row:
        """Return the latency row of `operation`, made on first use; keep it, do not look it up."""
        return self.latency.setdefault(operation, blank_row())

    def fail(self, operation: str, error: str) -> None:
        """Count a request answered with the errno called `error`, beside its time in the row."""
        key = (operation, error)
        self.failures[key] = self.failures.get(key, 0) + 1

    def stall(self, late_ns: int) -> None:
        """Count that the event loop came back `late_ns` after it was due."""
        self.stalls[late_ns.bit_length()] += 1
        self.stalls[TOTAL] += late_ns

    def search(self, plan: str, space: str, took_ns: int) -> None:
        """Count a search that was answered by `plan` in `took_ns`."""
        row = self.searches.get((plan, space))
        if row is None:
            row = self.searches[plan, space] = blank_row()
        row[took_ns.bit_length()] += 1
        row[TOTAL] += took_ns

    def requests(self) -> Mapping[tuple[str, str], int]:
        """Return the number of requests by operation and errno name, `OK` for success."""
        succeeded = {name: count(row) for name, row in self.latency.items()}
        for (operation, _), failed in self.failures.items():
            succeeded[operation] -= failed
        return {(name, "OK"): n for name, n in succeeded.items()} | self.failures
