"""Contents over real segments on a simulated disk, with a dictionary where the state would be."""

from typing import Any

from tests.support.disks import SimulatedDisk
from vexfs_fuse.pending import Pending
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.extents import Changes
from vexfs_fuse.storage.pool import Pool
from vexfs_fuse.storage.segments import SegmentBatch, Segments
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import MIB, Inode
from vexfs_fuse.volume.contents import Contents


class StoredFiles:
    """Does what the volume does with contents: apply, account, run batches one after the other."""

    def __init__(self, *, pool_bytes: int = 4 * MIB) -> None:
        self.disk = SimulatedDisk()
        self.segments = Segments.open(self.disk, bytes(16))
        self.rows: dict[Inode, dict[int, Extent]] = {}
        self.sealed: list[SegmentBatch] = []
        self.nodes: dict[Inode, Node] = {}
        self.now_ns = 0
        self.start(pool_bytes)

    def start(self, pool_bytes: int) -> None:
        """Begin with nothing in memory, as after a restart."""
        self.pool = Pool(pool_bytes)
        self.contents = Contents(self.pool, self.segments, self.load)
        for ino in self.nodes:
            self.reload(ino)

    def load(self, ino: Inode) -> list[Extent]:
        return list(self.rows.get(ino, {}).values())

    def make(self) -> Node:
        ino = Inode(len(self.nodes) + 2)
        mode, nlink = 0o100644, 1
        node = Node(ino, mode, 0, 0, nlink, 0, 0, 0, 0, 0, 0, 0, 0, Inode(0), None, 0)
        self.nodes[ino] = node
        return node

    def reload(self, ino: Inode) -> Node:
        """Let the cache drop a node and read it again."""
        row: Any = self.nodes[ino].row()
        node = self.nodes[ino] = Node(*row)
        return node

    def flush(self, node: Node, *, inline_allowed: bool = False) -> list[Extent]:
        content = node.content
        if content is None or not content.dirty:
            return []
        size, mtime, ctime = content.size, content.mtime, content.ctime
        extents = self.contents.flush(node, inline_allowed=inline_allowed)
        self.book(node, self.contents.adopt(node, extents), extents)
        node.size, node.mtime, node.ctime = size, mtime, ctime
        return extents

    def resize(self, node: Node, size: int) -> None:
        self.book(node, self.contents.resize(node, size), [])
        node.size = size

    def punch(self, node: Node, start: int, end: int) -> None:
        self.flush(node)
        self.book(node, self.contents.punch(node, start, end), [])

    def forget(self, node: Node) -> None:
        self.book(node, self.contents.forget(node), [])
        node.size = 0

    def move(self, node: Node, extent: Extent) -> None:
        """Copy an extent into a frame of its own, as the compactor does."""
        data = memoryview(bytes(self.segments.read(extent, 0, extent.length)))
        staged = self.segments.stage(node.ino, extent.offset, [data], lambda: None)
        segment, position, frame_bytes, sums = staged
        moved = Extent(extent.offset, extent.length, segment, position, 0, frame_bytes, sums)
        self.book(node, self.contents.adopt(node, [moved]), [moved])

    def book(self, node: Node, changes: Changes, written: list[Extent]) -> None:
        rows = self.rows.setdefault(node.ino, {})
        for extent in changes.removed:
            assert rows.pop(extent.offset) == extent
        for extent in changes.added:
            assert extent.offset not in rows
            rows[extent.offset] = extent
        node.stored += changes.grown
        for extent in written:
            self.segments.count(extent.segment, extent.length)
        for extent in changes.freed:
            self.segments.count(extent.segment, -extent.length)

    def seal(self) -> None:
        batch = self.segments.seal()
        if batch is not None:
            self.sealed.append(batch)

    def settle(self) -> None:
        """Run and settle the oldest sealed batch."""
        batch = self.sealed.pop(0)
        batch.write()
        self.segments.settle(batch)

    def settle_all(self) -> None:
        """Flush every file and write everything."""
        for node in self.contents.dirty_nodes(self.now_ns):
            self.flush(node)
        self.seal()
        while self.sealed:
            self.settle()

    def write(self, node: Node, offset: int, data: bytes) -> Any:
        self.now_ns += 1
        return self.contents.write(node, offset, data, self.now_ns)

    def read(self, node: Node, offset: int, size: int) -> bytes:
        """Read to the end of all pendings."""
        found = self.contents.read(node, offset, size)
        while isinstance(found, Pending):
            found = found.resume(found.work())
        return bytes(found)
