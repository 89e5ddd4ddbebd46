"""A second user on the mount can do what the modes allow, and nothing else."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.persons import ALICE, BOB, SHARED_GROUP, Person, acting_as
from tests.support.syscalls import refused


@pytest.fixture
def shelf(mount: Path) -> Path:
    """A directory of Alice with a file and a directory of hers."""
    shelf = mount / "shelf"
    shelf.mkdir()
    (shelf / "file").write_bytes(b"text")
    (shelf / "directory").mkdir()
    for path in (shelf, shelf / "file", shelf / "directory"):
        os.chown(path, *ALICE[:2])
    return shelf


def _read(path: Path) -> object:
    return path.read_bytes()


def _open_for_writing(path: Path) -> object:
    with path.open("ab"):
        return None


def _execute(path: Path) -> object:
    return os.posix_spawn(path, [str(path)], {})


CLASSES = {
    "owner": (ALICE, 6),
    "group": (Person(BOB.uid, ALICE.gid), 3),
    "supplementary group": (Person(BOB.uid, BOB.gid, (ALICE.gid,)), 3),
    "other": (BOB, 0),
}


@pytest.mark.parametrize("who", CLASSES)
@pytest.mark.parametrize(
    ("bit", "action"), [(4, _read), (2, _open_for_writing)], ids=["read", "write"]
)
def test_each_class_of_user_has_its_own_bits(
    shelf: Path, who: str, bit: int, action: Callable[[Path], object]
) -> None:
    person, shift = CLASSES[who]
    (shelf / "file").chmod(bit << shift)
    acting_as(person, lambda: action(shelf / "file"))
    (shelf / "file").chmod(0o777 & ~(bit << shift))
    with refused(errno.EACCES):
        acting_as(person, lambda: action(shelf / "file"))


def test_a_file_without_execute_bits_is_not_executed_even_by_root(shelf: Path) -> None:
    (shelf / "file").write_bytes(b"#!/bin/true\n")
    (shelf / "file").chmod(0o644)
    with refused(errno.EACCES):
        _execute(shelf / "file")


ENTRY_CHANGES: dict[str, Callable[[Path], object]] = {
    "create": lambda shelf: (shelf / "made").touch(),
    "mkdir": lambda shelf: (shelf / "made").mkdir(),
    "mkfifo": lambda shelf: os.mkfifo(shelf / "made"),
    "symlink": lambda shelf: (shelf / "made").symlink_to("x"),
    "unlink": lambda shelf: (shelf / "file").unlink(),
    "rmdir": lambda shelf: (shelf / "directory").rmdir(),
    "rename": lambda shelf: (shelf / "file").rename(shelf / "renamed"),
}


@pytest.mark.parametrize("change", ENTRY_CHANGES)
def test_entries_change_only_with_write_permission_on_the_directory(
    shelf: Path, change: str
) -> None:
    with refused(errno.EACCES):
        acting_as(BOB, lambda: ENTRY_CHANGES[change](shelf) and None)
    shelf.chmod(0o777)
    acting_as(BOB, lambda: ENTRY_CHANGES[change](shelf) and None)


def test_a_directory_without_search_permission_hides_what_is_in_it(shelf: Path) -> None:
    shelf.chmod(0o744)
    assert sorted(acting_as(BOB, lambda: os.listdir(shelf))) == ["directory", "file"]
    with refused(errno.EACCES):
        acting_as(BOB, (shelf / "file").stat)


def test_a_directory_without_read_permission_is_passed_but_not_listed(shelf: Path) -> None:
    shelf.chmod(0o711)
    assert acting_as(BOB, (shelf / "file").read_bytes) == b"text"
    with refused(errno.EACCES):
        acting_as(BOB, lambda: os.listdir(shelf))


def test_what_a_user_makes_is_his(mount: Path) -> None:
    mount.chmod(0o777)
    acting_as(BOB, (mount / "file").touch)
    acting_as(BOB, (mount / "directory").mkdir)
    for name in ("file", "directory"):
        found = (mount / name).stat()
        assert (found.st_uid, found.st_gid) == (BOB.uid, BOB.gid)


def test_access_answers_for_the_caller(shelf: Path) -> None:
    (shelf / "file").chmod(0o604)
    assert acting_as(BOB, lambda: os.access(shelf / "file", os.R_OK))
    assert not acting_as(BOB, lambda: os.access(shelf / "file", os.W_OK))
    assert acting_as(ALICE, lambda: os.access(shelf / "file", os.W_OK))


def test_a_member_of_the_shared_group_works_in_its_directory(mount: Path) -> None:
    os.chown(mount, -1, SHARED_GROUP)
    mount.chmod(0o2770)
    member = Person(BOB.uid, BOB.gid, (SHARED_GROUP,))
    acting_as(member, (mount / "file").touch)
    assert (mount / "file").stat().st_gid == SHARED_GROUP
    with refused(errno.EACCES):
        acting_as(ALICE, (mount / "other").touch)


def test_truncation_needs_write_permission(shelf: Path) -> None:
    (shelf / "file").chmod(0o644)
    with refused(errno.EACCES):
        acting_as(BOB, lambda: os.truncate(shelf / "file", 0))
    (shelf / "file").chmod(0o666)
    acting_as(BOB, lambda: os.truncate(shelf / "file", 0))


def test_devices_are_made_by_root_only(mount: Path) -> None:
    mount.chmod(0o777)
    with refused(errno.EPERM):
        acting_as(BOB, lambda: os.mknod(mount / "device", 0o20666, os.makedev(1, 3)))


def test_a_loss_of_permission_counts_at_once(shelf: Path) -> None:
    shelf.chmod(0o755)
    assert acting_as(BOB, (shelf / "file").read_bytes) == b"text"
    shelf.chmod(0o700)
    with refused(errno.EACCES):
        acting_as(BOB, (shelf / "file").read_bytes)
