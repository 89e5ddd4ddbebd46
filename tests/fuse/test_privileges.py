"""Set-id bits and capabilities, which HANDLE_KILLPRIV_V2 leaves to us, as programs see them."""

import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mounting import MountedVolume
from tests.support.persons import ALICE, acting_as

pytestmark = pytest.mark.mount
SET_ID = 0o6777


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    volume = MountedVolume()
    try:
        volume.start()
        yield volume.path
        volume.stop()
    finally:
        volume.discard()


@pytest.fixture
def program(root: Path, request: pytest.FixtureRequest) -> Path:
    """A program with set-id bits that anybody may write to, whose mode the kernel has in its cache."""
    path = root / str(request.node.name)
    path.write_bytes(b"contents")
    path.chmod(SET_ID)
    assert mode_kept(path) == SET_ID
    return path


def mode_kept(path: Path) -> int:
    """What exec goes by: the mode alone, so that nothing else makes the kernel ask us."""
    shown = subprocess.run(["stat", "-c", "%a", path], capture_output=True, text=True, check=True)
    return int(shown.stdout, 8)


def write(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        file.write(b"changed")


def test_another_s_write_clears_set_id_for_the_kernel_too(program: Path) -> None:
    acting_as(ALICE, lambda: write(program))
    assert mode_kept(program) == 0o777


def test_who_writes_decides_and_not_who_has_opened(program: Path) -> None:
    """One descriptor, opened by root and handed to a user, and the other way round."""
    opened_by_root = os.open(program, os.O_WRONLY)
    acting_as(ALICE, lambda: os.write(opened_by_root, b"changed"))
    os.close(opened_by_root)
    assert mode_kept(program) == 0o777
    program.chmod(SET_ID)
    ours, theirs = socket.socketpair()

    def open_and_hand_over() -> None:
        descriptor = os.open(program, os.O_WRONLY)
        socket.send_fds(theirs, [b"x"], [descriptor])

    acting_as(ALICE, open_and_hand_over)
    _, (opened_by_alice,), _, _ = socket.recv_fds(ours, 1, 1)
    os.write(opened_by_alice, b"changed")
    for descriptor in (opened_by_alice, ours.detach(), theirs.detach()):
        os.close(descriptor)
    assert stat.S_IMODE(program.stat().st_mode) == SET_ID


def test_another_s_truncation_clears_set_id_for_the_kernel_too(program: Path) -> None:
    acting_as(ALICE, lambda: os.truncate(program, 3))
    assert mode_kept(program) == 0o777


def test_another_s_opening_with_truncation_clears_set_id_for_the_kernel_too(program: Path) -> None:
    acting_as(ALICE, lambda: program.open("wb").close())
    assert mode_kept(program) == 0o777


def test_root_s_write_keeps_set_id(program: Path) -> None:
    write(program)
    assert stat.S_IMODE(program.stat().st_mode) == SET_ID


def test_a_new_owner_clears_set_id(program: Path) -> None:
    os.chown(program, ALICE.uid, ALICE.gid)
    assert mode_kept(program) == 0o777
