"""Directories: what a listing shows, also while entries come and go, and after removal."""

import errno
import os
import stat
from pathlib import Path

import pytest

from tests.support.syscalls import all_getdents, getdents, refused

BUFFER_BYTES = 1024
ENTRIES = 300
DT_FIFO, DT_DIR, DT_REG, DT_LNK = 1, 4, 8, 10


@pytest.fixture
def full(mount: Path) -> Path:
    """A directory of many files with longish names, so that a listing takes many reads."""
    directory = mount / "full"
    directory.mkdir()
    for number in range(ENTRIES):
        (directory / f"entry-with-a-longish-name-{number:05}").touch()
    return directory


def opened(directory: Path) -> int:
    """A descriptor of a directory; the caller closes it."""
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY)


def listed(descriptor: int) -> list[bytes]:
    """The names from the position on, without . and .. ."""
    names = (entry.name for entry in all_getdents(descriptor, BUFFER_BYTES))
    return [name for name in names if name not in (b".", b"..")]


def test_a_listing_shows_each_entry_once_and_dot_and_dotdot(full: Path) -> None:
    descriptor = opened(full)
    entries = list(all_getdents(descriptor, BUFFER_BYTES))
    os.close(descriptor)
    names = [entry.name for entry in entries]
    assert len(names) == ENTRIES + 2
    assert set(names) == {b".", b"..", *os.listdir(bytes(full))}
    inodes = {entry.name: entry.inode for entry in entries}
    assert inodes[b"."] == full.stat().st_ino
    assert inodes[b".."] == full.parent.stat().st_ino


def test_a_listing_tells_inode_and_kind(mount: Path) -> None:
    (mount / "file").touch()
    (mount / "directory").mkdir()
    (mount / "link").symlink_to("x")
    os.mkfifo(mount / "fifo")
    descriptor = opened(mount)
    found = {entry.name: entry for entry in all_getdents(descriptor, BUFFER_BYTES)}
    os.close(descriptor)
    kinds = {b"file": DT_REG, b"directory": DT_DIR, b"link": DT_LNK, b"fifo": DT_FIFO}
    assert {name: found[name].kind for name in kinds} == kinds
    for name in kinds:
        assert found[name].inode == (mount / os.fsdecode(name)).lstat().st_ino


def test_a_listing_begun_again_shows_what_came_meanwhile(full: Path) -> None:
    descriptor = opened(full)
    before = listed(descriptor)
    (full / "fresh").touch()
    os.lseek(descriptor, 0, os.SEEK_SET)
    after = listed(descriptor)
    os.close(descriptor)
    assert set(after) - set(before) == {b"fresh"}


