"""Embedders that are a command: a process that lives as long as it is needed and speaks JSON lines.

    command  {"name": "my model", "dim": 384, "fingerprint": "my-model-3"}            once, first
    vexfs    {"id": 1, "kind": "documents", "texts": ["...", "..."]}
    command  {"id": 1, "vectors": [[0.1, ...], [...]]}     or   {"id": 1, "error": "..."}
    vexfs    {"id": 2, "kind": "query", "texts": ["..."]}

It reads standard input and writes standard output; what it writes to standard error goes to the log.
When its input ends it must end too.
"""

import json
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Any, Final

from vexfs_fuse.errors import EmbedderFailed, InvalidArgument
from vexfs_fuse.text.embedder import Floats
from vexfs_fuse.text.embedders.checked import (
    checked_dim,
    checked_fingerprint,
    checked_name,
    shown,
    unit_vectors,
)

START_S: Final = 120.0
"""How long a command may take to load its model."""
ANSWER_S: Final = 60.0
"""How long it may take for one batch."""
BATCH_TEXTS: Final = 32
LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of one answer."""
STARTS_MAX: Final = 5
"""How often a command that fails is started anew, before it succeeds at something."""
END_S: Final = 2.0
_POLL_S: Final = 0.01
_CHUNK_BYTES: Final = 256 * 1024


class CommandEmbedder:
    """One command; started with the object, and again when it has ended or is stuck."""

    def __init__(self, command: str) -> None:
        self._words = _split(command)
        self._starts_left = STARTS_MAX
        self._number = 0
        self._process: _Process | None = None
        told = self._started().hello
        try:
            self.name = checked_name(told.get("name"))
            self.dim = checked_dim(told.get("dim"))
            self.fingerprint = checked_fingerprint(told.get("fingerprint"))
        except EmbedderFailed:
            self.close()
            raise

    def embed_documents(self, texts: Sequence[str]) -> Floats:
        """Return the command's vectors of passages, asked for in batches."""
        found: list[Any] = []
        for start in range(0, len(texts), BATCH_TEXTS):
            found += self._ask("documents", list(texts[start : start + BATCH_TEXTS]))
        return unit_vectors(found, len(texts), self.dim)

    def embed_query(self, text: str) -> Floats:
        """Return the command's vector of a question."""
        vector: Floats = unit_vectors(self._ask("query", [text]), 1, self.dim)[0]
        return vector

    def close(self) -> None:
        """End the command."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def _ask(self, kind: str, texts: list[str]) -> list[Any]:
        self._number += 1
        question = {"id": self._number, "kind": kind, "texts": texts}
        process = self._started()
        try:
            answer = process.ask(question)
        except EmbedderFailed:
            self.close()
            raise
        self._starts_left = STARTS_MAX
        if "error" in answer:
            raise EmbedderFailed(f"{shown(self._words)}: {shown([str(answer['error'])])}")
        vectors = answer.get("vectors")
        if not isinstance(vectors, list) or len(vectors) != len(texts):
            raise EmbedderFailed(f"{shown(self._words)}: not a vector for each text")
        return vectors

    def _started(self) -> "_Process":
        if self._process is not None and self._process.is_alive():
            return self._process
        self.close()
        if not self._starts_left:
            raise EmbedderFailed(f"{shown(self._words)} has failed {STARTS_MAX} times")
        self._starts_left -= 1
        self._process = process = _Process(self._words)
        fingerprint = getattr(self, "fingerprint", None)
        if fingerprint is not None and process.hello.get("fingerprint") != fingerprint:
            self.close()
            raise EmbedderFailed(f"{shown(self._words)} has another fingerprint than before")
        return process


def _split(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InvalidArgument(f"the command {command!r}: {error}") from None
    if not words:
        raise InvalidArgument("command: without a command")
    return words


class _Process:
    """A running command and what it said first."""

    def __init__(self, words: Sequence[str]) -> None:
        self._called = shown(words)
        self._buffer = bytearray()
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,  # so that what it starts ends with it
            )
        except OSError as error:
            raise EmbedderFailed(f"{self._called}: {error.strerror}") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        try:
            self.hello = self._exchanged(b"", START_S)
        except EmbedderFailed:
            self.end()
            raise

    def is_alive(self) -> bool:
        return self._exit_seen() is None

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a question, the next line."""
        answer = self._exchanged(json.dumps(question).encode() + b"\n", ANSWER_S)
        if answer.get("id") != question["id"]:
            raise self._failed("its answer is not to what was asked")
        return answer

    def _exchanged(self, data: bytes, patience_s: float) -> dict[str, Any]:
        """Write all of `data` while reading until a line is there: neither side waits for the other."""
        deadline_s = time.monotonic() + patience_s
        rest = memoryview(data)
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            if rest:
                selector.register(self._in, selectors.EVENT_WRITE)
            while rest or b"\n" not in self._buffer:
                ready = selector.select(max(0.0, deadline_s - time.monotonic()))
                if not ready:
                    raise self._failed(f"no answer within {patience_s:g} s")
                for key, _ in ready:
                    if key.fd == self._out:
                        self._read()
                        continue
                    rest = rest[self._write(rest) :]
                    if not rest:
                        selector.unregister(self._in)
        line, _, rest_read = self._buffer.partition(b"\n")
        self._buffer = rest_read
        return self._parsed(bytes(line))

    def _read(self) -> None:
        chunk = os.read(self._out, _CHUNK_BYTES)
        if not chunk:
            raise self._failed("it has ended")
        self._buffer += chunk
        if len(self._buffer) > LINE_BYTES_MAX:
            raise self._failed("its answer is too long")

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._in, data[:_CHUNK_BYTES])
        except BrokenPipeError:
            raise self._failed("it has ended") from None

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            told = json.loads(line)
        except ValueError:
            raise self._failed(f"no JSON: {shown([line[:80].decode(errors='replace')])}") from None
        if not isinstance(told, dict):
            raise self._failed("its answer is no JSON object")
        return told

    def _failed(self, why: str) -> EmbedderFailed:
        return EmbedderFailed(f"{self._called}: {why}")

    def _exit_seen(self) -> object:
        """Return None while it runs.  Who has ended stays a zombie, and its group's number taken."""
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def end(self) -> None:
        """Close its input, kill what has not ended soon, and all that it started."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        deadline_s = time.monotonic() + END_S
        while self._exit_seen() is None and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()
