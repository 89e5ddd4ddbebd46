"""A whole volume against the model: any requests, batches, commits, crashes, in any order.

A crash is a kill (the disk keeps what it was given) or a power cut (it loses any of what was not
synced), between two steps or at any change of the disk within one.  What recovery finds must be the
model as of some record, none that was durable missing; and the check must find nothing.
"""

import random
import stat
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, NamedTuple

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from tests.models.volume import VolumeModel
from tests.support.disks import PowerCut
from tests.support.stores import ROOT_USER, Mounted, SimulatedStore
from vexfs_fuse.errors import NothingThere, VexfsError
from vexfs_fuse.pending import Pending, WaitForSpace
from vexfs_fuse.units import KIB, MIB, ROOT, Inode, Lsn
from vexfs_fuse.volume.attributes import Attributes
from vexfs_fuse.volume.batch import Batch
from vexfs_fuse.volume.check import check
from vexfs_fuse.volume.files import SEEK_DATA, SEEK_HOLE

FILE_BYTES_MAX = 2 * MIB
STEPS = 60

PICKS = st.integers(0, 6)
NAMES = st.sampled_from([b"a", b"b", b"c", b"\xff\xfe", b"long" * 60])
XATTRS = st.sampled_from([b"user.a", b"user.b", b"trusted.c"])
VALUES = st.sampled_from([b"", b"short", b"v" * 300, b"large" * 4000])
FLAGS = st.sampled_from([0, 0, 0, 1, 2])
SEEDS = st.integers(0, 2**32)
BORDERS = st.sampled_from([0, 0, 0, 4 * KIB, 64 * KIB, 128 * KIB, MIB])
PLACES = st.builds(lambda border, step: max(0, border + step), BORDERS, st.integers(-3, 200))
SIZES = st.integers(1, 200) | st.builds(
    lambda border, step: border + step,
    st.sampled_from([4 * KIB, 64 * KIB, 200 * KIB]),
    st.integers(-2, 2),
)
KINDS = st.sampled_from([stat.S_IFREG, stat.S_IFREG, stat.S_IFIFO, stat.S_IFCHR])


class Crash(NamedTuple):
    """How the process ends: killed, or by a power cut that takes what the seed says."""

    seed: int | None

    def __str__(self) -> str:
        return "kill" if self.seed is None else "power cut"


CRASHES = st.builds(Crash, st.none() | SEEDS)


class Slow:
    """A pending answer: nothing done, its work done, resumed."""

    def __init__(self, pending: Pending[Any]) -> None:
        self.pending = pending
        self.result: list[Any] = []

    def advance(self) -> Any:
        """Do the work, or resume: then return the answer in a list."""
        if not self.result:
            self.result.append(self.pending.work())
            return []
        return [self.pending.resume(self.result[0])]


class Reading(NamedTuple):
    """A read that waits for the disk."""

    handle: int
    offset: int
    size: int
    slow: Slow


def survivable(method: Callable[..., None]) -> Callable[..., None]:
    """Let a power cut within a rule end in recovery."""

    @wraps(method)
    def run(self: "VolumeMachine", **arguments: Any) -> None:
        try:
            method(self, **arguments)
        except PowerCut:
            event(f"{self.armed} within {method.__name__}")
            self.recover(self.armed)

    return run


