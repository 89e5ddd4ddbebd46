"""Requests as bytes, answered as bytes, without a kernel."""

import errno
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.memory_vfs import MemoryVfs
from vexfs_fuse.errors import StoreFailed
from vexfs_fuse.fuse import caller
from vexfs_fuse.fuse import protocol as wire
from vexfs_fuse.fuse.affinity import Follower
from vexfs_fuse.fuse.caller import Requesters
from vexfs_fuse.fuse.direct import SUSPENDED_MAX, WRITES_WAITING_MAX, Direct
from vexfs_fuse.observe.recorder import Recorder
from vexfs_fuse.pending import Durable, WaitForSpace
from vexfs_fuse.units import Lsn

UNIQUE = 77
IDS = (1000, 100, 4242)
IOCTL = 39


class Never:
    """Settles nothing by itself; what is durable is told by `durable_lsn` and `failure`."""

    def __init__(self) -> None:
        self.durable_lsn = Lsn(1)
        self.failure: Exception | None = None
        self.waiting: list[Callable[[], None]] = []

    def at_once(self, answer: Any) -> Any:
        if type(answer) is not Durable:
            return answer
        if self.failure is not None:
            raise self.failure
        return answer.value if answer.lsn <= self.durable_lsn else answer

    def when_durable(self, answer: Durable[Any], wake: Callable[[], None]) -> None:
        self.waiting.append(wake)

    async def settle(self, answer: Any) -> Any:
        raise NotImplementedError


