"""Other users on a mount: what modes and access lists say is what they can do, from the first request.

The volume is mounted anew before they come, so that nothing is known but what is stored.
"""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.access_lists import ACCESS, DEFAULT, acl_for
from tests.support.commands import NOBODY, Home
from tests.support.mounting import MountedVolume
from tests.support.persons import ALICE, BOB, SHARED_GROUP, Person, acting_as
from tests.support.syscalls import refused
from vexfs_fuse.fuse import mounting

MEMBER: Final = Person(BOB.uid, BOB.gid, (SHARED_GROUP,))


def make(path: Path, owner: Person, mode: int, *, gid: int | None = None) -> Path:
    """Make a file of somebody's."""
    path.write_bytes(b"contents")
    os.chown(path, owner.uid, owner.gid if gid is None else gid)
    path.chmod(mode)
    return path


def allowed(person: Person, path: Path) -> str:
    """What somebody can do with a file, as in ls -l."""

    def attempt(flags: int) -> bool:
        try:
            os.close(os.open(path, flags))
        except PermissionError:
            return False
        return True

    def try_all() -> str:
        can_read, can_write = attempt(os.O_RDONLY), attempt(os.O_WRONLY)
        return f"{'r' if can_read else '-'}{'w' if can_write else '-'}"

    return acting_as(person, try_all)


def test_modes_hold_for_owner_group_and_others(volume: MountedVolume) -> None:
    for mode in (0o000, 0o400, 0o640, 0o064, 0o206, 0o662):
        make(volume.path / f"{mode:o}", ALICE, mode, gid=SHARED_GROUP)
    volume.remount()
    rights = {0: "--", 2: "-w", 4: "r-", 6: "rw"}
    for mode in (0o000, 0o400, 0o640, 0o064, 0o206, 0o662):
        path = volume.path / f"{mode:o}"
        assert allowed(ALICE, path) == rights[mode >> 6], oct(mode)
        assert allowed(MEMBER, path) == rights[mode >> 3 & 7], oct(mode)
        assert allowed(BOB, path) == rights[mode & 7], oct(mode)


def test_access_lists_hold_after_a_remount(volume: MountedVolume) -> None:
    path = make(volume.path / "a", ALICE, 0o600)
    os.setxattr(path, ACCESS, acl_for(BOB, 6))
    volume.remount()
    assert allowed(BOB, path) == "rw"
    assert allowed(Person(BOB.uid + 1, BOB.gid + 1), path) == "--"
    path.chmod(0o640)  # the mask now
    volume.remount()
    assert allowed(BOB, path) == "r-"


def test_a_default_list_is_inherited_after_a_remount(volume: MountedVolume) -> None:
    directory = volume.path / "d"
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    os.setxattr(directory, DEFAULT, acl_for(BOB, 6))
    volume.remount()
    path = directory / "a"
    acting_as(ALICE, lambda: path.write_bytes(b"a") and None)
    assert allowed(BOB, path) == "rw"


def test_in_a_sticky_directory_everybody_removes_his_own(volume: MountedVolume) -> None:
    directory = volume.path / "tmp"
    directory.mkdir()
    directory.chmod(0o1777)
    volume.remount()
    for person in (ALICE, BOB):
        acting_as(person, (directory / str(person.uid)).touch)
    with refused(errno.EPERM):
        acting_as(BOB, lambda: (directory / str(ALICE.uid)).unlink())
    with refused(errno.EPERM):
        acting_as(BOB, lambda: (directory / str(ALICE.uid)).rename(directory / "mine") and None)
    acting_as(ALICE, lambda: (directory / str(ALICE.uid)).unlink())
    assert os.listdir(directory) == [str(BOB.uid)]


def test_a_closed_directory_hides_what_is_in_it(volume: MountedVolume) -> None:
    directory = volume.path / "closed"
    directory.mkdir()
    make(directory / "open", ALICE, 0o666)
    os.chown(directory, ALICE.uid, ALICE.gid)
    directory.chmod(0o700)
    volume.remount()
    with refused(errno.EACCES):
        acting_as(BOB, lambda: os.listdir(directory))
    with refused(errno.EACCES):
        acting_as(BOB, lambda: bool(os.stat(directory / "open")))
    assert acting_as(ALICE, lambda: os.listdir(directory)) == ["open"]


