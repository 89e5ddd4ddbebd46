"""Nodes of every kind that mknod(2) and its relatives make, and that they work."""

import errno
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from tests.support.syscalls import refused

NULL_DEVICE = os.makedev(1, 3)
LARGE_DEVICE = os.makedev(4_095, 1_048_575)


@pytest.mark.parametrize(
    ("kind", "device"),
    [
        (stat.S_IFREG, 0),
        (stat.S_IFIFO, 0),
        (stat.S_IFSOCK, 0),
        (stat.S_IFCHR, NULL_DEVICE),
        (stat.S_IFBLK, os.makedev(7, 200)),
        (stat.S_IFCHR, LARGE_DEVICE),
        (stat.S_IFBLK, LARGE_DEVICE),
    ],
)
def test_mknod_makes_every_kind(mount: Path, kind: int, device: int) -> None:
    os.mknod(mount / "node", kind | 0o640, device)
    found = (mount / "node").lstat()
    assert stat.S_IFMT(found.st_mode) == kind
    assert stat.S_IMODE(found.st_mode) == 0o640
    assert found.st_rdev == device
    assert found.st_nlink == 1
    (mount / "node").rename(mount / "renamed")
    (mount / "renamed").unlink()


def test_a_device_node_opens_its_device(mount: Path) -> None:
    os.mknod(mount / "null", stat.S_IFCHR | 0o666, NULL_DEVICE)
    with (mount / "null").open("rb+", buffering=0) as device:
        assert device.write(b"swallowed") == 9
        assert device.read(1) == b""


def test_a_fifo_carries_bytes(mount: Path) -> None:
    os.mkfifo(mount / "fifo")
    writer = threading.Thread(target=lambda: (mount / "fifo").write_bytes(b"through"))
    writer.start()
    assert (mount / "fifo").read_bytes() == b"through"
    writer.join()


def test_a_fifo_without_reader_refuses_a_writer_that_will_not_wait(mount: Path) -> None:
    os.mkfifo(mount / "fifo")
    with refused(errno.ENXIO):
        os.open(mount / "fifo", os.O_WRONLY | os.O_NONBLOCK)


def test_a_socket_takes_connections(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mount)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("socket")
        server.listen(1)
        assert stat.S_ISSOCK((mount / "socket").stat().st_mode)
        client.connect("socket")
        connection, _ = server.accept()
        with connection:
            client.sendall(b"hello")
            assert connection.recv(5) == b"hello"


def test_a_socket_node_does_not_open(mount: Path) -> None:
    os.mknod(mount / "socket", stat.S_IFSOCK | 0o600)
    with refused(errno.ENXIO):
        os.open(mount / "socket", os.O_RDONLY)


def test_a_program_on_the_mount_runs(mount: Path) -> None:
    (mount / "script").write_text("#!/bin/sh\nexit 7\n")
    (mount / "script").chmod(0o755)
    child = os.posix_spawn(mount / "script", ["script"], {})
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_program_that_runs_is_not_written(mount: Path) -> None:
    (mount / "sleep").write_bytes(Path("/bin/sleep").read_bytes())
    (mount / "sleep").chmod(0o755)
    child = os.posix_spawn(mount / "sleep", ["sleep", "30"], {})
    try:
        with refused(errno.ETXTBSY):
            os.open(mount / "sleep", os.O_WRONLY)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
