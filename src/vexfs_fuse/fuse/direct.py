"""Answers the kernel's requests without libfuse: bytes in, one call of the core, bytes out.

It does what `operations` and `guard` do for pyfuse3, in a third of the time: no coroutine, no
object of pyfuse3 and no copy of contents for a request (`docs/decisions/answering-directly.md`).
`reader` brings the requests; what a slow answer becomes is awaited in a task of its own.
"""

import errno
import logging
import os
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns
from typing import Any, Final, TypeAlias

import trio

from vexfs_fuse.fuse import protocol as wire
from vexfs_fuse.fuse.affinity import Follower
from vexfs_fuse.fuse.caller import Requester, Requesters
from vexfs_fuse.fuse.guard import SAMPLE_EVERY, errno_of
from vexfs_fuse.fuse.protocol import HEADER_BYTES, OUT
from vexfs_fuse.fuse.requests import Answer, Encoder, Handler, Requests
from vexfs_fuse.fuse.slow import SLOW, Settler
from vexfs_fuse.observe.recorder import TOTAL, Recorder
from vexfs_fuse.pending import Durable

SUSPENDED_MAX: Final = 99
"""Requests that may wait for slow answers beside each other; those beyond wait in the kernel."""

WRITES_WAITING_MAX: Final = 32
"""Writes that may wait for room beside each other, each with a buffer of a mebibyte."""

_log = logging.getLogger(__name__)

Send: TypeAlias = Callable[[bytes | tuple[bytes, Any]], None]


