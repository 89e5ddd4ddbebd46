"""The state view against a model of dicts: commits in slices, their failures, crashes, listings."""

import copy
import random
import stat
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from tests.support.states import StateFiles
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.rows import SpaceRow, VectorRow
from vexfs_fuse.storage.state import MEMORY, Commit, State, Totals
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import Inode, Lsn, Segment

NAMES = st.sampled_from([b"a", b"b", b"\xff\xfe", b"long" * 60])
XATTRS = st.sampled_from([b"user.a", b"user.b"])
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 2**63 - 1, 5 * 10**18])
PICKS = st.integers(0, 4)
COLUMNS = st.sampled_from(["mode", "size", "atime", "xattr_count"])

Entry = tuple[int, int, int]


@dataclass
class Model:
    """What the rows must be."""

    nodes: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    names: dict[tuple[int, bytes], Entry] = field(default_factory=dict)
    xattrs: dict[int, dict[bytes, bytes]] = field(default_factory=dict)
    extents: dict[int, dict[int, Extent]] = field(default_factory=dict)
    vectors: dict[int, dict[tuple[int, int], VectorRow]] = field(default_factory=dict)
    spaces: dict[int, SpaceRow] = field(default_factory=dict)
    meta: dict[str, int | bytes] = field(default_factory=dict)
    last_inode: int = 0

    def listing(self, parent: int) -> list[tuple[bytes, int, int, int]]:
        rows = [(name, *entry) for (at, name), entry in self.names.items() if at == parent]
        return sorted(rows, key=lambda row: row[2])

    def names_of(self, ino: int) -> list[tuple[int, bytes]]:
        return sorted(at for at, entry in self.names.items() if entry[0] == ino)

    def space(self, space: int) -> list[tuple[int, int, VectorRow]]:
        return sorted(
            (ino, at[1], vector)
            for ino, vectors in self.vectors.items()
            for at, vector in vectors.items()
            if at[0] == space
        )

    def live(self) -> dict[int, int]:
        total: dict[int, int] = {}
        for extents in self.extents.values():
            for extent in extents.values():
                total[extent.segment] = total.get(extent.segment, 0) + extent.length
        return total


