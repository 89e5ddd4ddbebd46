"""POSIX access control lists: inherited, enforced, kept in step with the mode."""

import errno
import os
import stat
import struct
from pathlib import Path

from tests.support.access_lists import (
    ACCESS,
    DEFAULT,
    GROUP,
    GROUP_OBJ,
    MASK,
    NOBODY_IN_PARTICULAR,
    OTHER,
    USER,
    USER_OBJ,
    acl,
    acl_for,
    entries_of,
)
from tests.support.persons import ALICE, BOB, Person, acting_as
from tests.support.syscalls import refused


def make_file(path: Path, mode: int = 0o600) -> Path:
    """A file with contents and this mode."""
    path.write_bytes(b"text")
    path.chmod(mode)
    return path


def test_a_named_user_gets_what_the_list_says(mount: Path) -> None:
    file = make_file(mount / "file")
    os.setxattr(file, ACCESS, acl_for(BOB, 4))
    assert acting_as(BOB, file.read_bytes) == b"text"
    with refused(errno.EACCES):
        acting_as(BOB, lambda: os.truncate(file, 0))
    with refused(errno.EACCES):
        acting_as(ALICE, file.read_bytes)


def test_a_named_group_gets_what_the_list_says(mount: Path) -> None:
    file = make_file(mount / "file")
    value = acl(
        (USER_OBJ, 6, NOBODY_IN_PARTICULAR),
        (GROUP_OBJ, 0, NOBODY_IN_PARTICULAR),
        (GROUP, 4, 777),
        (MASK, 4, NOBODY_IN_PARTICULAR),
        (OTHER, 0, NOBODY_IN_PARTICULAR),
    )
    os.setxattr(file, ACCESS, value)
    assert acting_as(Person(BOB.uid, BOB.gid, (777,)), file.read_bytes) == b"text"
    with refused(errno.EACCES):
        acting_as(BOB, file.read_bytes)


def test_the_mask_limits_named_users(mount: Path) -> None:
    file = make_file(mount / "file")
    os.setxattr(file, ACCESS, acl_for(BOB, 7, mask=0))
    with refused(errno.EACCES):
        acting_as(BOB, file.read_bytes)


def test_setting_a_list_sets_the_mode(mount: Path) -> None:
    file = make_file(mount / "file")
    os.setxattr(file, ACCESS, acl_for(BOB, 4, mask=5, owner=7))
    assert stat.S_IMODE(file.stat().st_mode) == 0o750


def test_chmod_sets_the_mask_and_leaves_the_named_user(mount: Path) -> None:
    file = make_file(mount / "file")
    os.setxattr(file, ACCESS, acl_for(BOB, 6))
    file.chmod(0o640)
    found = {tag: permissions for tag, permissions, _ in entries_of(file, ACCESS)}
    assert found == {USER_OBJ: 6, USER: 6, GROUP_OBJ: 0, MASK: 4, OTHER: 0}
    with refused(errno.EACCES):
        acting_as(BOB, lambda: os.truncate(file, 0))


def test_a_list_that_a_mode_can_say_is_kept_as_the_mode(mount: Path) -> None:
    file = make_file(mount / "file")
    value = acl(
        (USER_OBJ, 7, NOBODY_IN_PARTICULAR),
        (GROUP_OBJ, 5, NOBODY_IN_PARTICULAR),
        (OTHER, 4, NOBODY_IN_PARTICULAR),
    )
    os.setxattr(file, ACCESS, value)
    assert stat.S_IMODE(file.stat().st_mode) == 0o754
    with refused(errno.ENODATA):
        os.getxattr(file, ACCESS)


def test_a_default_list_becomes_the_list_of_what_is_made_inside(mount: Path) -> None:
    os.setxattr(mount, DEFAULT, acl_for(BOB, 6, owner=7))
    (mount / "file").touch(0o666)
    assert (USER, 6, BOB.uid) in entries_of(mount / "file", ACCESS)
    with refused(errno.ENODATA):
        os.getxattr(mount / "file", DEFAULT)


def test_a_default_list_goes_down_the_tree(mount: Path) -> None:
    value = acl_for(BOB, 7, owner=7)
    os.setxattr(mount, DEFAULT, value)
    (mount / "one" / "two").mkdir(parents=True)
    assert os.getxattr(mount / "one" / "two", DEFAULT) == value
    assert acting_as(BOB, lambda: os.listdir(mount / "one" / "two")) == []


def test_an_inherited_list_is_limited_by_the_mode_asked_for(mount: Path) -> None:
    os.setxattr(mount, DEFAULT, acl_for(BOB, 7, owner=7))
    os.umask(0)
    os.close(os.open(mount / "file", os.O_CREAT | os.O_WRONLY, 0o640))
    assert stat.S_IMODE((mount / "file").stat().st_mode) == 0o640
    assert (MASK, 4, NOBODY_IN_PARTICULAR) in entries_of(mount / "file", ACCESS)


def test_lists_can_be_removed(mount: Path) -> None:
    (mount / "directory").mkdir()
    for name in (ACCESS, DEFAULT):
        os.setxattr(mount / "directory", name, acl_for(BOB, 7, owner=7))
        os.removexattr(mount / "directory", name)
        with refused(errno.ENODATA):
            os.getxattr(mount / "directory", name)


def test_only_a_directory_has_a_default_list(mount: Path) -> None:
    file = make_file(mount / "file")
    with refused(errno.EACCES, errno.EPERM):
        os.setxattr(file, DEFAULT, acl_for(BOB, 4))


def test_only_the_owner_sets_a_list(mount: Path) -> None:
    file = make_file(mount / "file", 0o666)
    with refused(errno.EPERM):
        acting_as(BOB, lambda: os.setxattr(file, ACCESS, acl_for(BOB, 6)))
    os.chown(file, *ALICE[:2])
    acting_as(ALICE, lambda: os.setxattr(file, ACCESS, acl_for(BOB, 6)))
    assert (USER, 6, BOB.uid) in entries_of(file, ACCESS)


def test_a_list_that_makes_no_sense_is_refused(mount: Path) -> None:
    file = make_file(mount / "file")
    for value in (b"short", struct.pack("<I", 99), acl((USER, 7, BOB.uid)), acl_for(BOB, 99)):
        with refused(errno.EINVAL, errno.EOPNOTSUPP):
            os.setxattr(file, ACCESS, value)


def test_a_list_set_by_an_owner_outside_the_group_drops_set_group_id(mount: Path) -> None:
    file = make_file(mount / "file")
    os.chown(file, ALICE.uid, 777)
    file.chmod(0o2755)
    acting_as(ALICE, lambda: os.setxattr(file, ACCESS, acl_for(BOB, 5, owner=7)))
    assert file.stat().st_mode & stat.S_ISGID == 0


def test_access_lists_are_listed_among_the_attributes(mount: Path) -> None:
    (mount / "directory").mkdir()
    os.setxattr(mount / "directory", ACCESS, acl_for(BOB, 7, owner=7))
    os.setxattr(mount / "directory", DEFAULT, acl_for(BOB, 7, owner=7))
    assert {ACCESS, DEFAULT} <= set(os.listxattr(mount / "directory"))
