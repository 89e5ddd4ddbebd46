"""What the flags of open(2) do: create, exclusive, truncate, append, direct, and the rest."""

import errno
import mmap
import os
from pathlib import Path

import pytest

from tests.support.syscalls import refused

WRITERS = 4
LINES_EACH = 100


def test_exclusive_creation_refuses_a_taken_name(mount: Path) -> None:
    (mount / "file").touch()
    with refused(errno.EEXIST):
        os.open(mount / "file", os.O_CREAT | os.O_EXCL | os.O_WRONLY)


def test_exclusive_creation_does_not_follow_a_dangling_link(mount: Path) -> None:
    (mount / "link").symlink_to("target")
    with refused(errno.EEXIST):
        os.open(mount / "link", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    assert not (mount / "target").exists()


def test_creation_through_a_dangling_link_makes_its_target(mount: Path) -> None:
    (mount / "link").symlink_to("target")
    os.close(os.open(mount / "link", os.O_CREAT | os.O_WRONLY))
    assert (mount / "target").is_file()


def test_a_file_created_read_only_can_be_written_by_its_creator(mount: Path) -> None:
    descriptor = os.open(mount / "file", os.O_CREAT | os.O_RDWR, 0o400)
    assert os.write(descriptor, b"data") == 4
    os.close(descriptor)


def test_truncation_on_open_empties_the_file_and_moves_its_times(mount: Path) -> None:
    (mount / "file").write_bytes(b"data")
    os.utime(mount / "file", ns=(1, 1))
    os.close(os.open(mount / "file", os.O_WRONLY | os.O_TRUNC))
    found = (mount / "file").stat()
    assert found.st_size == 0
    assert found.st_mtime_ns > 1


def test_truncation_on_open_is_seen_by_an_open_reader(mount: Path) -> None:
    (mount / "file").write_bytes(b"data")
    with (mount / "file").open("rb", buffering=0) as reader:
        os.close(os.open(mount / "file", os.O_WRONLY | os.O_TRUNC))
        assert reader.read() == b""
        assert os.fstat(reader.fileno()).st_size == 0


def test_append_writes_at_the_end_wherever_the_position_is(mount: Path) -> None:
    (mount / "file").write_bytes(b"head ")
    descriptor = os.open(mount / "file", os.O_RDWR | os.O_APPEND)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, b"tail")
    assert os.lseek(descriptor, 0, os.SEEK_CUR) == 9
    os.close(descriptor)
    assert (mount / "file").read_bytes() == b"head tail"


def test_append_follows_an_end_that_another_writer_moved(mount: Path) -> None:
    with (mount / "file").open("ab", buffering=0) as one, (mount / "file").open("ab", 0) as two:
        one.write(b"1")
        two.write(b"2")
        one.truncate(0)
        two.write(b"3")
    assert (mount / "file").read_bytes() == b"3"


def test_appends_of_several_processes_are_all_there(mount: Path) -> None:
    children = [_append_lines(mount / "log", writer) for writer in range(WRITERS)]
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    lines = (mount / "log").read_text().splitlines()
    assert len(lines) == WRITERS * LINES_EACH
    assert len(set(lines)) == WRITERS * LINES_EACH


def _append_lines(path: Path, writer: int) -> int:
    """Fork a child that appends its lines; its pid."""
    child = os.fork()
    if child == 0:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for line in range(LINES_EACH):
            os.write(descriptor, f"writer {writer} line {line}\n".encode())
        os._exit(0)
    return child


def test_direct_io_reads_what_direct_io_wrote(mount: Path) -> None:
    descriptor = os.open(mount / "file", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    page = mmap.mmap(-1, 8192)
    page.write(b"d" * 8192)
    assert os.pwrite(descriptor, page, 4096) == 8192
    back = mmap.mmap(-1, 8192)
    assert os.preadv(descriptor, [back], 4096) == 8192
    os.close(descriptor)
    assert back[:] == b"d" * 8192
    assert (mount / "file").read_bytes() == bytes(4096) + b"d" * 8192


def test_direct_and_cached_io_see_each_other(mount: Path) -> None:
    (mount / "file").write_bytes(b"c" * 8192)
    direct = os.open(mount / "file", os.O_RDWR | os.O_DIRECT)
    page = mmap.mmap(-1, 4096)
    with (mount / "file").open("rb+", buffering=0) as cached:
        assert cached.read(4096) == b"c" * 4096
        page.write(b"d" * 4096)
        os.pwrite(direct, page, 0)
        cached.seek(0)
        assert cached.read(4096) == b"d" * 4096
        cached.seek(4096)
        cached.write(b"e" * 4096)
        assert os.preadv(direct, [page], 4096) == 4096
    os.close(direct)
    assert page[:] == b"e" * 4096


@pytest.mark.parametrize("flag", [os.O_SYNC, os.O_DSYNC], ids=["sync", "dsync"])
def test_synchronous_writes_arrive(mount: Path, flag: int) -> None:
    descriptor = os.open(mount / "file", os.O_WRONLY | os.O_CREAT | flag)
    for _ in range(3):
        os.write(descriptor, b"line\n")
    os.close(descriptor)
    assert (mount / "file").read_bytes() == b"line\n" * 3


def test_nofollow_refuses_a_symbolic_link(mount: Path) -> None:
    (mount / "file").touch()
    (mount / "link").symlink_to("file")
    with refused(errno.ELOOP):
        os.open(mount / "link", os.O_RDONLY | os.O_NOFOLLOW)


def test_a_directory_opens_for_reading_only(mount: Path) -> None:
    (mount / "directory").mkdir()
    os.close(os.open(mount / "directory", os.O_RDONLY | os.O_DIRECTORY))
    with refused(errno.EISDIR):
        os.open(mount / "directory", os.O_WRONLY)
    with refused(errno.EISDIR):
        os.open(mount / "directory", os.O_RDWR | os.O_CREAT)


def test_a_file_does_not_open_as_a_directory(mount: Path) -> None:
    (mount / "file").touch()
    with refused(errno.ENOTDIR):
        os.open(mount / "file", os.O_RDONLY | os.O_DIRECTORY)


def test_a_read_only_descriptor_takes_no_writes_and_the_other_way_round(mount: Path) -> None:
    (mount / "file").write_bytes(b"x")
    reading = os.open(mount / "file", os.O_RDONLY)
    writing = os.open(mount / "file", os.O_WRONLY)
    with refused(errno.EBADF):
        os.write(reading, b"y")
    with refused(errno.EBADF):
        os.read(writing, 1)
    with refused(errno.EINVAL, errno.EBADF):
        os.ftruncate(reading, 0)
    os.close(reading)
    os.close(writing)


def test_a_descriptor_outlives_a_change_of_mode(mount: Path) -> None:
    with (mount / "file").open("wb", buffering=0) as writer:
        (mount / "file").chmod(0)
        writer.write(b"still allowed")
    assert (mount / "file").stat().st_size == len(b"still allowed")


def test_a_path_only_descriptor_stats_but_does_not_read(mount: Path) -> None:
    (mount / "file").write_bytes(b"1234")
    descriptor = os.open(mount / "file", os.O_PATH)
    assert os.fstat(descriptor).st_size == 4
    with refused(errno.EBADF):
        os.read(descriptor, 1)
    os.close(descriptor)
