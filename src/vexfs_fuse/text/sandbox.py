"""Has files read by processes that can do nothing else, and outlives whatever becomes of those.

Knows how to start, ask, time and end such a process; knows no file format.  What comes back from one is taken for
hostile: it is bounded, and checked to be text.
"""

import fcntl
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

import vexfs_fuse
from vexfs_fuse.errors import ExtractionFailed
from vexfs_fuse.quantities import approximate_size
from vexfs_fuse.text.document import Document
from vexfs_fuse.text.extraction.child import ANSWER, HEAD_CHARS_MAX, REQUEST, Outcome
from vexfs_fuse.text.extraction.kinds import HEAD_BYTES, kind_of
from vexfs_fuse.units import KIB, MIB

TITLE_CHARS_MAX: Final = 200

START_S: Final = 60.0
"""How long a process may take to load its parsers: a second on a busy machine, more on a slow disk."""

_OWN_BYTES: Final = 256 * MIB
_PIPE_BYTES: Final = MIB  # as much as anybody may ask for
_COMPLAINT_BYTES: Final = 64 * KIB
_REASON_CHARS_MAX: Final = 200
_READ_BYTES: Final = MIB
_END_S: Final = 5.0  # between closing its pipes and ending
_NONSENSE: Final = "the parser gave no proper answer"
_PASSED_ON: Final = ("PYTHONPATH", "PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
_OUT_OF_CPU: Final = (signal.SIGPROF, signal.SIGXCPU)


class Limits(NamedTuple):
    """What one file may take."""

    file_bytes: int = 64 * MIB
    """Larger files are not read at all."""
    text_chars: int = 2 * MIB
    """Text beyond that is cut off: a book of a thousand pages fits."""
    memory_bytes: int = 512 * MIB
    """Address space of the process, about 100 MiB of which it needs to begin with."""
    cpu_s: float = 20.0
    wall_s: float = 120.0
    """For a process that waits for something; a busy machine must not be taken for that."""
    files: int = 2_000
    """After so many files a process is replaced, so that what it has lost of its memory comes back."""


DEFAULT_LIMITS: Final = Limits()


def limits_for(file_bytes: int) -> Limits:
    """Return limits for files up to a size: contents are in the process's memory up to three times."""
    needed = _OWN_BYTES + 4 * file_bytes
    return Limits(file_bytes=file_bytes, memory_bytes=max(DEFAULT_LIMITS.memory_bytes, needed))


class Extractor:
    """Turns files into documents.  Starts a process when a file needs it, and keeps it for the next.

    For one thread: a process dies with the thread that started it.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._processes: dict[str, _Process] = {}
        self._missing: dict[str, str] = {}

    def extract(self, name: bytes, data: bytes | int) -> Document | None:
        """Return what a file says; None if it is no text.

        `data` are its contents, or a descriptor from which they are read, from the beginning on.

        Raises
        ------
        ExtractionFailed
            The file is too big, broken, protected, or more than a parser can take.
        """
        size = len(data) if isinstance(data, bytes) else os.fstat(data).st_size
        if size > self._limits.file_bytes:
            raise ExtractionFailed(
                f"the file has {approximate_size(size)}, and"
                f" {approximate_size(self._limits.file_bytes)} are the most that is read"
            )
        kind = kind_of(_read(data, HEAD_BYTES))
        return None if kind is None else self.parse(kind.value, name, _read(data, size))

    def parse(self, parser: str, name: bytes, data: bytes) -> Document | None:
        """Have the module `parser` read a file in its process.

        Raises
        ------
        ExtractionFailed
        """
        try:
            return self._process(parser).ask(name, data)
        except _Lost as loss:
            self._drop(parser)
            raise ExtractionFailed(str(loss)) from None

    @property
    def confinement(self) -> str:
        """How well the processes are locked up, for people: the layers that the kernel refuses."""
        if not self._missing:
            return "not started"
        missing = {layer for layers in self._missing.values() for layer in layers.split(", ")}
        return f"without {', '.join(sorted(missing))}" if any(missing) else "complete"

    def close(self) -> None:
        """End the processes."""
        for parser in list(self._processes):
            self._drop(parser)

    def _process(self, parser: str) -> "_Process":
        process = self._processes.get(parser)
        if process is not None and process.is_usable:
            return process
        self._drop(parser)
        process = self._processes[parser] = _Process(parser, self._limits)
        self._missing[parser] = process.introduce()
        return process

    def _drop(self, parser: str) -> None:
        if (process := self._processes.pop(parser, None)) is not None:
            process.end()


class _Lost(Exception):
    """A process is of no use any more; says why."""


class _Process:
    """One sandboxed process, and the pipes to it."""

    def __init__(self, parser: str, limits: Limits) -> None:
        self._limits = limits
        self._files_left = limits.files
        self._complaints, complaining = os.pipe()
        os.set_blocking(self._complaints, False)
        os.set_blocking(complaining, False)  # a parser that complains without end waits for nobody
        command = [sys.executable, "-P", "-B", "-m", "vexfs_fuse.text.extraction", parser]
        command += [str(limits.memory_bytes), str(limits.cpu_s), str(limits.text_chars)]
        try:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaining,
                bufsize=0,
                env=_environment(),
                start_new_session=True,  # so that copies of it end with it
            )
        except OSError as error:
            os.close(self._complaints)
            raise _Lost(f"the parser cannot be started: {error.strerror}") from None
        finally:
            os.close(complaining)
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._input = self._popen.stdin.fileno()
        self._output = self._popen.stdout.fileno()
        for pipe in (self._input, self._output):
            os.set_blocking(pipe, False)
            _enlarge(pipe)

    @property
    def is_usable(self) -> bool:
        """Whether it runs and has not had all the files that it may have."""
        return self._files_left > 0 and self._popen.poll() is None

    def introduce(self) -> str:
        """Wait until the process has confined itself; return the layers that it is without."""
        return self._receive(0, time.monotonic() + START_S).head

    def ask(self, name: bytes, data: bytes) -> Document | None:
        """Have a file read.

        Raises
        ------
        ExtractionFailed
            It was read, and the parser says what is wrong with it.
        _Lost
            The process crashed, hangs or talks nonsense.
        """
        self._files_left -= 1
        deadline = time.monotonic() + self._limits.wall_s
        nonce = secrets.randbits(64)
        self._send(REQUEST.pack(nonce, len(name), len(data)) + name, deadline)
        self._send(data, deadline)
        answer = self._receive(nonce, deadline)
        if answer.outcome is Outcome.FAILED:
            raise ExtractionFailed(answer.head[:_REASON_CHARS_MAX])
        if answer.outcome is Outcome.NO_TEXT:
            return None
        title = answer.head[:TITLE_CHARS_MAX]
        return Document(title, answer.text, is_cut=answer.outcome is Outcome.CUT)

    def end(self) -> None:
        """Kill the process and what it may have started, and forget it."""
        if self._popen.poll() is None:
            try:
                os.killpg(self._popen.pid, signal.SIGKILL)
            except ProcessLookupError:  # it has ended since
                pass
        self._popen.communicate()
        os.close(self._complaints)

    def _send(self, data: bytes, deadline: float) -> None:
        rest = memoryview(data)
        while rest:
            self._wait(self._input, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(self._input, rest[:_PIPE_BYTES]) :]
            except BrokenPipeError:
                raise self._loss() from None
            except BlockingIOError:
                continue

    def _receive(self, nonce: int, deadline: float) -> "_Answer":
        header = self._read(ANSWER.size, deadline)
        answered, outcome, head_bytes, text_bytes = ANSWER.unpack(header)
        if (
            answered != nonce
            or outcome not in Outcome.__members__.values()
            or head_bytes > 4 * HEAD_CHARS_MAX
            or text_bytes > 4 * self._limits.text_chars
        ):
            raise _Lost(_NONSENSE)
        try:
            head = self._read(head_bytes, deadline).decode()
            text = self._read(text_bytes, deadline).decode()
        except UnicodeDecodeError:
            raise _Lost(_NONSENSE) from None
        return _Answer(Outcome(outcome), _printable(head), text.replace("\0", " "))

    def _read(self, size: int, deadline: float) -> bytes:
        buffer = bytearray()
        while len(buffer) < size:
            self._wait(self._output, select.POLLIN, deadline)
            try:
                part = os.read(self._output, min(size - len(buffer), _PIPE_BYTES))
            except BlockingIOError:
                continue
            if not part:
                raise self._loss()
            buffer += part
        return bytes(buffer)

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not poll.poll(left_s * 1_000):
            raise _Lost(f"it took longer than {self._limits.wall_s:g} s")

    def _loss(self) -> _Lost:
        """Return why the process has closed its pipes."""
        try:
            status = self._popen.wait(_END_S)
        except subprocess.TimeoutExpired:
            return _Lost(_NONSENSE)
        number = -status if status < 0 else status - 128 if status > 128 else 0
        complaint = self._last_complaint()
        if number in _OUT_OF_CPU:
            return _Lost(f"it took more than {self._limits.cpu_s:g} s of computing")
        if complaint.startswith("MemoryError"):
            memory = approximate_size(self._limits.memory_bytes)
            return _Lost(f"it took more than {memory} of memory")
        if number:
            return _Lost(f"the parser died of {signal.Signals(number).name}")
        return _Lost(f"the parser failed: {complaint or f'status {status}'}")

    def _last_complaint(self) -> str:
        """Return the last line that the process wrote to its standard error."""
        try:
            said = os.read(self._complaints, _COMPLAINT_BYTES)
        except BlockingIOError:
            said = b""
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return _printable(lines[-1])[:_REASON_CHARS_MAX] if lines else ""


class _Answer(NamedTuple):
    outcome: Outcome
    head: str
    text: str


def _read(data: bytes | int, size: int) -> bytes:
    """Return the first `size` bytes of contents, or what there is of them."""
    if isinstance(data, bytes):
        return data if size >= len(data) else data[:size]
    parts: list[bytes] = []
    offset = 0
    while offset < size and (part := os.pread(data, min(size - offset, _READ_BYTES), offset)):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _printable(text: str) -> str:
    """Return a text as one line without anything that a terminal obeys."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _enlarge(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:  # this user has had enough pipes; it goes on, only slower
        pass


def _environment() -> dict[str, str]:
    """Return what the process sees of ours: where its code is, and no secrets."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    source = str(Path(vexfs_fuse.__file__).parents[1])
    path = os.pathsep.join(filter(None, (source, passed.get("PYTHONPATH"))))
    return passed | {"PYTHONPATH": path}
