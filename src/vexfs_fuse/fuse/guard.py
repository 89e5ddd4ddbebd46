"""What stands between pyfuse3 and the handlers: once, around all of them.

It counts, times, settles slow answers, and turns failures into errno.  In pyfuse3 any exception but
FUSEError ends the mount, so a bug in a handler is logged with its request and answered EIO.
"""

import errno
import inspect
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import Any, Final

import pyfuse3
from pyfuse3 import FUSEError

from vexfs_fuse.errors import VexfsError
from vexfs_fuse.fuse.affinity import Follower
from vexfs_fuse.fuse.slow import SLOW, Settler
from vexfs_fuse.observe.recorder import TOTAL, Recorder

SAMPLE_EVERY: Final = 32
"""Requests of one kind between two looks at who asks."""

BUG: Final = errno.EIO
NAME_BYTES_SHOWN: Final = 255

_log = logging.getLogger(__name__)

Handler = Callable[..., Any]

OPERATIONS: Final = tuple(
    name
    for name, member in vars(pyfuse3.Operations).items()
    if inspect.iscoroutinefunction(member) and not name.startswith("_")
)
"""Everything that pyfuse3 may call, except `init` and `stacktrace`, which answer no request."""


class Guard(pyfuse3.Operations):
    """The operations that pyfuse3 sees; `handlers` has a plain method for each that is implemented.

    A handler returns its answer, or one of `slow.SLOW`.  What has no handler is answered ENOSYS,
    which the kernel remembers: for `flush` that spares one request in each close.
    """

    supports_dot_lookup = True
    enable_acl = True

    def __init__(
        self, handlers: object, settler: Settler, recorder: Recorder, follower: Follower
    ) -> None:
        self._settle = settler.settle
        self._recorder = recorder
        self._follower = follower
        self._opener: Callable[[Any], int] = getattr(handlers, "opener", lambda _handle: 0)
        for name in OPERATIONS:
            handler = getattr(handlers, name, None)
            if handler is None:
                continue
            guarded = self._unanswered if name == "forget" else self._answered
            setattr(self, name, guarded(name, handler))

    def _answered(self, name: str, handler: Handler) -> Callable[..., Awaitable[Any]]:
        """Return the coroutine function that pyfuse3 awaits for one operation.

        A closure for each operation, as every attribute of `self` would cost all requests.
        """
        row = self._recorder.row(name)
        settle = self._settle
        events = self._recorder.events
        explain = self._explain
        sample = self._sampler(name)
        until_sample = SAMPLE_EVERY

        async def answer(*request: Any) -> Any:
            nonlocal until_sample
            began = perf_counter_ns()
            until_sample -= 1
            if not until_sample:
                until_sample = SAMPLE_EVERY
                sample(request)
            try:
                value = handler(*request)
                if type(value) in SLOW:
                    events["suspended"] += 1
                    value = await settle(value)
            except Exception as failure:  # noqa: BLE001
                raise explain(name, request, failure) from None
            else:
                return value
            finally:
                took = perf_counter_ns() - began
                row[took.bit_length()] += 1
                row[TOTAL] += took

        return answer

    def _sampler(self, name: str) -> Callable[[tuple[Any, ...]], None]:
        """Return what tells the follower who asks: the request says it, or its handle's opener."""
        seen = self._follower.seen
        if "ctx" in inspect.signature(getattr(pyfuse3.Operations, name)).parameters:
            return lambda request: seen(request[-1].pid)
        if name == "forget":  # the kernel's own doing
            return lambda request: None
        opener = self._opener
        return lambda request: seen(opener(request[0]))

    def _unanswered(self, name: str, handler: Handler) -> Callable[..., Awaitable[None]]:
        """As `_answered`, for a request to which the kernel takes no answer, not even an error."""
        guarded = self._answered(name, handler)

        async def swallow(*request: Any) -> None:
            try:
                await guarded(*request)
            except FUSEError:  # logged by then
                pass

        return swallow

    def _explain(self, name: str, request: tuple[Any, ...], failure: Exception) -> FUSEError:
        return FUSEError(errno_of(self._recorder, name, request, failure))


def errno_of(recorder: Recorder, name: str, request: tuple[Any, ...], failure: Exception) -> int:
    """Return the errno that answers `failure`, counted; log it when it is not an expected one."""
    number: int
    if isinstance(failure, VexfsError | FUSEError):
        number = failure.errno
    else:
        number = BUG
        _log.error("%s failed: %s", name, describe(request), exc_info=failure)
    recorder.fail(name, errno.errorcode.get(number, str(number)))
    return number


def describe(request: tuple[Any, ...]) -> str:
    """Return a request's arguments for the log: contents by size, the caller by numbers."""
    return ", ".join(_describe(part) for part in request)


def _describe(part: Any) -> str:
    if isinstance(part, pyfuse3.RequestContext):
        return f"asked by uid {part.uid} gid {part.gid} pid {part.pid}"
    if isinstance(part, bytes | memoryview) and len(part) > NAME_BYTES_SHOWN:
        return f"<{len(part)} bytes>"
    return repr(part)