def test_a_group_directory_keeps_its_group(volume: MountedVolume) -> None:
    directory = volume.path / "shared"
    directory.mkdir()
    os.chown(directory, 0, SHARED_GROUP)
    directory.chmod(0o2770)
    volume.remount()
    acting_as(MEMBER, lambda: (directory / "a").mkdir())
    found = (directory / "a").stat()
    assert (found.st_uid, found.st_gid) == (BOB.uid, SHARED_GROUP)
    assert found.st_mode & stat.S_ISGID
    with refused(errno.EACCES):
        acting_as(ALICE, lambda: os.listdir(directory))


def test_without_allow_other_nobody_else_comes_in() -> None:
    alone = MountedVolume(options="metrics=none")
    try:
        alone.start()
        (alone.path / "a").write_bytes(b"a")
        (alone.path / "a").chmod(0o666)
        with refused(errno.EACCES):
            acting_as(ALICE, lambda: bool(os.stat(alone.path / "a")))
        alone.stop()
    finally:
        alone.discard()


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Home]:
    """A home of an ordinary user, who may use FUSE."""
    mode = os.stat(mounting.DEVICE).st_mode
    os.chmod(mounting.DEVICE, 0o666)
    home = Home(tmp_path)
    for path in (home.path, home.mount_point):
        os.chown(path, NOBODY, NOBODY)
    for above in home.path.parents:
        if above.is_relative_to("/tmp") and above != Path("/tmp"):
            above.chmod(0o755)
    yield home
    os.chmod(mounting.DEVICE, mode)


@contextmanager
def mounted_by_user(home: Home, *options: str) -> Iterator[Path]:
    """A volume that an ordinary user mounts and unmounts."""
    home.succeed("mount", "--store", home.store, *options, home.mount_point, uid=NOBODY)
    try:
        yield home.mount_point
    finally:
        home.succeed("umount", home.mount_point, uid=NOBODY)
    assert not os.path.ismount(home.mount_point)


USER: Final = Person(NOBODY, NOBODY)


def test_an_ordinary_user_mounts_works_and_unmounts(private: Home) -> None:
    contents = os.urandom(300_000)
    with mounted_by_user(private) as mount:
        acting_as(USER, lambda: (mount / "a").write_bytes(contents))
        acting_as(USER, lambda: os.setxattr(mount / "a", "user.key", b"value"))
        with pytest.raises(PermissionError):  # not even root may look
            os.stat(mount / "a")
    with mounted_by_user(private) as mount:
        assert acting_as(USER, (mount / "a").read_bytes) == contents
        assert acting_as(USER, lambda: os.getxattr(mount / "a", "user.key")) == b"value"
        told = json.loads(private.succeed("status", "--json", mount, uid=NOBODY))
        assert told["mount"]["mounted_by"] == "fusermount3"
    assert "ERROR" not in private.log


def test_an_ordinary_users_allow_other_is_the_administrators_choice(private: Home) -> None:
    """/etc/fuse.conf forbids it as it comes; the refusal names what would permit it."""
    if "\nuser_allow_other" in Path("/etc/fuse.conf").read_text():
        with mounted_by_user(private, "-o", "allow_other") as mount:
            assert acting_as(ALICE, lambda: os.listdir(mount)) == []
        return
    command = ("mount", "--store", private.store, "-o", "allow_other", private.mount_point)
    assert "user_allow_other" in private.fail(*command, uid=NOBODY)
    assert not os.path.ismount(private.mount_point)


def test_an_ordinary_user_cannot_mount_where_he_may_not_write(private: Home) -> None:
    os.chown(private.mount_point, 0, 0)
    private.fail("mount", "--store", private.store, private.mount_point, uid=NOBODY)
    assert not os.path.ismount(private.mount_point)


def test_set_id_bits_and_devices_of_an_ordinary_users_volume_do_nothing(private: Home) -> None:
    with mounted_by_user(private, "-o", "suid,dev") as mount:
        flags = acting_as(USER, lambda: os.statvfs(mount).f_flag)
        assert flags & os.ST_NOSUID
        assert flags & os.ST_NODEV
