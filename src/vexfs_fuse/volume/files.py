"""Decides what happens to contents: writes, truncations, and when dirty pages reach the journal."""

from typing import Any

from vexfs_fuse.errors import FileTooBig, InvalidArgument, NoSpace, ReadOnly
from vexfs_fuse.pending import Pending, WaitForSpace
from vexfs_fuse.storage.extents import end_of
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import FILE_BYTES_MAX
from vexfs_fuse.volume.attributes import AttributeChanges, without_set_id
from vexfs_fuse.volume.changes import ExtentWritten, Resized
from vexfs_fuse.volume.contents import Contents
from vexfs_fuse.volume.writer import SYSTEM, Caller, Writer


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
        self._writer.admit(is_freeing=True)
        size, mtime, ctime = self.size_times(node)
        extents = self._contents.flush(node, inline_allowed=inline_allowed)
        if content.dirty:  # the disk took a part of it only
            size = max(node.size, *(end_of(extent) for extent in extents))
        rows: list[list[Any]] = [list(extent) for extent in extents]
        self._writer.commit(node.ino, ExtentWritten(size, mtime, ctime, rows), SYSTEM)
        if content.dirty:
            raise NoSpace

    def size_times(self, node: Node) -> tuple[int, int, int]:
        """Return size, mtime and ctime (ns) with what has been written and not flushed."""
        content = node.content
        if content is not None and content.dirty:
            return content.size, content.mtime, content.ctime
        return node.size, node.mtime, node.ctime
