"""What every `Disk` promises: the directory of a real file system, and the simulated one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.disks import FaultyDisk, SimulatedDisk
from vexfs_fuse.errors import Exists, NotFound, StoreFailed
from vexfs_fuse.storage.disk import Disk, LocalDisk
from vexfs_fuse.units import MIB


@pytest.fixture(params=["local", "simulated", "faulty without faults"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    makers: dict[str, Callable[[], Disk]] = {
        "local": lambda: LocalDisk(tmp_path),
        "simulated": SimulatedDisk,
        "faulty without faults": lambda: FaultyDisk(SimulatedDisk()),
    }
    return makers[request.param]()


def stored(disk: Disk, name: str) -> bytes:
    file = disk.open(name)
    data = file.pread(file.size(), 0)
    file.close()
    return data


def put(disk: Disk, name: str, data: bytes) -> None:
    file = disk.create(name)
    file.pwritev([data], 0)
    file.close()


def test_created_file_is_empty_and_writable(disk: Disk) -> None:
    file = disk.create("a")
    assert file.size() == 0
    file.pwritev([b"abc"], 0)
    assert file.pread(3, 0) == b"abc"
    assert file.name == "a"
    file.close()


def test_creating_a_taken_name_is_refused(disk: Disk) -> None:
    put(disk, "a", b"first")
    with pytest.raises(Exists):
        disk.create("a")
    assert stored(disk, "a") == b"first"


def test_opening_a_missing_file_is_refused(disk: Disk) -> None:
    with pytest.raises(NotFound):
        disk.open("a")


def test_file_opened_for_reading_cannot_be_written(disk: Disk) -> None:
    put(disk, "a", b"abc")
    file = disk.open("a")
    with pytest.raises(StoreFailed):
        file.pwritev([b"x"], 0)
    file.close()


def test_file_opened_for_writing_is_not_emptied(disk: Disk) -> None:
    put(disk, "a", b"abc")
    file = disk.open("a", writable=True)
    file.pwritev([b"X"], 1)
    file.close()
    assert stored(disk, "a") == b"aXc"


def test_closed_file_cannot_be_read_and_closes_again(disk: Disk) -> None:
    file = disk.create("a")
    file.close()
    file.close()
    with pytest.raises(StoreFailed):
        file.pread(1, 0)


def test_buffers_are_written_one_after_the_other(disk: Disk) -> None:
    file = disk.create("a")
    file.pwritev([b"ab", bytearray(b"cd"), memoryview(b"xefx")[1:3]], 2)
    file.close()
    assert stored(disk, "a") == b"\0\0abcdef"


def test_more_buffers_than_one_system_call_takes_are_written(disk: Disk) -> None:
    file = disk.create("a")
    pieces = [index.to_bytes(2, "big") for index in range(3000)]
    file.pwritev(pieces, 0)
    file.close()
    assert stored(disk, "a") == b"".join(pieces)


def test_reading_stops_where_the_file_ends(disk: Disk) -> None:
    put(disk, "a", b"abcdef")
    file = disk.open("a")
    assert file.pread(10, 4) == b"ef"
    assert file.pread(10, 6) == b""
    buffer = bytearray(b"........")
    assert file.read_into(buffer, 3) == 3
    assert buffer == b"def....."
    file.close()


def test_cached_bytes_are_read_without_waiting(disk: Disk) -> None:
    put(disk, "a", b"abcdef")
    file = disk.open("a")
    buffer = bytearray(4)
    assert file.read_into(memoryview(buffer), 1, nowait=True) == 4
    assert buffer == b"bcde"
    file.close()


def test_truncation_cuts_and_extends_with_zeros(disk: Disk) -> None:
    file = disk.create("a")
    file.pwritev([b"abcdef"], 0)
    file.truncate(2)
    file.truncate(4)
    assert file.size() == 4
    assert file.pread(9, 0) == b"ab\0\0"
    file.close()


def test_reserving_leaves_the_size_and_the_contents(disk: Disk) -> None:
    file = disk.create("a")
    file.pwritev([b"abc"], 0)
    file.reserve(0, MIB)
    assert file.size() == 3
    assert file.pread(9, 0) == b"abc"
    file.close()


def test_punching_leaves_the_size_and_the_rest(disk: Disk) -> None:
    file = disk.create("a")
    file.pwritev([b"x" * 16384], 0)
    file.punch(4096, 8192)
    assert file.size() == 16384
    assert file.pread(4096, 0) == b"x" * 4096
    assert file.pread(4096, 12288) == b"x" * 4096
    file.close()


def test_names_are_sorted_and_those_of_one_directory(disk: Disk) -> None:
    disk.make_directory("d")
    for name in ("d/b", "d/a", "c"):
        put(disk, name, b"")
    assert disk.names("d") == ["a", "b"]
    assert disk.names("") == ["c", "d"]


def test_names_of_a_missing_directory_are_refused(disk: Disk) -> None:
    with pytest.raises(NotFound):
        disk.names("d")


def test_file_in_a_missing_directory_is_refused(disk: Disk) -> None:
    with pytest.raises(NotFound):
        disk.create("d/a")


def test_directory_may_be_made_twice(disk: Disk) -> None:
    disk.make_directory("d")
    disk.make_directory("d")
    assert disk.exists("d")
    assert disk.names("d") == []


def test_renaming_replaces_the_target(disk: Disk) -> None:
    put(disk, "a", b"new")
    put(disk, "b", b"old")
    disk.rename("a", "b")
    assert disk.names("") == ["b"]
    assert stored(disk, "b") == b"new"


def test_renaming_or_removing_what_is_missing_is_refused(disk: Disk) -> None:
    with pytest.raises(NotFound):
        disk.rename("a", "b")
    with pytest.raises(NotFound):
        disk.remove("a")


def test_removed_file_stays_readable_while_open(disk: Disk) -> None:
    put(disk, "a", b"abc")
    file = disk.open("a")
    disk.remove("a")
    assert not disk.exists("a")
    assert file.pread(3, 0) == b"abc"
    file.close()


def test_only_an_empty_directory_is_removed(disk: Disk) -> None:
    disk.make_directory("d")
    put(disk, "d/a", b"x")
    with pytest.raises(StoreFailed):
        disk.remove_directory("d")
    disk.remove("d/a")
    disk.remove_directory("d")
    assert not disk.exists("d")
    with pytest.raises(NotFound):
        disk.remove_directory("d")


def test_syncing_accepts_files_and_directories(disk: Disk) -> None:
    disk.make_directory("d")
    file = disk.create("d/a")
    file.pwritev([b"abc"], 0)
    file.datasync()
    disk.sync_directory("d")
    disk.sync_directory("")
    file.close()
    assert stored(disk, "d/a") == b"abc"


def test_disk_tells_its_size(disk: Disk) -> None:
    assert 0 < disk.free_bytes() <= disk.total_bytes()
