"""The guard: whatever a handler does, the mount lives, and the log tells."""

import errno
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pyfuse3
import pytest
from pyfuse3 import FUSEError

from tests.support.memory_mount import MemoryMount
from vexfs_fuse.errors import NoSpace, NotFound
from vexfs_fuse.fuse.affinity import Follower
from vexfs_fuse.fuse.guard import OPERATIONS, SAMPLE_EVERY, Guard, describe
from vexfs_fuse.fuse.operations import Operations
from vexfs_fuse.observe.recorder import Recorder, count
from vexfs_fuse.pending import Durable, Pending, WaitForSpace
from vexfs_fuse.units import Lsn

WHO = pyfuse3.RequestContext()


class Instantly:
    """Settles everything at once."""

    def at_once(self, answer: Any) -> Any:
        return answer

    def when_durable(self, answer: Durable[Any], wake: Callable[[], None]) -> None:
        wake()

    async def settle(self, answer: Any) -> Any:
        while type(answer) in {Pending, Durable, WaitForSpace}:
            if type(answer) is Pending:
                answer = answer.resume(answer.work())
            else:
                answer = answer.value if type(answer) is Durable else answer.retry()
        return answer


class Handlers:
    """Answers `getattr` and `lookup` with what it is given, or raises it."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer

    def lookup(self, parent: int, name: bytes, who: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def forget(self, forgotten: Any) -> Any:
        return self.lookup(0, b"", WHO)

    def read(self, handle: int, offset: int, size: int) -> Any:
        return self.answer

    def opener(self, handle: int) -> int:
        return 4711


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def guard_of(answer: Any, recorder: Recorder, follower: Follower | None = None) -> Guard:
    return Guard(Handlers(answer), Instantly(), recorder, follower or Follower())


async def ask(guard: Guard, name: bytes = b"name") -> Any:
    return await guard.lookup(7, name, WHO)


async def test_an_answer_passes_and_is_counted(recorder: Recorder) -> None:
    assert await ask(guard_of("answer", recorder)) == "answer"
    assert count(recorder.latency["lookup"]) == 1
    assert recorder.failures == {}


async def test_an_expected_failure_becomes_its_errno_and_is_not_logged(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(FUSEError) as failed:
        await ask(guard_of(NotFound(), recorder))
    assert failed.value.errno == errno.ENOENT
    assert recorder.failures == {("lookup", "ENOENT"): 1}
    assert caplog.records == []


async def test_a_bug_becomes_eio_and_is_logged_with_its_request(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(FUSEError) as failed:
        await ask(guard_of(KeyError("bug"), recorder), b"some name")
    assert failed.value.errno == errno.EIO
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "lookup failed: 7, b'some name', asked by uid 0 gid 0 pid 0"
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError


async def test_a_bug_in_forget_is_logged_and_goes_no_further(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    await guard_of(KeyError("bug"), recorder).forget([])
    assert [record.getMessage() for record in caplog.records] == ["forget failed: []"]


@pytest.mark.parametrize(
    "slow",
    [
        Pending(lambda: 20, lambda half: half + 22),
        Pending(lambda: 20, lambda half: Durable(Lsn(1), half + 22)),
        Durable(Lsn(1), 42),
        WaitForSpace(lambda: 42),
        WaitForSpace(lambda: Pending(lambda: 1, lambda _: 42)),
    ],
)
async def test_slow_answers_are_settled_and_counted(slow: Any, recorder: Recorder) -> None:
    assert await ask(guard_of(slow, recorder)) == 42
    assert recorder.events["suspended"] == 1


async def test_a_failure_of_slow_work_is_the_answer(recorder: Recorder) -> None:
    def fail() -> None:
        raise NoSpace

    with pytest.raises(FUSEError) as failed:
        await ask(guard_of(Pending(fail, id), recorder))
    assert failed.value.errno == errno.ENOSPC


async def test_what_has_no_handler_is_not_implemented(recorder: Recorder) -> None:
    with pytest.raises(FUSEError) as failed:
        await guard_of(None, recorder).flush(1)
    assert failed.value.errno == errno.ENOSYS


def test_every_operation_but_those_better_left_to_the_kernel_has_a_handler() -> None:
    missing = {name for name in OPERATIONS if not hasattr(Operations, name)}
    assert missing == {"flush", "poll"}


def test_no_handler_is_spelt_as_no_operation_is() -> None:
    public = {name for name in vars(Operations) if not name.startswith("_")}
    assert public - set(OPERATIONS) == {"opener"}


class Noted(Follower):
    """Notes whom it would follow."""

    def __init__(self) -> None:
        super().__init__()
        self.pids: list[int] = []

    def seen(self, pid: int) -> None:
        self.pids.append(pid)


async def test_the_follower_sees_who_asks_or_who_opened(recorder: Recorder) -> None:
    follower = Noted()
    guard = guard_of(b"", recorder, follower)
    for _ in range(SAMPLE_EVERY * 2):
        await guard.read(1, 0, 1)
    assert follower.pids == [4711, 4711]


def test_a_request_is_described_without_its_contents() -> None:
    assert describe((3, b"x" * 4096, WHO)) == "3, <4096 bytes>, asked by uid 0 gid 0 pid 0"


@pytest.fixture
def mount() -> Iterator[MemoryMount]:
    loud = r"(?s)ERROR \S+guard: lookup failed: 1, b'bug.*?ZeroDivisionError: a bug"
    with MemoryMount(loud=loud) as mount:
        yield mount


@pytest.mark.mount
def test_the_daemon_survives_a_bug(mount: MemoryMount) -> None:
    for _ in range(3):
        with pytest.raises(OSError, match="Input/output error"):
            (mount.path / "bug").stat()
    assert list(mount.path.iterdir()) == []


@pytest.mark.mount
def test_waiting_for_space_ends_when_a_batch_is_written(mount: MemoryMount) -> None:
    (mount.path / "file").touch()
    assert not (mount.path / "full").exists()
