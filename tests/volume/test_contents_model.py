"""Contents against byte arrays: any order of calls, batches and pendings, and little memory."""

import random
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.stored_files import StoredFiles
from vexfs_fuse.errors import FileTooBig
from vexfs_fuse.pending import Pending, WaitForSpace
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import FILE_BYTES_MAX, KIB, MIB, Inode
from vexfs_fuse.volume import runs

WINDOW_BYTES = 4 * MIB
"""What the model keeps of each file, from its base on; below it is a hole."""
POOL_BYTES = 3 * MIB
BASES = (0, 0, 5 * MIB - 4 * KIB, FILE_BYTES_MAX - 2 * MIB)

near = st.integers(-3, 3) | st.integers(-5000, 5000)
borders = st.sampled_from((0, 4 * KIB, 64 * KIB, 128 * KIB, MIB, MIB + 64 * KIB, 2 * MIB))
places = st.builds(lambda border, step: max(0, border + step), borders, near)
sizes = st.integers(1, 100) | st.builds(
    lambda border, step: max(1, border + step),
    st.sampled_from((4 * KIB, 64 * KIB, 128 * KIB, MIB)),
    st.integers(-3, 3),
)


class Reading(NamedTuple):
    """A read that is under way."""

    ino: Inode
    offset: int
    size: int
    pending: Pending[bytes | memoryview]
    fetched: object


