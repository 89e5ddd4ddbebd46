"""Reads requests for pyfuse3 without a pass of trio's scheduler for each.

pyfuse3 awaits `trio.Lock` and `trio.lowlevel.wait_readable` for every request: two passes of trio,
an epoll_ctl and two epoll_wait, about 15 of the 22 us that a request costs in Python.  It looks
`trio` up as a module global (its own asyncio layer replaces that global too), so it can be given
cheaper parts.

direct
    As hybrid, but nothing of pyfuse3 and libfuse is left in a request's way: `direct` reads its
    bytes and answers it.  They have exchanged INIT with the kernel before.
hybrid
    The reader blocks in epoll_wait() on the FUSE device and on trio's own epoll descriptor, until
    trio's next deadline.  An undisturbed request is: wait, read, handler, write.  Trio goes on working: results
    of threads, sockets and signals show on its descriptor, timers bound the wait.  Needs three
    private attributes of trio, which are tried out before they are relied on.
polling
    Trio waits only when no request is queued.  Public parts of trio only.
plain
    pyfuse3 as it comes.

In all of them a handler that really suspends lets a standby task read on.
"""

import errno
import os
import select
from collections.abc import Awaitable, Callable
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import pyfuse3
import trio

from vexfs_fuse.fuse.direct import Direct
from vexfs_fuse.fuse.init_flags import InitRelay

FAIR_REQUESTS: Final = 256
"""Requests that the hybrid reader answers before trio gets a pass although nothing is due there."""

FAIR_POLLS: Final = 32
"""The same for the polling reader, where a pass is also the only way for others to run."""

UNASKED_MAX: Final = 16
"""Requests that the direct reader reads in a row without looking whether trio has something to do."""

PROBE_EVERY: Final = 32
"""After so many requests it tries whether another one is there already."""

_ENDS: Final = frozenset({errno.ENODEV, errno.ECONNABORTED})
"""The read fails so when the volume is unmounted, see fuse_dev_do_read()."""

_WITHDRAWALS: Final = frozenset({errno.EAGAIN, errno.ENOENT, errno.EINTR})
"""And so when the request that was announced is gone: a client that is killed takes it back."""

_SETTLING_PASSES: Final = 3
"""Passes of trio after which nothing is left that was scheduled before we began to watch."""

WaitReadable = Callable[[int], Awaitable[None]]


class Way(StrEnum):
    """How requests are read, best first."""

    DIRECT = "direct"
    HYBRID = "hybrid"
    POLLING = "polling"
    PLAIN = "plain"


async def install(
    best: Way = Way.DIRECT, relay: InitRelay | None = None, direct: Direct | None = None
) -> Way:
    """Give pyfuse3 the best way of reading that works here, no better than `best`; return it.

    To be called before `pyfuse3.init`, in the trio run that will serve.  With `relay`, the first
    two waits carry the INIT exchange.  Without `direct`, pyfuse3's handlers answer; without `relay`
    too, as nobody knows then what libfuse and the kernel have agreed on, how long a write may be say.
    """
    if best is Way.DIRECT and (direct is None or relay is None):
        best = Way.HYBRID
    runner = await _runner() if best in {Way.DIRECT, Way.HYBRID} else None
    way = best if runner is not None or best is Way.PLAIN else Way.POLLING
    watch = _Watch()
    notify_closing: Callable[[int], None] = trio.lowlevel.notify_closing
    wait: WaitReadable = trio.lowlevel.wait_readable
    lock: Callable[[], Any] = trio.Lock
    if way is not Way.PLAIN:
        trio.lowlevel.add_instrument(watch)
        for _ in range(_SETTLING_PASSES):
            await trio.lowlevel.checkpoint()
        lock = watch.make_turn
        wait = _polling()
    if runner is not None:
        hybrid = _Hybrid(runner, watch)
        wait, notify_closing = hybrid.wait_readable, hybrid.notify_closing
        if way is Way.DIRECT and direct is not None:
            answering = _Answering(runner, watch.due, direct)
            wait, notify_closing = answering.serve, answering.notify_closing
    _substitute(lock, wait, notify_closing, relay)
    return way


def uninstall() -> None:
    """Give pyfuse3 back what it came with."""
    _pyfuse3.trio = trio
    _pyfuse3._session_loop = _session_loop


_pyfuse3: Any = pyfuse3  # beyond its public names
_session_loop = _pyfuse3._session_loop


