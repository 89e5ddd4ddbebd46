"""Inode numbers of what search directories show: from a look-up until the kernel forgets."""

from collections.abc import Callable, Hashable
from typing import TypeVar, cast

from vexfs_fuse.units import Inode
from vexfs_fuse.vfs.virtual import VirtualNode

N = TypeVar("N", bound=VirtualNode)


class Numbers:
    """Nodes by key and by inode number, with the kernel's references to them."""

    def __init__(self, nodes: dict[Inode, VirtualNode], after: int) -> None:
        self._nodes = nodes
        self._last = after
        self._inos: dict[Hashable, Inode] = {}
        self._keys: dict[Inode, Hashable] = {}
        self._references: dict[Inode, int] = {}

    def node(self, key: Hashable, make: Callable[[Inode], N]) -> N:
        """Return the node of a key, a new one if there is none."""
        ino = self._inos.get(key)
        if ino is None:
            self._last += 1
            ino = self._inos[key] = Inode(self._last)
            self._keys[ino] = key
            self._nodes[ino] = make(ino)
        return cast("N", self._nodes[ino])

    def refer(self, ino: Inode) -> None:
        """Count a reference that the kernel has got."""
        self._references[ino] = self._references.get(ino, 0) + 1

    def forget(self, ino: Inode, count: int) -> None:
        """Take back references; a node without any goes."""
        left = self._references.get(ino, 0) - count
        if left > 0:
            self._references[ino] = left
        else:
            self._references.pop(ino, None)
            self.drop_unused(ino)

    def drop_unused(self, ino: Inode) -> None:
        """Let a node go unless the kernel refers to it."""
        if ino not in self._references:
            self._nodes.pop(ino, None)
            self._inos.pop(self._keys.pop(ino, None), None)
