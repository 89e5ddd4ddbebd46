"""Decides what happens to contents: writes, truncations, and when dirty pages reach the journal."""

import struct
from typing import Final

from xxhash import xxh3_64

from vexfs_fuse.errors import FileTooBig, InvalidArgument, NothingThere, NotSupported, ReadOnly
from vexfs_fuse.pending import Pending, WaitForSpace
from vexfs_fuse.storage.extents import end_of
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import FILE_BYTES_MAX, KIB
from vexfs_fuse.volume.attributes import AttributeChanges, Attributes, without_set_id
from vexfs_fuse.volume.changes import ExtentWritten, Punched, Resized
from vexfs_fuse.volume.contents import Contents
from vexfs_fuse.volume.writer import SYSTEM, Caller, Writer

KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 0x01, 0x02, 0x10
"""Modes of fallocate(2)."""

SEEK_DATA, SEEK_HOLE = 3, 4
"""What lseek(2) looks for."""

HOLE_BYTES: Final = 4 * KIB
"""The least hole that is told of, and where holes begin and end."""

EXTENTS_SUMMED_MAX: Final = 1_024
"""The contents of a file in more extents are not summed: that would hold up the loop."""


class Files:
    """Every change of contents."""

    def __init__(self, contents: Contents, writer: Writer, attributes: AttributeChanges) -> None:
        self._contents = contents
        self._writer = writer
        self._attributes = attributes
        self._now_ns = writer.clock.now_ns
        self.read = contents.read

    def write(
        self, node: Node, offset: int, data: bytes | memoryview
    ) -> int | Pending[int] | WaitForSpace:
        """Write into the file's pages; return the number of bytes taken, which is all of them.

        Raises
        ------
        FileTooBig, ReadOnly
        """
        if self._writer.refusal is not None:
            raise ReadOnly(self._writer.refusal)
        node.wire = None
        return self._contents.write(node, offset, data, self._now_ns())

    def resize(self, node: Node, size: int, who: Caller) -> None:
        """Truncate or extend with zeros, as truncate(2).

        Raises
        ------
        InvalidArgument, FileTooBig, NoSpace, ReadOnly
        """
        if size < 0:
            raise InvalidArgument(f"size {size}")
        if size > FILE_BYTES_MAX:
            raise FileTooBig
        self.require(node)
        if size and node.content is not None:
            self.flush(node)  # so that no prefix of the journal shows zeros where data had been
        mode, uncapable = None, False
        if (
            self._attributes.clears_set_id
            and who.uid != 0
            and self._attributes.has_privileges(node)
        ):
            mode, uncapable = without_set_id(node.mode) & 0o7777, True
        self._writer.admit(is_freeing=size < self.size_times(node)[0])
        self._writer.commit(node.ino, Resized(size, mode, uncapable), who)
        if mode is not None:
            self._attributes.on_stale(node.ino)  # the answer to open with O_TRUNC carries no mode

    def fallocate(self, node: Node, offset: int, size: int, mode: int, who: Caller) -> None:
        """Allocate, punch or zero `size` bytes from `offset` on, as fallocate(2).

        Raises
        ------
        NotSupported, InvalidArgument, FileTooBig, NoSpace, CorruptData, ReadOnly
        """
        keeps_size = bool(mode & KEEP_SIZE)
        if mode in {0, KEEP_SIZE}:
            self.allocate(node, offset, size, who, keeps_size=keeps_size)
        elif mode == PUNCH_HOLE | KEEP_SIZE:
            self.punch(node, offset, size, who, keeps_size=keeps_size)
        elif mode in {ZERO_RANGE, ZERO_RANGE | KEEP_SIZE}:
            self.zero(node, offset, size, who, keeps_size=keeps_size)
        else:
            raise NotSupported(f"fallocate mode {mode:#x}")

    def allocate(
        self, node: Node, offset: int, size: int, who: Caller, *, keeps_size: bool
    ) -> None:
        """Let the file reach to `offset + size`, if the disk has room for what it lacks there now.

        Nothing is kept for it: what is overwritten needs room again on this store, so a promise would
        have no end.

        Raises
        ------
        InvalidArgument, FileTooBig, NoSpace, CorruptData, ReadOnly
        """
        end = self._end_of_range(offset, size)
        self._writer.admit()
        self.require(node)
        self._contents.admit_all(node, offset, end)
        if end > self.size_times(node)[0] and not keeps_size:
            self.resize(node, end, who)
            return
        self._drop_privileges(node, who)
        self._attributes.set(node, Attributes(mtime=self._now_ns()), who)

    def punch(self, node: Node, offset: int, size: int, who: Caller, *, keeps_size: bool) -> None:
        """Make `size` bytes from `offset` on a hole; unless `keeps_size`, the file reaches to its end.

        Raises
        ------
        InvalidArgument, FileTooBig, NoSpace, CorruptData, ReadOnly
        """
        end = self._end_of_range(offset, size)
        self.require(node)
        self.flush(node)  # so that no prefix of the journal shows zeros where data had been
        self._drop_privileges(node, who)
        self._writer.admit(is_freeing=True)
        size_after = node.size if keeps_size else max(node.size, end)
        self._writer.commit(node.ino, Punched(offset, end - offset, size_after), who)

    def zero(self, node: Node, offset: int, size: int, who: Caller, *, keeps_size: bool) -> None:
        """As `punch`, if the disk has room for what the file lacks there now, as for `allocate`.

        Raises
        ------
        InvalidArgument, FileTooBig, NoSpace, CorruptData, ReadOnly
        """
        end = self._end_of_range(offset, size)
        self.require(node)
        self._contents.admit_all(node, offset, end)
        self.punch(node, offset, size, who, keeps_size=keeps_size)

    @staticmethod
    def _end_of_range(offset: int, size: int) -> int:
        if offset < 0 or size <= 0:
            raise InvalidArgument(f"{size} bytes from {offset}")
        if offset + size > FILE_BYTES_MAX:
            raise FileTooBig
        return offset + size

    def _drop_privileges(self, node: Node, who: Caller) -> None:
        if who.uid != 0 and self._attributes.clears_set_id:
            self._attributes.drop_privileges(node)

    def seek(self, node: Node, offset: int, whence: int) -> int:
        """Return where the next data are, or the next hole, from `offset` on; one is at the end.

        In whole blocks, as programs and their tests expect it: a hole is a block without any data.

        Raises
        ------
        NothingThere, InvalidArgument, CorruptData
        """
        dense(self.size_times(node)[0], offset, whence)
        if whence == SEEK_HOLE:
            return self._seek_hole(node, offset)
        found = self._contents.seek_data(node, offset & -HOLE_BYTES)
        if found is None:
            raise NothingThere
        return max(offset, found & -HOLE_BYTES)

    def _seek_hole(self, node: Node, offset: int) -> int:
        block = offset & -HOLE_BYTES
        while True:
            data = self._contents.seek_data(node, block)
            if data is None or data >= block + HOLE_BYTES:
                return max(offset, block)
            end = self._contents.seek_hole(node, data)
            block = -(-end // HOLE_BYTES) * HOLE_BYTES
            if block >= self.size_times(node)[0]:
                return self.size_times(node)[0]

    def flush(self, node: Node, *, inline_allowed: bool = False) -> None:
        """Stage the file's dirty pages and log them; durable with the next batch.

        Raises
        ------
        NoSpace
            What the disk had no room for is still dirty.
        ReadOnly
        """
        content = node.content
        if content is None or not content.dirty:
            return
        self.require(node)
        while self._flush_some(node, inline_allowed=inline_allowed):
            pass

    def _flush_some(self, node: Node, *, inline_allowed: bool) -> bool:
        """Stage and log as much as one record holds; whether to go on."""
        self._writer.admit(is_freeing=True)
        content = node.content
        size, mtime, ctime = self.size_times(node)
        extents = self._contents.flush(node, inline_allowed=inline_allowed)
        if content.dirty:  # there is more, or the disk took a part of it only
            size = max(node.size, *(end_of(extent) for extent in extents))
        self._writer.commit(node.ino, ExtentWritten(size, mtime, ctime, extents), SYSTEM)
        return bool(content.dirty)

    def require(self, node: Node) -> None:
        """Make sure that what is known of the file's extents can be read, before a change is logged.

        Raises
        ------
        CorruptData
        """
        if node.stored and (node.content is None or node.content.extents is None):
            self._contents.extents(node)

    def content_sum(self, node: Node) -> int | None:
        """Return an XXH3 over the size, and the places and checksums of the extents; None for too many.

        Two sums of a file that are equal say that its stored bytes were the same.  Other files with the
        same bytes have other sums when they were written in other pieces.
        """
        size, _, _ = self.size_times(node)
        extents = self._contents.extents(node)
        if len(extents) > EXTENTS_SUMMED_MAX:
            return None
        total = xxh3_64(_SIZE(size))
        for extent in extents:
            total.update(_PLACE(extent.offset, extent.length, extent.skip))
            total.update(extent.sums if extent.inline is None else extent.inline)
        return total.intdigest()

    @staticmethod
    def is_dirty(node: Node) -> bool:
        """Whether something was written that is not flushed."""
        return node.content is not None and bool(node.content.dirty)

    def size_times(self, node: Node) -> tuple[int, int, int]:
        """Return size, mtime and ctime (ns) with what has been written and not flushed."""
        content = node.content
        if content is not None and content.dirty:
            return content.size, content.mtime, content.ctime
        return node.size, node.mtime, node.ctime


def dense(size: int, offset: int, whence: int) -> int:
    """Return what `Files.seek` does of a file without holes.

    Raises
    ------
    NothingThere, InvalidArgument
    """
    if whence not in {SEEK_DATA, SEEK_HOLE}:
        raise InvalidArgument(f"whence {whence}")
    if not 0 <= offset < size:
        raise NothingThere
    return size if whence == SEEK_HOLE else offset


_SIZE: Final = struct.Struct("<q").pack
_PLACE: Final = struct.Struct("<3q").pack