def _substitute(
    lock: Callable[[], Any],
    wait: WaitReadable,
    notify_closing: Callable[[int], None],
    relay: InitRelay | None,
) -> None:
    lowlevel = SimpleNamespace(
        current_task=trio.lowlevel.current_task,
        current_trio_token=trio.lowlevel.current_trio_token,
        notify_closing=notify_closing,
    )

    async def device(fd: int) -> None:
        """Wait for the first time: from now on a read of a vanished request must not block."""
        os.set_blocking(fd, False)
        lowlevel.wait_readable = wait
        await wait(fd)

    async def answered(fd: int) -> None:
        assert relay is not None
        relay.complete(fd)
        await device(fd)

    async def offered(fd: int) -> None:  # the request waits in the socket
        lowlevel.wait_readable = answered

    lowlevel.wait_readable = device if relay is None else offered
    _pyfuse3.trio = SimpleNamespace(
        Lock=lock,
        lowlevel=lowlevel,
        open_nursery=trio.open_nursery,
        ClosedResourceError=trio.ClosedResourceError,
        from_thread=trio.from_thread,
    )
    _pyfuse3._session_loop = _serve_through_withdrawals


async def _serve_through_withdrawals(nursery: Any, min_tasks: int, max_tasks: int) -> None:
    """Run pyfuse3's loop, again whenever the request that poll() announced is gone at the read.

    A client that is killed takes its unread request back.  Blocking there would hold the whole
    process until somebody else asks for something; without blocking, pyfuse3 takes EAGAIN for the
    end.  (It leaves its buffer behind then; the moment is a microsecond long, so that few do.)
    An unmount that comes while the kernel hands over a request aborts that read, see
    fuse_dev_do_read(): the end, as ENODEV is, which libfuse knows for one.
    """
    while True:
        try:
            await _session_loop(nursery, min_tasks, max_tasks)
            return
        except BlockingIOError:
            continue
        except ConnectionAbortedError:
            return


class _Turn:
    """The right to read the device.

    Free, it is taken without a checkpoint.  Leaving does not hand it over: the next to come takes
    it.  Those who wait are woken only when the one who had it is suspended in a handler.
    """

    __slots__ = ("held", "waiting")

    def __init__(self) -> None:
        self.held = False
        self.waiting = trio.lowlevel.ParkingLot()

    async def __aenter__(self) -> None:
        while self.held:
            await self.waiting.park()
        self.held = True

    async def __aexit__(self, *exception: object) -> None:
        self.held = False


class _Watch(trio.abc.Instrument):
    """Knows which tasks are due, and sees to it that somebody reads the device.

    Trio tells nobody what it has scheduled and not yet stepped while a batch of tasks runs, hence
    the set.  No hook runs while requests are answered without a pass of trio.
    """

    def __init__(self) -> None:
        self.due: set[trio.lowlevel.Task] = set()
        self._turn: _Turn | None = None

    def make_turn(self) -> _Turn:
        """Make the lock of pyfuse3's one session."""
        self._turn = _Turn()
        return self._turn

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """Note that `task` will be stepped."""
        self.due.add(task)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Note that it is being stepped."""
        self.due.discard(task)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Wake a standby reader if nobody reads."""
        turn = self._turn
        if turn is not None and not turn.held and turn.waiting:
            turn.waiting.unpark()


def _polling() -> WaitReadable:
    poller = select.poll()
    poll = poller.poll
    registered = False
    count = 0

    async def wait_readable(fd: int) -> None:
        nonlocal registered, count
        if not registered:
            poller.register(fd, select.POLLIN)
            registered = True
        count += 1
        if count < FAIR_POLLS and poll(0):
            return
        count = 0
        await trio.lowlevel.wait_readable(fd)

    return wait_readable


class _Runner(NamedTuple):
    """What the hybrid reader needs of trio's innards."""

    next_deadline: Callable[[], float]  # on the clock of the run; inf when there is none
    epoll_fd: int  # readable when trio has something to do


async def _runner() -> _Runner | None:
    """Return trio's parts, or None when this trio is built differently or does not wake us."""
    try:
        from trio._core._run import GLOBAL_RUN_CONTEXT
    except ImportError:
        return None
    parts = _parts_of(getattr(GLOBAL_RUN_CONTEXT, "runner", None))
    return parts if parts is not None and await _wakes(parts) else None


def _parts_of(runner: Any) -> _Runner | None:
    try:
        parts = _Runner(runner.deadlines.next_deadline, runner.io_manager._epoll.fileno())
    except AttributeError:
        return None
    return parts if isinstance(parts.next_deadline(), float) else None


async def _wakes(parts: _Runner) -> bool:
    """Whether work that a thread hands to trio shows on the descriptor."""
    for _ in range(_SETTLING_PASSES):  # trio's own task for such work must have begun to listen
        await trio.lowlevel.checkpoint()
    poller = select.poll()
    poller.register(parts.epoll_fd, select.POLLIN)
    if poller.poll(0):
        return False
    trio.lowlevel.current_trio_token().run_sync_soon(int)
    return bool(poller.poll(0))