class VolumeMachine(RuleBasedStateMachine):
    """Requests of one program, and the daemon's own work beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.store = SimulatedStore()
        self.clock = self.store.clock
        self.random = random.Random(0)
        self.model = VolumeModel({}, 0, 0)
        self.start()

    def start(self) -> None:
        """Open the volume, and believe nothing but what it had made durable."""
        self.is_open = False
        self.mounted = self.store.open()
        self.is_open = True
        self.volume = self.mounted.volume
        self.vfs = self.mounted.vfs
        self.handles: dict[int, int] = {}
        self.lookups: dict[int, int] = {}
        self.readings: list[Reading] = []
        self.batch: Batch | None = None
        self.batch_has_run = False
        self.relief: Slow | None = None
        self.steps: Iterator[Pending[Any] | None] | None = None
        self.step: Slow | None = None
        self.armed = Crash(None)
        self.model = self.recovered(self.mounted)

    def recovered(self, mounted: Mounted) -> VolumeModel:
        """Return what a volume that was just opened must be."""
        volume = mounted.volume
        last = volume.logged_lsn - volume.journal.statistics.records
        if last == 0:
            root = mounted.vfs.getattr(ROOT)
            model = VolumeModel({}, 0, 0)
            model.format(root.uid, root.gid, self.clock.ns)
        else:
            model = self.model.crashed(last)
        model.note_records(volume.logged_lsn)
        return model

    def teardown(self) -> None:
        try:
            if not self.is_open:
                return  # recovery has failed, and told so
            self.store.faults.heal()
            self.close_handles()
            self.fsck()
            assert self.mounted.looks() == self.model.looks(contents=True)
            self.mounted.close()
            assert not self.volume.pool.pins
        finally:
            self.volume.view.close()
            self.store.remove()

    # --- who and what -----------------------------------------------------------------------------

    def pick(self, number: int, kind: Callable[[int], bool]) -> Inode:
        """Return one of the inodes that a program can name or has open."""
        referenced = {*self.handles.values(), *self.lookups}
        usable = set(self.model.logged) - (self.model.nameless() - referenced)
        found = sorted(ino for ino in usable if kind(ino))
        return Inode(found[number % len(found)]) if found else ROOT

    def directory(self, number: int) -> Inode:
        return self.pick(number, lambda ino: self.model.logged[ino].is_dir)

    def anything(self, number: int) -> Inode:
        return self.pick(number, lambda ino: True)

    def handle(self, number: int) -> tuple[int, int]:
        handles = sorted(self.handles)
        handle = handles[number % len(handles)]
        return handle, self.handles[handle]

    def both(self, expect: Callable[[], Any], request: Callable[[], Any]) -> Any:
        """Let model and volume do the same; return what both say, None for the same refusal."""
        self.clock.advance(1)
        try:
            expected = expect()
        except VexfsError as refusal:
            with pytest.raises(type(refusal)):
                request()
            return None
        answer = request()
        assert self.model.lsn == self.volume.logged_lsn
        return answer if expected is None else (expected, answer)

    def count(self, ino: int) -> None:
        self.lookups[ino] = self.lookups.get(ino, 0) + 1

    # --- names ------------------------------------------------------------------------------------

    @rule(number=PICKS, name=NAMES, mode=st.sampled_from([0o644, 0o4755, 0o600]))
    @survivable
    def create(self, number: int, name: bytes, mode: int) -> None:
        parent = self.directory(number)
        made = self.both(
            lambda: self.model.create(parent, name, stat.S_IFREG | mode, ROOT_USER, self.clock.ns),
            lambda: self.vfs.create(parent, name, mode, 2, ROOT_USER),
        )
        if made is not None:
            ino, (handle, node) = made
            assert node.ino == ino
            self.handles[handle] = ino
            self.count(ino)

    @rule(number=PICKS, name=NAMES, kind=KINDS)
    @survivable
    def mknod(self, number: int, name: bytes, kind: int) -> None:
        parent = self.directory(number)
        rdev = 259 if kind == stat.S_IFCHR else 0
        mode = kind | 0o640
        made = self.both(
            lambda: self.model.create(parent, name, mode, ROOT_USER, self.clock.ns, rdev=rdev),
            lambda: self.vfs.mknod(parent, name, mode, rdev, ROOT_USER),
        )
        if made is not None:
            self.count(made[0])

    @rule(number=PICKS, name=NAMES, mode=st.sampled_from([0o755, 0o2775, 0o1777]))
    @survivable
    def mkdir(self, number: int, name: bytes, mode: int) -> None:
        parent = self.directory(number)
        made = self.both(
            lambda: self.model.create(parent, name, stat.S_IFDIR | mode, ROOT_USER, self.clock.ns),
            lambda: self.vfs.mkdir(parent, name, mode, ROOT_USER),
        )
        if made is not None:
            self.count(made[0])

    @rule(number=PICKS, name=NAMES, path=st.sampled_from([b"a", b"../b", b"t" * 4095]))
    @survivable
    def symlink(self, number: int, name: bytes, path: bytes) -> None:
        parent, mode = self.directory(number), stat.S_IFLNK | 0o777
        made = self.both(
            lambda: self.model.create(parent, name, mode, ROOT_USER, self.clock.ns, path),
            lambda: self.vfs.symlink(parent, name, path, ROOT_USER),
        )
        if made is not None:
            self.count(made[0])

    @rule(what=PICKS, number=PICKS, name=NAMES)
    @survivable
    def link(self, what: int, number: int, name: bytes) -> None:
        ino, parent = self.anything(what), self.directory(number)
        node = self.both(
            lambda: self.model.link(ino, parent, name, self.clock.ns),
            lambda: self.vfs.link(ino, parent, name, ROOT_USER),
        )
        if node is not None:
            self.count(ino)

    @rule(number=PICKS, name=NAMES)
    @survivable
    def unlink(self, number: int, name: bytes) -> None:
        parent = self.directory(number)
        self.both(
            lambda: self.model.unlink(parent, name, self.clock.ns) and None,
            lambda: self.vfs.unlink(parent, name, ROOT_USER),
        )

    @rule(number=PICKS, name=NAMES)
    @survivable
    def rmdir(self, number: int, name: bytes) -> None:
        parent = self.directory(number)
        self.both(
            lambda: self.model.rmdir(parent, name, self.clock.ns) and None,
            lambda: self.vfs.rmdir(parent, name, ROOT_USER),
        )

    @rule(number=PICKS, name=NAMES, to=PICKS, new_name=NAMES, flags=FLAGS)
    @survivable
    def rename(self, number: int, name: bytes, to: int, new_name: bytes, flags: int) -> None:
        old, new = self.directory(number), self.directory(to)
        self.both(
            lambda: self.model.rename(old, name, new, new_name, flags, self.clock.ns),
            lambda: self.vfs.rename(old, name, new, new_name, flags, ROOT_USER),
        )

    @rule(number=PICKS, name=NAMES)
    def lookup(self, number: int, name: bytes) -> None:
        parent = self.directory(number)
        found = self.both(
            lambda: self.model.find(parent, name), lambda: self.vfs.lookup(parent, name, ROOT_USER)
        )
        if found is not None:
            assert found[0] == found[1].ino
            self.count(found[0])

    @precondition(lambda self: self.lookups)
    @rule(number=PICKS)
    def forget(self, number: int) -> None:
        ino = sorted(self.lookups)[number % len(self.lookups)]
        self.vfs.forget([(ino, self.lookups.pop(ino))])

    # --- attributes -------------------------------------------------------------------------------

    @rule(
        number=PICKS,
        mode=st.none() | st.sampled_from([0o700, 0o6777]),
        uid=st.none() | st.integers(0, 2**32 - 2),
        mtime=st.none() | st.integers(-(2**62), 2**62),
    )
    @survivable
    def set_attributes(
        self, number: int, mode: int | None, uid: int | None, mtime: int | None
    ) -> None:
        wanted = Attributes(mode=mode, uid=uid, mtime=mtime)
        if wanted == Attributes():
            return
        ino = self.anything(number)
        self.both(
            lambda: self.model.set_attributes(ino, wanted, self.clock.ns),
            lambda: self.vfs.setattr(ino, wanted, None, ROOT_USER),
        )

    @rule(number=PICKS, name=XATTRS, value=VALUES)
    @survivable
    def set_xattr(self, number: int, name: bytes, value: bytes) -> None:
        ino = self.anything(number)
        self.both(
            lambda: self.model.set_xattr(ino, name, value, self.clock.ns),
            lambda: self.vfs.setxattr(ino, name, value, ROOT_USER),
        )

    @rule(number=PICKS, name=XATTRS)
    @survivable
    def remove_xattr(self, number: int, name: bytes) -> None:
        ino = self.anything(number)
        self.both(
            lambda: self.model.remove_xattr(ino, name, self.clock.ns),
            lambda: self.vfs.removexattr(ino, name, ROOT_USER),
        )

    # --- contents ---------------------------------------------------------------------------------

    @rule(number=PICKS)
    def open(self, number: int) -> None:
        ino = self.pick(number, lambda ino: self.model.logged[ino].is_file)
        if ino != ROOT:
            self.handles[self.vfs.open(ino, 2, ROOT_USER)[0]] = ino

    @precondition(lambda self: self.handles)
    @rule(number=PICKS)
    def release(self, number: int) -> None:
        handle, _ = self.handle(number)
        del self.handles[handle]
        self.vfs.release(handle)

    @precondition(lambda self: self.handles)
    @rule(number=PICKS, place=PLACES, size=SIZES)
    @survivable
    def write(self, number: int, place: int, size: int) -> None:
        handle, ino = self.handle(number)
        self.put(handle, ino, place, size)

    @precondition(lambda self: self.handles)
    @rule(number=PICKS, size=SIZES)
    @survivable
    def append(self, number: int, size: int) -> None:
        handle, ino = self.handle(number)
        self.put(handle, ino, len(self.model.live(ino).data), size)

    @precondition(lambda self: self.handles)
    @rule(number=PICKS, size=SIZES, times=st.integers(2, 12))
    @survivable
    def rewrite(self, number: int, size: int, times: int) -> None:
        """Leave garbage in the segments."""
        handle, ino = self.handle(number)
        for _ in range(times):
            self.put(handle, ino, 0, size)
            self.flush_oldest(1)

    def put(self, handle: int, ino: int, place: int, size: int) -> None:
        if place + size > FILE_BYTES_MAX:
            return
        data = self.random.randbytes(size)
        self.clock.advance(1)
        answer = self.vfs.write(handle, place, data)
        if isinstance(answer, WaitForSpace):
            event("a write waits for space")
            self.finish_batch()
            self.model.flush_all()
            answer = self.mounted.finish(answer)
        assert answer == size
        self.model.write(ino, place, data, self.clock.ns)

    @precondition(lambda self: self.handles)
    @rule(number=PICKS, place=PLACES)
    @survivable
    def resize(self, number: int, place: int) -> None:
        _, ino = self.handle(number)
        self.both(
            lambda: self.model.resize(ino, place, self.clock.ns),
            lambda: self.vfs.setattr(Inode(ino), Attributes(size=place), None, ROOT_USER),
        )

    @precondition(lambda self: self.handles)
    @rule(number=PICKS, place=PLACES, size=SIZES, mode=st.sampled_from([0, 1, 3, 16, 17]))
    @survivable
    def fallocate(self, number: int, place: int, size: int, mode: int) -> None:
        handle, ino = self.handle(number)
        end, keeps_size = place + size, bool(mode & 1)
        if end > FILE_BYTES_MAX:
            return

        def expect() -> None:
            if mode < 2:
                self.model.allocate(ino, end, self.clock.ns, keeps_size=keeps_size)
            else:
                self.model.punch(ino, place, end, self.clock.ns, keeps_size=keeps_size)

        self.both(expect, lambda: self.vfs.fallocate(handle, place, size, mode, ROOT_USER))

    @precondition(lambda self: self.handles)
    @rule(number=PICKS, place=PLACES)
    def seek(self, number: int, place: int) -> None:
        """Where no data are said to be there are zeros; a hole is one, or the end."""
        handle, ino = self.handle(number)
        data = self.model.live(ino).data
        if place >= len(data):
            with pytest.raises(NothingThere):
                self.vfs.seek(Inode(ino), handle, place, SEEK_DATA)
            return
        hole = self.vfs.seek(Inode(ino), handle, place, SEEK_HOLE)
        assert place <= hole <= len(data)
        assert not any(data[hole : hole + 1])
        try:
            end = self.vfs.seek(Inode(ino), handle, place, SEEK_DATA)
        except NothingThere:
            end = len(data)
        assert not any(data[place:end])

    @precondition(lambda self: self.handles)
    @rule(number=PICKS, place=PLACES, size=SIZES, waits=st.booleans())
    def read(self, number: int, place: int, size: int, waits: bool) -> None:
        handle, _ = self.handle(number)
        self.store.disk.is_cold = waits
        self.compare(handle, place, size, self.vfs.read(handle, place, size))

    @precondition(lambda self: self.readings)
    @rule(number=PICKS)
    def go_on_reading(self, number: int) -> None:
        reading = self.readings.pop(number % len(self.readings))
        if reading.handle not in self.handles:
            return
        answers = reading.slow.advance()
        if answers:
            self.compare(reading.handle, reading.offset, reading.size, answers[0])
        else:
            self.readings.append(reading)

    def compare(self, handle: int, offset: int, size: int, answer: Any) -> None:
        if isinstance(answer, Pending):
            event("a read waits for the disk")
            self.readings.append(Reading(handle, offset, size, Slow(answer)))
            return
        data = self.model.live(self.handles[handle]).data
        assert bytes(answer) == data[offset : offset + size]

    @precondition(lambda self: self.handles)
    @rule(number=PICKS)
    @survivable
    def fsync(self, number: int) -> None:
        handle, ino = self.handle(number)
        durable = self.both(
            lambda: self.model.flush(ino), lambda: self.vfs.fsync(handle, data_only=False)
        )
        self.finish_batch()
        self.mounted.finish(durable)
        self.model.forget_before(self.volume.durable_lsn)

    # --- what the daemon does beside requests -----------------------------------------------------

    @rule(seconds=st.sampled_from([1, 11]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(files=st.integers(1, 5))
    @survivable
    def flush(self, files: int) -> None:
        self.flush_oldest(files)

    def flush_oldest(self, files: int) -> None:
        for ino in list(self.model.unflushed)[:files]:
            self.model.flush(ino)
        for _, _ in zip(range(files), self.volume.flush_aged(), strict=False):
            pass
        assert self.model.lsn == self.volume.logged_lsn

    @rule()
    @survivable
    def advance_batch(self) -> None:
        """Seal a batch, run it, or settle it."""
        if self.batch is None:
            self.batch = self.volume.seal()
        else:
            self.go_on_with_batch()

    def go_on_with_batch(self) -> None:
        assert self.batch is not None
        if not self.batch_has_run:
            self.batch.run()
            self.batch_has_run = True
        else:
            batch, self.batch, self.batch_has_run = self.batch, None, False
            self.volume.settle(batch, None)

    @rule()
    @survivable
    def sync(self) -> None:
        self.finish_batch()
        self.mounted.sync()

    def finish_batch(self) -> None:
        while self.batch is not None:
            self.go_on_with_batch()

    @rule()
    @survivable
    def advance_relief(self) -> None:
        """Begin to write dirty pages out, do it, or take note of it."""
        if self.relief is not None:
            if self.relief.advance():
                self.relief = None
            return
        self.model.flush_all()
        pending = self.volume.relieve()
        assert self.model.lsn == self.volume.logged_lsn
        self.relief = Slow(pending) if pending is not None else None

    @rule(count=st.integers(1, 20))
    @survivable
    def maintain(self, count: int) -> None:
        """Do some steps of the background work: purges, state commits, compaction."""
        for _ in range(count):
            self.advance_maintenance()

    @rule()
    @survivable
    def idle(self) -> None:
        """Let a while pass without requests."""
        self.finish_work()
        self.model.flush_all()
        for _ in self.volume.flush_aged():
            pass
        self.clock.advance(11)
        for _ in range(2):
            self.mounted.sync()
            self.advance_maintenance()
            self.finish_maintenance()

    def advance_maintenance(self) -> None:
        if self.step is not None:
            if self.step.advance():
                self.step = None
        else:
            if self.steps is None:
                self.steps = self.volume.maintain()
            try:
                pending = next(self.steps)
                self.step = Slow(pending) if pending is not None else None
            except StopIteration:
                self.steps = None
        self.follow_background()

    def finish_maintenance(self) -> None:
        while self.steps is not None:
            self.advance_maintenance()

    def follow_background(self) -> None:
        """Let the model forget what was purged, and count records that change nothing to be seen."""
        purged = self.model.nameless() - self.volume.orphans
        assert not purged & {*self.handles.values(), *self.lookups}
        self.model.purge(purged)
        self.model.note_records(self.volume.logged_lsn)

    # --- ends -------------------------------------------------------------------------------------

    @rule(after=st.integers(0, 12), crash=CRASHES)
    def arm(self, after: int, crash: Crash) -> None:
        """Let the process end at one of the next changes of the disk."""
        self.armed = crash
        self.store.faults.heal()
        self.store.faults.cut_power(after=after)

    @rule(crash=CRASHES)
    def crash(self, crash: Crash) -> None:
        event(f"{crash} between two steps")
        self.recover(crash)

    def recover(self, crash: Crash) -> None:
        self.is_open = False
        durable = self.volume.durable_lsn
        self.model.note_records(self.volume.logged_lsn)  # of a purge, if any
        if crash.seed is None:
            self.store.kill(self.mounted)
        else:
            self.store.cut_power(random.Random(crash.seed), self.mounted)
        self.examine_copy(durable)
        self.start()
        assert self.mounted.looks(contents=False) == self.model.looks(contents=False)

    def examine_copy(self, durable: Lsn) -> None:
        """See what recovery finds, without a trace in what goes on."""
        with self.store.twin() as mounted:
            volume = mounted.volume
            recovered = volume.logged_lsn - volume.journal.statistics.records
            assert durable <= recovered <= self.model.lsn
            assert mounted.looks() == self.recovered(mounted).looks(contents=True)
            problems = check(volume)
            assert not problems, problems

    @rule()
    @survivable
    def remount(self) -> None:
        """Unmount in good order: nothing is lost, whether synced or not."""
        self.finish_work()
        self.close_handles()
        self.model.flush_all()
        self.volume.commit_all()
        self.store.faults.heal()
        self.is_open = False
        self.mounted.close()
        self.follow_background()
        last = self.model.lsn
        self.examine_copy(Lsn(last))
        self.start()

    def close_handles(self) -> None:
        for handle in self.handles:
            self.vfs.release(handle)
        self.vfs.forget(list(self.lookups.items()))
        self.handles.clear()
        self.lookups.clear()
        self.readings.clear()

    @rule()
    @survivable
    def check(self) -> None:
        self.fsck()

    def fsck(self) -> None:
        self.finish_work()
        self.model.flush_all()
        problems = check(self.volume)
        assert not problems, problems
        self.follow_background()

    def finish_work(self) -> None:
        self.finish_batch()
        self.finish_maintenance()
        while self.relief is not None:
            if self.relief.advance():
                self.relief = None

    @invariant()
    def programs_see_the_model(self) -> None:
        assert self.mounted.looks(contents=False) == self.model.looks(contents=False)

    @invariant()
    def nothing_is_left_over(self) -> None:
        assert self.volume.orphans == self.model.nameless()
        assert self.volume.view.counts().inodes == len(self.model.logged)
        assert self.volume.failure is None


TestVolume = VolumeMachine.TestCase
TestVolume.settings = settings(stateful_step_count=STEPS)
