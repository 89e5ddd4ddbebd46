"""Killed, or cut off from power, in the middle of work: what was synced is there, the rest is a prefix.

`VEXFS_CRASH_ROUNDS` says how often (the nightly run crashes hundreds of times), `VEXFS_CRASH_SEED`
repeats a run.
"""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import pytest

from tests.support.mounting import MountedVolume
from tests.support.small_disks import PowerDisk, power_disk
from tests.support.workloads import workers
from vexfs_fuse.units import MIB

ROUNDS: Final = int(os.environ.get("VEXFS_CRASH_ROUNDS", "4"))
NIGHT_ROUNDS: Final = int(os.environ.get("VEXFS_CRASH_ROUNDS", "300"))
SEED: Final = int(os.environ.get("VEXFS_CRASH_SEED", "0")) or random.SystemRandom().getrandbits(32)

WORK_S: Final = (0.1, 1.5)
"""How long a daemon lives: about as long as the interval between its own commits, 1 s."""


class Crashes:
    """Crashes a volume in the middle of work, and verifies what is left."""

    def __init__(self, volume: MountedVolume, seed: int, disk: PowerDisk | None = None) -> None:
        print(f"VEXFS_CRASH_SEED={seed}")
        self.volume = volume
        self.disk = disk
        self.rng = random.Random(seed)
        self.team = workers(self.rng.getrandbits(32))

    def run(self, rounds: int) -> None:
        """Crash `rounds` times; after each, everything must be as it may be."""
        self.volume.start()
        for worker in self.team:
            worker.prepare(self.volume.path)
        for _ in range(rounds):
            self._work_until_the_crash()
            if self.rng.random() < 0.5:  # else it is the mount that recovers
                assert self.volume.problems() == []
            if self.rng.random() < 0.3:
                self._kill_while_it_starts()
            self.volume.start()
            for worker in self.team:
                worker.verify()
        self.volume.stop()
        assert self.volume.problems() == []
        for worker in self.team:
            assert worker.steps, f"{worker.name} came to nothing"
        print({worker.name: worker.steps for worker in self.team})

    def _work_until_the_crash(self) -> None:
        for worker in self.team:
            worker.start()
        time.sleep(self.rng.uniform(*WORK_S))
        if self.disk is not None:
            self.disk.cut()
            time.sleep(self.rng.choice([0, 0.1]))
        self.volume.kill9()
        for worker in self.team:
            worker.stop()
        if self.disk is not None:
            self.volume.forgive()
            self.disk.come_back()
        self.volume.assert_quiet()

    def _kill_while_it_starts(self) -> None:
        """Kill a daemon that perhaps has not recovered yet."""
        self.volume.launch()
        time.sleep(self.rng.uniform(0.2, 0.8))
        self.volume.kill9()


@pytest.fixture
def disk(unmounted: MountedVolume) -> Iterator[PowerDisk]:
    """A disk whose power can be cut, with the store of the volume."""
    with power_disk(unmounted.directory / "disk", 512 * MIB) as disk:
        unmounted.store = disk.path / "store"
        yield disk
        if unmounted.is_running:
            unmounted.kill9()


def test_a_kill_loses_nothing_synced_and_tears_nothing(unmounted: MountedVolume) -> None:
    Crashes(unmounted, SEED).run(ROUNDS)


def test_a_power_cut_loses_nothing_synced_and_tears_nothing(
    unmounted: MountedVolume, disk: PowerDisk
) -> None:
    Crashes(unmounted, SEED, disk).run(ROUNDS)


@pytest.mark.night
def test_hundreds_of_kills_lose_nothing_synced_and_tear_nothing(unmounted: MountedVolume) -> None:
    Crashes(unmounted, SEED).run(NIGHT_ROUNDS)


@pytest.mark.night
def test_hundreds_of_power_cuts_lose_nothing_synced_and_tear_nothing(
    unmounted: MountedVolume, disk: PowerDisk
) -> None:
    Crashes(unmounted, SEED, disk).run(NIGHT_ROUNDS)


def test_what_nobody_synced_is_there_after_the_commit_interval(unmounted: MountedVolume) -> None:
    unmounted.start()
    (unmounted.path / "a").write_bytes(b"a" * 300_000)
    time.sleep(2.5)  # twice the interval, and some
    unmounted.kill9()
    unmounted.start()
    assert (unmounted.path / "a").read_bytes() == b"a" * 300_000
    unmounted.stop()


def test_a_file_unlinked_while_open_leaves_nothing_after_a_kill(unmounted: MountedVolume) -> None:
    unmounted.start()
    path = unmounted.path / "a"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(descriptor, b"a" * 300_000)
    os.fsync(descriptor)
    path.unlink()
    time.sleep(1.5)
    unmounted.kill9()
    with suppress(OSError):  # the kernel tells the daemon of a close
        os.close(descriptor)
    unmounted.start()
    assert os.listdir(unmounted.path) == []
    assert os.statvfs(unmounted.path).f_files - os.statvfs(unmounted.path).f_ffree == 1
    unmounted.stop()
    assert unmounted.problems() == []


def test_inode_numbers_and_times_survive_a_kill(unmounted: MountedVolume) -> None:
    unmounted.start()
    path = unmounted.path / "a"
    with path.open("wb") as file:
        file.write(b"a")
        file.flush()
        os.fsync(file.fileno())
        before = os.fstat(file.fileno())
    unmounted.kill9()
    unmounted.start()
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns, after.st_mode) == (
        before.st_ino,
        before.st_mtime_ns,
        before.st_ctime_ns,
        before.st_mode,
    )
    (unmounted.path / "b").touch()
    assert (unmounted.path / "b").stat().st_ino != before.st_ino
    unmounted.stop()


def test_a_stopped_daemon_that_is_killed_loses_nothing_synced(unmounted: MountedVolume) -> None:
    """A daemon that hangs is killed by a person: nothing waits in it that was promised."""
    unmounted.start()
    with (unmounted.path / "a").open("wb") as file:
        file.write(b"a" * 1_000_000)
        file.flush()
        os.fsync(file.fileno())
    os.kill(unmounted.pid, signal.SIGSTOP)
    unmounted.kill9()
    unmounted.start()
    assert (unmounted.path / "a").read_bytes() == b"a" * 1_000_000
    unmounted.stop()
