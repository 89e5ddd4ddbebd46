"""The journal is followed from outside: what is durable, in order, whatever file it is in."""

import stat

from tests.support.disks import SimulatedDisk
from tests.support.journals import append, settle
from tests.support.stores import ROOT_USER, SimulatedStore
from vexfs_fuse.runtime.journal_follower import JournalFollower
from vexfs_fuse.storage.journal import Journal
from vexfs_fuse.storage.records import Entry
from vexfs_fuse.units import KIB, ROOT, Lsn


class Following:
    """A journal, and who follows it."""

    def __init__(self) -> None:
        self.disk = SimulatedDisk()
        self.journal = Journal.open(self.disk, file_bytes_max=2 * KIB)
        self.follower = JournalFollower(self.disk)

    def durable(self, count: int, size: int = 300) -> list[Entry]:
        """Append records, one batch each."""
        entries = []
        for _ in range(count):
            entries += append(self.journal, size)
            settle(self.journal)
        return entries

    def read(self, after: int, count_max: int = 1_000) -> list[Entry] | None:
        return self.follower.read(Lsn(after), self.journal.durable_lsn, count_max)


def test_it_reads_on_across_files() -> None:
    following = Following()
    first = following.durable(30)
    assert following.journal.statistics.files > 2
    assert following.read(0) == first
    second = following.durable(30)
    assert following.read(30) == second
    assert following.read(60) is None


def test_it_reads_some_at_a_time_and_from_anywhere() -> None:
    following = Following()
    entries = following.durable(30)
    assert following.read(0, 7) == entries[:7]
    assert following.read(7, 7) == entries[7:14]
    assert following.read(20) == entries[20:]
    assert following.read(3, 2) == entries[3:5]


def test_it_reads_nothing_that_may_be_undone() -> None:
    following = Following()
    entries = following.durable(3)
    append(following.journal, 100)
    batch = following.journal.seal()
    assert batch is not None
    batch.write()
    assert following.read(0) == entries


def test_it_says_when_records_are_gone() -> None:
    following = Following()
    entries = following.durable(30)
    drop = following.journal.drop_through(Lsn(20))
    assert drop is not None
    drop()
    first = following.journal.first_lsn
    assert following.read(0) is None
    assert following.read(first - 1) == entries[first - 1 :]


def test_it_says_so_when_they_go_while_it_is_behind() -> None:
    following = Following()
    entries = following.durable(10)
    assert following.read(0, 2) == entries[:2]
    following.durable(30)
    drop = following.journal.drop_through(Lsn(35))
    assert drop is not None
    drop()
    assert following.read(2) is None


def test_it_tells_who_got_or_lost_names_and_by_which_record() -> None:
    store = SimulatedStore()
    mounted = store.open()
    vfs = mounted.vfs
    a = vfs.mknod(ROOT, b"a", stat.S_IFREG | 0o644, 0, ROOT_USER).ino
    b = vfs.mknod(ROOT, b"b", stat.S_IFREG | 0o644, 0, ROOT_USER).ino
    mounted.sync()
    begin = mounted.volume.durable_lsn
    vfs.rename(ROOT, b"a", ROOT, b"b", 0, ROOT_USER)
    mounted.sync()
    follower = JournalFollower(store.disk)
    everything = dict(follower.named_since(Lsn(0), mounted.volume.durable_lsn))
    assert everything == {a: begin + 1, b: begin + 1}
    assert dict(follower.named_since(Lsn(0), begin)) == {a: begin - 1, b: begin}
    assert follower.named_since(mounted.volume.durable_lsn, mounted.volume.durable_lsn) == []
    mounted.close()
    store.remove()
