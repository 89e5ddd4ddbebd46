"""Vectors of questions for the daemon, made by a process of its own.

Knows how that process is started, asked, and ended; not how a question is searched for.
"""

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgpack
import numpy as np

from vexfs_fuse import errors
from vexfs_fuse.errors import EmbedderFailed, ModelMissing, VexfsError
from vexfs_fuse.pending import Pending
from vexfs_fuse.text.embedder import Floats
from vexfs_fuse.text.providers import Identity, known_identity
from vexfs_fuse.text.query_process import receive, send

ANSWER_S: Final = 4.0
"""Longest wait for a question's vector: searches have 5 seconds in all."""
START_S: Final = 150.0
"""Longest time that an embedder may take to be there; who asks meanwhile waits no longer than `ANSWER_S`."""
CRASHES_MAX: Final = 3
"""So many within `CRASHES_S`, and it is not started again before they are over."""
CRASHES_S: Final = 60.0
MISSING_S: Final = 5.0
"""How long an embedder that was missing is taken to be missing still."""
IDLE_S: Final = 600.0
"""A process that nobody asked for so long is ended."""
TEXTS_KEPT: Final = 1_000
"""Questions whose vectors are kept, the latest used."""
TEXT_CHARACTERS_MAX: Final = 32 * 1024
"""Of a question that are looked at."""
END_S: Final = 2.0
"""How long the process may take to end when its socket has."""
TERMINATE_S: Final = 5.0
"""And then, after SIGTERM, until it is killed: it may have to end a command that is stuck."""

PROGRAM: Final = (sys.executable, "-m", "vexfs_fuse.text.query_process")

_log = logging.getLogger(__name__)


