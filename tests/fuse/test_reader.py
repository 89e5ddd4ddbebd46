"""Does every way of reading requests keep trio, and everybody's requests, going?"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from tests.support.memory_mount import MemoryMount
from tests.support.memory_vfs import SLOW_S
from vexfs_fuse.fuse import reader
from vexfs_fuse.fuse.reader import Way

mounts = pytest.mark.mount
WAYS = list(Way)
COMMIT_INTERVAL_S = 0.02


@pytest.fixture(params=WAYS)
def mount(request: pytest.FixtureRequest) -> Iterator[MemoryMount]:
    with MemoryMount(reader=request.param, commit_interval=COMMIT_INTERVAL_S) as mount:
        yield mount


def is_there(path: Path) -> bool:
    return path.exists()


def in_threads(count: int, work: Callable[[int], Any]) -> float:
    """Run `work(n)` in so many threads at once; return the seconds that took."""
    threads = [threading.Thread(target=work, args=[n]) for n in range(count)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


@mounts
def test_slow_requests_run_beside_each_other_and_beside_fast_ones(mount: MemoryMount) -> None:
    fast = 0
    done = threading.Event()

    def ask_fast() -> None:
        nonlocal fast
        while not done.is_set():
            assert not is_there(mount.path / f"absent{fast}")
            fast += 1

    other = threading.Thread(target=ask_fast)
    other.start()
    took = in_threads(8, lambda n: [is_there(mount.path / f"slow{n}-{k}") for k in range(8)])
    done.set()
    other.join()
    assert took < 8 * 8 * SLOW_S / 2
    assert fast > 100


@mounts
def test_a_thread_s_result_wakes_an_idle_daemon(mount: MemoryMount) -> None:
    time.sleep(0.2)
    began = time.perf_counter()
    assert not is_there(mount.path / "slow")
    assert time.perf_counter() - began < SLOW_S + 0.5


@mounts
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("load", ["idle", "busy"])
def test_timers_go_on(way: Way, load: str) -> None:
    with MemoryMount(reader=way, commit_interval=COMMIT_INTERVAL_S) as mount:
        began = time.perf_counter()
        while (took := time.perf_counter() - began) < 1.0:
            if load == "idle":
                time.sleep(1.0)
            is_there(mount.path / f"absent{took}")
    assert mount.ended["flushes"] > 1.0 / COMMIT_INTERVAL_S / 3


@mounts
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts(number: signal.Signals) -> None:
    with MemoryMount() as mount:
        (mount.path / "file").write_bytes(b"contents")
        mount.send(number)
        assert mount.wait() == 0
        assert not os.path.ismount(mount.path)
        assert mount.ended["durable_lsn"] == mount.ended["logged_lsn"] == 1


@mounts
def test_a_signal_waits_for_open_files(mount: MemoryMount) -> None:
    with (mount.path / "file").open("wb", buffering=0) as file:
        mount.send(signal.SIGTERM)
        while os.path.ismount(mount.path):
            time.sleep(0.01)
        file.write(b"still served")
        os.fsync(file.fileno())
        assert mount.running
    assert mount.wait() == 0


@mounts
def test_a_second_signal_does_not_wait_and_loses_nothing(mount: MemoryMount) -> None:
    file = os.open(mount.path / "file", os.O_CREAT | os.O_WRONLY)
    os.write(file, b"contents")
    mount.send(signal.SIGTERM)
    while os.path.ismount(mount.path):
        time.sleep(0.01)
    mount.send(signal.SIGTERM)
    assert mount.wait() == 0
    with pytest.raises(OSError, match="not connected"):
        os.fsync(file)
    with pytest.raises(OSError, match="not connected"):
        os.close(file)
    assert mount.ended["durable_lsn"] == mount.ended["logged_lsn"]


@mounts
def test_unmounting_from_outside_ends_the_daemon_while_requests_are_suspended(
    mount: MemoryMount,
) -> None:
    asking = [threading.Thread(target=is_there, args=[mount.path / f"slow{n}"]) for n in range(4)]
    for thread in asking:
        thread.start()
    subprocess.run(["umount", "-l", mount.path], check=True)
    for thread in asking:
        thread.join()
    assert mount.wait() == 0


CLIENT = """
import os, sys
while True:
    for n in range(1000):
        try: os.stat(f"{sys.argv[1]}/absent{os.getpid()}-{n}")
        except FileNotFoundError: pass
