"""Messages between the daemon and its indexer: msgpack, each after its length in four bytes.

A question is a list, a verb and its arguments; the answer is what `Answer` has.  Knows no verb.
"""

import socket
import struct
from typing import Any, Final, NamedTuple

import msgpack

from vexfs_fuse.units import MIB

FRAME_BYTES_MAX: Final = 32 * MIB
"""More than any question or answer needs; the other side is broken that sends more."""

LENGTH: Final = struct.Struct(">I")


class Answer(NamedTuple):
    """What the daemon answers to any question."""

    durable: int
    """The last durable record."""
    logged: int
    """The last record."""
    hints: list[int]
    """Files that were closed since the last answer."""
    result: Any
    failure: str | None
    """Why there is no result."""


def pack(message: Any) -> bytes:
    """Return a message as it is sent."""
    data: bytes = msgpack.packb(message, use_bin_type=True)
    return LENGTH.pack(len(data)) + data


def unpack(data: bytes | bytearray) -> Any:
    """Return the message that came after its length."""
    return msgpack.unpackb(data, raw=False)


def frame_bytes(head: bytes | bytearray) -> int:
    """Return the length that a head tells.

    Raises
    ------
    ConnectionError
        It is beyond all that is ever sent.
    """
    (length,) = LENGTH.unpack(head)
    if length > FRAME_BYTES_MAX:
        raise ConnectionError(f"a message of {length} bytes")
    return int(length)


def ask(channel: socket.socket, *question: Any) -> Answer:
    """Put a question, and wait for its answer.

    Raises
    ------
    ConnectionError
        The other side is gone.
    """
    channel.sendall(pack(question))
    size = frame_bytes(_exactly(channel, LENGTH.size))
    return Answer(*unpack(_exactly(channel, size)))


def _exactly(channel: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        received = channel.recv_into(rest)
        if not received:
            raise ConnectionError("the daemon has gone")
        rest = rest[received:]
    return data
