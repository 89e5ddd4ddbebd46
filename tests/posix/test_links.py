"""Link counts, hard links, symbolic links, and files that live on without a name."""

import errno
import os
import stat
from pathlib import Path

from tests.support.syscalls import refused


def test_a_fresh_file_has_one_link_and_a_fresh_directory_two(mount: Path) -> None:
    (mount / "file").touch()
    (mount / "directory").mkdir()
    assert (mount / "file").stat().st_nlink == 1
    assert (mount / "directory").stat().st_nlink == 2


def test_each_subdirectory_adds_a_link_to_its_parent(mount: Path) -> None:
    for count, name in enumerate("abc", start=1):
        (mount / name).mkdir()
        assert mount.stat().st_nlink == 2 + count
    (mount / "b").rmdir()
    assert mount.stat().st_nlink == 4


def test_hard_links_share_inode_contents_and_mode(mount: Path) -> None:
    (mount / "one").write_bytes(b"1")
    os.link(mount / "one", mount / "two")
    (mount / "two").write_bytes(b"changed")
    (mount / "two").chmod(0o640)
    assert (mount / "one").read_bytes() == b"changed"
    assert stat.S_IMODE((mount / "one").stat().st_mode) == 0o640
    assert (mount / "one").stat().st_ino == (mount / "two").stat().st_ino


def test_a_file_lives_until_its_last_link_goes(mount: Path) -> None:
    names = [mount / f"link-{number}" for number in range(5)]
    names[0].write_bytes(b"kept")
    for name in names[1:]:
        os.link(names[0], name)
    for left, name in reversed(list(enumerate(names))):
        assert name.stat().st_nlink == left + 1
        assert name.read_bytes() == b"kept"
        name.unlink()
    assert os.listdir(mount) == []


def test_linking_and_unlinking_change_ctime_but_not_mtime(mount: Path) -> None:
    (mount / "one").touch()
    os.utime(mount / "one", ns=(1, 1))
    first = (mount / "one").stat()
    os.link(mount / "one", mount / "two")
    linked = (mount / "one").stat()
    (mount / "two").unlink()
    unlinked = (mount / "one").stat()
    assert first.st_ctime_ns <= linked.st_ctime_ns <= unlinked.st_ctime_ns
    assert unlinked.st_mtime_ns == 1


def test_a_directory_cannot_be_hard_linked(mount: Path) -> None:
    (mount / "directory").mkdir()
    with refused(errno.EPERM):
        os.link(mount / "directory", mount / "other")


def test_a_link_does_not_replace_a_name(mount: Path) -> None:
    (mount / "one").touch()
    (mount / "two").touch()
    with refused(errno.EEXIST):
        os.link(mount / "one", mount / "two")


def test_a_hard_link_to_a_symbolic_link_names_the_link_itself(mount: Path) -> None:
    (mount / "symbolic").symlink_to("nowhere")
    os.link(mount / "symbolic", mount / "hard", follow_symlinks=False)
    assert os.readlink(mount / "hard") == "nowhere"
    assert (mount / "symbolic").lstat().st_nlink == 2


def test_unlink_refuses_a_directory_and_rmdir_a_file(mount: Path) -> None:
    (mount / "directory").mkdir()
    (mount / "file").touch()
    with refused(errno.EISDIR):
        os.unlink(mount / "directory")
    with refused(errno.ENOTDIR):
        os.rmdir(mount / "file")


def test_an_unlinked_open_file_can_be_written_read_truncated_and_synced(mount: Path) -> None:
    with (mount / "file").open("wb+", buffering=0) as file:
        file.write(b"a" * 70_000)
        (mount / "file").unlink()
        assert os.fstat(file.fileno()).st_nlink == 0
        file.seek(0)
        assert file.read() == b"a" * 70_000
        file.truncate(10)
        os.fsync(file.fileno())
        assert os.fstat(file.fileno()).st_size == 10
    assert os.listdir(mount) == []


def test_an_unlinked_open_file_takes_new_attributes(mount: Path) -> None:
    descriptor = os.open(mount / "file", os.O_RDWR | os.O_CREAT)
    os.unlink(mount / "file")
    os.fchmod(descriptor, 0o751)
    os.fchown(descriptor, 12, 34)
    os.utime(descriptor, ns=(5, 6))
    os.setxattr(descriptor, "user.k", b"v")
    found = os.fstat(descriptor)
    assert (found.st_uid, found.st_gid, found.st_mtime_ns) == (12, 34, 6)
    assert stat.S_IMODE(found.st_mode) == 0o751
    assert os.getxattr(descriptor, "user.k") == b"v"
    os.close(descriptor)


def test_a_name_can_be_taken_again_while_the_unlinked_file_is_open(mount: Path) -> None:
    with (mount / "file").open("wb+", buffering=0) as old:
        old.write(b"old")
        (mount / "file").unlink()
        (mount / "file").write_bytes(b"new")
        old.seek(0)
        assert old.read() == b"old"
    assert (mount / "file").read_bytes() == b"new"


def test_an_unlinked_file_leaves_no_hidden_name(mount: Path) -> None:
    with (mount / "file").open("wb"):
        (mount / "file").unlink()
        assert os.listdir(mount) == []
        mount.chmod(0o700)
        os.rmdir(mount)


def test_a_symbolic_link_has_the_size_of_its_target_and_all_permissions(mount: Path) -> None:
    (mount / "link").symlink_to("some/target")
    found = (mount / "link").lstat()
    assert found.st_size == len("some/target")
    assert stat.S_ISLNK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o777


def test_a_symbolic_link_holds_any_bytes(mount: Path) -> None:
    target = bytes(byte for byte in range(1, 256))
    os.symlink(target, bytes(mount / "link"))
    assert os.readlink(bytes(mount / "link")) == target


def test_a_circle_of_symbolic_links_is_noticed(mount: Path) -> None:
    (mount / "a").symlink_to("b")
    (mount / "b").symlink_to("a")
    with refused(errno.ELOOP):
        os.stat(mount / "a")