"""


@mounts
def test_clients_may_be_killed_at_any_moment(mount: MemoryMount) -> None:
    for round_number in range(12):
        clients = [subprocess.Popen([sys.executable, "-c", CLIENT, mount.path]) for _ in range(2)]
        time.sleep(0.05 + round_number * 0.003)
        for client in clients:
            client.kill()
            client.wait()
    assert not is_there(mount.path / "absent")


@mounts
def test_requests_that_vanish_before_they_are_read_are_passed_over() -> None:
    with MemoryMount(announce_in_vain=7, reader=Way.HYBRID) as mount:
        for n in range(1_000):
            assert not is_there(mount.path / f"absent{n}")
        (mount.path / "file").write_bytes(b"contents")
        assert (mount.path / "file").read_bytes() == b"contents"


class Counting:
    """Answers nothing, and counts."""

    is_full = False

    def __init__(self) -> None:
        self.buffers = [bytearray(16)]
        self.answered = 0

    def serve(self, device: int, nursery: trio.Nursery) -> Callable[[int], None]:
        return self.answer

    def answer(self, size: int) -> None:
        self.answered += 1

    async def all_answered(self) -> None:
        """Nothing is slow."""

    def end(self) -> None:
        """Nothing is sent."""


async def test_requests_have_their_share_beside_a_task_that_is_always_due() -> None:
    kernel, device = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    device.setblocking(False)
    for _ in range(100):
        kernel.send(b"request")
    runner, watch, direct = await reader._runner(), reader._Watch(), Counting()
    assert runner is not None
    trio.lowlevel.add_instrument(watch)
    answering = reader._Answering(runner, watch.due, direct)  # type: ignore[arg-type]

    async def serve() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await answering.serve(device.fileno())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        for _ in range(200):
            await trio.lowlevel.checkpoint()
        answered = direct.answered
        answering.notify_closing(device.fileno())
    trio.lowlevel.remove_instrument(watch)
    kernel.close()
    device.close()
    assert answered == 100


async def test_only_a_vanished_request_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([BlockingIOError, OSError])

    async def session_loop(*_: object) -> None:
        raise next(failures)

    monkeypatch.setattr(reader, "_session_loop", session_loop)
    with pytest.raises(OSError, check=lambda failure: type(failure) is OSError):
        await reader._serve_through_withdrawals(None, 1, 99)


async def test_a_read_that_an_unmount_aborts_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def session_loop(*_: object) -> None:
        raise ConnectionAbortedError

    monkeypatch.setattr(reader, "_session_loop", session_loop)
    await reader._serve_through_withdrawals(None, 1, 99)


async def test_hybrid_is_what_runs_on_this_trio() -> None:
    try:
        assert await reader.install() is Way.HYBRID
    finally:
        reader.uninstall()


class Epoll:
    def fileno(self) -> int:
        return 0


@pytest.mark.parametrize(
    "runner",
    [
        SimpleNamespace(),
        SimpleNamespace(deadlines=SimpleNamespace()),
        SimpleNamespace(deadlines=SimpleNamespace(next_deadline=lambda: 0.0)),
        SimpleNamespace(
            deadlines=SimpleNamespace(next_deadline=lambda: 0.0), io_manager=SimpleNamespace()
        ),
        SimpleNamespace(
            deadlines=SimpleNamespace(next_deadline=lambda: None),
            io_manager=SimpleNamespace(_epoll=Epoll()),
        ),
    ],
)
def test_a_trio_that_is_built_differently_is_recognised(runner: Any) -> None:
    assert reader._parts_of(runner) is None


async def test_without_trio_s_private_parts_the_polling_reader_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "_parts_of", lambda runner: None)
    try:
        assert await reader.install() is Way.POLLING
    finally:
        reader.uninstall()


async def test_a_descriptor_that_does_not_wake_us_is_recognised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    never = reader._Runner(next_deadline=lambda: 0.0, epoll_fd=reading)
    monkeypatch.setattr(reader, "_parts_of", lambda runner: never)
    try:
        assert await reader.install() is Way.POLLING
    finally:
        reader.uninstall()
        os.close(reading)
        os.close(writing)
