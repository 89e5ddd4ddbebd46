"""The sandboxed process: takes one file after the other from its input, and answers on its output.

It loads all that it may need, gives up its rights, says which of them it could not give up, and then reads.
Anything that goes wrong but `ExtractionFailed` ends it: whoever started it knows how to go on.

    request   nonce 8, length of the name 4, length of the contents 8, name, contents
    answer    nonce 8, outcome 1, length of the head 4, length of the text 8, head, text

All numbers are little-endian.  The head is the title of a document, or why there is none, in UTF-8.  The first
answer, without a request, has nonce zero and the layers that were refused as its head.
"""

import os
import signal
import struct
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

from vexfs_fuse.errors import ExtractionFailed
from vexfs_fuse.text.confinement import SECCOMP, confine, narrow
from vexfs_fuse.text.document import Document

REQUEST: Final = struct.Struct("<QIQ")
ANSWER: Final = struct.Struct("<QBIQ")
HEAD_CHARS_MAX: Final = 1_000

_READ_BYTES: Final = 1 << 20


class Outcome(IntEnum):
    """What became of a file."""

    DOCUMENT = 0
    CUT = 1  # a document that goes on beyond the bound
    NO_TEXT = 2
    FAILED = 3


class Parser(Protocol):
    """A module that turns files of some kinds into documents."""

    FORKS: bool
    """Whether each file is read by a copy of the process that ends with it: for parsers in C, which a
    hostile file might take over, so that they see one person's file only."""

    def extract(self, name: bytes, data: bytes, chars_max: int) -> Document | None:
        """Return what a file says; None if it is no text.

        Raises
        ------
        ExtractionFailed
        """
        ...


class Request(NamedTuple):
    """One file."""

    nonce: int
    name: bytes
    data: bytes


def serve(parser: Parser, *, memory_bytes: int, cpu_s: float, chars_max: int) -> None:
    """Answer requests until there are no more."""
    missing = confine(memory_bytes, may_fork=parser.FORKS)
    _write(_answer(0, Outcome.DOCUMENT, ", ".join(missing), ""))
    while (request := _read_request()) is not None:
        if parser.FORKS:
            _in_a_copy(parser, request, cpu_s, chars_max, is_filtered=SECCOMP not in missing)
        else:
            _write(_outcome(parser, request, cpu_s, chars_max))


def _in_a_copy(
    parser: Parser, request: Request, cpu_s: float, chars_max: int, *, is_filtered: bool
) -> None:
    """Answer from a process that has no more requests to read, and end as it ends unless it ends well."""
    copy = os.fork()
    if copy == 0:
        os.close(0)
        if is_filtered:
            narrow()
        _write(_outcome(parser, request, cpu_s, chars_max))
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
    if status:
        os._exit(status if status > 0 else 128 - status)


def _outcome(parser: Parser, request: Request, cpu_s: float, chars_max: int) -> bytes:
    signal.setitimer(signal.ITIMER_PROF, cpu_s)  # its signal ends the process
    try:
        document = parser.extract(request.name, request.data, chars_max)
    except ExtractionFailed as failure:
        return _answer(request.nonce, Outcome.FAILED, str(*failure.args), "")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if document is None:
        return _answer(request.nonce, Outcome.NO_TEXT, "", "")
    outcome = Outcome.CUT if document.is_cut else Outcome.DOCUMENT
    return _answer(request.nonce, outcome, document.title, document.text)


def _answer(nonce: int, outcome: Outcome, head: str, text: str) -> bytes:
    head_bytes = head[:HEAD_CHARS_MAX].encode("utf-8", "replace")
    text_bytes = text.encode("utf-8", "replace")
    return ANSWER.pack(nonce, outcome, len(head_bytes), len(text_bytes)) + head_bytes + text_bytes


def _read_request() -> Request | None:
    header = _read(REQUEST.size)
    if len(header) < REQUEST.size:
        return None
    nonce, name_bytes, data_bytes = REQUEST.unpack(header)
    return Request(nonce, bytes(_read(name_bytes)), bytes(_read(data_bytes)))


def _read(size: int) -> bytearray:
    """Read so many bytes from standard input; fewer only at its end."""
    buffer = bytearray()
    while len(buffer) < size:
        part = os.read(0, min(size - len(buffer), _READ_BYTES))
        if not part:
            break
        buffer += part
    return buffer


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]
