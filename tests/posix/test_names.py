"""Names and paths: how long, made of which bytes, how deep."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.syscalls import refused

NAME_BYTES_MAX = 255
TARGET_BYTES_MAX = 4_095
DEPTH = 500

ODD_NAMES = [
    b"a" * NAME_BYTES_MAX,
    "ü€𝄞".encode(),
    b"\xff\xfe\x80",
    b"\xc3",
    b" ",
    b"-rf",
    b"a\nb",
    b"*?[",
    b".hidden",
    b"...",
    b"\x01\x7f\\\"'",
    bytes(byte for byte in range(1, 256) if byte != ord("/")),
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_any_bytes_but_slash_and_nul(mount: Path, name: bytes) -> None:
    path = os.path.join(bytes(mount), name)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    assert os.listdir(bytes(mount)) == [name]
    os.rename(path, path[:-1] + b"~")
    os.rename(path[:-1] + b"~", path)
    assert os.stat(path).st_nlink == 1
    os.unlink(path)
    assert os.listdir(bytes(mount)) == []


def test_names_that_differ_in_case_or_normal_form_are_different(mount: Path) -> None:
    names = ["name", "Name", "\u00e4", "a\u0308"]
    for name in names:
        (mount / name).write_text(name)
    assert [(mount / name).read_text() for name in names] == names


def _rename_to(path: Path) -> None:
    (path.parent / "file").rename(path)


def _link_to(path: Path) -> None:
    os.link(path.parent / "file", path)


USES_OF_A_NAME: dict[str, Callable[[Path], object]] = {
    "create": lambda path: os.open(path, os.O_CREAT | os.O_WRONLY),
    "mkdir": lambda path: path.mkdir(),
    "mkfifo": os.mkfifo,
    "symlink": lambda path: path.symlink_to("x"),
    "link": _link_to,
    "rename": _rename_to,
    "stat": lambda path: path.stat(),
    "unlink": lambda path: path.unlink(),
    "rmdir": lambda path: path.rmdir(),
}


@pytest.mark.parametrize("use", USES_OF_A_NAME)
def test_a_name_of_256_bytes_is_too_long(mount: Path, use: str) -> None:
    (mount / "file").touch()
    with refused(errno.ENAMETOOLONG):
        USES_OF_A_NAME[use](mount / ("n" * (NAME_BYTES_MAX + 1)))
    assert os.listdir(mount) == ["file"]


@pytest.mark.parametrize("use", USES_OF_A_NAME)
def test_a_name_below_a_file_is_refused(mount: Path, use: str) -> None:
    (mount / "blocked").touch()
    with refused(errno.ENOTDIR):
        USES_OF_A_NAME[use](mount / "blocked" / "name")


TAKEN: dict[str, Callable[[Path], object]] = {
    name: USES_OF_A_NAME[name] for name in ("mkdir", "mkfifo", "symlink", "link")
}


@pytest.mark.parametrize("make", TAKEN)
@pytest.mark.parametrize("there", ["mkdir", "mkfifo", "symlink"])
def test_a_taken_name_is_refused(mount: Path, make: str, there: str) -> None:
    (mount / "file").touch()
    TAKEN[there](mount / "name")
    with refused(errno.EEXIST):
        TAKEN[make](mount / "name")


def test_a_symbolic_link_holds_4095_bytes(mount: Path) -> None:
    os.symlink("t" * TARGET_BYTES_MAX, mount / "link")
    assert os.readlink(mount / "link") == "t" * TARGET_BYTES_MAX
    with refused(errno.ENAMETOOLONG):
        os.symlink("t" * (TARGET_BYTES_MAX + 1), mount / "longer")


def test_a_tree_500_deep_can_be_made_walked_and_removed(mount: Path) -> None:
    here = os.open(mount, os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    for _ in range(DEPTH):
        above = os.open("..", os.O_RDONLY, dir_fd=here)
        os.close(here)
        os.rmdir("d", dir_fd=above)
        here = above
    assert os.fstat(here).st_ino == mount.stat().st_ino
    os.close(here)


def test_a_path_beyond_the_kernels_limit_is_too_long(mount: Path) -> None:
    with refused(errno.ENAMETOOLONG):
        os.stat(bytes(mount) + b"/x" * 4096)


def test_the_name_limit_is_told(mount: Path) -> None:
    assert os.statvfs(mount).f_namemax == NAME_BYTES_MAX
    assert os.pathconf(mount, "PC_NAME_MAX") == NAME_BYTES_MAX
