"""The simulated disk loses what a power cut may lose, and nothing else."""

from collections.abc import Callable
from random import Random

import pytest

from tests.support.disks import ANY_CHANGE, SECTOR_BYTES, FaultyDisk, PowerCut, SimulatedDisk
from vexfs_fuse.errors import NoSpace, NotFound, StoreFailed
from vexfs_fuse.units import MIB

SEEDS = range(200)


def outcomes(disk: SimulatedDisk, look: Callable[[SimulatedDisk], object]) -> set[object]:
    return {look(disk.crash(Random(seed))) for seed in SEEDS}


def contents_or_none(disk: SimulatedDisk) -> bytes | None:
    return disk.contents("a") if disk.exists("a") else None


def synced_file(content: bytes) -> SimulatedDisk:
    disk = SimulatedDisk()
    file = disk.create("a")
    file.pwritev([content], 0)
    file.datasync()
    disk.sync_directory("")
    return disk


def test_synced_contents_survive_every_crash() -> None:
    assert outcomes(synced_file(b"abc"), contents_or_none) == {b"abc"}


def test_unsynced_write_is_kept_or_lost() -> None:
    disk = synced_file(b"abc")
    disk.open("a", writable=True).pwritev([b"X"], 1)
    assert outcomes(disk, contents_or_none) == {b"abc", b"aXc"}


def test_unsynced_growth_may_leave_zeros() -> None:
    disk = synced_file(b"")
    disk.open("a", writable=True).pwritev([b"abc"], 0)
    assert outcomes(disk, contents_or_none) == {b"", b"abc", b"\0\0\0"}


def test_long_write_is_torn_between_sectors() -> None:
    disk = synced_file(b"-" * (3 * SECTOR_BYTES))
    disk.open("a", writable=True).pwritev([b"X" * (3 * SECTOR_BYTES)], 0)

    def sectors(left: SimulatedDisk) -> str:
        content = left.contents("a").decode()
        assert content == "".join(c * SECTOR_BYTES for c in content[::SECTOR_BYTES])
        return content[::SECTOR_BYTES]

    assert len(outcomes(disk, sectors)) == 2**3


def test_later_write_may_be_kept_without_the_earlier_one() -> None:
    disk = synced_file(b"-" * (2 * SECTOR_BYTES))
    file = disk.open("a", writable=True)
    file.pwritev([b"1"], 0)
    file.pwritev([b"2"], SECTOR_BYTES)
    left = outcomes(disk, lambda after: (after.contents("a")[0], after.contents("a")[SECTOR_BYTES]))
    assert left == {(a, b) for a in b"-1" for b in b"-2"}


def test_within_a_sector_the_earlier_write_is_kept_with_the_later_one() -> None:
    disk = synced_file(b"--")
    file = disk.open("a", writable=True)
    file.pwritev([b"1"], 0)
    file.pwritev([b"2"], 1)
    assert outcomes(disk, contents_or_none) == {b"--", b"1-", b"12"}


def test_unsynced_truncation_is_kept_or_lost() -> None:
    disk = synced_file(b"abc")
    disk.open("a", writable=True).truncate(1)
    assert {b"abc", b"a"} <= outcomes(disk, contents_or_none) <= {b"abc", b"a", b"a\0\0"}


def test_created_name_is_kept_or_lost_until_its_directory_is_synced() -> None:
    disk = SimulatedDisk()
    disk.create("a").datasync()
    assert outcomes(disk, contents_or_none) == {None, b""}
    disk.sync_directory("")
    assert outcomes(disk, contents_or_none) == {b""}


def test_removed_name_is_back_or_gone_until_its_directory_is_synced() -> None:
    disk = synced_file(b"abc")
    disk.remove("a")
    assert outcomes(disk, contents_or_none) == {None, b"abc"}
    disk.sync_directory("")
    assert outcomes(disk, contents_or_none) == {None}


