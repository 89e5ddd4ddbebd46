"""What a crash or a flipped bit leaves of the journal is told rightly, or not at all."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.disks import FaultyDisk, PowerCut, SimulatedDisk
from tests.support.journals import append, commit, lsns, settle, told
from vexfs_fuse.errors import StoreDamaged
from vexfs_fuse.storage.journal import Journal
from vexfs_fuse.storage.journal_files import file_name
from vexfs_fuse.storage.records import SYNCED, Entry, pack_record
from vexfs_fuse.units import Inode, Lsn

sizes = st.integers(0, 40) | st.integers(400, 1500)
batches = st.lists(st.lists(sizes, min_size=1, max_size=4), max_size=6)
ends = st.none() | st.integers(0, 2**32)
lives_lived = st.lists(st.tuples(batches, st.integers(0, 40), ends), max_size=4)
Lives = list[tuple[list[list[int]], int, int | None]]
FILE_BYTES_MAX = 3000


class Life:
    """A journal that is opened, written and cut off again and again, and what it has promised."""

    def __init__(self, *, is_told_what_is_durable: bool) -> None:
        self.disk = SimulatedDisk()
        self.is_told_what_is_durable = is_told_what_is_durable
        self.appended: list[Entry] = []
        self.settled = 0

    def live(self, work: list[list[int]], power_cut_after: int) -> None:
        """Open and work until the power is cut."""
        faulty = FaultyDisk(self.disk)
        faulty.cut_power(after=power_cut_after)
        try:
            journal = self.open(faulty)
            for some in work:
                self.appended += append(journal, *some)
                settle(journal)
                self.settled = len(self.appended)
        except PowerCut:
            pass

    def open(self, disk: FaultyDisk | SimulatedDisk) -> Journal:
        """Open, and compare what is left with what was promised."""
        durable = Lsn(self.settled if self.is_told_what_is_durable else 0)
        journal = Journal.open(disk, file_bytes_max=FILE_BYTES_MAX, durable_at_least=durable)
        left = told(journal)
        assert left == self.appended[: len(left)]
        assert len(left) >= self.settled
        assert journal.next_lsn == len(left) + 1
        self.appended = left
        self.settled = len(left)
        return journal

    def end(self, seed: int | None) -> None:
        """Lose what a power cut loses; None: only the process was killed."""
        if seed is not None:
            self.disk = self.disk.crash(Random(seed))


@given(lives_lived, st.booleans())
def test_any_crash_leaves_a_prefix_with_everything_settled(
    lives: Lives, is_told_what_is_durable: bool
) -> None:
    life = Life(is_told_what_is_durable=is_told_what_is_durable)
    for work, power_cut_after, seed in lives:
        life.live(work, power_cut_after)
        life.end(seed)
    life.open(life.disk)


@given(batches, st.binary(min_size=1, max_size=600))
def test_torn_tail_is_cut_before_anything_is_appended(work: list[list[int]], tail: bytes) -> None:
    disk, entries = written(work, file_bytes_max=10**6)
    file = disk.open("journal/1.vxj", writable=True)
    end = file.size()
    file.pwritev([tail], end)
    journal = Journal.open(disk, durable_at_least=Lsn(len(entries)))
    assert disk.contents("journal/1.vxj")[end:] == b""
    entries += append(journal, 10)
    settle(journal)
    assert told(Journal.open(disk)) == entries


def written(work: list[list[int]], file_bytes_max: int) -> tuple[SimulatedDisk, list[Entry]]:
    """Return a disk with a journal of some batches, all settled, and what is in it."""
    disk = SimulatedDisk()
    journal = Journal.open(disk, file_bytes_max=file_bytes_max, entropy=bytes)
    entries = []
    for some in work:
        entries += append(journal, *some)
        settle(journal)
    journal.close()
    return disk, entries


@given(batches.filter(len), st.data())
def test_flipped_bit_in_what_was_durable_is_damage(
    work: list[list[int]], data: st.DataObject
) -> None:
    disk, entries = written(work, FILE_BYTES_MAX)
    names = [f"journal/{name}" for name in disk.names("journal")]
    name = data.draw(st.sampled_from(names))
    file_bytes = len(disk.contents(name))
    bit = data.draw(st.integers(0, 8 * file_bytes - 1))
    mark_bytes = len(synced_mark(entries[-1].lsn))
    is_in_last_mark = name == file_name(len(names)) and bit // 8 >= file_bytes - mark_bytes
    disk.flip_bit(name, bit)
    # Nothing stands behind the last mark that it would have to protect.
    assert told_or_damaged(disk) == (entries if is_in_last_mark else None)


def synced_mark(lsn: int, salt: bytes = bytes(8)) -> bytes:
    return pack_record((lsn, lsn * 1000, SYNCED, 0, (0, 0, 0), {"salt": salt}, 0))


def told_or_damaged(disk: SimulatedDisk) -> list[Entry] | None:
    try:
        return told(Journal.open(disk))
    except StoreDamaged:
        return None


@given(
    lives_lived,
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=3),
)
def test_flipped_bits_never_yield_wrong_records(lives: Lives, places: list[float]) -> None:
    life = Life(is_told_what_is_durable=True)
    for work, power_cut_after, seed in lives:
        life.live(work, power_cut_after)
        life.end(seed)
    for place in places:
        flip_somewhere(life.disk, place)
    try:
        life.open(life.disk)
    except StoreDamaged:
        pass


def flip_somewhere(disk: SimulatedDisk, place: float) -> None:
    """Flip the bit that is at this share of all bits in the journal."""
    names = [f"journal/{n}" for n in disk.names("journal")] if disk.exists("journal") else []
    bit = int(place * 8 * sum(len(disk.contents(name)) for name in names))
    for name in names:
        size = 8 * len(disk.contents(name))
        if bit < size:
            disk.flip_bit(name, bit)
            return
        bit -= size


# --- the cases by hand


def journal_of(*batches_of_sizes: tuple[int, ...]) -> SimulatedDisk:
    return written([list(some) for some in batches_of_sizes], file_bytes_max=10**6)[0]


def test_flip_before_the_last_mark_is_no_torn_tail() -> None:
    disk = journal_of((10,), (10,))
    disk.flip_bit("journal/1.vxj", 8 * disk.contents("journal/1.vxj").index(b"name"))
    with pytest.raises(StoreDamaged, match="record at byte"):
        told(Journal.open(disk))


def test_records_that_the_state_has_applied_must_be_there() -> None:
    disk = journal_of((10,), (10,))
    with pytest.raises(StoreDamaged, match="records through 3"):
        Journal.open(disk, durable_at_least=Lsn(3))


def test_lost_journal_is_damage_to_a_state_that_has_applied_it() -> None:
    with pytest.raises(StoreDamaged):
        Journal.open(SimulatedDisk(), durable_at_least=Lsn(1))


def test_damage_is_left_as_it_is() -> None:
    disk = journal_of((10,), (10,))
    before = disk.contents("journal/1.vxj")
    with pytest.raises(StoreDamaged):
        Journal.open(disk, durable_at_least=Lsn(3))
    assert disk.contents("journal/1.vxj") == before


@pytest.mark.parametrize("salt_of_mark", [bytes(8), b"saltsalt"])
def test_mark_planted_in_contents_proves_nothing_without_the_salt(salt_of_mark: bytes) -> None:
    """A user who writes marks into a file must not keep the volume from opening after a crash."""
    disk = SimulatedDisk()
    journal = Journal.open(disk, entropy=lambda size: b"saltsalt"[:size])
    commit(journal, 10)
    mark = synced_mark(1000, salt_of_mark)
    journal.append("Written", Inode(5), (0, 0, 0), {"inline": mark}, 7)
    batch = journal.seal()
    assert batch is not None
    torn = b"".join(batch.records)[:-1]
    disk.open("journal/1.vxj", writable=True).pwritev([torn], batch.position)
    if salt_of_mark == b"saltsalt":
        assert Journal.open(disk).next_lsn == 1001  # what the salt is there to prevent
    else:
        assert lsns(Journal.open(disk)) == [1]


def test_torn_first_batch_of_a_file_takes_the_file_with_it() -> None:
    disk = journal_of((10,), (10,))
    disk.create("journal/2.vxj").pwritev([b"\x97\x02torn"], 0)
    journal = Journal.open(disk)
    assert not disk.exists("journal/2.vxj")
    assert lsns(journal) == [1, 2]


def test_damaged_header_of_a_file_with_synced_batches_is_damage() -> None:
    disk, _ = written([[500], [500], [500]], file_bytes_max=400)
    disk.flip_bit("journal/3.vxj", 3)
    with pytest.raises(StoreDamaged, match=r"3\.vxj"):
        Journal.open(disk)
    assert disk.exists("journal/3.vxj")


def test_torn_beginning_of_a_journal_is_begun_again() -> None:
    disk = SimulatedDisk()
    disk.make_directory("journal")
    disk.create("journal/1.vxj").pwritev([b"\x97"], 0)
    journal = Journal.open(disk)
    commit(journal, 10)
    assert lsns(Journal.open(disk)) == [1]


def test_records_behind_the_last_mark_are_written_and_synced_again() -> None:
    """After a failed sync the page cache calls clean what the disk never got."""
    disk = journal_of((10,))
    journal = Journal.open(disk)
    append(journal, 10)
    batch = journal.seal()
    assert batch is not None
    unsynced = b"".join(batch.records)
    disk.open("journal/1.vxj", writable=True).pwritev([unsynced], batch.position)
    disk.counts.clear()
    assert Journal.open(disk).durable_lsn == 2
    assert disk.counts["datasync"] == 1
    assert disk.counts["bytes_written"] == len(unsynced)


def test_opening_a_sound_journal_reads_its_end_only() -> None:
    disk = journal_of(*[(100_000,)] * 9)
    disk.counts.clear()
    Journal.open(disk)
    assert disk.counts["pread"] <= 5


def test_name_left_by_a_killed_process_is_made_durable() -> None:
    """Killed between creating a file and syncing its directory; the kernel keeps the name."""
    for seed in range(20):
        disk = SimulatedDisk()
        faulty = FaultyDisk(disk)
        journal = Journal.open(faulty, file_bytes_max=1)
        append(journal, 10)
        faulty.fail("sync_directory", PowerCut())
        with pytest.raises(PowerCut):
            settle(journal)
        commit(Journal.open(disk), 10)
        assert lsns(Journal.open(disk.crash(Random(seed)))) == [1, 2]
