"""The contents of files: reads and writes on pages, extents behind them; logs nothing itself."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from vexfs_fuse.errors import CorruptData, FileTooBig
from vexfs_fuse.pending import Pending, WaitForSpace
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.extents import NOTHING, Changes, ExtentMap, Hole
from vexfs_fuse.storage.pool import Pool, PoolFull
from vexfs_fuse.storage.segments import Segments
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import FILE_BYTES_MAX, Inode
from vexfs_fuse.volume import runs
from vexfs_fuse.volume.cold_reads import ColdReads, Fetched, Missing
from vexfs_fuse.volume.content import Content
from vexfs_fuse.volume.pages import UNIT_SHIFT, PageTable
from vexfs_fuse.volume.write_back import WriteBack

PRESSURE_SHARE: Final = 8
"""When more than this fraction (1/8) of the pool is dirty, it is time to write some of it out."""

IDLE_MAX: Final = 1024
"""Contents without pages that keep their extent map, for whoever comes next."""

Bytes = bytes | memoryview


class Contents:
    """The contents of all files.

    Parameters
    ----------
    pool
        The memory for pages; it must hold a few of the largest requests.
    segments
        Where the bytes go, and come from.
    load_extents
        The extents of an inode, as the state has them.
    """

    def __init__(
        self,
        pool: Pool,
        segments: Segments,
        load_extents: Callable[[Inode], Iterable[Extent]],
    ) -> None:
        self._view = pool.view
        self._pool = pool
        self._load_extents = load_extents
        self._table = PageTable(pool, self._retire)
        self._touch = self._table.touch
        self._write_back = WriteBack(self._table, segments)
        self._cold_reads = ColdReads(self._table, segments)
        self._idle: OrderedDict[Inode, Content] = OrderedDict()
        self._waits = 0
        self._pressure_bytes = len(pool.view) // PRESSURE_SHARE
        self.on_pressure: Callable[[], None] = _nobody_cares

    def read(self, node: Node, offset: int, size: int) -> Bytes | Pending[Bytes]:
        """Return bytes of the file; fewer than `size` where it ends.

        A memoryview is a part of a page: valid until the loop does anything else.

        Raises
        ------
        CorruptData
            When the range, or a checksum unit that it shares, is damaged on the disk.
        """
        content = node.content
        if content is not None:
            end = offset + size
            file_bytes = content.size if content.dirty else node.size
            if end > file_bytes:
                end = file_bytes
            page = content.pages.get(offset >> UNIT_SHIFT)
            if page is not None:
                valid = page.valid
                if valid[0] <= offset < end <= valid[1]:
                    self._touch(page)
                    page.counters.hits += 1
                    base = page.base
                    return self._view[base + offset : base + end]
        return self._read(node, offset, size, [])

    def write(
        self, node: Node, offset: int, data: bytes | memoryview, now_ns: int
    ) -> int | WaitForSpace:
        """Write into pages; return the number of bytes, which is all of them.

        Raises
        ------
        FileTooBig
        NoSpace
            When the disk could not take what is dirty, and this too.
        """
        size = len(data)
        end = offset + size
        content = node.content
        if content is not None and size:
            page = content.pages.get(offset >> UNIT_SHIFT)
            if page is not None and end <= page.end and page.dirty and page.queued is None:
                at = page.base + offset
                self._view[at : at + size] = data
                valid = page.valid
                if valid[-1] == offset:
                    valid[-1] = end
                elif not valid[0] <= offset < end <= valid[1]:
                    runs.cover(valid, offset, end)
                dirty = content.dirty
                if dirty[-1] == offset:
                    dirty[-1] = end
                    self._write_back.dirty_bytes += size
                elif not dirty[0] <= offset < end <= dirty[1]:
                    self._write_back.dirty_bytes += runs.cover(dirty, offset, end)
                if end > content.size:
                    content.size = end
                content.mtime = content.ctime = now_ns
                return size
        return self._write(node, offset, data, now_ns)

    def size_of(self, node: Node) -> int:
        """Return the file's size in bytes, with what was written and not flushed."""
        content = node.content
        return content.size if content is not None and content.dirty else node.size

    def stored_of(self, node: Node) -> int:
        """Return the bytes that the file takes, as a flush of what is dirty will leave them."""
        content = node.content
        if content is None or not content.dirty:
            return node.stored
        dirty = zip(content.dirty[::2], content.dirty[1::2], strict=True)
        if not node.stored:
            return sum(end - start for start, end in dirty)
        extents = self._extents(content)
        holes = (
            piece.length
            for start, end in dirty
            for piece in extents.pieces(start, end - start)
            if isinstance(piece, Hole)
        )
        return node.stored + sum(holes)

    def flush(self, node: Node, *, inline_allowed: bool = False) -> list[Extent]:
        """Stage dirty bytes, which are clean from then on; return their extents, to be logged.

        These are all, unless they are too many for one record or the disk has room for some frames
        only: `node.content.dirty` is not empty then, and the next call goes on, or raises.

        Raises
        ------
        NoSpace, StoreFailed
            Nothing was staged.
        """
        content = node.content
        if content is None or not content.dirty:
            return []
        return self._write_back.flush(content, inline_allowed=inline_allowed)

    def dirty_nodes(self, until_ns: int) -> list[Node]:
        """Return the files that became dirty until then (ns since 1970), the oldest first."""
        return [
            node for node in self._write_back.nodes.values() if node.content.dirty_since <= until_ns
        ]

    def dirty_inodes(self) -> Iterable[Inode]:
        """Return the files whose sizes and times are ahead of their nodes."""
        return self._write_back.nodes.keys()

    def adopt(self, node: Node, extents: Iterable[Extent]) -> Changes:
        """Lay extents into the file: flushed ones, or moved ones with the same bytes."""
        content = self._content(node)
        changes = self._extents(content).insert(extents)
        self._retire(content)
        return changes

    def resize(self, node: Node, size: int) -> Changes:
        """Cut, or extend by a hole; `node.size` is the caller's to set."""
        content = node.content
        if content is None:
            if not node.stored:
                return NOTHING
            content = self._content(node)
        self._write_back.discard(content, size, FILE_BYTES_MAX + 1)
        self._table.cut(content, size, FILE_BYTES_MAX)
        content.size = size
        changes = self._extents(content).truncate(size)
        self._retire(content)
        return changes

    def punch(self, node: Node, start: int, end: int) -> Changes:
        """Make a hole of bytes `start` to `end`, of which none is dirty; sizes are the caller's."""
        content = node.content
        if content is None:
            if not node.stored:
                return NOTHING
            content = self._content(node)
        self._table.cut(content, start, end)
        changes = self._extents(content).punch(start, end)
        self._retire(content)
        return changes

    def seek_data(self, node: Node, offset: int) -> int | None:
        """Return the first byte from `offset` on that is in no hole; None if there is none.

        Raises
        ------
        CorruptData
        """
        content = self._content(node)
        stored = self._extents(content).data_from(offset)
        dirty = runs.first_from(content.dirty, offset)
        self._retire(content)
        return min((place for place in (stored, dirty) if place is not None), default=None)

    def seek_hole(self, node: Node, offset: int) -> int:
        """Return the first byte from `offset` on that is in a hole; beyond the end there is one.

        Raises
        ------
        CorruptData
        """
        content = self._content(node)
        extents = self._extents(content)
        while True:
            end = runs.end_from(content.dirty, extents.hole_from(offset))
            if end == offset:
                self._retire(content)
                return min(end, self.size_of(node))
            offset = end

    def admit_all(self, node: Node, start: int, end: int) -> None:
        """Raise unless the disk could take what bytes `start` to `end` of the file still lack.

        Raises
        ------
        NoSpace, CorruptData
        """
        content = self._content(node)
        lacking = sum(
            last - first
            for piece in self._extents(content).pieces(start, end - start)
            if isinstance(piece, Hole)
            for first, last in runs.gaps(content.dirty, piece.offset, piece.offset + piece.length)
        )
        self._retire(content)
        self._write_back.admit(lacking)

    def forget(self, node: Node) -> Changes:
        """Drop everything, because the inode is gone."""
        changes = self.resize(node, 0)
        self._idle.pop(node.ino, None)
        node.content = None
        return changes

    def extents(self, node: Node) -> ExtentMap:
        """Return the file's extents; not to be changed by the caller."""
        content = self._content(node)
        extents = self._extents(content)
        self._retire(content)
        return extents

    def release(self, node: Node) -> None:
        """Note that nobody has the file open any more."""
        if node.content is not None:
            self._retire(node.content)

    def set_room(self, room_bytes: int) -> None:
        """Say how many dirty bytes the disk could take now; until told, any number."""
        self._write_back.room_bytes = room_bytes

    @property
    def dirty_bytes(self) -> int:
        """The bytes in pages that no extent holds yet."""
        return self._write_back.dirty_bytes

    def statistics(self) -> dict[str, int | list[dict[str, int]]]:
        """Return counts since the start, in bytes where they say so, and the pages by size."""
        write_back, cold_reads = self._write_back, self._cold_reads
        return {
            "dirty_bytes": write_back.dirty_bytes,
            "dirty_files": len(write_back.nodes),
            "flushed_bytes": write_back.flushed_bytes,
            "flushed_frames": write_back.flushed_frames,
            "inline_bytes": write_back.inline_bytes,
            "cold_bytes": cold_reads.cold_bytes,
            "bypasses": cold_reads.bypasses,
            "waits": self._waits,
            "pages": [use._asdict() for use in self._pool.statistics()],
        }

    def _read(
        self, node: Node, offset: int, size: int, fetched: list[Fetched]
    ) -> Bytes | Pending[Bytes]:
        file_bytes = self.size_of(node)
        end = min(offset + size, file_bytes)
        if end <= offset:
            return b""
        content = self._content(node)
        extents = self._extents(content)
        found = self._cold_reads.read(content, extents, offset, end, file_bytes, fetched)
        if isinstance(found, Missing):
            missing = found
            return Pending(
                lambda: self._cold_reads.fetch(missing),
                lambda fetched: self._read(node, offset, size, fetched),
            )
        return found

    def _write(
        self, node: Node, offset: int, data: bytes | memoryview, now_ns: int
    ) -> int | WaitForSpace:
        end = offset + len(data)
        if end > FILE_BYTES_MAX:
            raise FileTooBig
        if end == offset:
            return 0
        self._write_back.admit(end - offset)
        content = self._content(node)
        size = max(end, content.size if content.dirty else node.size)
        try:
            pages = self._table.claim(content, offset, end, size, writing=True)
        except PoolFull:
            self._waits += 1
            return WaitForSpace(lambda: self.write(node, offset, data, now_ns))
        node.content = content  # its last page may have been evicted, and it with that
        if not content.dirty:
            self._write_back.begin(content, size, now_ns)
        content.size = size
        content.mtime = content.ctime = now_ns
        source = memoryview(data)
        position = offset
        for page in pages:
            stop = min(page.end, end)
            self._view[page.base + position : page.base + stop] = source[: stop - position]
            source = source[stop - position :]
            runs.cover(page.valid, position, stop)
            page.dirty = True
            position = stop
        self._write_back.dirty_bytes += runs.cover(content.dirty, offset, end)
        if self._write_back.dirty_bytes > self._pressure_bytes:
            self.on_pressure()
        return end - offset

    def _content(self, node: Node) -> Content:
        content: Content | None = node.content
        if content is None:
            content = node.content = Content(node)
        return content

    def _extents(self, content: Content) -> ExtentMap:
        extents = content.extents
        if extents is None:
            node = content.node
            extents = content.extents = ExtentMap(self._loaded(node) if node.stored else ())
        return extents

    def _loaded(self, node: Node) -> list[Extent]:
        """Return the stored extents; one that got lost would read as zeros."""
        extents = list(self._load_extents(node.ino))
        held = sum(extent.length for extent in extents)
        if held != node.stored:
            raise CorruptData(f"inode {node.ino} has {held} of {node.stored} bytes stored")
        return extents

    def _retire(self, content: Content) -> None:
        """Let go of contents that hold nothing; not at once, a next record may need the map."""
        if not content.idle:
            return
        idle = self._idle
        idle[content.node.ino] = content
        if len(idle) > IDLE_MAX:
            _, oldest = idle.popitem(last=False)
            node = oldest.node
            if oldest.idle and not node.opens and node.content is oldest:
                node.content = None


def _nobody_cares() -> None:
    """Do nothing, until somebody asks to be told of pressure."""