class Later:
    """A nursery that starts nothing, and keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[Any, ...]] = []

    def start_soon(self, *task: Any) -> None:
        self.given.append(task)


class Kernel:
    """The other end of the device."""

    def __init__(self, vfs: Any) -> None:
        self.recorder = Recorder()
        self.settler = Never()
        self.direct = Direct(
            vfs, self.settler, self.recorder, Follower(), attr_timeout_s=1.5, entry_timeout_s=60.0
        )
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        self.later = Later()
        self._answer = self.direct.serve(self._writing, self.later)  # type: ignore[arg-type]

    def ask(self, opcode: int, ino: int, body: bytes = b"") -> tuple[int, bytes] | None:
        """Return the errno and the rest of the answer, None without one."""
        size = wire.HEADER_BYTES + len(body)
        header = struct.pack("=IIQQIIIHH", size, opcode, UNIQUE, ino, *IDS, 0, 0)
        self.direct.buffers[0][:size] = header + body
        self._answer(size)
        return self.said()

    def said(self) -> tuple[int, bytes] | None:
        """Return the errno and the rest of the next answer, None while there is none."""
        try:
            answer = os.read(self._reading, 1 << 16)
        except BlockingIOError:
            return None
        said, error, unique = wire.OUT.unpack_from(answer)
        assert (said, unique) == (len(answer), UNIQUE)
        return -error, answer[wire.OUT.size :]

    def close(self) -> None:
        os.close(self._reading)
        os.close(self._writing)


@pytest.fixture
def vfs() -> MemoryVfs:
    return MemoryVfs()


@pytest.fixture
def kernel(vfs: MemoryVfs) -> Iterator[Kernel]:
    asked = Kernel(vfs)
    yield asked
    asked.close()


def test_what_is_not_known_is_not_implemented(kernel: Kernel) -> None:
    assert kernel.ask(IOCTL, 1) == (errno.ENOSYS, b"")


def test_interruptions_are_not_answered(kernel: Kernel) -> None:
    assert kernel.ask(wire.INTERRUPT, 0, bytes(8)) is None


def test_forgetting_is_not_answered(kernel: Kernel) -> None:
    assert kernel.ask(wire.FORGET, 1, bytes(8)) is None
    assert kernel.ask(wire.BATCH_FORGET, 0, struct.pack("=IIQQ", 1, 0, 1, 0)) is None


def test_an_absent_name_is_an_answer_that_may_be_kept(kernel: Kernel) -> None:
    error, body = kernel.ask(wire.LOOKUP, 1, b"absent\0") or (0, b"")
    node, _, entry_valid_s = struct.unpack_from("=QQQ", body)
    assert (error, node, entry_valid_s) == (0, 0, 60)


def test_a_bug_is_answered_and_logged(kernel: Kernel, caplog: pytest.LogCaptureFixture) -> None:
    assert kernel.ask(wire.LOOKUP, 1, b"bug\0") == (errno.EIO, b"")
    assert "lookup failed: 1, b'bug" in caplog.text
    assert "asked by uid 1000 gid 100 pid 4242" in caplog.text


def test_attributes_say_how_long_they_are_valid(kernel: Kernel) -> None:
    error, body = kernel.ask(wire.GETATTR, 1, bytes(16)) or (0, b"")
    assert (error, struct.unpack_from("=QI", body)) == (0, (1, 500_000_000))


def test_what_cannot_be_read_is_kept_for_no_time(kernel: Kernel, vfs: MemoryVfs) -> None:
    entry = vfs.getattr(1)
    entry.timeout_s = 0.0
    vfs.lookup = lambda *request: entry  # type: ignore[method-assign]
    _, body = kernel.ask(wire.LOOKUP, 1, b"name\0") or (0, b"")
    assert struct.unpack_from("=QQQQII", body) == (1, 0, 0, 0, 0, 0)
    _, body = kernel.ask(wire.GETATTR, 1, bytes(16)) or (0, b"")
    assert struct.unpack_from("=QI", body) == (0, 0)


def test_a_listing_that_fails_halfway_gives_the_kernel_no_references(
    kernel: Kernel, vfs: MemoryVfs
) -> None:
    sound = vfs.getattr(1)
    listed: list[Any] = [(b"sound", sound, 1), (b"unsound", object(), 2)]
    vfs.readdir = lambda *request: iter(listed)  # type: ignore[method-assign]
    reading = struct.pack("=QQI20x", 1, 0, 4096)
    assert kernel.ask(wire.READDIRPLUS, 1, reading) == (errno.EIO, b"")
    assert vfs.lookups == {}
    del listed[1]
    error, _ = kernel.ask(wire.READDIRPLUS, 1, reading) or (0, b"")
    assert (error, vfs.lookups) == (0, {1: 1})


def test_contents_of_no_known_kind_are_an_error_for_who_asks(
    kernel: Kernel, vfs: MemoryVfs
) -> None:
    vfs.read = lambda *request: [1, 2]  # type: ignore[method-assign]
    assert kernel.ask(wire.READ, 1, bytes(40)) == (errno.EIO, b"")


def test_who_creates_brings_a_umask(kernel: Kernel, vfs: MemoryVfs) -> None:
    seen: Any = []
    vfs.mkdir = lambda *request: seen.append(request[-1]) or vfs.getattr(1)  # type: ignore[method-assign]
    kernel.ask(wire.MKDIR, 1, wire.MKDIR_IN.pack(0o777, 0o027) + b"name\0")
    kernel.ask(wire.MKDIR, 1, wire.MKDIR_IN.pack(0o777, 0o022) + b"name\0")
    assert [(who.uid, who.gid, who.pid, who.umask) for who in seen] == [
        (*IDS, 0o027),
        (*IDS, 0o022),
    ]


def test_what_is_durable_at_once_is_answered_at_once(kernel: Kernel, vfs: MemoryVfs) -> None:
    vfs.unlink = lambda *_: Durable(Lsn(1), None)  # type: ignore[method-assign, assignment]
    assert kernel.ask(wire.UNLINK, 1, b"name\0") == (0, b"")
    assert kernel.recorder.events["suspended"] == 1


def test_what_becomes_durable_is_answered_without_a_task(kernel: Kernel, vfs: MemoryVfs) -> None:
    vfs.unlink = lambda *_: Durable(Lsn(2), None)  # type: ignore[method-assign, assignment]
    assert kernel.ask(wire.UNLINK, 1, b"name\0") is None
    kernel.settler.durable_lsn = Lsn(2)
    kernel.settler.waiting[0]()
    assert (kernel.said(), kernel.later.given) == ((0, b""), [])


def test_what_never_becomes_durable_is_an_error(kernel: Kernel, vfs: MemoryVfs) -> None:
    vfs.unlink = lambda *_: Durable(Lsn(2), None)  # type: ignore[method-assign, assignment]
    kernel.ask(wire.UNLINK, 1, b"name\0")
    kernel.settler.failure = StoreFailed("a sync failed")
    kernel.settler.waiting[0]()
    assert kernel.said() == (errno.EIO, b"")


def test_nothing_is_sent_after_the_end(kernel: Kernel, vfs: MemoryVfs) -> None:
    vfs.unlink = lambda *_: Durable(Lsn(2), None)  # type: ignore[method-assign, assignment]
    kernel.ask(wire.UNLINK, 1, b"name\0")
    kernel.direct.end()
    kernel.settler.durable_lsn = Lsn(2)
    kernel.settler.waiting[0]()
    assert kernel.said() is None


async def test_all_is_answered_when_what_waited_is(kernel: Kernel, vfs: MemoryVfs) -> None:
    vfs.unlink = lambda *_: Durable(Lsn(2), None)  # type: ignore[method-assign, assignment]
    kernel.ask(wire.UNLINK, 1, b"name\0")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kernel.direct.all_answered)
        await wait_all_tasks_blocked()
        assert kernel.said() is None
        kernel.settler.durable_lsn = Lsn(2)
        kernel.settler.waiting[0]()
    assert kernel.said() == (0, b"")


def test_a_write_that_waits_keeps_its_bytes(kernel: Kernel, vfs: MemoryVfs) -> None:
    kept: list[Any] = []

    def full(_handle: int, _offset: int, data: Any, _who: Any) -> WaitForSpace:
        kept.append(data)
        return WaitForSpace(lambda: len(data))

    vfs.write = full  # type: ignore[method-assign, assignment]
    for contents in (b"first", b"other"):
        body = wire.WRITE_IN.pack(1, 0, len(contents)) + contents
        assert kernel.ask(wire.WRITE, 1, body) is None
    assert [bytes(data) for data in kept] == [b"first", b"other"]


def test_so_many_wait_beside_each_other(kernel: Kernel, vfs: MemoryVfs) -> None:
    vfs.getattr = lambda *_: WaitForSpace(int)  # type: ignore[method-assign, assignment]
    for _ in range(SUSPENDED_MAX):
        assert not kernel.direct.is_full
        kernel.ask(wire.GETATTR, 1, bytes(16))
    assert kernel.direct.is_full
    assert len(kernel.later.given) == SUSPENDED_MAX


def test_fewer_wait_that_keep_a_buffer(kernel: Kernel, vfs: MemoryVfs) -> None:
    vfs.write = lambda *_: WaitForSpace(int)  # type: ignore[method-assign]
    for _ in range(WRITES_WAITING_MAX):
        assert not kernel.direct.is_full
        kernel.ask(wire.WRITE, 1, wire.WRITE_IN.pack(1, 0, 1) + b"x")
    assert kernel.direct.is_full
    assert kernel.recorder.events["buffer_kept"] == WRITES_WAITING_MAX


def test_callers_are_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "CALLERS_MAX", 4)
    callers = Requesters()
    for pid in range(10):
        assert callers[wire.IDS.pack(0, 0, pid)].pid == pid
        assert len(callers) <= 4


def test_a_range_to_allocate_and_a_place_to_seek_are_passed_on(
    kernel: Kernel, vfs: MemoryVfs
) -> None:
    asked: list[Any] = []

    def seek(*request: Any) -> int:
        asked.append(request)
        return 2**40

    vfs.fallocate = lambda *request: asked.append(request[:-1])  # type: ignore[attr-defined]
    vfs.seek = seek  # type: ignore[attr-defined]
    assert kernel.ask(wire.FALLOCATE, 3, struct.pack("=QQQII", 7, 2**33, 5, 16, 0)) == (0, b"")
    error, body = kernel.ask(wire.LSEEK, 3, struct.pack("=QQII", 7, 2**34, 4, 0)) or (0, b"")
    assert asked == [(7, 2**33, 5, 16), (3, 7, 2**34, 4)]
    assert (error, struct.unpack("=Q", body)) == (0, (2**40,))


def test_who_writes_is_told(kernel: Kernel, vfs: MemoryVfs) -> None:
    asked: list[Any] = []

    def write(*request: Any) -> int:
        asked.append(request[-1].uid)
        return 5

    vfs.write = write  # type: ignore[method-assign, assignment]
    kernel.ask(wire.WRITE, 1, wire.WRITE_IN.pack(1, 0, 5) + b"bytes")
    assert asked == [IDS[0]]
