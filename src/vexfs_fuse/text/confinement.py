"""Takes from this process what a parser does not need: files, network, other processes, the user's rights.

Linux only, through ctypes; knows nothing of documents.  Each layer alone would hold: a kernel, or a container
around us, may refuse one, and a mistake in one is covered by the others.

- another user (only if we are root) and no capabilities, so that what is reached after all belongs to nobody;
- limits: address space, no new descriptors, no bytes written to files, no further processes, no core dump;
- Landlock: no path can be opened, no TCP port reached;
- seccomp: only the few system calls pass that computing and two pipes need.
"""

import ctypes
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

NOBODY: Final = 65_534
DESCRIPTORS: Final = 3
"""Standard input, output and error, which are pipes."""

SECCOMP: Final = "seccomp"

_libc: Final = ctypes.CDLL(None, use_errno=True)

# linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_SECCOMP_MODE_FILTER: Final = 2

# linux/capability.h: version 3 has two words of each set
_CAPABILITY_HEADER: Final = struct.Struct("=Ii")
_CAPABILITY_VERSION: Final = 0x20080522
_CAPABILITY_SETS_BYTES: Final = 24


class Refused(OSError):
    """The kernel does not give a layer."""


def confine(memory_bytes: int, *, may_fork: bool = False) -> list[str]:
    """Give up, for good, what a parser does not need; return the layers that could not be had.

    `may_fork` leaves the right to make copies of this process, which are to call `narrow`.
    """
    _prefer_for_oom()
    os.chdir("/")
    layers: tuple[tuple[str, Callable[[], None]], ...] = (
        ("another user", _leave_root),
        ("no capabilities", _drop_capabilities),
        ("no new privileges", lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1)),
        ("no dumps", lambda: _prctl(_PR_SET_DUMPABLE, 0)),
        ("death with its parent", lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)),
        ("Landlock", _restrict_paths),
        ("limits", lambda: _limit(memory_bytes, may_fork)),
        (SECCOMP, lambda: _filter_calls(may_fork)),
    )
    return [name for name, take in layers if not _succeeds(take)]


def narrow() -> None:
    """Give up the right to fork as well, in a copy of a process that had it.

    Raises
    ------
    Refused
        The kernel has no seccomp, which is the one layer that this is about.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _filter_calls(may_fork=False)


def _succeeds(take: Callable[[], None]) -> bool:
    try:
        take()
    except (OSError, ValueError):  # `setrlimit` says ValueError for a limit that is too high
        return False
    return True


def _prefer_for_oom() -> None:
    """When memory runs out the kernel shall end us first, not the file system."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:  # no /proc
        pass


def _leave_root() -> None:
    if os.geteuid() != 0:
        return
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _drop_capabilities() -> None:
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = _CAPABILITY_HEADER.pack(_CAPABILITY_VERSION, 0)
    _check(_libc.capset(header, bytes(_CAPABILITY_SETS_BYTES)))


def _limit(memory_bytes: int, may_fork: bool) -> None:
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_NOFILE: DESCRIPTORS,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    if not may_fork:
        limits[resource.RLIMIT_NPROC] = 0
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))


def _prctl(option: int, value: int, pointer: object = None) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(value), pointer, None, None))