def test_renaming_happened_or_not() -> None:
    disk = synced_file(b"old")
    file = disk.create("b")
    file.pwritev([b"new"], 0)
    file.datasync()
    disk.sync_directory("")
    disk.rename("b", "a")
    left = outcomes(disk, lambda after: (after.contents("a"), after.exists("b")))
    assert left == {(b"old", True), (b"new", False)}


def test_files_go_with_their_unsynced_directory() -> None:
    disk = SimulatedDisk()
    disk.make_directory("d")
    disk.create("d/a").datasync()
    disk.sync_directory("d")
    left = outcomes(disk, lambda after: (after.exists("d"), after.exists("d/a")))
    assert left == {(False, False), (True, True)}


def test_crash_leaves_the_disk_itself_alone() -> None:
    disk = synced_file(b"abc")
    disk.open("a", writable=True).pwritev([b"X"], 0)
    left = disk.crash(Random(0))
    left.open("a", writable=True).pwritev([b"YYY"], 0)
    assert disk.contents("a") == b"Xbc"
    assert disk.durable_contents("a") == b"abc"


def test_what_a_crash_left_is_durable() -> None:
    disk = synced_file(b"abc")
    disk.open("a", writable=True).pwritev([b"X"], 0)
    left = disk.crash(Random(3))
    assert outcomes(left, contents_or_none) == {left.contents("a")}


def test_flipped_bit_is_read_and_survives() -> None:
    disk = synced_file(b"abc")
    disk.flip_bit("a", 8)
    assert disk.contents("a") == b"acc"
    assert outcomes(disk, contents_or_none) == {b"acc"}


def test_full_disk_takes_only_what_was_reserved() -> None:
    disk = synced_file(b"abc")
    file = disk.open("a", writable=True)
    file.reserve(3, 10)
    disk.fill()
    assert disk.free_bytes() == 0
    file.pwritev([b"x" * 10], 3)
    with pytest.raises(NoSpace):
        file.pwritev([b"x"], 13)
    with pytest.raises(NoSpace):
        file.reserve(0, MIB)


def test_calls_and_bytes_are_counted() -> None:
    disk = synced_file(b"abc")
    calls = {"create": 1, "pwritev": 1, "datasync": 1, "sync_directory": 1}
    assert disk.counts == {**calls, "bytes_written": 3}


def test_cold_disk_refuses_reads_that_must_not_wait() -> None:
    disk = synced_file(b"abc")
    disk.is_cold = True
    buffer = bytearray(3)
    with pytest.raises(BlockingIOError):
        disk.open("a").read_into(buffer, 0, nowait=True)
    assert disk.open("a").read_into(buffer, 0) == 3


def test_fault_comes_after_its_calls_and_goes() -> None:
    disk = FaultyDisk(synced_file(b"abc"))
    disk.fail("datasync", StoreFailed("sda"), after=1, times=2)
    file = disk.open("a", writable=True)
    file.datasync()
    for _ in range(2):
        with pytest.raises(StoreFailed):
            file.datasync()
    file.datasync()


def test_power_stays_cut() -> None:
    disk = FaultyDisk(synced_file(b"abc"))
    file = disk.open("a", writable=True)
    disk.cut_power(after=1)
    file.pwritev([b"X"], 0)
    for _ in range(2):
        with pytest.raises(PowerCut):
            file.datasync()
    disk.heal()
    file.datasync()


def test_any_change_leaves_reading_alone() -> None:
    disk = FaultyDisk(synced_file(b"abc"))
    disk.fail(ANY_CHANGE, StoreFailed("sda"))
    assert disk.open("a").pread(3, 0) == b"abc"
    with pytest.raises(StoreFailed):
        disk.remove("a")


def test_full_disk_refuses_files_and_reservations() -> None:
    disk = FaultyDisk(synced_file(b"abc"))
    disk.full()
    with pytest.raises(NoSpace):
        disk.create("b")
    with pytest.raises(NoSpace):
        disk.open("a", writable=True).reserve(0, 1)
    with pytest.raises(NotFound):
        disk.open("b")
