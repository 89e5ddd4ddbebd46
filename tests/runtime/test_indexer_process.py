"""The loop of the indexer's process: when it waits, and for what."""

from typing import Any

import pytest

from tests.support.disks import SimulatedDisk
from vexfs_fuse.runtime import indexer_process
from vexfs_fuse.text.indexer import Report
from vexfs_fuse.units import Lsn

FOLLOWED, NEWS = Lsn(7), Lsn(9)


class Desk:
    """Tells of a new record in its answer to a report; ends at the first wait."""

    def __init__(self) -> None:
        self.durable = FOLLOWED
        self.asked: list[tuple[Any, ...]] = []

    def ask(self, verb: str, *arguments: Any) -> None:
        self.asked.append((verb, *arguments))
        if verb == "wait":
            raise ConnectionError
        self.durable = NEWS


class Idle:
    """An indexer with nothing to do up to `FOLLOWED`, and its extractor."""

    confinement = "complete"

    def step(self) -> bool:
        return False

    def wait_s(self) -> float:
        return 5.0

    def report(self) -> Report:
        return Report(0, 0, 0, 0, 0, 0, FOLLOWED)


def test_what_a_report_is_answered_with_is_not_waited_for() -> None:
    desk, idle = Desk(), Idle()
    with pytest.raises(ConnectionError):
        indexer_process._run(desk, idle, idle, SimulatedDisk())  # type: ignore[arg-type]
    assert [verb for verb, *_ in desk.asked] == ["report", "wait"]
    assert desk.asked[-1] == ("wait", 5.0, FOLLOWED)
