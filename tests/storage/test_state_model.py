"""The state view against a model of dicts: commits in slices, their failures, crashes, listings."""

import copy
import random
import stat
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from tests.support.states import StateFiles
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.state import MEMORY, Commit, State, Totals
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import Inode, Lsn, Segment

NAMES = st.sampled_from([b"a", b"b", b"\xff\xfe", b"long" * 60, b"c", b"d", b"e"])
XATTRS = st.sampled_from([b"user.a", b"user.b", b"system.posix_acl_access"])
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 2**63 - 1, 5 * 10**18])
COLUMNS = st.sampled_from(["mode", "uid", "size", "stored", "atime", "mtime", "ctime", "children"])

Entry = tuple[int, int, int]


@dataclass
class Model:
    """What the rows must be."""

    nodes: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    names: dict[tuple[int, bytes], Entry] = field(default_factory=dict)
    xattrs: dict[int, dict[bytes, bytes]] = field(default_factory=dict)
    extents: dict[int, dict[int, Extent]] = field(default_factory=dict)
    meta: dict[str, int | bytes] = field(default_factory=dict)
    last_inode: int = 0

    def listing(self, parent: int) -> list[tuple[bytes, int, int, int]]:
        rows = [(name, *entry) for (at, name), entry in self.names.items() if at == parent]
        return sorted(rows, key=lambda row: row[2])

    def live(self) -> dict[int, int]:
        total: dict[int, int] = {}
        for extents in self.extents.values():
            for extent in extents.values():
                total[extent.segment] = total.get(extent.segment, 0) + extent.length
        return total


@dataclass
class Listing:
    """A directory being read page by page, and what must come out of it."""

    parent: int
    cookie: int
    owed: dict[bytes, int]  # names that have been there all the time, and not come yet
    seen: set[int]


