"""Following a lone client from CPU to CPU, and letting go."""

import os
from collections.abc import Iterator

import pytest

from vexfs_fuse.fuse import affinity
from vexfs_fuse.fuse.affinity import LOOK_EVERY, SAME_SAMPLES_MIN, Follower

CLIENT = 4711
OTHER = 4712


class Cpus:
    """Where clients are said to run."""

    def __init__(self) -> None:
        self.cpu: int | None = min(os.sched_getaffinity(0))


@pytest.fixture
def cpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cpus]:
    cpus = Cpus()
    monkeypatch.setattr(affinity, "_cpu_of", lambda pid: cpus.cpu)
    before = os.sched_getaffinity(0)
    yield cpus
    os.sched_setaffinity(0, before)


@pytest.fixture
def follower(cpus: Cpus) -> Follower:
    follower = Follower()
    follower.enabled = True  # on a machine with one CPU too
    return follower


def see(follower: Follower, *pids: int) -> None:
    for pid in pids:
        follower.seen(pid)


def test_a_lone_client_is_followed(follower: Follower, cpus: Cpus) -> None:
    see(follower, *[CLIENT] * SAME_SAMPLES_MIN)
    assert follower.cpu is None
    see(follower, CLIENT)
    assert follower.cpu == cpus.cpu
    assert os.sched_getaffinity(0) == {cpus.cpu}
    assert follower.lone


def test_another_client_ends_it(follower: Follower) -> None:
    everywhere = os.sched_getaffinity(0)
    see(follower, *[CLIENT] * (SAME_SAMPLES_MIN + 1), OTHER)
    assert follower.cpu is None
    assert not follower.lone
    assert os.sched_getaffinity(0) == everywhere


def test_clients_that_take_turns_are_not_followed(follower: Follower) -> None:
    see(follower, *[CLIENT, OTHER] * 50)
    assert follower.cpu is None
    assert not follower.lone


def test_clients_that_nobody_knows_are_not_taken_for_one(follower: Follower) -> None:
    see(follower, *[0] * 50)
    assert not follower.lone


def test_a_followed_client_is_looked_after_from_time_to_time(
    follower: Follower, cpus: Cpus
) -> None:
    see(follower, *[CLIENT] * (SAME_SAMPLES_MIN + 1))
    cpus.cpu = max(os.sched_getaffinity(0) if follower.cpu is None else follower._everywhere)
    see(follower, *[CLIENT] * LOOK_EVERY)
    assert follower.cpu == cpus.cpu


def test_a_client_that_rests_is_let_go(follower: Follower) -> None:
    see(follower, *[CLIENT] * (SAME_SAMPLES_MIN + 1))
    follower.rest()
    assert follower.cpu is not None, "it was seen since"
    follower.rest()
    assert follower.cpu is None


def test_a_client_whose_cpu_is_unknown_is_not_followed(follower: Follower, cpus: Cpus) -> None:
    cpus.cpu = None
    see(follower, *[CLIENT] * 50)
    assert follower.cpu is None


def test_a_cpu_that_we_may_not_use_is_left_alone(follower: Follower, cpus: Cpus) -> None:
    cpus.cpu = 100_000
    see(follower, *[CLIENT] * 50)
    assert follower.cpu is None


def test_a_refusal_of_the_kernel_ends_it_for_good(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int, cpus: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    see(follower, *[CLIENT] * (SAME_SAMPLES_MIN + 1))
    assert not follower.enabled
    monkeypatch.undo()


def test_the_cpu_of_a_process_is_read_from_proc() -> None:
    assert affinity._cpu_of(os.getpid()) in range(os.cpu_count() or 1)
    assert affinity._cpu_of(0) is None