def test_every_cookie_leads_back_to_its_place(full: Path) -> None:
    descriptor = opened(full)
    entries = list(all_getdents(descriptor, BUFFER_BYTES))
    for position in (0, 1, 2, 17, ENTRIES // 2, ENTRIES):
        os.lseek(descriptor, entries[position].cookie, os.SEEK_SET)
        following = [entry.name for entry in all_getdents(descriptor, BUFFER_BYTES)]
        assert following == [entry.name for entry in entries[position + 1 :]]
    os.close(descriptor)


def test_removing_what_was_listed_loses_no_other_entry(full: Path) -> None:
    descriptor = opened(full)
    seen: list[bytes] = []
    while entries := getdents(descriptor, BUFFER_BYTES):
        for entry in entries:
            if entry.name not in (b".", b".."):
                seen.append(entry.name)
                os.unlink(entry.name, dir_fd=descriptor)
    os.close(descriptor)
    assert len(seen) == len(set(seen)) == ENTRIES
    assert os.listdir(full) == []


def test_entries_that_stay_are_listed_once_while_others_come_and_go(full: Path) -> None:
    staying = {os.fsencode(name) for number, name in enumerate(os.listdir(full)) if number % 2}
    going = [name for name in os.listdir(full) if os.fsencode(name) not in staying]
    descriptor = opened(full)
    seen: list[bytes] = []
    step = 0
    while entries := getdents(descriptor, BUFFER_BYTES):
        seen += [entry.name for entry in entries if entry.name in staying]
        (full / f"comer-{step}").touch()
        (full / going[step]).unlink()
        step += 1
    os.close(descriptor)
    assert sorted(seen) == sorted(staying)


def test_a_renamed_entry_is_listed_under_one_of_its_names_in_a_fresh_listing(full: Path) -> None:
    first = min(os.listdir(full))
    (full / first).rename(full / "renamed")
    names = os.listdir(full)
    assert "renamed" in names
    assert first not in names
    assert len(names) == ENTRIES


def test_two_readers_of_one_directory_do_not_disturb_each_other(full: Path) -> None:
    one, two = opened(full), opened(full)
    first = getdents(one, BUFFER_BYTES)
    assert len(listed(two)) == ENTRIES
    rest = listed(one)
    os.close(one)
    os.close(two)
    assert len(first) + len(rest) == ENTRIES + 2


def test_a_directory_with_entries_is_not_removed(mount: Path) -> None:
    (mount / "directory" / "inner").mkdir(parents=True)
    with refused(errno.ENOTEMPTY, errno.EEXIST):
        (mount / "directory").rmdir()
    (mount / "directory" / "inner").rmdir()
    (mount / "directory").rmdir()


def test_dot_and_dotdot_are_not_removed(mount: Path) -> None:
    (mount / "directory").mkdir()
    with refused(errno.EINVAL):
        os.rmdir(f"{mount}/directory/.")
    with refused(errno.ENOTEMPTY, errno.EEXIST):
        os.rmdir(f"{mount}/directory/..")


def test_a_removed_directory_that_is_open_is_empty_and_takes_nothing(mount: Path) -> None:
    (mount / "gone").mkdir()
    descriptor = opened(mount / "gone")
    (mount / "gone").rmdir()
    assert os.listdir(descriptor) == []
    assert os.fstat(descriptor).st_nlink == 0
    with refused(errno.ENOENT):
        os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor)
    with refused(errno.ENOENT):
        os.mkdir("directory", dir_fd=descriptor)
    os.close(descriptor)


def test_the_working_directory_can_be_removed(mount: Path) -> None:
    (mount / "gone").mkdir()
    before = os.open(".", os.O_RDONLY)
    os.chdir(mount / "gone")
    try:
        (mount / "gone").rmdir()
        with refused(errno.ENOENT):
            os.getcwd()
        with refused(errno.ENOENT):
            Path("file").touch()
    finally:
        os.fchdir(before)
        os.close(before)


def test_a_directory_replaced_while_open_is_the_old_one(mount: Path) -> None:
    (mount / "old").mkdir()
    (mount / "new").mkdir()
    (mount / "new" / "file").touch()
    descriptor = opened(mount / "old")
    (mount / "new").rename(mount / "old")
    assert os.listdir(descriptor) == []
    os.close(descriptor)
    assert os.listdir(mount / "old") == ["file"]


def test_thousands_of_entries_come_and_go(mount: Path) -> None:
    names = {f"{number}" for number in range(3_000)}
    for name in names:
        (mount / name).touch()
    assert set(os.listdir(mount)) == names
    for name in sorted(names)[::2]:
        (mount / name).unlink()
    assert set(os.listdir(mount)) == set(sorted(names)[1::2])


def test_inode_numbers_are_stable_and_distinct(full: Path) -> None:
    by_scan = {entry.name: entry.inode() for entry in os.scandir(full)}
    by_stat = {name: (full / name).stat().st_ino for name in by_scan}
    assert by_scan == by_stat
    assert len(set(by_stat.values())) == ENTRIES


def test_reading_a_directory_as_a_file_is_refused(mount: Path) -> None:
    descriptor = opened(mount)
    with refused(errno.EISDIR):
        os.read(descriptor, 1)
    assert stat.S_ISDIR(os.fstat(descriptor).st_mode)
    os.close(descriptor)