def _check(result: int) -> int:
    if result < 0:
        raise Refused(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


# --- Landlock: linux/landlock.h; the numbers of its calls are the same on every machine --------------

_LANDLOCK_CREATE_RULESET: Final = 444
_LANDLOCK_RESTRICT_SELF: Final = 446
_LANDLOCK_VERSION: Final = 1
_LANDLOCK_RULESET: Final = struct.Struct(
    "=QQQ"
)  # handled: access to files, to ports, beyond the scope


def _restrict_paths() -> None:
    """Handle all rights that this kernel's Landlock knows, and grant none."""
    version = _check(
        _libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    )
    files = 13 + (version >= 2) + (version >= 3) + (version >= 5)
    ports = 2 if version >= 4 else 0
    scopes = 2 if version >= 6 else 0
    attributes = _LANDLOCK_RULESET.pack((1 << files) - 1, (1 << ports) - 1, (1 << scopes) - 1)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _check(_libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0))
    try:
        _check(_libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


# --- seccomp: linux/seccomp.h, linux/bpf_common.h, linux/audit.h -------------------------------------

ALLOW: Final = 0x7FFF0000
REFUSE: Final = 0x00050000 | 1  # EPERM
KILL: Final = 0x80000000  # the process

_LOAD: Final = 0x20
_JUMP_IF_EQUAL: Final = 0x15
_JUMP_IF_AT_LEAST: Final = 0x35
_JUMP_IF_ANY_BIT: Final = 0x45
_RETURN: Final = 0x06
_INSTRUCTION: Final = struct.Struct("=HBBI")  # code, jump if true, if false, constant
_PROGRAM: Final = struct.Struct("@HP")

# offsets in struct seccomp_data, little-endian
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_ARGUMENT_AT: Final = 16  # the low word of the first of six, 8 bytes each

_PROT_EXEC: Final = 4
_X32: Final = 0x40000000
_FORK_FLAGS: Final = 0x01200000 | signal.SIGCHLD  # CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID


class Machine(NamedTuple):
    """How the kernel tells a processor's programs, and which column of the table is its."""

    architecture: int  # AUDIT_ARCH_*
    column: int


MACHINES: Final = {"x86_64": Machine(0xC000003E, 0), "aarch64": Machine(0xC00000B7, 1)}
PROCESSOR: Final = os.uname().machine

CALLS: Final = {  # numbers on x86-64 and aarch64; -1 where there is no such call
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "close": (3, 57),
    "fstat": (5, 80),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "brk": (12, 214),
    "madvise": (28, 233),
    "futex": (202, 98),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "setitimer": (38, 103),
    "restart_syscall": (219, 128),
    "sched_yield": (24, 124),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, -1),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
"""What Python, zlib, expat and PDFium need once they are loaded."""

MAPPINGS: Final = {"mmap": (9, 222), "mprotect": (10, 226)}
"""Allowed unless the third argument asks for memory that can be executed."""

FORKING: Final = {"wait4": (61, 260)}
CLONE: Final = (56, 220)
PRCTL: Final = (157, 167)


def filter_program(machine: Machine, *, may_fork: bool) -> bytes:
    """Return the filter for one kind of processor as the kernel's array of instructions."""
    column = machine.column
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_IF_EQUAL, 1, 0, machine.architecture),
        (_RETURN, 0, 0, KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_IF_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, KILL),
    ]
    for numbers in [*CALLS.values(), *(FORKING.values() if may_fork else ())]:
        if numbers[column] >= 0:
            program += [(_JUMP_IF_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, ALLOW)]
    for numbers in MAPPINGS.values():
        refused = (_JUMP_IF_ANY_BIT, 0, 1, _PROT_EXEC)
        program += _if_argument(numbers[column], 2, [refused, (_RETURN, 0, 0, REFUSE)], ALLOW)
    if may_fork:
        for number, value in (
            (CLONE[column], _FORK_FLAGS),
            (PRCTL[column], _PR_SET_SECCOMP),
            (PRCTL[column], _PR_SET_PDEATHSIG),
        ):
            allowed = (_JUMP_IF_EQUAL, 0, 1, value)
            program += _if_argument(number, 0, [allowed, (_RETURN, 0, 0, ALLOW)], None)
    program.append((_RETURN, 0, 0, REFUSE))
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


def _if_argument(
    number: int, argument: int, judged: list[tuple[int, int, int, int]], otherwise: int | None
) -> Iterable[tuple[int, int, int, int]]:
    """Return instructions that judge one argument of one call.

    Without `otherwise` they fall through, with the call's number loaded again.
    """
    last = (_LOAD, 0, 0, _NUMBER_AT) if otherwise is None else (_RETURN, 0, 0, otherwise)
    body = [(_LOAD, 0, 0, _ARGUMENT_AT + 8 * argument), *judged, last]
    return [(_JUMP_IF_EQUAL, 0, len(body), number), *body]


def _filter_calls(may_fork: bool) -> None:
    machine = MACHINES.get(PROCESSOR)
    if machine is None or sys.maxsize < 2**32 or sys.byteorder != "little":
        raise Refused("no table of system calls for this machine")
    instructions = filter_program(machine, may_fork=may_fork)
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    count = len(instructions) // _INSTRUCTION.size
    program = _PROGRAM.pack(count, ctypes.addressof(buffer))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program)
