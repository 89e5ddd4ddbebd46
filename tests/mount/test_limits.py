"""Bounds and what lies beyond: hostile names, large values, many of everything, bugs in a handler.

Crowds on one mount are in `tests/posix/test_crowds.py`; here the volume is mounted anew, so that the
store has to hold it as well.
"""

import errno
import json
import os
import random
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.support.mounting import MountedVolume
from tests.support.searching import eventually
from tests.support.syscalls import refused
from vexfs_fuse.units import KIB, MIB

DEPTH: Final = 500
OPEN_FILES: Final = 10_000
WRITERS: Final = 64
HOSTILE: Final = (
    b"\n",
    b" ",
    b"-rf",
    b"--",
    b"*",
    b"~",
    b"$(reboot)",
    b"`",
    b"\\",
    b"'\"",
    b"%2F",
    b"...",
    b"..a",
    b".hidden",
    b".SEARCH",
    b".search ",
    b".vexfs.",
    b"user.vexfs.vector",
    b"\x01\x1b[31m",
    b"\xff\xfe\xfd",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    "ä".encode(),
    "a\u0308".encode(),
    b"a" * 255,
    b"\xff" * 255,
    b"NUL",
    b"con.txt",
)


@contextmanager
def many_descriptors() -> Iterator[None]:
    """Let this process open as many files as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_hostile_names_of_everything_come_back(volume: MountedVolume) -> None:
    root = os.fsencode(volume.path)
    for number, name in enumerate(HOSTILE):
        directory = os.path.join(root, b"%d" % number)
        os.mkdir(directory)
        os.mkdir(os.path.join(directory, name))
        path = os.path.join(directory, name, name)
        with open(path, "wb") as file:
            file.write(name)
        os.symlink(name, os.path.join(directory, b"link"))
        os.setxattr(path, b"user." + name[:250], name)
    volume.remount()
    for number, name in enumerate(HOSTILE):
        directory = os.path.join(root, b"%d" % number)
        assert sorted(os.listdir(directory)) == sorted([name, b"link"])
        path = os.path.join(directory, name, name)
        with open(path, "rb") as file:
            assert file.read() == name
        assert os.readlink(os.path.join(directory, b"link")) == name
        assert os.getxattr(path, b"user." + name[:250]) == name


def test_names_of_random_bytes_come_back(volume: MountedVolume) -> None:
    rng = random.Random(1)
    allowed = bytes(set(range(1, 256)) - {ord("/"), ord(".")})
    names = {bytes(rng.choices(allowed, k=rng.randrange(1, 256))) for _ in range(500)}
    root = os.fsencode(volume.path)
    for name in names:
        os.mknod(os.path.join(root, name))
    volume.remount()
    assert set(os.listdir(root)) == names
    assert all(os.path.lexists(os.path.join(root, name)) for name in names)


def test_the_largest_attributes_are_kept(volume: MountedVolume) -> None:
    values = {f"user.{number}": random.Random(number).randbytes(64 * KIB) for number in range(20)}
    values["user.empty"] = b""
    values["user." + "n" * 250] = b"long name"
    for name, value in values.items():
        os.setxattr(volume.path, name, value)
    with refused(errno.E2BIG, errno.ENOSPC):
        os.setxattr(volume.path, "user.more", bytes(64 * KIB + 1))
    volume.remount()
    assert sorted(os.listxattr(volume.path)) == sorted(values)
    for name, value in values.items():
        assert os.getxattr(volume.path, name) == value


def test_a_tree_500_deep_is_kept_and_removed(volume: MountedVolume) -> None:
    before = os.getcwd()
    try:
        os.chdir(volume.path)
        for level in range(DEPTH):
            os.mkdir(f"directory {level}")
            os.chdir(f"directory {level}")
        Path("bottom").write_bytes(b"bottom")
        os.chdir(before)
        volume.remount()
        os.chdir(volume.path)
        for level in range(DEPTH):
            os.chdir(f"directory {level}")
        assert Path("bottom").read_bytes() == b"bottom"
    finally:
        os.chdir(before)
    subprocess.run(["rm", "-r", str(volume.path / "directory 0")], check=True)
    assert os.listdir(volume.path) == []


def test_ten_thousand_open_files_survive_their_names(volume: MountedVolume) -> None:
    """Contents of files without a name are there while they are open, and gone afterwards."""
    descriptors = []
    with many_descriptors():
        try:
            for number in range(OPEN_FILES):
                path = volume.path / str(number)
                descriptors.append(os.open(path, os.O_RDWR | os.O_CREAT))
                os.write(descriptors[-1], b"%d" % number)
                path.unlink()
            for number, descriptor in enumerate(descriptors):
                assert os.pread(descriptor, 10, 0) == b"%d" % number
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
    assert os.listdir(volume.path) == []


def test_open_files_beyond_the_bound_are_refused_and_the_volume_goes_on() -> None:
    bounded = MountedVolume(arguments=["--max-open-files", "100"])
    try:
        bounded.start()
        with many_descriptors():
            descriptors = []
            with refused(errno.ENFILE):
                for number in range(200):
                    path = bounded.path / str(number)
                    descriptors.append(os.open(path, os.O_RDWR | os.O_CREAT))
            assert len(descriptors) == 100
            for descriptor in descriptors:
                os.close(descriptor)
        (bounded.path / "after").write_bytes(b"after")
        bounded.stop()
        assert bounded.problems() == []
    finally:
        bounded.discard()


def test_a_hit_that_could_not_be_opened_is_let_go_of_like_any_file() -> None:
    bounded = MountedVolume(arguments=["--max-open-files", "16"])

    def inodes() -> int:
        status = json.loads((bounded.path / ".vexfs/status.json").read_text())
        return int(status["volume"]["inodes"])

    try:
        bounded.start()
        before = inodes()
        (bounded.path / "found").write_bytes(b"found")
        hit = bounded.path / ".search/name=found/001-found"
        hit.stat()
        held = [os.open(bounded.path / "found", os.O_RDONLY) for _ in range(16)]
        with refused(errno.ENFILE):
            hit.read_bytes()
        for descriptor in held:
            os.close(descriptor)
        (bounded.path / "found").unlink()
        assert eventually(lambda: inodes() == before)
        bounded.stop()
        assert bounded.problems() == []
    finally:
        bounded.discard()


def test_64_writers_at_once_write_what_is_read_after_a_remount(volume: MountedVolume) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            rng = random.Random(number)
            directory = volume.path / str(number)
            directory.mkdir()
            for each in range(5):
                (directory / f"draft-{each}").write_bytes(rng.randbytes(rng.randrange(200_000)))
                (directory / f"draft-{each}").rename(directory / str(each))
        except BaseException as failure:  # noqa: BLE001 - told below
            failures.append(failure)

    threads = [threading.Thread(target=work, args=[number]) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    volume.remount()
    for number in range(WRITERS):
        rng = random.Random(number)
        for each in range(5):
            expected = rng.randbytes(rng.randrange(200_000))
            assert (volume.path / str(number) / str(each)).read_bytes() == expected


def test_huge_sparse_files_cost_nothing_but_what_is_in_them(volume: MountedVolume) -> None:
    places = [0, 4 * KIB, MIB, 2**32 - 5, 2**40, 2**50, 2**62, 2**63 - 11]
    path = volume.path / "sparse"
    with path.open("wb") as file:
        for place in places:
            os.pwrite(file.fileno(), b"data", place)
    (volume.path / "hole").touch()
    os.truncate(volume.path / "hole", 2**63 - 1)
    volume.remount()
    found = path.stat()
    assert found.st_size == 2**63 - 7
    assert found.st_blocks * 512 < MIB
    with path.open("rb") as file:
        for place in places:
            assert os.pread(file.fileno(), 4, place) == b"data"
        assert os.pread(file.fileno(), MIB, 2**41) == bytes(MIB)
    assert (volume.path / "hole").stat().st_size == 2**63 - 1
    with (volume.path / "hole").open("rb") as file:
        assert os.pread(file.fileno(), 100, 2**62) == bytes(100)


def test_thousands_of_empty_files_and_directories_are_kept(volume: MountedVolume) -> None:
    for number in range(2_000):
        (volume.path / f"file {number}").touch()
        (volume.path / f"directory {number}").mkdir()
    volume.remount()
    assert len(os.listdir(volume.path)) == 4_000
    assert all((volume.path / f"file {number}").stat().st_size == 0 for number in range(2_000))


def test_the_symlink_of_the_longest_target_is_kept(volume: MountedVolume) -> None:
    target = "x/" * 2_047 + "y"
    (volume.path / "link").symlink_to(target)
    loop = volume.path / "loop"
    loop.symlink_to("loop")
    volume.remount()
    assert os.readlink(volume.path / "link") == target
    with refused(errno.ELOOP):
        loop.stat()


def test_names_that_lead_out_are_just_names(volume: MountedVolume) -> None:
    assert (volume.path / "..").stat().st_ino == volume.directory.stat().st_ino
    (volume.path / "a").mkdir()
    assert (volume.path / "a" / "..").stat().st_ino == volume.path.stat().st_ino
    with refused(errno.EINVAL):
        os.rmdir(f"{volume.path}/a/.")
    with refused(errno.ENOTEMPTY):
        os.rmdir(f"{volume.path}/a/..")


FAILING_DAEMON: Final = """
import sys
from vexfs_fuse.cli.main import main
from vexfs_fuse.volume.namespace import Namespace
from vexfs_fuse.volume.contents import Contents

