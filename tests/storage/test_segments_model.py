"""Segments against a dictionary: every frame reads back, staged, written, or after a power cut."""

import contextlib
from collections import deque
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


@dataclass(eq=False)
class Sealed:
    """A batch, and the frames in it."""

    batch: SegmentBatch
    frames: list[Frame] = field(default_factory=list)


class Store(RuleBasedStateMachine):
    """Frames are staged, sealed, written and settled; buffers are wiped once they are released."""

    def __init__(self) -> None:
        super().__init__()
        self.power_on(SimulatedDisk())
        self.settled: list[Frame] = []
        self.serial = 0

    def power_on(self, disk: SimulatedDisk) -> None:
        self.disk = disk
        self.faults = FaultyDisk(disk)
        self.segments = Segments.open(self.faults, VOLUME, segment_bytes=SEGMENT_BYTES)
        self.staged: list[Frame] = []
        self.sealed: deque[Sealed] = deque()
        self.written: deque[Sealed] = deque()

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
        assert len(releases) == (length < COPIED_BYTES)
        self.staged.append(Frame(data, releases, extent_of(staged)))

    @rule()
    def seal(self) -> None:
        batch = self.segments.seal()
        assert (batch is None) == (not self.staged)
        if batch is not None:
            self.sealed.append(Sealed(batch, self.staged))
            self.staged = []

    @precondition(lambda self: self.sealed)
    @rule()
    def write(self) -> None:
        sealed = self.sealed.popleft()
        sealed.batch.write()
        self.written.append(sealed)

    @precondition(lambda self: self.written)
    @rule()
    def settle(self) -> None:
        sealed = self.written.popleft()
        self.segments.settle(sealed.batch)
        self.settled += sealed.frames
        assert all(len(frame.releases) == 1 for frame in sealed.frames)

    @rule(data=st.data())
    def drop_a_complete_segment(self, data: st.DataObject) -> None:
        busy = {frame.extent.segment for frame in self.unsettled()}
        idle = [use.segment for use in self.segments.uses() if use.segment not in busy]
        if not idle:
            return
        segment = data.draw(st.sampled_from(idle))
        self.segments.drop(segment)
        moved = [frame for frame in self.settled if frame.extent.segment == segment]
        self.settled = [frame for frame in self.settled if frame not in moved]
        for frame in moved:
            with pytest.raises(SegmentGone):
                self.segments.read(frame.extent, 0, 1)

    @rule(seed=st.integers(0, 2**32), after=st.integers(0, 6))
    def lose_power(self, seed: int, after: int) -> None:
        self.faults.cut_power(after=after)
        durable = self.settled + [frame for sealed in self.written for frame in sealed.frames]
        with contextlib.suppress(PowerCut):
            while self.sealed:
                sealed = self.sealed.popleft()
                sealed.batch.write()
                durable += sealed.frames
        self.power_on(self.disk.crash(Random(seed)))
        self.settled = durable

    @rule(data=st.data())
    def read_a_part(self, data: st.DataObject) -> None:
        known = self.settled + self.unsettled()
        if not known:
            return
        frame = data.draw(st.sampled_from(known))
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

    @invariant()
    def everything_is_readable(self) -> None:
        for frame in self.settled + self.unsettled():
            assert self.segments.read(frame.extent, 0, len(frame.data)) == frame.data

    @invariant()
    def memory_is_held_just_as_long_as_needed(self) -> None:
        for frame in self.unsettled():
            assert len(frame.releases) == (len(frame.data) < COPIED_BYTES)
        queued = self.segments.statistics().queued_bytes
        assert (queued > 0) == bool(self.unsettled())
        assert queued >= sum(len(frame.data) for frame in self.unsettled())

    def unsettled(self) -> list[Frame]:
        waiting = [frame for sealed in (*self.written, *self.sealed) for frame in sealed.frames]
        return waiting + self.staged

    def teardown(self) -> None:
        self.segments.close()


TestStore = Store.TestCase