class StateMachine(RuleBasedStateMachine):
    """All that the loop may do to a view, in any order."""

    crashes: ClassVar[bool] = True
    inodes = Bundle("inodes")
    listings = Bundle("listings")

    def __init__(self) -> None:
        super().__init__()
        self.files = StateFiles()
        self._open()
        self.model = Model()
        self.lsn = 0
        self.cache: dict[int, Node] = {}
        self.commit: Commit | None = None
        self.written = False
        self.finished = False
        self.commits: dict[int, Model] = {0: Model()}
        self.epoch = 0

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

    def load(self, ino: int) -> Node:
        node = self.cache.get(ino) or self.state.dirty_node(Inode(ino))
        if node is None:
            row = self.state.node_row(Inode(ino))
            assert row is not None
            node = Node(*row)
        self.cache[ino] = node
        return node

    # --- changes ----------------------------------------------------------------------------------

    @rule(target=inodes, target_bytes=st.none() | st.binary(max_size=5), nlink=st.integers(0, 2))
    def make(self, target_bytes: bytes | None, nlink: int) -> int:
        self.record()
        ino = self.model.last_inode + 1
        node = Node(Inode(ino), stat.S_IFDIR, 0, 0, nlink, *(0,) * 8, Inode(0), target_bytes, 0)
        self.state.touch(node)
        self.cache[ino] = node
        self.model.nodes[ino] = node.row()
        self.model.last_inode = ino
        return ino

    @rule(ino=inodes, column=COLUMNS, value=INTEGERS)
    def change(self, ino: int, column: str, value: int) -> None:
        if ino in self.model.nodes:
            self.record()
            node = self.load(ino)
            self.state.touch(node)
            setattr(node, column, value)
            self.model.nodes[ino] = node.row()

    @rule(ino=inodes)
    def evict(self, ino: int) -> None:
        self.cache.pop(ino, None)

    @rule(ino=consumes(inodes))
    def drop(self, ino: int) -> None:
        if ino in self.model.nodes:
            self.record()
            gone = self.state.drop_extents(Inode(ino))
            assert gone == sorted(self.model.extents.pop(ino, {}).values())
            self.state.drop_node(Inode(ino))
            self.cache.pop(ino, None)
            self.model.xattrs.pop(ino, None)
            del self.model.nodes[ino]

    @rule(parent=inodes, name=NAMES, ino=inodes)
    def put_name(self, parent: int, name: bytes, ino: int) -> None:
        if parent > self.model.last_inode:
            return  # lost in a crash
        lsn = self.record()
        old = self.model.names.get((parent, name))
        entry = (ino, old[1] if old is not None else lsn, stat.S_IFREG)
        self.state.put_dentry(Inode(parent), name, entry)
        self.model.names[parent, name] = entry

    @rule(parent=inodes, name=NAMES)
    def remove_name(self, parent: int, name: bytes) -> None:
        self.record()
        self.state.put_dentry(Inode(parent), name, None)
        self.model.names.pop((parent, name), None)

    @rule(ino=inodes, name=XATTRS, value=st.binary(max_size=3))
    def put_xattr(self, ino: int, name: bytes, value: bytes) -> None:
        if ino in self.model.nodes:
            self.record()
            self.state.put_xattr(Inode(ino), name, value)
            self.model.xattrs.setdefault(ino, {})[name] = value

    @rule(ino=inodes, name=XATTRS)
    def remove_xattr(self, ino: int, name: bytes) -> None:
        if ino in self.model.nodes:
            self.record()
            self.state.put_xattr(Inode(ino), name, None)
            self.model.xattrs.get(ino, {}).pop(name, None)

    @rule(
        ino=inodes,
        removed=st.sets(st.integers(0, 20)),
        added=st.dictionaries(st.integers(0, 20), st.integers(1, 2**40), max_size=12),
        segment=st.integers(0, 3),
    )
    def put_extents(self, ino: int, removed: set[int], added: dict[int, int], segment: int) -> None:
        if ino not in self.model.nodes:
            return
        self.record()
        held = self.model.extents.setdefault(ino, {})
        gone = sorted((removed | added.keys()) & held.keys())
        inline = b"inline" if segment == 0 else None
        new = [
            Extent(offset, size, Segment(segment), self.lsn, 0, size, b"sums", inline)
            for offset, size in added.items()
        ]
        self.state.put_extents(Inode(ino), gone, new)
        for offset in gone:
            del held[offset]
        held.update({extent.offset: extent for extent in new})

    @rule(value=INTEGERS | st.binary(max_size=3))
    def put_meta(self, value: int | bytes) -> None:
        self.record()
        self.state.put_meta("key", value)
        self.model.meta["key"] = value

    # --- commits ----------------------------------------------------------------------------------

    @precondition(lambda self: self.commit is None)
    @rule()
    def freeze(self) -> None:
        self.commit = self.state.freeze(Lsn(self.lsn))
        self.written = self.finished = False
        self.commits[self.lsn] = copy.deepcopy(self.model)

    @precondition(lambda self: self.commit is not None and not self.written)
    @rule(rows=st.sampled_from([1, 2, 5, 1000]))
    def step(self, rows: int) -> None:
        assert self.commit is not None
        self.written = self.commit.step(rows)

    @precondition(lambda self: self.written and not self.finished)
    @rule()
    def finish(self) -> None:
        assert self.commit is not None
        self.commit.finish()
        self.finished = True

    @precondition(lambda self: self.finished)
    @rule()
    def settle(self) -> None:
        assert self.commit is not None
        self.state.settle(self.commit)
        assert self.state.applied == self.commit.lsn
        self._end_commit()

    @precondition(lambda self: self.commit is not None and not self.finished)
    @rule()
    def discard(self) -> None:
        assert self.commit is not None
        self.state.discard(self.commit)
        self._end_commit()

    def _end_commit(self) -> None:
        self.commit, self.written, self.finished = None, False, False

    @rule()
    def commit_all(self) -> None:
        if self.commit is None:
            self.freeze()
        while not self.written:
            self.step(1000)
        if not self.finished:
            self.finish()
        self.settle()

    @rule()
    def checkpoint(self) -> None:
        self.state.checkpoint()
        self._synced()
        assert self.state.durable == self.state.applied

    # --- crashes ----------------------------------------------------------------------------------

    @precondition(lambda self: self.crashes)
    @rule()
    def kill(self) -> None:
        last = self.commit.lsn if self.commit is not None and self.finished else self.state.applied
        path = self.files.after_kill()
        self._reopen(path)
        assert self.state.applied == last

    @precondition(lambda self: self.crashes)
    @rule(seed=st.integers(0, 2**32))
    def cut_power(self, seed: int) -> None:
        durable = self.state.durable
        path = self.files.after_power_cut(random.Random(seed))
        self._reopen(path)
        assert self.state.applied >= durable

    def _reopen(self, path: Any) -> None:
        self.state.close()
        self.files.path = path
        self._open()
        self.lsn = self.state.applied
        self.model = copy.deepcopy(self.commits[self.lsn])
        self.cache.clear()
        self._end_commit()
        self.epoch += 1

    # --- reads ------------------------------------------------------------------------------------

    @rule(target=listings, parent=inodes)
    def open_directory(self, parent: int) -> Any:
        owed = {name: row[2] for (at, name), row in self._named() if at == parent}
        return multiple((self.epoch, Listing(parent, 0, owed, set())))

    def _named(self) -> list[tuple[tuple[int, bytes], tuple[int, int, int]]]:
        return [(key, (entry[0], entry[2], entry[1])) for key, entry in self.model.names.items()]

    @rule(opened=listings, limit=st.integers(1, 4))
    def read_directory(self, opened: tuple[int, Listing], limit: int) -> None:
        epoch, listing = opened
        if epoch != self.epoch:
            return
        names = self.model.names
        page = self.state.dentries_after(Inode(listing.parent), listing.cookie, limit)
        expected = [row for row in self.model.listing(listing.parent) if row[2] > listing.cookie]
        assert page == expected[:limit]
        for name, _, cookie, _ in page:
            assert cookie not in listing.seen
            listing.seen.add(cookie)
            listing.cookie = cookie
            if listing.owed.get(name) == cookie:
                del listing.owed[name]
        if len(page) < limit:
            left = [name for name, at in listing.owed.items() if self._is(names, listing, name, at)]
            assert not left

    @staticmethod
    def _is(names: dict[tuple[int, bytes], Entry], at: Listing, name: bytes, cookie: int) -> bool:
        entry = names.get((at.parent, name))
        return entry is not None and entry[1] == cookie

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
            if ino in model.nodes:
                assert state.xattrs(inode) == model.xattrs.get(ino, {})
            for name in (b"a", b"b", b"c"):
                assert state.dentry(inode, name) == model.names.get((ino, name))

    @invariant()
    def the_totals_agree_with_the_model(self) -> None:
        state, model = self.state, self.model
        live = model.live()
        assert state.counts() == Totals(len(model.nodes), sum(live.values()))
        assert state.live_bytes() == {segment: size for segment, size in live.items() if segment}
        assert state.orphans() == [ino for ino, row in sorted(model.nodes.items()) if row[4] == 0]
        assert state.get_meta("key") == model.meta.get("key")
        assert state.last_inode == model.last_inode


class MemoryStateMachine(StateMachine):
    """The same on one connection without a file."""

    crashes = False


TestStateOnDisk = StateMachine.TestCase
TestStateInMemory = MemoryStateMachine.TestCase
