"""Extended attributes: name spaces, flags, sizes and their probing, who may see which."""

import errno
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.persons import ALICE, BOB, acting_as
from tests.support.syscalls import getxattr_sized, listxattr_sized, refused

VALUE_BYTES_MAX = 65_536
NAME_BYTES_MAX = 255


@pytest.fixture
def file(mount: Path) -> Path:
    """An empty file."""
    (mount / "file").touch()
    return mount / "file"


@pytest.mark.parametrize("space", ["user", "trusted", "security"])
def test_each_name_space_keeps_what_root_sets(file: Path, space: str) -> None:
    os.setxattr(file, f"{space}.key", b"value")
    assert os.getxattr(file, f"{space}.key") == b"value"
    assert os.listxattr(file) == [f"{space}.key"]
    os.removexattr(file, f"{space}.key")
    assert os.listxattr(file) == []


@pytest.mark.parametrize("name", ["unheard.of", "plain", "user.", "system.unheard"])
def test_a_name_of_no_name_space_is_refused(file: Path, name: str) -> None:
    with refused(errno.EOPNOTSUPP, errno.EINVAL):
        os.setxattr(file, name, b"value")


@pytest.mark.parametrize(
    "value", [b"", b"\0", bytes(range(256)), b"v" * 4096, b"v" * VALUE_BYTES_MAX]
)
def test_a_value_is_any_bytes_up_to_64_kib(file: Path, value: bytes) -> None:
    os.setxattr(file, "user.key", value)
    assert os.getxattr(file, "user.key") == value


def test_a_value_beyond_64_kib_is_refused(file: Path) -> None:
    with refused(errno.E2BIG):
        os.setxattr(file, "user.key", b"v" * (VALUE_BYTES_MAX + 1))


def test_create_refuses_what_is_there_and_replace_what_is_not(file: Path) -> None:
    with refused(errno.ENODATA):
        os.setxattr(file, "user.key", b"1", os.XATTR_REPLACE)
    os.setxattr(file, "user.key", b"2", os.XATTR_CREATE)
    with refused(errno.EEXIST):
        os.setxattr(file, "user.key", b"3", os.XATTR_CREATE)
    os.setxattr(file, "user.key", b"4", os.XATTR_REPLACE)
    assert os.getxattr(file, "user.key") == b"4"


def test_of_all_who_create_an_attribute_at_once_one_succeeds(file: Path) -> None:
    def create(key: str, value: bytes) -> bool:
        try:
            os.setxattr(file, key, value, os.XATTR_CREATE)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        for number in range(100):
            key = f"user.key{number}"
            made = list(pool.map(create, [key] * 8, [b"%d" % each for each in range(8)]))
            assert made.count(True) == 1
            assert os.getxattr(file, key) == b"%d" % made.index(True)


def test_a_value_is_replaced_by_a_shorter_one(file: Path) -> None:
    os.setxattr(file, "user.key", b"long value")
    os.setxattr(file, "user.key", b"s")
    assert os.getxattr(file, "user.key") == b"s"


def test_what_is_not_there_is_told_so(file: Path) -> None:
    with refused(errno.ENODATA):
        os.getxattr(file, "user.key")
    with refused(errno.ENODATA):
        os.removexattr(file, "user.key")


def test_a_size_of_zero_asks_how_large_the_value_is(file: Path) -> None:
    os.setxattr(file, "user.key", b"12345")
    assert getxattr_sized(file, b"user.key", 0) == 5
    assert getxattr_sized(file, b"user.key", 5) == 5
    with refused(errno.ERANGE):
        getxattr_sized(file, b"user.key", 4)


def test_a_size_of_zero_asks_how_large_the_list_is(file: Path) -> None:
    os.setxattr(file, "user.a", b"")
    os.setxattr(file, "user.bc", b"")
    assert listxattr_sized(file, 0) == len("user.a") + len("user.bc") + 2
    with refused(errno.ERANGE):
        listxattr_sized(file, 10)


def test_a_name_has_up_to_255_bytes(file: Path) -> None:
    longest = "user." + "n" * (NAME_BYTES_MAX - len("user."))
    os.setxattr(file, longest, b"value")
    assert os.getxattr(file, longest) == b"value"
    with refused(errno.ERANGE):
        os.setxattr(file, longest + "n", b"value")


