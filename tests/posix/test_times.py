"""Time stamps: what utimensat(2) sets, what every operation moves, and how far they reach."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.persons import ALICE, BOB, acting_as
from tests.support.syscalls import UTIME_NOW, UTIME_OMIT, refused, utimensat

NS = 1_000_000_000
CLOCK_STEP_NS = 20_000_000
LONG_AGO = (1_000, 7)
EARLIEST_NS, LATEST_NS = -(2**63 - 1), 2**63 - 1

INSTANTS = {
    "one nanosecond after 1970": 1,
    "one nanosecond before 1970": -1,
    "1969": -1_000_000_001,
    "1901": -(2**31) * NS,
    "2038": 2**31 * NS,
    "2106": 2**32 * NS + 999_999_999,
    "2261": 9_183_110_400 * NS + 123_456_789,
}


@pytest.fixture
def file(mount: Path) -> Path:
    """A file with contents, whose atime and mtime are long ago."""
    (mount / "file").write_bytes(b"contents")
    utimensat(mount / "file", LONG_AGO, LONG_AGO)
    return mount / "file"


def ns_of(stamp: tuple[int, int]) -> int:
    """A (seconds, nanoseconds) stamp in nanoseconds."""
    return stamp[0] * NS + stamp[1]


@pytest.mark.parametrize("instant", INSTANTS)
def test_an_instant_is_kept_to_the_nanosecond(file: Path, instant: str) -> None:
    os.utime(file, ns=(INSTANTS[instant], INSTANTS[instant] + 1))
    found = file.stat()
    assert (found.st_atime_ns, found.st_mtime_ns) == (INSTANTS[instant], INSTANTS[instant] + 1)


@pytest.mark.parametrize("s", [13_569_465_600, -13_569_465_600, 2**55, -(2**55)])
def test_an_instant_centuries_away_is_kept_or_becomes_the_nearest_possible(
    file: Path, s: int
) -> None:
    utimensat(file, (s, 5), (s, 5))
    nearest = LATEST_NS if s > 0 else EARLIEST_NS
    assert file.stat().st_mtime_ns in (s * NS + 5, nearest)
    with file.open("rb") as reader:
        os.fsync(reader.fileno())


def test_omitted_times_stay(file: Path) -> None:
    utimensat(file, (5, 6), (0, UTIME_OMIT))
    assert file.stat().st_atime_ns == 5 * NS + 6
    assert file.stat().st_mtime_ns == ns_of(LONG_AGO)
    utimensat(file, (0, UTIME_OMIT), (8, 9))
    assert file.stat().st_atime_ns == 5 * NS + 6
    assert file.stat().st_mtime_ns == 8 * NS + 9


def test_now_is_now(file: Path) -> None:
    before = time.time_ns()
    utimensat(file, (0, UTIME_NOW), (0, UTIME_OMIT))
    after = time.time_ns()
    assert before - CLOCK_STEP_NS <= file.stat().st_atime_ns <= after + CLOCK_STEP_NS
    assert file.stat().st_mtime_ns == ns_of(LONG_AGO)


def test_setting_times_moves_ctime(file: Path) -> None:
    before = time.time_ns()
    os.utime(file, ns=(1, 1))
    assert file.stat().st_ctime_ns >= before - CLOCK_STEP_NS


def test_times_of_a_symbolic_link_are_its_own(file: Path, mount: Path) -> None:
    (mount / "link").symlink_to("file")
    os.utime(mount / "link", ns=(3, 4), follow_symlinks=False)
    assert (mount / "link").lstat().st_mtime_ns == 4
    assert file.stat().st_mtime_ns == ns_of(LONG_AGO)


def test_times_set_on_an_open_file_outlast_its_close(mount: Path) -> None:
    with (mount / "file").open("wb") as writer:
        writer.write(b"data")
        writer.flush()
        os.utime(writer.fileno(), ns=(10, 20))
    found = (mount / "file").stat()
    assert (found.st_atime_ns, found.st_mtime_ns) == (10, 20)


def test_only_the_owner_sets_times_but_a_writer_may_set_now(file: Path) -> None:
    os.chown(file, *ALICE[:2])
    file.chmod(0o666)
    with refused(errno.EPERM):
        acting_as(BOB, lambda: os.utime(file, ns=(1, 1)))
    acting_as(BOB, lambda: os.utime(file))
    file.chmod(0o644)
    with refused(errno.EACCES):
        acting_as(BOB, lambda: os.utime(file))


def _append(file: Path) -> None:
    with file.open("ab") as writer:
        writer.write(b"more")


def _link(file: Path) -> None:
    os.link(file, file.with_name("link"))


def _set_attribute(file: Path) -> None:
    os.setxattr(file, "user.key", b"value")


MOVED_ON_A_FILE: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "write": (_append, {"mtime", "ctime"}),
    "truncate": (lambda file: os.truncate(file, 3), {"mtime", "ctime"}),
    "truncate to the same size": (lambda file: os.truncate(file, 8), {"mtime", "ctime"}),
    "chmod": (lambda file: file.chmod(0o600), {"ctime"}),
    "chown": (lambda file: os.chown(file, 1, 1), {"ctime"}),
    "link": (_link, {"ctime"}),
    "setxattr": (_set_attribute, {"ctime"}),
}


@pytest.mark.parametrize("operation", MOVED_ON_A_FILE)
def test_an_operation_moves_just_these_times_of_its_file(file: Path, operation: str) -> None:
    act, moved = MOVED_ON_A_FILE[operation]
    ctime = file.stat().st_ctime_ns
    time.sleep(CLOCK_STEP_NS / NS)
    act(file)
    found = file.stat()
    assert (found.st_mtime_ns != ns_of(LONG_AGO)) == ("mtime" in moved)
    assert (found.st_ctime_ns > ctime) == ("ctime" in moved)


def test_stat_and_open_move_nothing(file: Path) -> None:
    before = file.stat()
    time.sleep(CLOCK_STEP_NS / NS)
    os.close(os.open(file, os.O_RDWR))
    after = file.stat()
    assert after.st_mtime_ns == before.st_mtime_ns
    assert after.st_ctime_ns == before.st_ctime_ns


CHANGES_OF_A_DIRECTORY: dict[str, Callable[[Path], object]] = {
    "create": lambda parent: (parent / "made").touch(),
    "mkdir": lambda parent: (parent / "made").mkdir(),
    "mkfifo": lambda parent: os.mkfifo(parent / "made"),
    "symlink": lambda parent: (parent / "made").symlink_to("x"),
    "link": lambda parent: os.link(parent / "file", parent / "made"),
    "unlink": lambda parent: (parent / "file").unlink(),
    "rmdir": lambda parent: (parent / "directory").rmdir(),
    "rename within": lambda parent: (parent / "file").rename(parent / "renamed"),
}


@pytest.mark.parametrize("change", CHANGES_OF_A_DIRECTORY)
def test_a_change_of_entries_moves_mtime_and_ctime_of_the_directory(
    mount: Path, change: str
) -> None:
    parent = mount / "parent"
    (parent / "directory").mkdir(parents=True)
    (parent / "file").touch()
    os.utime(parent, ns=(1, 1))
    ctime = parent.stat().st_ctime_ns
    time.sleep(CLOCK_STEP_NS / NS)
    CHANGES_OF_A_DIRECTORY[change](parent)
    assert parent.stat().st_mtime_ns > 1
    assert parent.stat().st_ctime_ns > ctime


def test_a_change_in_a_file_leaves_its_directory_alone(file: Path, mount: Path) -> None:
    os.utime(mount, ns=(1, 1))
    _append(file)
    assert mount.stat().st_mtime_ns == 1


def test_a_fresh_file_is_born_now(mount: Path) -> None:
    before = time.time_ns()
    (mount / "file").touch()
    found = (mount / "file").stat()
    for stamp in (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns):
        assert before - CLOCK_STEP_NS <= stamp <= time.time_ns() + CLOCK_STEP_NS


def test_times_of_a_write_are_the_same_by_path_and_by_descriptor(mount: Path) -> None:
    with (mount / "file").open("wb", buffering=0) as writer:
        writer.write(b"x")
        by_descriptor = os.fstat(writer.fileno())
        by_path = (mount / "file").stat()
    closed = (mount / "file").stat()
    assert by_descriptor.st_mtime_ns == by_path.st_mtime_ns == closed.st_mtime_ns
    assert by_descriptor.st_ctime_ns == by_path.st_ctime_ns == closed.st_ctime_ns
