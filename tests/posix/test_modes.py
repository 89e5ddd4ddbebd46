"""Modes and owners: umask, set-group-id directories, set-id clearing, the sticky bit."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.persons import ALICE, BOB, SHARED_GROUP, Person, acting_as
from tests.support.syscalls import refused

GROUP = 61_200


def mode_of(path: Path) -> int:
    """The permission bits and the three above them."""
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o644, 0o777, 0o1777, 0o2755, 0o4755, 0o7777])
def test_chmod_sets_all_twelve_bits(mount: Path, mode: int) -> None:
    (mount / "file").touch()
    (mount / "directory").mkdir()
    for name in ("file", "directory"):
        (mount / name).chmod(mode)
        assert mode_of(mount / name) == mode


@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o755), (0o077, 0o700), (0, 0o777)])
def test_the_umask_is_taken_off_once(mount: Path, umask: int, expected: int) -> None:
    os.umask(umask)
    os.close(os.open(mount / "file", os.O_CREAT, 0o777))
    os.mkdir(mount / "directory", 0o777)
    os.mkfifo(mount / "fifo", 0o777)
    assert {mode_of(mount / name) for name in ("file", "directory", "fifo")} == {expected}


def test_chmod_changes_ctime_only(mount: Path) -> None:
    (mount / "file").touch()
    os.utime(mount / "file", ns=(1, 1))
    before = (mount / "file").stat().st_ctime_ns
    (mount / "file").chmod(0o600)
    after = (mount / "file").stat()
    assert after.st_ctime_ns >= before
    assert (after.st_atime_ns, after.st_mtime_ns) == (1, 1)


def test_only_the_owner_changes_the_mode(mount: Path) -> None:
    (mount / "file").touch()
    os.chown(mount / "file", *ALICE[:2])
    acting_as(ALICE, lambda: (mount / "file").chmod(0o640))
    assert mode_of(mount / "file") == 0o640
    with refused(errno.EPERM):
        acting_as(BOB, lambda: (mount / "file").chmod(0o666))


def test_chown_sets_one_or_both_and_follows_no_link_if_told(mount: Path) -> None:
    (mount / "file").touch()
    (mount / "link").symlink_to("file")
    os.chown(mount / "link", 1, 2, follow_symlinks=False)
    os.chown(mount / "file", 3, -1)
    os.chown(mount / "file", -1, 4)
    assert ((mount / "file").stat().st_uid, (mount / "file").stat().st_gid) == (3, 4)
    assert ((mount / "link").lstat().st_uid, (mount / "link").lstat().st_gid) == (1, 2)


def test_an_owner_gives_a_file_only_to_groups_he_is_in(mount: Path) -> None:
    (mount / "file").touch()
    os.chown(mount / "file", *ALICE[:2])
    member = Person(ALICE.uid, ALICE.gid, (SHARED_GROUP,))
    acting_as(member, lambda: os.chown(mount / "file", -1, SHARED_GROUP))
    assert (mount / "file").stat().st_gid == SHARED_GROUP
    with refused(errno.EPERM):
        acting_as(member, lambda: os.chown(mount / "file", -1, GROUP))
    with refused(errno.EPERM):
        acting_as(member, lambda: os.chown(mount / "file", BOB.uid, -1))


def make_directory(path: Path) -> None:
    """As `os.mkdir`, for the table below."""
    path.mkdir()


@pytest.mark.parametrize(
    "make",
    [Path.touch, make_directory, os.mkfifo, lambda path: path.symlink_to("x")],
    ids=["file", "directory", "fifo", "symlink"],
)
def test_what_is_made_in_a_set_group_id_directory_takes_its_group(
    mount: Path, make: Callable[[Path], object]
) -> None:
    os.chown(mount, -1, GROUP)
    mount.chmod(0o2755)
    make(mount / "made")
    assert (mount / "made").lstat().st_gid == GROUP


def test_a_directory_in_a_set_group_id_directory_is_one_too(mount: Path) -> None:
    os.chown(mount, -1, GROUP)
    mount.chmod(0o2755)
    (mount / "directory").mkdir()
    (mount / "directory" / "below").mkdir()
    (mount / "file").touch()
    assert mode_of(mount / "directory" / "below") == 0o2755
    assert (mount / "directory" / "below").stat().st_gid == GROUP
    assert mode_of(mount / "file") & stat.S_ISGID == 0


def test_an_outsider_cannot_make_a_set_group_id_file_of_the_directorys_group(mount: Path) -> None:
    os.chown(mount, -1, GROUP)
    mount.chmod(0o2777)
    acting_as(ALICE, lambda: os.close(os.open(mount / "f", os.O_CREAT | os.O_WRONLY, 0o2775)))
    assert (mount / "f").stat().st_gid == GROUP
    assert mode_of(mount / "f") & stat.S_ISGID == 0


def test_chmod_by_an_owner_outside_the_group_drops_set_group_id(mount: Path) -> None:
    (mount / "file").touch()
    os.chown(mount / "file", ALICE.uid, GROUP)
    acting_as(ALICE, lambda: (mount / "file").chmod(0o2755))
    assert mode_of(mount / "file") == 0o755


def _write(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    os.write(descriptor, b"x")
    os.close(descriptor)


def _shorten(path: Path) -> None:
    os.truncate(path, 0)


def _empty_on_open(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))


@pytest.mark.parametrize("change", [_write, _shorten, _empty_on_open])
def test_a_change_of_contents_by_another_user_clears_set_id_bits(
    mount: Path, change: Callable[[Path], None]
) -> None:
    (mount / "file").write_bytes(b"program")
    (mount / "file").chmod(0o6777)
    acting_as(ALICE, lambda: change(mount / "file"))
    assert mode_of(mount / "file") == 0o777


def test_set_id_bits_cleared_by_a_write_show_through_the_descriptor_at_once(mount: Path) -> None:
    (mount / "file").write_bytes(b"program")
    (mount / "file").chmod(0o6777)

    def write_and_look() -> int:
        descriptor = os.open(mount / "file", os.O_WRONLY)
        os.write(descriptor, b"x")
        return stat.S_IMODE(os.fstat(descriptor).st_mode)

    assert acting_as(ALICE, write_and_look) == 0o777


def test_a_set_group_id_bit_without_group_execution_survives_a_write(mount: Path) -> None:
    (mount / "file").write_bytes(b"locked")
    (mount / "file").chmod(0o2666)
    os.chown(mount / "file", ALICE.uid, ALICE.gid)
    (mount / "file").chmod(0o2666)
    acting_as(ALICE, lambda: _write(mount / "file"))
    assert mode_of(mount / "file") == 0o2666


def test_chown_by_the_owner_clears_set_id_bits(mount: Path) -> None:
    (mount / "file").touch()
    os.chown(mount / "file", *ALICE[:2])
    (mount / "file").chmod(0o6755)
    member = Person(ALICE.uid, ALICE.gid, (SHARED_GROUP,))
    acting_as(member, lambda: os.chown(mount / "file", -1, SHARED_GROUP))
    assert mode_of(mount / "file") == 0o755


def test_chown_leaves_the_set_group_id_bit_of_a_directory(mount: Path) -> None:
    (mount / "directory").mkdir()
    (mount / "directory").chmod(0o2755)
    os.chown(mount / "directory", 1, 2)
    assert mode_of(mount / "directory") == 0o2755


def sticky_with_file_of_alice(mount: Path) -> Path:
    """A sticky directory that all may write, in it a file of Alice."""
    mount.chmod(0o1777)
    (mount / "hers").touch()
    os.chown(mount / "hers", *ALICE[:2])
    return mount / "hers"


def test_in_a_sticky_directory_only_the_owner_removes(mount: Path) -> None:
    hers = sticky_with_file_of_alice(mount)
    with refused(errno.EPERM, errno.EACCES):
        acting_as(BOB, hers.unlink)
    acting_as(ALICE, hers.unlink)
    assert not hers.exists()


def test_in_a_sticky_directory_only_the_owner_renames(mount: Path) -> None:
    hers = sticky_with_file_of_alice(mount)
    with refused(errno.EPERM, errno.EACCES):
        acting_as(BOB, lambda: hers.rename(mount / "his"))
    acting_as(ALICE, lambda: hers.rename(mount / "still hers"))


def test_in_a_sticky_directory_nobody_replaces_the_file_of_another(mount: Path) -> None:
    hers = sticky_with_file_of_alice(mount)
    acting_as(BOB, (mount / "his").touch)
    with refused(errno.EPERM, errno.EACCES):
        acting_as(BOB, lambda: (mount / "his").rename(hers))


def test_the_owner_of_a_sticky_directory_removes_anything(mount: Path) -> None:
    hers = sticky_with_file_of_alice(mount)
    os.chown(mount, *BOB[:2])
    acting_as(BOB, hers.unlink)
    assert not hers.exists()


def test_a_chown_to_nobody_in_particular_clears_set_id_bits_too(mount: Path) -> None:
    file = mount / "file"
    file.touch()
    file.chmod(0o6755)
    os.chown(file, -1, -1)
    assert mode_of(file) == 0o755
