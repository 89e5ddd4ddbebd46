"""Segments against a dictionary: every frame reads back, staged, written, or after a power cut."""

import contextlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.disks import FaultyDisk, PowerCut, SimulatedDisk
from tests.support.segments import VOLUME, cut, extent_of, noise
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.segments import SegmentBatch, SegmentGone, Segments
from vexfs_fuse.units import KIB, Inode

SEGMENT_BYTES = 300 * KIB
COPIED_BYTES = 64 * KIB

lengths = st.one_of(
    st.integers(1, 9000),
    st.sampled_from([64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 130 * KIB, 400 * KIB]),
)


@dataclass(eq=False)
class Frame:
    """What was staged; `releases` has one entry for each time its buffers were released."""

    data: bytes
    releases: list[int]
    extent: Extent
    is_written: bool = False
    is_durable: bool = False
    is_settled: bool = False


@dataclass(eq=False)
class Taken:
    """A batch, and the frames in it."""

    batch: SegmentBatch
    frames: list[Frame]
    earlier: list["Taken"] = field(default_factory=list)

    def with_earlier(self) -> Iterable[Frame]:
        return (frame for taken in (*self.earlier, self) for frame in taken.frames)


class Store(RuleBasedStateMachine):
    """Frames are staged, written out, synced and settled; buffers are wiped once released."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Frame] = []
        self.serial = 0
        self.power_on(SimulatedDisk())

    def power_on(self, disk: SimulatedDisk) -> None:
        self.disk = disk
        self.faults = FaultyDisk(disk)
        self.segments = Segments.open(self.faults, VOLUME, segment_bytes=SEGMENT_BYTES)
        self.staged: list[Frame] = []
        self.out: list[Taken] = []  # every batch that was taken out
        self.unsynced: list[Taken] = []  # those of them that no sealed batch covers
        self.sealed: deque[Taken] = deque()
        self.written: deque[Taken] = deque()

    @rule(length=lengths, places=st.lists(st.integers(0, 2**19), max_size=4))
    def stage(self, length: int, places: list[int]) -> None:
        self.serial += 1
        data = noise(length, self.serial)
        memory = bytearray(data)
        releases: list[int] = []

        def release() -> None:
            releases.append(1)
            memory[:] = bytes(length)

        staged = self.segments.stage(Inode(2), 0, cut(memory, places), release)
        frame = Frame(data, releases, extent_of(staged))
        self.staged.append(frame)
        self.frames.append(frame)

    @rule()
    def seal(self) -> None:
        batch = self.segments.seal()
        assert (batch is not None) == bool(self.staged or self.unsynced)
        if batch is not None:
            self.sealed.append(Taken(batch, self.staged, self.unsynced))
            self.staged, self.unsynced = [], []

    @precondition(lambda self: self.sealed)
    @rule()
    def write(self) -> None:
        taken = self.sealed.popleft()
        taken.batch.write()
        self.written.append(taken)
        for frame in taken.with_earlier():
            frame.is_written = frame.is_durable = True

    @precondition(lambda self: self.written)
    @rule()
    def settle(self) -> None:
        taken = self.written.popleft()
        self.segments.settle(taken.batch)
        self.note_settled(taken.with_earlier())

    def note_settled(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            frame.is_settled = True
            assert len(frame.releases) == 1

    @rule()
    def take_out(self) -> None:
        batch = self.segments.take_out()
        assert (batch is not None) == bool(self.staged)
        if batch is not None:
            self.out.append(Taken(batch, self.staged))
            self.unsynced.append(self.out[-1])
            self.staged = []

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def write_out(self, data: st.DataObject) -> None:
        taken = data.draw(st.sampled_from(self.out))
        taken.batch.write_out()
        for frame in taken.frames:
            frame.is_written = True

    @precondition(lambda self: any(taken.frames[0].is_written for taken in self.out))
    @rule(data=st.data())
    def settle_out(self, data: st.DataObject) -> None:
        written = [taken for taken in self.out if taken.frames[0].is_written]
        taken = data.draw(st.sampled_from(written))
        self.segments.settle_out(taken.batch)
        self.note_settled(taken.frames)

    @rule(data=st.data())
    def drop_a_complete_segment(self, data: st.DataObject) -> None:
        busy = {f.extent.segment for f in self.frames if not (f.is_settled and f.is_durable)}
        idle = [use.segment for use in self.segments.uses() if use.segment not in busy]
        if not idle:
            return
        segment = data.draw(st.sampled_from(idle))
        self.segments.drop(segment)
        moved = [frame for frame in self.frames if frame.extent.segment == segment]
        self.frames = [frame for frame in self.frames if frame not in moved]
        for frame in moved:
            with pytest.raises(SegmentGone):
                self.segments.read(frame.extent, 0, 1)

    @rule(seed=st.integers(0, 2**32), after=st.integers(0, 6))
    def lose_power(self, seed: int, after: int) -> None:
        self.faults.cut_power(after=after)
        with contextlib.suppress(PowerCut):
            while self.sealed:
                self.write()
        self.frames = [frame for frame in self.frames if frame.is_durable]
        for frame in self.frames:
            frame.is_settled = True
        self.power_on(self.disk.crash(Random(seed)))

    @precondition(lambda self: self.frames)
    @rule(data=st.data())
    def read_a_part(self, data: st.DataObject) -> None:
        frame = data.draw(st.sampled_from(self.frames))
        skip = data.draw(st.integers(0, len(frame.data) - 1))
        length = data.draw(st.integers(1, len(frame.data) - skip))
        start = data.draw(st.integers(0, length - 1))
        size = data.draw(st.integers(1, length - start))
        part = frame.extent._replace(skip=skip, length=length)
        expected = frame.data[skip + start : skip + start + size]
        assert self.segments.read(part, start, size) == expected
        buffer = memoryview(bytearray(size))
        self.segments.read_into(buffer, part, start, nowait=True)
        assert buffer == expected

    @rule()
    def scan(self) -> None:
        for segment in {frame.extent.segment for frame in self.frames if frame.is_written}:
            found = {frame.position for frame in self.segments.frames(segment)}
            assert found >= {
                frame.extent.position
                for frame in self.frames
                if frame.is_written and frame.extent.segment == segment
            }

    @invariant()
    def everything_is_readable(self) -> None:
        for frame in self.frames:
            assert self.segments.read(frame.extent, 0, len(frame.data)) == frame.data

    @invariant()
    def memory_is_held_just_as_long_as_needed(self) -> None:
        unsettled = [frame for frame in self.frames if not frame.is_settled]
        for frame in unsettled:
            assert len(frame.releases) == (len(frame.data) < COPIED_BYTES)
        queued = self.segments.statistics().queued_bytes
        assert (queued > 0) == bool(unsettled)
        assert queued >= sum(len(frame.data) for frame in unsettled)

    def teardown(self) -> None:
        self.segments.close()


TestStore = Store.TestCase