def failing(method, is_met):
    def call(self, *arguments, **named):
        if is_met(*arguments):
            raise RuntimeError("a bug in a handler")
        return method(self, *arguments, **named)
    return call

names = lambda *arguments: b"bug" in arguments
Namespace.find = failing(Namespace.find, names)
Namespace.find_if_there = failing(Namespace.find_if_there, names)
Namespace.create = failing(Namespace.create, names)
Namespace.unlink = failing(Namespace.unlink, names)
Contents.write = failing(Contents.write, lambda node, offset, data, now: bytes(data[:3]) == b"bug")
sys.exit(main())
"""


def test_bugs_in_handlers_are_logged_answered_eio_and_end_nothing(unmounted: MountedVolume) -> None:
    program = unmounted.directory / "failing.py"
    program.write_text(FAILING_DAEMON)
    unmounted.launch([sys.executable, str(program)])
    assert unmounted.comes_up()
    for _ in range(20):
        with refused(errno.EIO):
            (unmounted.path / "bug").touch()
        with refused(errno.EIO):
            (unmounted.path / "bug").stat()
        with refused(errno.EIO):
            (unmounted.path / "file").write_bytes(b"bug")
        (unmounted.path / "file").write_bytes(b"fine")
        assert (unmounted.path / "file").read_bytes() == b"fine"
    unmounted.expect_in_log("RuntimeError: a bug in a handler")
    unmounted.stop()
    assert unmounted.problems() == []


def test_a_request_that_its_caller_gives_up_leaves_the_daemon_well(volume: MountedVolume) -> None:
    """Programs are killed in the middle of their calls."""
    script = "import os, sys\nwhile True:\n f = open(sys.argv[1], 'wb')\n f.write(bytes(9999999))\n"
    script += " f.flush()\n os.fsync(f.fileno())\n"
    for number in range(10):
        path = volume.path / str(number % 2)
        program = subprocess.Popen([sys.executable, "-c", script, str(path)])
        with suppress(subprocess.TimeoutExpired):
            program.wait(0.2)
        program.kill()
        program.wait()
    (volume.path / "after").write_bytes(b"after")
    assert (volume.path / "after").read_bytes() == b"after"


@pytest.mark.parametrize("name", [".search", ".vexfs"])
def test_the_virtual_trees_are_out_of_reach(volume: MountedVolume, name: str) -> None:
    assert name not in os.listdir(volume.path)
    with refused(errno.EPERM, errno.EEXIST, errno.EACCES, errno.EISDIR):
        (volume.path / name).write_bytes(b"x")
    with refused(errno.EPERM, errno.EXDEV, errno.EACCES, errno.ENOTEMPTY, errno.EBUSY):
        (volume.path / name).rename(volume.path / "other")
