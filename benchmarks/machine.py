"""What a figure must carry: the machine it was taken on, and how busy that machine was."""

import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

BUSY_PERCENT: Final = 5.0
"""More CPU time than this used before the start means that somebody else is at work."""
BUSY_WINDOW_S: Final = 2.0
"""How long is looked; the load average would still tell of the benchmark before this one."""
BUSY_STEAL_PERCENT: Final = 5.0
"""A host that takes more than this share takes it unevenly."""

_USER, _NICE, _SYSTEM, _IDLE, _IOWAIT, _IRQ, _SOFTIRQ, _STEAL = range(8)  # proc_stat(5)


def machine(disk: Path) -> dict[str, Any]:
    """Describe hardware, kernel, libraries, the sources measured, and the disk under `disk`."""
    return {
        "cpu": _cpu_name(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "libfuse": _output("pkg-config", "--modversion", "fuse3"),
        "python": platform.python_version(),
        "pyfuse3": _version("pyfuse3"),
        "trio": _version("trio"),
        "disk": _output("findmnt", "-n", "-o", "FSTYPE,OPTIONS", "-T", str(disk)),
        "commit": _output(
            "git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"
        ),
        "root": os.geteuid() == 0,
    }


@dataclass(frozen=True, slots=True)
class Business:
    """How busy the machine was over a run."""

    busy_before_percent: float
    load_after: float
    steal_percent: float
    iowait_percent: float
    seconds: float

    def warning(self) -> str | None:
        """Say why the figures are not to be published, or None."""
        if self.busy_before_percent > BUSY_PERCENT:
            return f"others used {self.busy_before_percent:.0f} % of the CPU time before the start"
        if self.steal_percent > BUSY_STEAL_PERCENT:
            return f"the host took {self.steal_percent:.1f} % of the CPU time"
        return None

    def as_json(self) -> dict[str, Any]:
        """Return the fields and the warning."""
        return {**asdict(self), "warning": self.warning()}


class BusinessMeter:
    """Samples /proc at its making, for which it waits a little, and at its end."""

    def __init__(self) -> None:
        before = _cpu_times()
        time.sleep(BUSY_WINDOW_S)
        self._times = _cpu_times()
        self._busy_percent = _busy_percent(before, self._times)
        self._start = time.monotonic()

    def end(self) -> Business:
        """Return what happened since the making."""
        spent = [now - then for now, then in zip(_cpu_times(), self._times, strict=True)]
        total = sum(spent) or 1
        return Business(
            busy_before_percent=self._busy_percent,
            load_after=os.getloadavg()[0],
            steal_percent=100 * spent[_STEAL] / total,
            iowait_percent=100 * spent[_IOWAIT] / total,
            seconds=time.monotonic() - self._start,
        )


def _busy_percent(then: list[int], now: list[int]) -> float:
    spent = [after - before for after, before in zip(now, then, strict=True)]
    return 100 * (1 - (spent[_IDLE] + spent[_IOWAIT]) / (sum(spent) or 1))


def _cpu_times() -> list[int]:
    with open("/proc/stat") as file:
        return [int(field) for field in file.readline().split()[1:9]]


def _cpu_name() -> str:
    with open("/proc/cpuinfo") as file:
        names = (line.partition(":")[2].strip() for line in file if line.startswith("model name"))
        return next(names, platform.machine())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _output(*command: str) -> str | None:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()
