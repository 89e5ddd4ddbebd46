"""The option `durability`, by the answers of a view and by what survives a killed daemon."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Home
from vexfs_fuse.pending import Durable, WaitForSpace
from vexfs_fuse.runtime.durability import promise
from vexfs_fuse.units import Lsn


class View:
    """A mounted view whose every change logs one record."""

    def __init__(self) -> None:
        self.logged_lsn = Lsn(0)
        self.is_full = False

    def _log(self, *_: Any) -> Any:
        self.logged_lsn = Lsn(self.logged_lsn + 1)
        return "changed"

    def __getattr__(self, name: str) -> Any:
        return self._log

    def open(self, *_: Any) -> str:
        return "opened"

    def write(self, handle: int, offset: int, data: bytes) -> Any:
        if self.is_full:
            self.is_full = False
            return WaitForSpace(lambda: View.write(self, handle, offset, data))
        return len(data)

    def fsync(self, handle: int, data_only: bool) -> Durable[None]:
        self._log()
        return Durable(self.logged_lsn, None)

    def fsyncdir(self, handle: int) -> Durable[None]:
        return Durable(self.logged_lsn, None)


def view(durability: str) -> Any:
    made = View()
    promise(durability, made, made)
    return made


def test_always_answers_a_change_once_it_is_durable() -> None:
    assert view("always").mkdir(1, b"a") == Durable(Lsn(1), "changed")


def test_always_answers_what_changes_nothing_at_once() -> None:
    assert view("always").open(1) == "opened"


def test_always_flushes_each_write() -> None:
    assert view("always").write(1, 0, b"abc") == Durable(Lsn(1), 3)


def test_always_flushes_a_write_that_had_to_wait_for_space() -> None:
    made = view("always")
    made.is_full = True
    waiting = made.write(1, 0, b"abc")
    assert waiting.retry() == Durable(Lsn(1), 3)


def test_none_waits_for_no_disk() -> None:
    made = view("none")
    assert made.fsync(1, False) is None
    assert made.fsyncdir(1) is None
    assert made.logged_lsn == 1


def test_interval_leaves_the_view_as_it_is() -> None:
    assert view("interval").mkdir(1, b"a") == "changed"
    assert view("interval").fsync(1, False) == Durable(Lsn(1), None)


@pytest.mark.mount
def test_always_loses_nothing_when_the_daemon_is_killed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    options = "durability=always,commit_interval=1h"
    home.succeed("mount", "--store", home.store, "-o", options, home.mount_point)
    pid = json.loads(home.succeed("status", "--json", home.mount_point))["daemon"]["pid"]
    with (home.mount_point / "a").open("wb", buffering=0) as file:
        file.write(b"kept" * 10_000)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(OSError, match=r"not connected|abort"):
            file.write(b"x")
    with home.mounted() as volume:
        assert (volume / "a").read_bytes() == b"kept" * 10_000