class QueryEmbedder:
    """The embedder of a daemon's questions.

    The process starts with the first question, again after a crash, and ends when it was idle for long.
    `embed`, the properties and `tend` belong to the loop; the work of a pending to any thread.
    """

    def __init__(self, setting: str, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._setting = setting
        self._now_s = now_s
        self._kept: OrderedDict[str, Floats] = OrderedDict()
        self._asking = threading.Lock()
        """Held by who uses what follows."""
        self._process: _Process | None = None
        self._ending: _Process | None = None
        self._crashes_s: list[float] = []
        self._used_s = now_s()
        self._identity: Identity | None = None
        self._missing: ModelMissing | None = None
        self._missing_until_s = now_s()
        self._look()

    @property
    def fingerprint(self) -> str | None:
        """What the vectors are made by; None while that is not known.

        Of the built-in model it is known without starting anything, of others when they were first
        asked.  It never changes after that.
        """
        if self._identity is None:
            self._look()
        return None if self._identity is None else self._identity.fingerprint

    @property
    def is_available(self) -> bool:
        """Whether asking makes sense; False tells that it was missing a moment ago."""
        if self._identity is None:
            self._look()
        return self._missing_until_s <= self._now_s()

    @property
    def missing(self) -> ModelMissing:
        """Why asking made no sense when it was last tried."""
        if self._missing is None:
            return ModelMissing()
        return type(self._missing)(*self._missing.args)

    @property
    def pid(self) -> int | None:
        """The process, if one runs."""
        process = self._process
        return None if process is None else process.pid

    def embed(self, text: str) -> Floats | Pending[Floats]:
        """Return the vector of a question, at once if it was asked before.

        The work takes up to `ANSWER_S`, and raises `ModelMissing` or `EmbedderFailed`.
        """
        text = text[:TEXT_CHARACTERS_MAX]
        if (vector := self._kept.get(text)) is not None:
            self._kept.move_to_end(text)
            return vector
        return Pending(partial(self._ask, text), partial(self._keep, text))

    def tend(self) -> None:
        """End a process that was idle for long; never waits, so call it now and then."""
        if not self._asking.acquire(blocking=False):
            return
        try:
            if self._process is not None and self._now_s() - self._used_s > IDLE_S:
                self._process.let_end()
                self._ending, self._process = self._process, None
            if self._ending is not None and self._ending.has_ended():
                self._ending = None
        finally:
            self._asking.release()

    def close(self) -> None:
        """End the process; nothing is asked any more."""
        with self._asking:
            self._drop()
            if self._ending is not None:
                self._ending.end()
                self._ending = None

    def _look(self) -> None:
        """Learn the identity where that needs no process."""
        if self._missing_until_s > self._now_s():
            return
        try:
            self._identity = known_identity(self._setting)
        except ModelMissing as missing:
            self._is_missing(missing)

    def _is_missing(self, missing: ModelMissing) -> None:
        self._missing, self._missing_until_s = missing, self._now_s() + MISSING_S

    def _keep(self, text: str, vector: Floats) -> Floats:
        vector.setflags(write=False)  # many will share it
        self._kept[text] = vector
        while len(self._kept) > TEXTS_KEPT:
            self._kept.popitem(last=False)
        return vector

    def _ask(self, text: str) -> Floats:
        """Ask, in a worker thread; a second time if the process has died meanwhile."""
        if self._missing is not None and not self.is_available:
            raise self.missing
        deadline_s = self._now_s() + ANSWER_S
        if not self._asking.acquire(timeout=ANSWER_S):
            raise EmbedderFailed("it is busy")
        try:
            self._used_s = self._now_s()
            return self._answered(text, deadline_s)
        finally:
            self._asking.release()

    def _answered(self, text: str, deadline_s: float) -> Floats:
        try:
            return self._answer(text, deadline_s)
        except _Died as died:
            _log.warning("the embedder of questions has died: %s", died)
            self._crashed()
        try:
            return self._answer(text, deadline_s)
        except _Died as died:
            self._crashed()
            raise EmbedderFailed(str(died)) from None

    def _answer(self, text: str, deadline_s: float) -> Floats:
        process = self._running()
        if process.identity is None:
            self._greet(process, deadline_s)
        vector = process.ask(text, deadline_s - self._now_s())
        self._crashes_s.clear()
        return vector

    def _running(self) -> "_Process":
        if self._process is None:
            recent = [at_s for at_s in self._crashes_s if self._now_s() - at_s < CRASHES_S]
            if len(recent) >= CRASHES_MAX:
                raise EmbedderFailed(f"it has died {CRASHES_MAX} times within {CRASHES_S:g} s")
            self._crashes_s = recent
            self._process = _Process(self._setting, self._now_s())
        return self._process

    def _greet(self, process: "_Process", deadline_s: float) -> None:
        """Wait until the embedder is there, but not beyond the deadline."""
        try:
            is_there = process.greeted(deadline_s - self._now_s())
        except ModelMissing as missing:
            self._drop()
            self._is_missing(missing)
            raise
        except VexfsError as failure:
            self._crashed()
            raise EmbedderFailed(str(failure)) from None
        if not is_there:
            if self._now_s() - process.started_s > START_S:
                raise _Died(f"it was not there after {START_S:g} s")
            raise EmbedderFailed("it is still starting")
        if self._identity is None:
            self._identity = process.identity
        elif self._identity != process.identity:
            self._drop()
            raise EmbedderFailed("it is another one than before; mount again to use it")

    def _crashed(self) -> None:
        self._crashes_s.append(self._now_s())
        self._drop(patience_s=0.0)

    def _drop(self, *, patience_s: float = END_S) -> None:
        if self._process is not None:
            self._process.end(patience_s)
            self._process = None


class _Died(Exception):
    """The process has ended, or is stuck."""


class _Process:
    """A running query process."""

    def __init__(self, setting: str, started_s: float) -> None:
        self.started_s = started_s
        self.identity: Identity | None = None
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*PROGRAM, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C for the daemon is not for it
                env=_environment(),
            )
        try:
            self._send(setting)
        except _Died:
            self.end()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def greeted(self, patience_s: float) -> bool:
        """Return whether the embedder has told who it is."""
        told = self._received(patience_s)
        if told is not None:
            self.identity = Identity(*told)
        return told is not None

    def ask(self, text: str, patience_s: float) -> Floats:
        """Return the vector of a text."""
        assert self.identity is not None
        self._send(text)
        data = self._received(patience_s)
        if data is None:
            raise _Died("no answer in time")
        vector: Floats = np.frombuffer(data, "<f4").astype(np.float32)
        if vector.shape != (self.identity.dim,):
            raise EmbedderFailed(f"it gave {len(vector)} dimensions instead of {self.identity.dim}")
        return vector

    def _send(self, message: str) -> None:
        try:
            send(self._channel, message)
        except OSError:
            raise _Died("it has ended") from None

    def _received(self, patience_s: float) -> Any:
        """Return the next message, None if there is none in time."""
        self._channel.settimeout(max(patience_s, 0.001))
        try:
            message = receive(self._channel)
        except TimeoutError:
            return None
        except (OSError, ValueError, msgpack.UnpackException):
            raise _Died("it has ended") from None
        if message is None:
            raise _Died("it has ended")
        if isinstance(message, dict):
            raise _failure(message)
        return message

    def let_end(self) -> None:
        """Let it end by itself."""
        self._channel.close()

    def has_ended(self) -> bool:
        """Whether it has, and is no zombie either."""
        return self._process.poll() is not None

    def end(self, patience_s: float = END_S) -> None:
        """End it; by force, if it does not by itself, after so long."""
        self._channel.close()
        for force in (self._process.terminate, self._process.kill):
            try:
                self._process.wait(patience_s)
                return
            except subprocess.TimeoutExpired:
                force()
            patience_s = TERMINATE_S
        self._process.wait()


def _failure(message: dict[str, str]) -> VexfsError:
    """Return the failure that the process tells of."""
    kind = getattr(errors, message["failure"], EmbedderFailed)
    made: VexfsError = kind(message["detail"])
    return made


def _environment() -> dict[str, str]:
    """Return the daemon's environment, with numpy held to one thread."""
    return {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} | dict(os.environ)
