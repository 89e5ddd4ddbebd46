"""rename(2) and renameat2(2): what moves, what is replaced, what is refused."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, refused, renameat2


def test_rename_replaces_a_file_in_one_step(mount: Path) -> None:
    (mount / "draft").write_bytes(b"fresh")
    (mount / "kept").write_bytes(b"stale")
    (mount / "draft").rename(mount / "kept")
    assert os.listdir(mount) == ["kept"]
    assert (mount / "kept").read_bytes() == b"fresh"


def test_a_replaced_file_stays_readable_through_its_descriptor(mount: Path) -> None:
    (mount / "old").write_bytes(b"still here")
    (mount / "new").touch()
    with (mount / "old").open("rb") as reader:
        (mount / "new").rename(mount / "old")
        assert reader.read() == b"still here"
        assert os.fstat(reader.fileno()).st_nlink == 0


def test_a_rename_keeps_the_inode_and_moves_the_name(mount: Path) -> None:
    (mount / "a").touch()
    (mount / "into").mkdir()
    inode = (mount / "a").stat().st_ino
    (mount / "a").rename(mount / "into" / "b")
    assert (mount / "into" / "b").stat().st_ino == inode
    assert not (mount / "a").exists()


def test_renaming_between_two_links_of_one_file_changes_nothing(mount: Path) -> None:
    (mount / "one").write_bytes(b"x")
    os.link(mount / "one", mount / "two")
    (mount / "one").rename(mount / "two")
    assert sorted(os.listdir(mount)) == ["one", "two"]
    assert (mount / "one").stat().st_nlink == 2


def test_a_moved_directory_finds_its_new_parent(mount: Path) -> None:
    (mount / "here" / "child").mkdir(parents=True)
    (mount / "there").mkdir()
    (mount / "here" / "child").rename(mount / "there" / "child")
    dotdot = os.stat(f"{mount}/there/child/..")
    assert dotdot.st_ino == (mount / "there").stat().st_ino


def test_moving_a_directory_moves_a_link_between_the_parents(mount: Path) -> None:
    (mount / "here" / "child").mkdir(parents=True)
    (mount / "there").mkdir()
    (mount / "here" / "child").rename(mount / "there" / "child")
    assert (mount / "here").stat().st_nlink == 2
    assert (mount / "there").stat().st_nlink == 3


def test_a_directory_replaces_an_empty_directory(mount: Path) -> None:
    (mount / "full").mkdir()
    (mount / "full" / "file").touch()
    (mount / "empty").mkdir()
    (mount / "full").rename(mount / "empty")
    assert os.listdir(mount / "empty") == ["file"]
    assert mount.stat().st_nlink == 3


def test_a_directory_does_not_replace_a_full_one(mount: Path) -> None:
    (mount / "a").mkdir()
    (mount / "b" / "c").mkdir(parents=True)
    with refused(errno.ENOTEMPTY, errno.EEXIST):
        (mount / "a").rename(mount / "b")


def test_a_directory_does_not_replace_a_file(mount: Path) -> None:
    (mount / "directory").mkdir()
    (mount / "file").touch()
    with refused(errno.ENOTDIR):
        (mount / "directory").rename(mount / "file")


def test_a_file_does_not_replace_a_directory(mount: Path) -> None:
    (mount / "directory").mkdir()
    (mount / "file").touch()
    with refused(errno.EISDIR):
        (mount / "file").rename(mount / "directory")


@pytest.mark.parametrize("below", ["own", "own/deep", "own/deep/deeper"])
def test_a_directory_does_not_move_below_itself(mount: Path, below: str) -> None:
    (mount / "own" / "deep" / "deeper").mkdir(parents=True)
    with refused(errno.EINVAL):
        (mount / "own").rename(mount / below / "target")


def test_renaming_what_is_not_there_is_refused(mount: Path) -> None:
    with refused(errno.ENOENT):
        (mount / "nothing").rename(mount / "something")


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, os.mkfifo], ids=["file", "dir", "fifo"])
def test_a_rename_changes_ctime_of_what_moved(mount: Path, make: Callable[[Path], object]) -> None:
    make(mount / "a")
    os.utime(mount / "a", ns=(1, 1))
    before = (mount / "a").lstat()
    (mount / "a").rename(mount / "b")
    after = (mount / "b").lstat()
    assert after.st_ctime_ns >= before.st_ctime_ns
    assert after.st_mtime_ns == 1


def test_a_rename_changes_mtime_of_both_parents(mount: Path) -> None:
    (mount / "from").mkdir()
    (mount / "to").mkdir()
    (mount / "from" / "file").touch()
    for parent in ("from", "to"):
        os.utime(mount / parent, ns=(1, 1))
    (mount / "from" / "file").rename(mount / "to" / "file")
    assert (mount / "from").stat().st_mtime_ns > 1
    assert (mount / "to").stat().st_mtime_ns > 1


def test_a_renamed_open_file_takes_writes(mount: Path) -> None:
    with (mount / "a").open("wb", buffering=0) as writer:
        writer.write(b"before ")
        (mount / "a").rename(mount / "b")
        writer.write(b"after")
    assert (mount / "b").read_bytes() == b"before after"


def test_noreplace_refuses_a_taken_name(mount: Path) -> None:
    (mount / "a").write_bytes(b"a")
    (mount / "b").write_bytes(b"b")
    with refused(errno.EEXIST):
        renameat2(mount / "a", mount / "b", RENAME_NOREPLACE)
    assert (mount / "b").read_bytes() == b"b"


def test_noreplace_moves_to_a_free_name(mount: Path) -> None:
    (mount / "a").touch()
    renameat2(mount / "a", mount / "b", RENAME_NOREPLACE)
    assert os.listdir(mount) == ["b"]


def test_exchange_swaps_two_files(mount: Path) -> None:
    (mount / "a").write_bytes(b"a")
    (mount / "b").write_bytes(b"b")
    renameat2(mount / "a", mount / "b", RENAME_EXCHANGE)
    assert (mount / "a").read_bytes() == b"b"
    assert (mount / "b").read_bytes() == b"a"


def test_exchange_swaps_a_file_and_a_full_directory(mount: Path) -> None:
    (mount / "left" / "directory").mkdir(parents=True)
    (mount / "left" / "directory" / "inner").touch()
    (mount / "right").mkdir()
    (mount / "right" / "file").write_bytes(b"f")
    renameat2(mount / "left" / "directory", mount / "right" / "file", RENAME_EXCHANGE)
    assert (mount / "left" / "directory").read_bytes() == b"f"
    assert os.listdir(mount / "right" / "file") == ["inner"]
    assert (mount / "left").stat().st_nlink == 2
    assert (mount / "right").stat().st_nlink == 3
    assert os.stat(f"{mount}/right/file/..").st_ino == (mount / "right").stat().st_ino


def test_exchange_needs_both_names(mount: Path) -> None:
    (mount / "a").touch()
    with refused(errno.ENOENT):
        renameat2(mount / "a", mount / "missing", RENAME_EXCHANGE)
    assert os.listdir(mount) == ["a"]


def test_exchange_of_a_directory_with_its_descendant_is_refused(mount: Path) -> None:
    (mount / "a" / "b").mkdir(parents=True)
    with refused(errno.EINVAL):
        renameat2(mount / "a", mount / "a" / "b", RENAME_EXCHANGE)


def test_noreplace_with_exchange_makes_no_sense(mount: Path) -> None:
    (mount / "a").touch()
    (mount / "b").touch()
    with refused(errno.EINVAL):
        renameat2(mount / "a", mount / "b", RENAME_NOREPLACE | RENAME_EXCHANGE)
