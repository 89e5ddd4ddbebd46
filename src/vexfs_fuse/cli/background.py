"""Starting a daemon: the caller returns when it is ready, or tells why it is not."""

import os
import signal
from collections.abc import Callable
from typing import Final, NoReturn

from vexfs_fuse.errors import MountFailed, VexfsError

_FAILURE: Final = b"!"
"""Marks a line that says why the daemon ended; the ready line is the daemon's process id."""


def launch(serve: Callable[[int], int], log_place: str) -> int:
    """Run `serve` in a process of its own; return its process id when it is ready.

    `serve` gets the descriptor to which it writes its process id and a line break once it is ready.
    Call this before threads have started: a fork copies none of them.

    Raises
    ------
    MountFailed
        It ended before it was ready, for the reason told.
    """
    reader, writer = os.pipe()
    daemon = os.fork()
    if daemon == 0:
        os.close(reader)
        _be_daemon(serve, writer)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as ready:
            line = ready.readline().rstrip(b"\n")
    except KeyboardInterrupt:
        os.kill(daemon, signal.SIGTERM)
        raise
    if not line or line.startswith(_FAILURE):
        os.waitpid(daemon, 0)  # it has ended or is about to
    if line.startswith(_FAILURE):
        raise MountFailed(line.removeprefix(_FAILURE).decode(errors="replace"))
    if not line:
        raise MountFailed(f"the daemon ended unexpectedly; its log is {log_place}")
    return daemon


def _be_daemon(serve: Callable[[int], int], writer: int) -> NoReturn:
    """Become a process that outlives its terminal, and serve."""
    code = 1
    try:
        os.setsid()
        os.chdir("/")
        failure = os.dup(writer)
        _detach(keep={writer, failure})
        try:
            code = serve(writer)
        except BaseException as error:  # noqa: BLE001 - nobody else would see it: there is no terminal
            os.write(failure, _FAILURE + _one_line(error) + b"\n")
    finally:
        os._exit(code)


def _one_line(error: BaseException) -> bytes:
    if isinstance(error, VexfsError):
        told = str(error).removeprefix(f"{MountFailed.sentence}: ")
    elif isinstance(error, OSError) and error.filename:
        told = f"{error.filename}: {error.strerror}"
    else:
        told = f"{type(error).__name__}: {error}"
    return told.replace("\n", " ").encode(errors="replace")


def _detach(keep: set[int]) -> None:
    """Close all inherited descriptors but `keep`; the standard ones become /dev/null."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        if descriptor > 2 and descriptor not in keep:
            try:
                os.close(descriptor)
            except OSError:
                pass  # the listing's own
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)
