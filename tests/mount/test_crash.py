"""The daemon is killed in the middle of work: what was synced is there, the rest is a prefix.

`VEXFS_CRASH_ROUNDS` says how often (the nightly run kills hundreds of times), `VEXFS_CRASH_SEED`
repeats a run.
"""

import os
import random
import signal
import time
from contextlib import suppress
from typing import Final

import pytest

from tests.support.mounting import MountedVolume
from tests.support.workloads import Worker, workers

ROUNDS: Final = int(os.environ.get("VEXFS_CRASH_ROUNDS", "6"))
NIGHT_ROUNDS: Final = int(os.environ.get("VEXFS_CRASH_ROUNDS", "300"))
SEED: Final = int(os.environ.get("VEXFS_CRASH_SEED", "0")) or random.SystemRandom().getrandbits(32)

WORK_S: Final = (0.1, 1.5)
"""How long a daemon lives: about as long as the interval between its own commits, 1 s."""


def work_until_killed(volume: MountedVolume, team: list[Worker], seconds: float) -> None:
    """Let everybody work, and kill the daemon meanwhile."""
    for worker in team:
        worker.start()
    time.sleep(seconds)
    volume.kill9()
    for worker in team:
        worker.stop()


def crash_again_and_again(volume: MountedVolume, rounds: int, seed: int) -> None:
    """Kill the daemon `rounds` times; after each, everything must be as it may be."""
    rng = random.Random(seed)
    team = workers(rng.getrandbits(32))
    volume.start()
    for worker in team:
        worker.prepare(volume.path)
    for _ in range(rounds):
        work_until_killed(volume, team, rng.uniform(*WORK_S))
        volume.assert_quiet()
        if rng.random() < 0.5:  # else it is the mount that recovers
            assert volume.problems() == []
        if rng.random() < 0.3:
            kill_while_it_starts(volume, rng.uniform(0.2, 0.8))
        volume.start()
        for worker in team:
            worker.verify()
    volume.stop()
    assert volume.problems() == []
    for worker in team:
        assert worker.steps, f"{worker.name} came to nothing"
    print({worker.name: worker.steps for worker in team})


def kill_while_it_starts(volume: MountedVolume, seconds: float) -> None:
    """Kill a daemon that perhaps has not recovered yet."""
    volume.launch()
    time.sleep(seconds)
    volume.kill9()


def test_a_kill_loses_nothing_synced_and_tears_nothing(unmounted: MountedVolume) -> None:
    print(f"VEXFS_CRASH_SEED={SEED}")
    crash_again_and_again(unmounted, ROUNDS, SEED)


@pytest.mark.night
def test_hundreds_of_kills_lose_nothing_synced_and_tear_nothing(unmounted: MountedVolume) -> None:
    print(f"VEXFS_CRASH_SEED={SEED}")
    crash_again_and_again(unmounted, NIGHT_ROUNDS, SEED)


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
