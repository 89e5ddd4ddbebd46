"""Locks: the kernel keeps them on one mount, for processes as for descriptors."""

import errno
import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.syscalls import refused

F_OFD_SETLK = 37  # from linux/fcntl.h; Python 3.11 has no name for it
FLOCK = struct.Struct("hhqqi4x")

TRY = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
try:
    getattr(fcntl, sys.argv[2])(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("held")
else:
    print("free")
"""


def found_by_another(path: Path, call: str) -> str:
    """What another process finds that tries to lock the file."""
    command = [sys.executable, "-c", TRY, str(path), call]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def descriptor(mount: Path) -> Iterator[int]:
    """An open file that has something to lock."""
    opened = os.open(mount / "file", os.O_RDWR | os.O_CREAT)
    os.write(opened, b"x" * 100)
    yield opened
    os.close(opened)


@pytest.mark.parametrize("call", ["flock", "lockf"])
def test_a_lock_keeps_another_process_out_until_it_is_let_go(
    mount: Path, descriptor: int, call: str
) -> None:
    lock = getattr(fcntl, call)
    lock(descriptor, fcntl.LOCK_EX)
    assert found_by_another(mount / "file", call) == "held"
    lock(descriptor, fcntl.LOCK_UN)
    assert found_by_another(mount / "file", call) == "free"


def test_a_lock_goes_with_its_process(mount: Path) -> None:
    (mount / "file").touch()
    holder = subprocess.Popen(
        [sys.executable, "-c", TRY + "import time; time.sleep(60)", mount / "file", "flock"],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"free\n"
    assert found_by_another(mount / "file", "flock") == "held"
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert found_by_another(mount / "file", "flock") == "free"


def test_a_range_is_locked_apart_from_the_rest(mount: Path, descriptor: int) -> None:
    fcntl.lockf(descriptor, fcntl.LOCK_EX, 10, 50)
    script = TRY.replace("fcntl.LOCK_NB)", "fcntl.LOCK_NB, 10, int(sys.argv[3]))")

    def found_at(offset: int) -> str:
        command = [sys.executable, "-c", script, str(mount / "file"), "lockf", str(offset)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert found_at(0) == "free"
    assert found_at(55) == "held"


def test_open_file_descriptions_lock_against_each_other_in_one_process(
    mount: Path, descriptor: int
) -> None:
    whole = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(descriptor, F_OFD_SETLK, whole)
    other = os.open(mount / "file", os.O_RDWR)
    with refused(errno.EAGAIN):
        fcntl.fcntl(other, F_OFD_SETLK, whole)
    os.close(other)


def test_shared_locks_go_beside_each_other(mount: Path, descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    other = os.open(mount / "file", os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    with refused(errno.EAGAIN):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
