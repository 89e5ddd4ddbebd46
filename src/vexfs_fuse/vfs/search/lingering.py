"""Which questions the kernel may remember: it would keep all that were ever asked, and what they found."""

from collections import OrderedDict
from collections.abc import Callable, Sized
from typing import Final

from vexfs_fuse.units import Inode

NODES_MAX: Final = 50_000
"""Inodes of searches, about a kilobyte each; beyond it the question that nobody has used for longest goes."""

_AT_ONCE: Final = 4


class Lingering:
    """Directories of questions, by when they were used; `nodes` are all inodes of searches.

    `forget_entry` has the kernel drop a name in a directory and all below it, after a while.
    """

    def __init__(self, nodes: Sized, forget_entry: Callable[[Inode, bytes], None]) -> None:
        self._nodes = nodes
        self._forget_entry = forget_entry
        self._names: OrderedDict[Inode, tuple[Inode, bytes]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._names)

    def used(self, ino: Inode, parent: Inode, name: bytes) -> None:
        """Take note that a question was looked up or asked."""
        self._names[ino] = parent, name
        self._names.move_to_end(ino)
        for _ in range(_AT_ONCE):
            if len(self._nodes) <= NODES_MAX or len(self._names) <= 1:
                return
            _, (above, oldest) = self._names.popitem(last=False)
            self._forget_entry(above, oldest)

    def gone(self, ino: Inode) -> None:
        """The kernel has forgotten an inode."""
        self._names.pop(ino, None)
