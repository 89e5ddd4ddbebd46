"""What is in memory of one file's contents: its pages, what of them is dirty, its extents."""

from vexfs_fuse.storage.extents import ExtentMap
from vexfs_fuse.storage.pool import SLOT_SHIFT, Counters
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import FILE_BYTES_MAX, Slot
from vexfs_fuse.volume.runs import Runs


class Content:
    """The contents of one regular file in use; hangs on `Node.content`.

    Attributes
    ----------
    size, mtime, ctime
        As the last write made them (bytes; ns since 1970).  They count while `dirty` is not empty,
        else the node's do.
    dirty
        Bytes of the file that no extent holds yet; all of them are valid in pages.
    dirty_since
        The time of the write that made the clean file dirty, ns since 1970.
    pages
        Page by 64 KiB unit of the file; a page of 1 MiB stands under each of its 16 units.
    extents
        None until somebody asks for them.
    """

    __slots__ = ("ctime", "dirty", "dirty_since", "extents", "mtime", "node", "pages", "size")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.size = node.size
        self.mtime = node.mtime
        self.ctime = node.ctime
        self.dirty: Runs = []
        self.dirty_since = 0
        self.pages: dict[int, Page] = {}
        self.extents: ExtentMap | None = None

    @property
    def idle(self) -> bool:
        """Whether everything here could as well be loaded again."""
        return not self.pages and not self.dirty


class Page:
    """A page of the pool that holds bytes `start` to `end` of a file, as far as they are `valid`.

    Attributes
    ----------
    end
        Never beyond the largest size of a file, so that who writes within a page need not check it.
    content
        Whose page this is; None once it was dropped, though the writer thread may still read it.
    base
        Plus an offset in the file: its place in the pool's view.
    dirty
        Whether any byte of it is in `Content.dirty`.
    queued
        The bytes that the writer thread has yet to read: they must not change.  None for none.
    """

    __slots__ = (
        "base",
        "content",
        "counters",
        "dirty",
        "end",
        "page_bytes",
        "queued",
        "slot",
        "start",
        "valid",
    )

    def __init__(
        self, content: Content, start: int, page_bytes: int, slot: Slot, counters: Counters
    ) -> None:
        self.content: Content | None = content
        self.start = start
        self.end = min(start + page_bytes, FILE_BYTES_MAX)
        self.page_bytes = page_bytes
        self.slot = slot
        self.base = (slot << SLOT_SHIFT) - start
        self.counters = counters
        self.valid: Runs = []
        self.dirty = False
        self.queued: Runs | None = None
