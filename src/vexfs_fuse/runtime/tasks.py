"""What runs beside requests: maintenance of the volume, and the heartbeat."""

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, Final, Protocol

import trio

from vexfs_fuse.fuse.affinity import Follower
from vexfs_fuse.observe.recorder import TOTAL, Recorder
from vexfs_fuse.pending import Pending
from vexfs_fuse.runtime.workers import Workers
from vexfs_fuse.units import NS_PER_S

MAINTENANCE_PAUSE_S: Final = 0.25
"""Time between two looks at whether something is due."""

BUSY_SHARE: Final = 9
"""While requests come, a slice of maintenance is followed by this many times its length without."""

IDLE_SHARE: Final = 0.005
"""Requests that take less of the time are no load: who looks at the status now and then stops no work."""

PATIENCE_S: Final = 2.0
"""What is due waits for so long for a moment without requests: most bursts are shorter."""

PAUSE_MAX_S: Final = 1.0
"""Even if a slice had to wait long for the disk."""

QUIET_S: Final = 0.05
"""After so long without a request, what can wait has its turn: saving and merging of indexes."""

QUIET_AWAITED_S_MAX: Final = 60.0
"""If there is no such moment for so long, it has a turn all the same."""

HEARTBEAT_S: Final = 1.0

TEND_S: Final = 15.0
"""Time between two looks at whether the embedder of questions is idle."""


class Maintained(Protocol):
    """What maintenance needs of a volume."""

    @property
    def is_urgent(self) -> bool:
        """Whether it must not wait for an idle moment."""
        ...

    def maintain(self, is_quiet: Callable[[], bool]) -> Iterator[Pending[Any] | None]:
        """Do what is due, a slice at each step."""
        ...


class Maintenance:
    """Gives the volume's background work the time that requests leave, and its share besides."""

    def __init__(self, volume: Maintained, workers: Workers, recorder: Recorder) -> None:
        self._volume = volume
        self._workers = workers
        self._recorder = recorder
        self._looked_at = (
            0.0,
            0,
        )  # when idleness was last asked for, and what was served until then
        self._patient_until = 0.0
        self._quiet_at_ns: int | None = None  # what had been served when it was quiet
        self._waiting_since_s = perf_counter()

    async def run(self) -> None:
        """Maintain until cancelled."""
        while True:
            if self._is_idle() or self._volume.is_urgent or self._has_waited():
                await self.once()
                self._patient_until = trio.current_time() + PATIENCE_S
            await trio.sleep(MAINTENANCE_PAUSE_S - QUIET_S)
            before_ns = _served_ns(self._recorder)
            await trio.sleep(QUIET_S)
            self._quiet_at_ns = before_ns

    def _has_waited(self) -> bool:
        return trio.current_time() >= self._patient_until

    async def once(self) -> None:
        """Do everything that is due now."""
        began = perf_counter()
        for step in self._volume.maintain(self.is_quiet):
            if step is not None:
                step.resume(await self._workers.run(step.work))
            await self._give_way(perf_counter() - began)
            began = perf_counter()

    async def _give_way(self, slice_s: float) -> None:
        if self._is_idle() or self._volume.is_urgent:
            await trio.lowlevel.checkpoint()
        else:
            await trio.sleep(min(BUSY_SHARE * slice_s, PAUSE_MAX_S))

    def is_quiet(self) -> bool:
        """Whether no request has come for a while, or no such moment has for long."""
        now_s = perf_counter()
        if (
            _served_ns(self._recorder) != self._quiet_at_ns
            and now_s < self._waiting_since_s + QUIET_AWAITED_S_MAX
        ):
            return False
        self._waiting_since_s = now_s
        return True

    def _is_idle(self) -> bool:
        """Whether requests took hardly any of the time since the last call."""
        (then_s, before_ns), now_s = self._looked_at, trio.current_time()
        served_ns = _served_ns(self._recorder)
        self._looked_at = (now_s, served_ns)
        return served_ns - before_ns <= IDLE_SHARE * (now_s - then_s) * NS_PER_S


def _served_ns(recorder: Recorder) -> int:
    return sum(row[TOTAL] for row in recorder.latency.values())


class Tended(Protocol):
    """What must be looked after now and then."""

    def tend(self) -> None:
        """Let go of what was idle for long; at once."""
        ...


async def tend_questions(questions: Tended) -> None:
    """Let go of an embedder that nobody has asked for long; until cancelled."""
    while True:
        await trio.sleep(TEND_S)
        questions.tend()


async def heartbeat(recorder: Recorder, follower: Follower) -> None:
    """Measure how late the loop is, and let go of a client that has gone; until cancelled."""
    while True:
        due = trio.current_time() + HEARTBEAT_S
        await trio.sleep_until(due)
        recorder.stall(max(0, round((trio.current_time() - due) * 1e9)))
        follower.rest()
