"""The process that embeds questions for a daemon: `python -m vexfs_fuse.text.query_process FD`.

It has its own GIL and its own memory, so that neither the model nor a plug-in is ever in the daemon.
Over the socket FD, where one packet is one message in msgpack:

    daemon  SETTING                                  once; the option `embedder`
    here    [name, dim, fingerprint]                 when the embedder is there
    daemon  TEXT
    here    the vector, as float32 little-endian bytes
    here    {"failure": CLASS, "detail": TEXT}       instead of either; after the first one it ends

It ends when the socket does.
"""

import os
import signal
import socket
import sys
from typing import Any, Final

import msgpack

from vexfs_fuse.errors import EmbedderFailed, VexfsError
from vexfs_fuse.text.providers import open_embedder

MESSAGE_BYTES_MAX: Final = 160 * 1024
"""A packet must fit into a socket's buffer, of 208 KiB as a rule."""
NICENESS: Final = 5
"""Somebody waits for the answer, but requests to the file system come first."""


def main() -> None:
    """Serve until the socket ends."""
    os.nice(NICENESS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # which closes the embedder
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        _serve(channel)


def _serve(channel: socket.socket) -> None:
    setting = receive(channel)
    if setting is None:
        return
    try:
        embedder = open_embedder(setting)
    except VexfsError as failure:
        send(channel, _told(failure))
        return
    try:
        send(channel, [embedder.name, embedder.dim, embedder.fingerprint])
        while (text := receive(channel)) is not None:
            try:
                answer: Any = embedder.embed_query(text).astype("<f4").tobytes()
            except VexfsError as failure:
                answer = _told(failure)
            send(channel, answer)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the daemon has gone
    finally:
        embedder.close()


def _told(failure: VexfsError) -> dict[str, str]:
    return {"failure": type(failure).__name__, "detail": failure.args[0] if failure.args else ""}


def send(channel: socket.socket, message: Any) -> None:
    """Send one message.  Raises `OSError`; `EmbedderFailed` if it is too long."""
    packet = msgpack.packb(message)
    if len(packet) > MESSAGE_BYTES_MAX:
        raise EmbedderFailed("a message that is too long")
    channel.send(packet)


def receive(channel: socket.socket) -> Any:
    """Return the next message, None at the end.  Raises `OSError`."""
    packet = channel.recv(MESSAGE_BYTES_MAX)
    return msgpack.unpackb(packet) if packet else None


if __name__ == "__main__":
    main()