class Direct:
    """Answers requests that are in `view`, of a buffer that is read into again and again.

    `vfs` is a mounted volume, `vexfs_fuse.vfs`; what it returns may be slow in any of its methods.
    """

    def __init__(
        self,
        vfs: Any,
        settler: Settler,
        recorder: Recorder,
        follower: Follower,
        *,
        attr_timeout_s: float,
        entry_timeout_s: float,
    ) -> None:
        self._settler = settler
        self._recorder = recorder
        self._follower = follower
        self._callers = Requesters()
        self._requests = Requests(
            vfs,
            recorder,
            self._callers,
            attr_timeout_s=attr_timeout_s,
            entry_timeout_s=entry_timeout_s,
        )
        self._nursery: trio.Nursery | None = None
        self._suspended = 0
        self._writes_waiting = 0
        self._room = trio.lowlevel.ParkingLot()
        self.buffers: list[bytearray] = []
        self._views: list[memoryview] = []
        self._renew_buffer()

    def serve(self, device: int, nursery: trio.Nursery) -> Callable[[int], None]:
        """Return what answers the request of so many bytes in the buffer.

        Answers go to `device`; slow ones are awaited in `nursery`.
        """
        self._nursery = nursery
        send = partial(_send, device)
        answerers = {
            opcode: self._answerer(name, handler, encode, send)
            for opcode, name, handler, encode in self._requests.kinds()
        }
        views = self._views
        header = wire.HEADER.unpack_from
        written_from, a_write = wire.WRITTEN_FROM, wire.WRITE

        def answer(size: int) -> None:
            view = views[0]
            opcode, unique, ino = header(view)
            request = view[: written_from if opcode == a_write else size].tobytes()
            answerer = answerers.get(opcode)
            if answerer is not None:
                answerer(unique, ino, request)
            elif opcode != wire.INTERRUPT:  # nothing that is slow can be broken off: let it end
                send(OUT.pack(OUT.size, -errno.ENOSYS, unique))

        return answer

    async def all_answered(self) -> None:
        """Return when no slow answer is awaited any more."""
        while self._suspended:
            await self._room.park()

    def end(self) -> None:
        """Send nothing more: the device is about to be closed."""
        self._nursery = None

    async def room(self) -> None:
        """Return when one more slow answer may be awaited."""
        while self.is_full:
            await self._room.park()

    @property
    def is_full(self) -> bool:
        """Whether `room` would wait."""
        return self._suspended >= SUSPENDED_MAX or self._writes_waiting >= WRITES_WAITING_MAX

    def _renew_buffer(self) -> None:
        """Leave the buffer to whoever has a part of it, and read into another from now on."""
        buffer = bytearray(wire.REQUEST_BYTES_MAX)
        self._requests.view = memoryview(buffer)
        self._views[:] = [self._requests.view]
        self.buffers[:] = [buffer]

    # --- around every request

    def _answerer(
        self, name: str, handler: Handler, encode: Encoder, send: Send
    ) -> Callable[[int, int, bytes], None]:
        """Return the function that answers one kind of request.

        A closure for each operation, as every attribute of `self` would cost all requests.
        """
        row = self._recorder.row(name)
        callers = self._callers
        who_asks = wire.CALLER
        slow = SLOW
        later = self._later
        seen = self._follower.seen
        until_sample = SAMPLE_EVERY

        def answer(unique: int, ino: int, request: bytes) -> None:
            nonlocal until_sample
            began = perf_counter_ns()
            who = callers[request[who_asks]]
            until_sample -= 1
            if not until_sample:
                until_sample = SAMPLE_EVERY
                if who.pid:  # what the kernel does by itself has none
                    seen(who.pid)
            try:
                value = handler(ino, request, who)
                if type(value) in slow:
                    value = later(name, row, began, (ino, request, who), value, encode, send)
                    if value is _LATER:
                        return
                reply = encode(unique, value)
            except Exception as failure:  # noqa: BLE001
                reply = self._failed(name, (ino, request, who), failure)
            took = perf_counter_ns() - began
            row[took.bit_length()] += 1
            row[TOTAL] += took
            if reply is not None:
                send(reply)

        return answer

    def _failed(
        self, name: str, request: tuple[int, bytes, Requester], failure: Exception
    ) -> Answer:
        ino, data, who = request
        number = errno_of(self._recorder, name, (ino, data[HEADER_BYTES:], who), failure)
        unique: int = wire.HEADER.unpack_from(data)[1]
        return OUT.pack(OUT.size, -number, unique) if name != "forget" else None

    def _later(
        self,
        name: str,
        row: list[int],
        began: int,
        request: tuple[int, bytes, Requester],
        value: Any,
        encode: Encoder,
        send: Send,
    ) -> Any:
        """Return what a slow answer is already, or see to it that it is awaited."""
        self._recorder.events["suspended"] += 1
        value = self._settler.at_once(value)
        if type(value) not in SLOW:
            return value
        if type(value) is Durable:
            self._suspended += 1
            waiting = (name, row, began, request, value, encode, send)
            self._settler.when_durable(value, partial(self._answer_durable, *waiting))
            return _LATER
        keeps_buffer = name == "write"
        if keeps_buffer:
            self._recorder.events["buffer_kept"] += 1
            self._renew_buffer()  # its bytes are still needed
        self._suspended += 1
        self._writes_waiting += keeps_buffer
        assert self._nursery is not None
        self._nursery.start_soon(
            self._await, name, row, began, request, value, encode, send, keeps_buffer
        )
        return _LATER

    def _answer_durable(
        self,
        name: str,
        row: list[int],
        began: int,
        request: tuple[int, bytes, Requester],
        value: Durable[Any],
        encode: Encoder,
        send: Send,
    ) -> None:
        """Answer what has become durable, or never will: no task waits for it."""
        try:
            reply = encode(wire.HEADER.unpack_from(request[1])[1], self._settler.at_once(value))
        except Exception as failure:  # noqa: BLE001
            reply = self._failed(name, request, failure)
        self._no_longer_suspended(row, began)
        if reply is not None and self._nursery is not None:
            send(reply)

    def _no_longer_suspended(self, row: list[int], began: int) -> None:
        took = perf_counter_ns() - began
        row[took.bit_length()] += 1
        row[TOTAL] += took
        self._suspended -= 1
        self._room.unpark()

    async def _await(
        self,
        name: str,
        row: list[int],
        began: int,
        request: tuple[int, bytes, Requester],
        value: Any,
        encode: Encoder,
        send: Send,
        keeps_buffer: bool,
    ) -> None:
        try:
            value = await self._settler.settle(value)
            reply = encode(wire.HEADER.unpack_from(request[1])[1], value)
        except Exception as failure:  # noqa: BLE001
            reply = self._failed(name, request, failure)
        finally:
            self._writes_waiting -= keeps_buffer
            self._no_longer_suspended(row, began)
        if reply is not None:
            send(reply)


def _send(device: int, reply: bytes | tuple[bytes, Any]) -> None:
    """Write an answer; the kernel may have given its request up meanwhile."""
    try:
        if isinstance(reply, bytes):
            os.write(device, reply)
        else:
            os.writev(device, reply)
    except (OSError, TypeError) as failure:
        if getattr(failure, "errno", None) in {errno.ENOENT, errno.ENODEV, errno.ECONNABORTED}:
            return
        _log.error("the kernel takes no answer: %s", failure)
        head = reply if isinstance(reply, bytes) else reply[0]
        _give_up(device, OUT.unpack_from(head)[2])


def _give_up(device: int, unique: int) -> None:
    """Answer EIO, so that nobody waits for ever."""
    try:
        os.write(device, OUT.pack(OUT.size, -errno.EIO, unique))
    except OSError as failure:
        _log.error("nor that it failed: %s", failure)


_LATER: Final = object()