class StateMachine(RuleBasedStateMachine):
    """All that the loop may do to a view, in any order."""

    crashes: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.files = StateFiles()
        self.model = Model()
        self.lsn = 0
        self.cache: dict[int, Node] = {}
        self.commit: Commit | None = None
        self.written = False
        self.finished = False
        self.commits: dict[int, Model] = {0: Model()}
        self._open()
        for _ in range(3):
            self.make(None, 1)

    def _open(self) -> None:
        self.state = State.open(self.files.path if self.crashes else MEMORY)
        self._synced()

    def _synced(self) -> None:
        if self.crashes:
            self.files.synced()

    def teardown(self) -> None:
        self.state.close()
        self.files.remove()

    def record(self) -> Lsn:
        self.lsn += 1
        return Lsn(self.lsn)

    def pick(self, number: int) -> Inode:
        """Return one of the inodes that there are; a new one when there is none."""
        inodes = sorted(self.model.nodes)
        if not inodes:
            return Inode(self.make(None, 1))
        return Inode(inodes[number % len(inodes)])

    def load(self, ino: Inode) -> Node:
        node = self.cache.get(ino) or self.state.dirty_node(ino)
        if node is None:
            row = self.state.node_row(ino)
            assert row is not None
            node = Node(*row)
        self.cache[ino] = node
        return node

    # --- changes ---------------------------------------------------------------------------------

    @rule(target_bytes=st.none() | st.binary(max_size=5), nlink=st.integers(0, 2))
    def make_node(self, target_bytes: bytes | None, nlink: int) -> None:
        self.make(target_bytes, nlink)

    def make(self, target_bytes: bytes | None, nlink: int) -> int:
        self.record()
        ino = self.model.last_inode + 1
        times = (0,) * 8
        node = Node(Inode(ino), stat.S_IFDIR, 0, 0, nlink, *times, Inode(0), target_bytes, 0)
        self.state.touch(node)
        self.cache[ino] = node
        self.model.nodes[ino] = node.row()
        self.model.last_inode = ino
        return ino

    @rule(number=PICKS, column=COLUMNS, value=INTEGERS, evict=st.booleans())
    def change(self, number: int, column: str, value: int, evict: bool) -> None:
        ino = self.pick(number)
        self.record()
        if evict:
            self.cache.pop(ino, None)
        node = self.load(ino)
        self.state.touch(node)
        setattr(node, column, value)
        self.model.nodes[ino] = node.row()

    @rule(number=PICKS)
    def drop(self, number: int) -> None:
        ino = self.pick(number)
        self.record()
        gone = self.state.extents(ino)
        self.state.put_extents(ino, gone, [])
        assert gone == sorted(self.model.extents.pop(ino, {}).values())
        node = self.load(ino)
        self.state.touch(node)
        node.nlink = 0
        self.state.drop_node(ino)
        self.cache.pop(ino, None)
        self.model.xattrs.pop(ino, None)
        self.model.vectors.pop(ino, None)
        del self.model.nodes[ino]

    @rule(number=PICKS, name=NAMES, points_at=st.none() | PICKS)
    def put_name(self, number: int, name: bytes, points_at: int | None) -> None:
        parent, lsn = self.pick(number), self.record()
        old = self.model.names.pop((parent, name), None)
        entry = None
        if points_at is not None:
            entry = (self.pick(points_at), old[1] if old is not None else lsn, stat.S_IFREG)
            self.model.names[parent, name] = entry
        self.state.put_dentry(parent, name, entry)

    @rule(number=PICKS, name=XATTRS, value=st.none() | st.binary(max_size=3))
    def put_xattr(self, number: int, name: bytes, value: bytes | None) -> None:
        ino = self.pick(number)
        self.record()
        self.state.put_xattr(ino, name, value)
        held = self.model.xattrs.setdefault(ino, {})
        held.pop(name, None)
        if value is not None:
            held[name] = value

    @rule(
        number=PICKS,
        space=st.integers(1, 2),
        passage=st.integers(0, 1),
        value=st.none() | st.binary(max_size=3),
    )
    def put_vector(self, number: int, space: int, passage: int, value: bytes | None) -> None:
        ino, lsn = self.pick(number), self.record()
        vector = None if value is None else VectorRow(lsn, 1, 0, value)
        self.state.put_vector(ino, space, passage, vector)
        held = self.model.vectors.setdefault(ino, {})
        held.pop((space, passage), None)
        if vector is not None:
            held[space, passage] = vector

    @rule(space=st.integers(1, 2), dim=st.none() | st.integers(1, 10))
    def put_space(self, space: int, dim: int | None) -> None:
        self.record()
        row = None if dim is None else SpaceRow(space, b"space-%d" % space, dim, b"ip", b"")
        self.state.put_space(space, row)
        self.model.spaces.pop(space, None)
        if row is not None:
            self.model.spaces[space] = row

    @rule(
        number=PICKS,
        removed=st.sets(st.integers(0, 20)),
        added=st.dictionaries(st.integers(0, 20), st.integers(1, 2**40), max_size=12),
        segment=st.integers(0, 3),
    )
    def put_extents(
        self, number: int, removed: set[int], added: dict[int, int], segment: int
    ) -> None:
        ino = self.pick(number)
        self.record()
        held = self.model.extents.setdefault(ino, {})
        gone = sorted((removed | added.keys()) & held.keys())
        inline = b"inline" if segment == 0 else None
        new = [
            Extent(offset, size, Segment(segment), self.lsn, 0, size, b"sums", inline)
            for offset, size in added.items()
        ]
        self.state.put_extents(ino, [held[offset] for offset in gone], new)
        for offset in gone:
            del held[offset]
        held.update({extent.offset: extent for extent in new})

    @rule(value=INTEGERS | st.binary(max_size=3))
    def put_meta(self, value: int | bytes) -> None:
        self.record()
        self.state.put_meta("key", value)
        self.model.meta["key"] = value

    # --- commits ---------------------------------------------------------------------------------

    @rule(rows=st.sampled_from([1, 5, 1000]))
    def advance(self, rows: int) -> None:
        """Take the next step of a commit, whichever that is."""
        if self.commit is None:
            self.commit = self.state.freeze(Lsn(self.lsn))
            self.commits[self.lsn] = copy.deepcopy(self.model)
        elif not self.written:
            self.written = self.commit.step(rows)
        elif not self.finished:
            self.commit.finish()
            self.finished = True
        else:
            self.state.settle(self.commit)
            assert self.state.applied == self.commit.lsn
            while not self.commit.release(rows):
                pass
            self._end_commit()

    @rule()
    def advance_to_the_end(self) -> None:
        self.advance(1000)
        while self.commit is not None:
            self.advance(1000)

    @precondition(lambda self: self.commit is not None and not self.finished)
    @rule()
    def discard(self) -> None:
        assert self.commit is not None
        self.state.discard(self.commit)
        self._end_commit()

    def _end_commit(self) -> None:
        self.commit, self.written, self.finished = None, False, False

    @rule()
    def checkpoint(self) -> None:
        self.state.checkpoint()
        self._synced()
        assert self.state.durable == self.state.applied

    # --- crashes ---------------------------------------------------------------------------------

    @precondition(lambda self: self.crashes)
    @rule(seed=st.none() | st.integers(0, 2**32))
    def crash(self, seed: int | None) -> None:
        """Kill the process, or cut the power."""
        last = self.commit.lsn if self.commit is not None and self.finished else self.state.applied
        least = last if seed is None else self.state.durable
        if seed is None:
            self.files.path = self.files.after_kill()
        else:
            self.files.path = self.files.after_power_cut(random.Random(seed))
        self.state.close()
        self._open()
        self.lsn = self.state.applied
        assert least <= self.lsn <= last
        self.model = copy.deepcopy(self.commits[self.lsn])
        self.cache.clear()
        self._end_commit()

    # --- reads ------------------------------------------------------------------------------------

    @rule(number=PICKS, back=st.integers(0, 20), limit=st.integers(1, 4))
    def read_page(self, number: int, back: int, limit: int) -> None:
        """A page starts after any cookie, whether a name still has it or not."""
        parent, cookie = self.pick(number), max(self.lsn - back, 0)
        page = self.state.dentries_after(parent, cookie, limit)
        assert page == [row for row in self.model.listing(parent) if row[2] > cookie][:limit]

    @invariant()
    def every_read_agrees_with_the_model(self) -> None:
        state, model = self.state, self.model
        for ino in range(1, model.last_inode + 2):
            inode = Inode(ino)
            live = state.dirty_node(inode)
            assert live is None or live.row() == model.nodes.get(ino)
            assert state.node_row(inode) == model.nodes.get(ino)
            assert state.extents(inode) == sorted(model.extents.get(ino, {}).values())
            assert state.dentries_after(inode, 0, 100) == model.listing(ino)
            assert sorted(state.names(inode)) == model.names_of(ino)
            if ino in model.nodes:
                assert state.xattrs(inode) == model.xattrs.get(ino, {})
                assert state.vectors(inode) == model.vectors.get(ino, {})
            for name in (b"a", b"b", b"absent"):
                assert state.dentry(inode, name) == model.names.get((ino, name))

    @invariant()
    def the_totals_agree_with_the_model(self) -> None:
        state, model = self.state, self.model
        live = model.live()
        assert state.counts() == Totals(len(model.nodes), sum(live.values()))
        assert state.live_bytes() == {segment: size for segment, size in live.items() if segment}
        assert state.orphans() == [ino for ino, row in sorted(model.nodes.items()) if row[4] == 0]
        assert state.spaces() == model.spaces
        for space in (1, 2):
            assert sorted(state.space_vectors(space)) == model.space(space)
        assert state.get_meta("key") == model.meta.get("key")
        assert state.last_inode == model.last_inode


class MemoryStateMachine(StateMachine):
    """The same on one connection without a file."""

    crashes = False


TestStateOnDisk = StateMachine.TestCase
TestStateInMemory = MemoryStateMachine.TestCase
