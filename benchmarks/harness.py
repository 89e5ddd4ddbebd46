"""Runs one operation on several file systems in turn, A B C A B C, and compares within each round.

Figures of one round are taken within a second or two of each other, so what the machine does
beside them hits all alike; a ratio is the median of the rounds' ratios.
"""

import contextlib
import itertools
import json
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks import programs
from benchmarks.placement import Placement
from benchmarks.systems import Mounted

LOAD_TIMEOUT_S: Final = 120.0

Metric = Literal["per_second", "mib_per_second", "p50_ns"]


class LoadFailed(Exception):
    """The load generator ended with an error; its words are the text."""


@dataclass(frozen=True, slots=True)
class Row:
    """One operation to compare, and what its ratio to the reference must be.

    `target` is the least ratio of rates, or the largest of latencies (`p50_ns`).  `operations`
    renames the operation for one system, as fsync is fdatasync on the disk itself.
    """

    title: str
    operation: str
    target: float | None = None
    metric: Metric = "per_second"
    reference: str = "c"
    operations: dict[str, str] = field(default_factory=dict)
    count_first: int = 200  # of all clients together, when the rate is not known yet
    count_max: int = 200_000
    count_fixed: int | None = None  # in a full run; a quick one goes by time

    def met(self, ratio: float) -> bool | None:
        """Say whether a ratio reaches the target; None without one."""
        if self.target is None:
            return None
        return ratio <= self.target if self.metric == "p50_ns" else ratio >= self.target


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure, and where."""

    rounds: int
    seconds: float  # of one measurement of one system, without its preparation
    clients: int
    placement: Placement
    quick: bool


@dataclass(slots=True)
class Comparison:
    """What the rounds of one row gave: samples of the load generator by system."""

    row: Row
    clients: int
    samples: dict[str, list[dict[str, Any]]]
    errors: dict[str, str]

    def values(self, system: str) -> list[float]:
        """Return the row's metric, one for each round."""
        return [sample[self.row.metric] for sample in self.samples.get(system, [])]

    def median(self, system: str) -> float | None:
        """Return the median of the rounds, or None when there are none."""
        values = self.values(system)
        return statistics.median(values) if values else None

    def ratios(self, system: str) -> list[float]:
        """Return each round's ratio to the reference in the same round."""
        pairs = zip(self.values(system), self.values(self.row.reference), strict=False)
        return [value / reference for value, reference in pairs]

    def cpu_ns(self, system: str) -> float | None:
        """Return the median CPU time of one operation, the clients' and the daemon's together."""
        samples = self.samples.get(system, [])
        times = [sample["client_cpu_ns"] + sample["daemon_cpu_ns"] for sample in samples]
        return statistics.median(times) if times else None

    def as_json(self) -> dict[str, Any]:
        """Return everything that was measured, and the verdicts."""
        return {
            "operation": self.row.operation,
            "title": self.row.title,
            "clients": self.clients,
            "metric": self.row.metric,
            "reference": self.row.reference,
            "target": self.row.target,
            "systems": {system: self._system_json(system) for system in self.samples},
            "errors": self.errors,
        }

    def _system_json(self, system: str) -> dict[str, Any]:
        values, ratios = self.values(system), self.ratios(system)
        ratio = statistics.median(ratios) if ratios else None
        return {
            "median": self.median(system),
            "cpu_ns": self.cpu_ns(system),
            "spread": spread(values),
            "ratio": ratio,
            "ratio_range": [min(ratios), max(ratios)] if ratios else None,
            "met": None if ratio is None else self.row.met(ratio),
            "rounds": self.samples[system],
        }


def spread(values: Sequence[float]) -> float | None:
    """Return how far the values lie apart, as a part of their median; None when there are none."""
    return (max(values) - min(values)) / statistics.median(values) if values else None


def compare(row: Row, systems: Sequence[Mounted], plan: Plan) -> Comparison:
    """Measure one row on all systems; a system that fails is left out, with its error."""
    names = [mounted.system.name for mounted in systems]
    result = Comparison(row, plan.clients, {name: [] for name in names}, {})
    counts = {}
    for mounted in systems:  # a first pass that is thrown away: memory is touched, rates are known
        with _recording(result, mounted):
            counts[mounted.system.name] = _count(row, plan, _sample(row, mounted, plan, None))
    for turn in range(plan.rounds):
        for place in range(len(systems)):
            mounted = systems[(turn + place) % len(systems)]
            name = mounted.system.name
            if name not in result.errors:
                with _recording(result, mounted):
                    result.samples[name].append(_sample(row, mounted, plan, counts[name]))
    return result


@contextlib.contextmanager
def _recording(result: Comparison, mounted: Mounted) -> Any:
    try:
        yield
    except LoadFailed as error:
        result.errors[mounted.system.name] = str(error)
        result.samples[mounted.system.name].clear()


def _count(row: Row, plan: Plan, sample: dict[str, Any]) -> int:
    """Return how many operations of each client fill the time."""
    if row.count_fixed and not plan.quick:
        return max(1, row.count_fixed // plan.clients)
    wanted = sample["per_second"] * plan.seconds
    return int(max(row.count_first, min(wanted, row.count_max)) / plan.clients) or 1


def _sample(row: Row, mounted: Mounted, plan: Plan, count: int | None) -> dict[str, Any]:
    each = count or max(1, row.count_first // plan.clients)
    operation = row.operations.get(mounted.system.name, row.operation)
    sample = run_load(operation, mounted, plan.clients, each, plan.placement.client_prefix())
    mounted.settle()
    return sample


_serials = itertools.count(1)  # of directories: a run that failed leaves its own behind


def run_load(
    operation: str, mounted: Mounted, clients: int, count: int, prefix: Sequence[str] = ()
) -> dict[str, Any]:
    """Run the load generator in a directory of its own, and return what it printed."""
    directory = Path(mounted.directory) / f"bench-{next(_serials)}"
    command = [str(programs.load()), operation, str(directory), str(clients), str(count)]
    command += [str(mounted.pid)] if mounted.pid else []
    try:
        directory.mkdir()
        answer = subprocess.run(
            [*prefix, *command], capture_output=True, text=True, timeout=LOAD_TIMEOUT_S, check=False
        )
        if answer.returncode:
            raise LoadFailed(f"{operation}: {answer.stderr.strip() or answer.returncode}")
        directory.rmdir()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LoadFailed(f"{operation}: {error}") from error
    sample: dict[str, Any] = json.loads(answer.stdout)
    return sample