class Model:
    """The bytes of one file from `base` on."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.size = 0
        self.data = bytearray(WINDOW_BYTES)

    def write(self, offset: int, data: bytes) -> None:
        self.data[offset - self.base : offset - self.base + len(data)] = data
        self.size = max(self.size, offset + len(data))

    def resize(self, size: int) -> None:
        kept = max(0, size - self.base)
        self.data[kept:] = bytes(WINDOW_BYTES - kept)
        self.size = size

    def punch(self, start: int, end: int) -> None:
        self.data[start - self.base : end - self.base] = bytes(end - start)

    def read(self, offset: int, size: int) -> bytes:
        end = min(offset + size, self.size)
        return bytes(self.data[offset - self.base : max(offset, end) - self.base])


class ContentsMachine(RuleBasedStateMachine):
    """Files that grow, shrink and are read while batches and reads are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.files = StoredFiles(pool_bytes=POOL_BYTES)
        self.models = {self.files.make().ino: Model(base) for base in BASES}
        self.random = random.Random(0)
        self.writes: list[tuple[Inode, int, bytes, WaitForSpace]] = []
        self.reads: list[Reading] = []

    inodes = st.integers(2, 1 + len(BASES)).map(Inode)

    def node(self, ino: Inode) -> Node:
        return self.files.nodes[ino]

    @rule(ino=inodes, place=places, size=sizes)
    def write(self, ino: Inode, place: int, size: int) -> None:
        offset = BASES[ino - 2] + place
        data = self.random.randbytes(size)
        if offset + size > FILE_BYTES_MAX:
            with pytest.raises(FileTooBig):
                self.files.write(self.node(ino), offset, data)
            return
        self.take(ino, offset, data, self.files.write(self.node(ino), offset, data))

    @rule(ino=inodes, size=sizes, count=st.integers(2, 12))
    def append(self, ino: Inode, size: int, count: int) -> None:
        for _ in range(count):
            place = max(0, self.models[ino].size - BASES[ino - 2])
            if place > 2 * MIB:
                return
            self.write(ino, place, size)

    def take(self, ino: Inode, offset: int, data: bytes, result: int | WaitForSpace) -> None:
        if isinstance(result, WaitForSpace):
            self.writes.append((ino, offset, data, result))
        else:
            assert result == len(data)
            self.models[ino].write(offset, data)

    @precondition(lambda self: self.writes)
    @rule(data=st.data(), after_flush=st.booleans())
    def retry(self, data: st.DataObject, after_flush: bool) -> None:
        if after_flush:
            self.files.settle_all()
        index = data.draw(st.integers(0, len(self.writes) - 1))
        ino, offset, written, waiting = self.writes.pop(index)
        result = waiting.retry()
        if after_flush:
            assert result == len(written), "a write gets through once all is flushed"
        self.take(ino, offset, written, result)

    @rule(ino=inodes, place=places, size=sizes)
    def read(self, ino: Inode, place: int, size: int) -> None:
        offset = BASES[ino - 2] + place
        self.follow(ino, offset, size, self.files.contents.read(self.node(ino), offset, size))

    def follow(
        self, ino: Inode, offset: int, size: int, found: bytes | memoryview | Pending
    ) -> None:
        if isinstance(found, Pending):
            self.reads.append(Reading(ino, offset, size, found, None))
        else:
            assert bytes(found) == self.models[ino].read(offset, size)

    @precondition(lambda self: self.reads)
    @rule(data=st.data())
    def go_on_reading(self, data: st.DataObject) -> None:
        """Do the work of a pending read, or resume one whose work is done."""
        index = data.draw(st.integers(0, len(self.reads) - 1))
        ino, offset, size, pending, fetched = self.reads.pop(index)
        if fetched is None:
            done = Reading(ino, offset, size, pending, pending.work())
            self.reads.insert(index, done)
        else:
            self.follow(ino, offset, size, pending.resume(fetched))

    @rule(ino=inodes, place=places)
    def resize(self, ino: Inode, place: int) -> None:
        size = min(BASES[ino - 2] + place, FILE_BYTES_MAX)
        self.files.resize(self.node(ino), size)
        self.models[ino].resize(size)

    @rule(ino=inodes, place=places, size=sizes)
    def punch(self, ino: Inode, place: int, size: int) -> None:
        start = BASES[ino - 2] + place
        end = min(start + size, FILE_BYTES_MAX)
        if end <= start:
            return
        self.files.punch(self.node(ino), start, end)
        self.models[ino].punch(start, end)

    @rule(ino=inodes, place=places)
    def seek(self, ino: Inode, place: int) -> None:
        """Where no data are said to be there are zeros; a hole is one, or the end."""
        contents, model = self.files.contents, self.models[ino]
        offset = BASES[ino - 2] + place
        data = contents.seek_data(self.node(ino), offset)
        end = model.size if data is None else data
        assert not any(model.read(offset, end - offset))
        if offset < model.size:
            hole = contents.seek_hole(self.node(ino), offset)
            assert offset <= hole <= model.size
            assert not any(model.read(hole, 1))

    @rule(ino=inodes)
    def empty(self, ino: Inode) -> None:
        self.files.resize(self.node(ino), 0)
        self.models[ino].resize(0)

    @rule(ino=inodes, inline_allowed=st.booleans())
    def flush(self, ino: Inode, inline_allowed: bool) -> None:
        expected = self.files.contents.stored_of(self.node(ino))
        self.files.flush(self.node(ino), inline_allowed=inline_allowed)
        assert self.node(ino).stored == expected
        content = self.node(ino).content
        assert content is None or not content.dirty

    @rule()
    def seal(self) -> None:
        self.files.seal()

    @precondition(lambda self: self.files.sealed)
    @rule()
    def settle(self) -> None:
        self.files.settle()

    @rule()
    def settle_all(self) -> None:
        self.files.settle_all()

    @rule(ino=inodes, data=st.data())
    def move(self, ino: Inode, data: st.DataObject) -> None:
        extents: list[Extent] = [
            extent for extent in self.files.contents.extents(self.node(ino)) if extent.segment
        ]
        if extents:
            extent = data.draw(st.sampled_from(extents))
            self.files.move(self.node(ino), extent)

    @rule(cold=st.booleans())
    def cool(self, cold: bool) -> None:
        self.files.disk.is_cold = cold

    @precondition(lambda self: not self.reads and not self.writes)
    @rule(ino=inodes)
    def reload(self, ino: Inode) -> None:
        content = self.node(ino).content
        if content is None or content.idle:
            self.files.reload(ino)

    @precondition(lambda self: not self.reads and not self.writes)
    @rule()
    def restart(self) -> None:
        self.files.settle_all()
        self.files.start(POOL_BYTES)

    @invariant()
    def rows_and_account_agree(self) -> None:
        for ino, node in self.files.nodes.items():
            rows = self.files.rows.get(ino, {})
            assert node.stored == sum(extent.length for extent in rows.values())
            assert self.files.contents.size_of(node) == self.models[ino].size
            content = node.content
            if content is not None and content.extents is not None:
                assert sorted(rows.values()) == list(content.extents)

    @invariant()
    def pages_are_where_they_belong(self) -> None:
        table = self.files.contents._table
        dirty_bytes = 0
        for node in self.files.nodes.values():
            content = node.content
            if content is None:
                continue
            dirty_bytes += sum(content.dirty[1::2]) - sum(content.dirty[::2])
            assert (node.ino in self.files.contents._write_back.nodes) == bool(content.dirty)
            held = []
            for page in dict.fromkeys(content.pages.values()):
                assert page.content is content
                assert page.valid
                assert page.start <= page.valid[0] < page.valid[-1] <= page.end
                assert page.dirty == runs.overlaps(content.dirty, page.start, page.end)
                assert (page in table.sieve) == (not page.dirty and page.queued is None)
                held.append(page)
            for start, end in zip(content.dirty[::2], content.dirty[1::2], strict=True):
                parts = [runs.parts(page.valid, start, end) for page in held]
                assert sum(e - s for part in parts for s, e in part) == end - start
        assert self.files.contents.dirty_bytes == dirty_bytes

    def teardown(self) -> None:
        for index in range(len(self.writes)):
            self.files.settle_all()
            ino, offset, data, waiting = self.writes[index]
            self.take(ino, offset, data, waiting.retry())
        self.files.settle_all()
        assert not self.files.pool.pins
        self.files.start(8 * MIB)
        for ino, model in self.models.items():
            node = self.node(ino)
            assert node.size == model.size
            size = max(0, model.size - model.base)
            for start in range(0, size, MIB):
                offset = model.base + start
                assert self.files.read(node, offset, MIB) == model.read(offset, MIB)


def test_contents_behave_like_byte_arrays() -> None:
    run_state_machine_as_test(ContentsMachine, settings=settings(stateful_step_count=40))