def test_a_name_is_any_bytes(file: Path) -> None:
    name = b"user.\xff\xfe \n=\xc3\xa4"
    os.setxattr(file, name, b"value")
    assert os.getxattr(file, name) == b"value"
    assert [os.fsencode(found) for found in os.listxattr(file)] == [name]


def test_many_attributes_are_all_listed(file: Path) -> None:
    names = {f"user.key-{number}" for number in range(200)}
    for name in names:
        os.setxattr(file, name, name.encode())
    assert set(os.listxattr(file)) == names
    assert all(os.getxattr(file, name) == name.encode() for name in names)


def test_attributes_belong_to_the_file_not_to_the_name(file: Path, mount: Path) -> None:
    os.setxattr(file, "user.key", b"value")
    os.link(file, mount / "link")
    file.rename(mount / "renamed")
    assert os.getxattr(mount / "link", "user.key") == b"value"
    os.setxattr(mount / "link", "user.key", b"changed")
    assert os.getxattr(mount / "renamed", "user.key") == b"changed"


def test_a_fresh_file_under_an_old_name_has_no_attributes(file: Path) -> None:
    os.setxattr(file, "user.key", b"value")
    file.unlink()
    file.touch()
    assert os.listxattr(file) == []


def test_directories_have_attributes(mount: Path) -> None:
    os.setxattr(mount, "user.key", b"value")
    assert os.getxattr(mount, "user.key") == b"value"


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("x")], ids=["fifo", "symlink"]
)
def test_what_is_neither_file_nor_directory_has_no_user_attributes(
    mount: Path, make: Callable[[Path], object]
) -> None:
    make(mount / "special")
    with refused(errno.EPERM):
        os.setxattr(mount / "special", "user.key", b"value", follow_symlinks=False)
    os.setxattr(mount / "special", "trusted.key", b"value", follow_symlinks=False)
    assert os.getxattr(mount / "special", "trusted.key", follow_symlinks=False) == b"value"


def test_trusted_attributes_are_roots(file: Path) -> None:
    os.setxattr(file, "trusted.key", b"secret")
    os.chown(file, *ALICE[:2])
    with refused(errno.ENODATA):
        acting_as(ALICE, lambda: os.getxattr(file, "trusted.key"))
    with refused(errno.EPERM):
        acting_as(ALICE, lambda: os.setxattr(file, "trusted.key", b"mine"))


def test_user_attributes_follow_the_files_mode(file: Path) -> None:
    os.setxattr(file, "user.key", b"value")
    os.chown(file, *ALICE[:2])
    file.chmod(0o644)
    assert acting_as(BOB, lambda: os.getxattr(file, "user.key")) == b"value"
    with refused(errno.EACCES):
        acting_as(BOB, lambda: os.setxattr(file, "user.key", b"his"))
    file.chmod(0o600)
    with refused(errno.EACCES):
        acting_as(BOB, lambda: os.getxattr(file, "user.key"))


def test_in_a_sticky_directory_only_its_owner_sets_user_attributes(mount: Path) -> None:
    mount.chmod(0o1777)
    with refused(errno.EPERM):
        acting_as(BOB, lambda: os.setxattr(mount, "user.key", b"value"))


def test_a_change_of_attributes_moves_ctime_only(file: Path) -> None:
    os.utime(file, ns=(1, 1))
    changes: list[Callable[[], None]] = [
        lambda: os.setxattr(file, "user.key", b"value"),
        lambda: os.removexattr(file, "user.key"),
    ]
    for change in changes:
        before = file.stat().st_ctime_ns
        time.sleep(0.02)
        change()
        after = file.stat()
        assert after.st_ctime_ns > before
        assert (after.st_atime_ns, after.st_mtime_ns) == (1, 1)


def test_attributes_go_through_descriptors(file: Path) -> None:
    with file.open("rb") as reader:
        os.setxattr(reader.fileno(), "user.key", b"value")
        assert os.getxattr(reader.fileno(), "user.key") == b"value"
        assert os.listxattr(reader.fileno()) == ["user.key"]
        os.removexattr(reader.fileno(), "user.key")
    assert os.listxattr(file) == []