class _Hybrid:
    """The reader that blocks by itself and lets trio run when it has something to do."""

    def __init__(self, runner: _Runner, watch: _Watch) -> None:
        self._closing = False
        self.wait_readable = self._make_wait(runner, watch.due, trio.lowlevel.current_clock())

    def notify_closing(self, fd: int) -> None:
        """End the wait for `fd`, which is about to be closed."""
        self._closing = True
        trio.lowlevel.notify_closing(fd)

    def _make_wait(
        self, runner: _Runner, due: set[trio.lowlevel.Task], clock: trio.abc.Clock
    ) -> WaitReadable:
        """Return the wait as a closure: looked up names would cost a tenth of an idle pass.

        epoll and not poll, which would queue up at both descriptors and arm a timer each time.
        """
        poller = select.epoll()
        poller.register(runner.epoll_fd, select.EPOLLIN)
        poll = poller.poll
        next_deadline = runner.next_deadline
        sleep_s = clock.deadline_to_sleep_time
        checkpoint = trio.lowlevel.checkpoint
        never = float("inf")
        device = -1
        count = 0

        async def wait_readable(fd: int) -> None:
            nonlocal device, count
            if fd != device:
                poller.register(fd, select.EPOLLIN)
                device = fd
            count += 1
            if due or count >= FAIR_REQUESTS:
                count = 0
                await checkpoint()
            while not self._closing:
                if due:
                    await checkpoint()
                    continue
                deadline = next_deadline()
                if deadline == never:
                    ready = poll(None, 2)
                else:
                    wait_s = sleep_s(deadline)
                    ready = poll(wait_s, 2) if wait_s > 0 else []
                if len(ready) == 1 and ready[0][0] == fd:
                    return
                # Trio has work, and there may be a request besides: look again after its pass.
                await checkpoint()
            raise trio.ClosedResourceError

        return wait_readable


class _Answering:
    """What pyfuse3 takes for a wait: requests are answered in it, until the session ends."""

    def __init__(self, runner: _Runner, due: set[trio.lowlevel.Task], direct: Direct) -> None:
        self._runner = runner
        self._due = due
        self._direct = direct
        self._sleep_s = trio.lowlevel.current_clock().deadline_to_sleep_time
        self._closing = False

    def notify_closing(self, fd: int) -> None:
        """End the wait for `fd`, which is about to be closed."""
        self._closing = True
        trio.lowlevel.notify_closing(fd)

    async def serve(self, fd: int) -> None:
        """Answer requests; raise as if `fd` had been closed when there will be no more.

        Slow answers that are still awaited then are waited for, as pyfuse3 does.
        """
        async with trio.open_nursery() as nursery:
            if not self._closing:
                try:
                    await self._answer_all(fd, self._direct.serve(fd, nursery))
                    self._closing = True
                    await self._direct.all_answered()
                finally:
                    self._direct.end()
        raise trio.ClosedResourceError

    async def _answer_all(self, device: int, answer: Callable[[int], None]) -> None:
        """Answer until the end; a closure of local names, as in `_Hybrid`.

        A request that is there is read without asking epoll for it, as long as that goes well:
        with one client it never does, with several mostly.  After each pass of trio requests have their
        `share`, so that tasks that are always due cannot keep them waiting.
        """
        poller = select.epoll()
        poller.register(self._runner.epoll_fd, select.EPOLLIN)
        poller.register(device, select.EPOLLIN)
        poll = poller.poll
        next_deadline, sleep_s, due = self._runner.next_deadline, self._sleep_s, self._due
        direct = self._direct
        buffers = direct.buffers
        checkpoint = trio.lowlevel.checkpoint
        readv = os.readv
        never = float("inf")
        count = unasked = share = 0
        while not self._closing:
            count += 1
            if (due and not share) or count >= FAIR_REQUESTS:
                count, share = 0, UNASKED_MAX
                await checkpoint()
                continue
            if direct.is_full:
                await direct.room()
                continue
            if due:
                share -= 1
            elif not unasked or not count % UNASKED_MAX:
                deadline = next_deadline()
                if deadline == never:
                    ready = poll(None, 2)
                else:
                    wait_s = sleep_s(deadline)
                    ready = poll(wait_s, 2) if wait_s > 0 else []
                if len(ready) != 1 or ready[0][0] != device:
                    # Trio has work, and there may be a request besides: look again after its pass.
                    share = UNASKED_MAX
                    await checkpoint()
                    continue
            try:
                size = readv(device, buffers)
            except OSError as failure:
                if failure.errno in _ENDS:
                    break
                if failure.errno not in _WITHDRAWALS:
                    raise
                unasked = share = 0
                continue
            answer(size)
            unasked = unasked + 1 if unasked else int(count % PROBE_EVERY == 0)
        poller.close()
