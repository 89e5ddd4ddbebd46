"""A parser that does what its file says, to see what the sandbox lets it do.

It runs in the sandboxed process, where nothing can be loaded any more: all is imported up here.
"""

import ctypes
import fcntl
import mmap
import os
import resource
import select
import socket
import threading
from collections.abc import Callable
from typing import Final

from vexfs_fuse.errors import ExtractionFailed
from vexfs_fuse.text import confinement
from vexfs_fuse.text.document import Document
from vexfs_fuse.text.extraction.child import ANSWER, Outcome

FORKS: Final = False

TIOCSTI: Final = 0x5412
NUMBERS_MAX: Final = 480
UPROBES: Final = {335, 336}
"""x86-64: the kernel filters them for nobody, and kills with SIGILL whoever is no probe."""

LIBC: Final = ctypes.CDLL(None, use_errno=True)


def extract(name: bytes, data: bytes, chars_max: int) -> Document | None:
    """Obey; a breach that is refused becomes a document with the refusal as its text."""
    what = data.decode()
    if what in BREACHES:
        return Document("", _refusal(BREACHES[what]))
    return DEEDS[what]()


def _refusal(breach: Callable[[], object]) -> str:
    try:
        got = breach()
    except (OSError, ValueError) as refusal:  # setrlimit says ValueError
        return f"refused: {refusal}"
    return f"got {got!r}"


def _system_call(number: int, *arguments: int) -> int:
    result = LIBC.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def _thread() -> None:
    try:
        threading.Thread(target=print).start()
    except RuntimeError as refusal:
        raise OSError(1, str(refusal)) from None


BREACHES: Final[dict[str, Callable[[], object]]] = {
    "read a file": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "make a file": lambda: os.open("/tmp/vexfs-breach", os.O_WRONLY | os.O_CREAT),
    "ask for a file": lambda: os.stat("/etc/passwd"),
    "list a directory": lambda: os.listdir("/"),
    "read a link": lambda: os.readlink("/proc/self/exe"),
    "remove a file": lambda: os.unlink("/tmp/vexfs-breach"),
    "open an internet socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "open a local socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    "make a pair of sockets": socket.socketpair,
    "fork": os.fork,
    "start a thread": _thread,
    "run a program": lambda: os.execv("/bin/true", ["true"]),
    "signal another process": lambda: os.kill(1, 0),
    "signal the group": lambda: os.killpg(0, 0),
    "become root": lambda: os.setresuid(0, 0, 0),
    "duplicate a descriptor": lambda: os.dup(0),
    "make a pipe": os.pipe,
    "make a file in memory": lambda: os.memfd_create("breach"),
    "poll": lambda: select.epoll(),
    "raise its limits": lambda: resource.setrlimit(
        resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    ),
    "map memory to be executed": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    "type at a terminal": lambda: fcntl.ioctl(0, TIOCSTI, b"x"),
    "change its filter": lambda: confinement._prctl(22, 2),
    "leave its session": os.setsid,
    "name its parent": lambda: _system_call(110 if confinement.PROCESSOR == "x86_64" else 173),
}


def _all_other_calls() -> Document:
    """Try every system call that the table does not name; return those that answered something else."""
    column = confinement.MACHINES[confinement.PROCESSOR].column
    table = confinement.CALLS | confinement.MAPPINGS
    allowed = {numbers[column] for numbers in table.values()}
    through = []
    for number in range(NUMBERS_MAX):
        if number not in allowed | UPROBES:
            result = LIBC.syscall(number, -1, -1, -1, -1, -1, -1)
            if result != -1 or ctypes.get_errno() != 1:
                through.append(number)
    return Document("", repr(through))


def _endless() -> Document:
    while True:
        pass


def _waiting() -> Document:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
    return Document("", "woken")


def _hungry() -> Document:
    return Document("", str(len([bytes(1 << 20) for _ in range(1 << 12)])))


def _falling() -> Document:
    ctypes.string_at(0)
    return Document("", "")


def _deep() -> Document:
    return _deep()


def _chatty() -> Document:
    while True:
        os.write(2, b"x" * 65_536)


def _refusing() -> Document:
    raise ExtractionFailed("I would rather not")


def _failing() -> Document:
    raise KeyError("a name\nthat nobody\x1b[31m knows")


def _leaving() -> Document:
    os._exit(0)


def _closing() -> Document:
    os.close(1)
    return _waiting()


def _says(data: bytes) -> Callable[[], Document]:
    def say() -> Document:
        os.write(1, data)
        return Document("", "")

    return say


def _endless_answer() -> Document:
    os.write(1, ANSWER.pack(0, Outcome.DOCUMENT, 0, 1 << 60))
    while True:
        os.write(1, b"x" * 65_536)


def _is_alone() -> Document:
    """Return who we are, what we may, and what of our parent's environment we see."""
    return Document("", f"{os.getpid()} {sorted(os.environ)}")


DEEDS: Final[dict[str, Callable[[], Document | None]]] = {
    "ok": lambda: Document("title", "text"),
    "none": lambda: None,
    "try all other system calls": _all_other_calls,
    "compute for ever": _endless,
    "wait for ever": _waiting,
    "allocate for ever": _hungry,
    "read address zero": _falling,
    "call itself": _deep,
    "complain for ever": _chatty,
    "refuse": _refusing,
    "fail": _failing,
    "leave": _leaving,
    "close its output": _closing,
    "write garbage": _says(b"garbage" * 100),
    "answer for another": _says(ANSWER.pack(0, Outcome.DOCUMENT, 0, 0)),
    "answer half": lambda: _says(b"\0" * 5)() and _waiting(),
    "answer without end": _endless_answer,
    "look around": _is_alone,
    "say what no text holds": lambda: Document("a\nb\x1b[31mc", "x\0y"),
    "say half a character": lambda: Document("\ud800", "\udfff"),
    "say too much": lambda: Document("t" * 100_000, "x" * 10_000_000),
}
