"""Reads real directories in an order that stays right while entries come and go."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Final

from vexfs_fuse.errors import CorruptData
from vexfs_fuse.tree.node import Dentry, Node, Unreadable
from vexfs_fuse.tree.tree import Tree
from vexfs_fuse.vfs.handles import OpenDirectory

DOT_COOKIE: Final = 1
DOTDOT_COOKIE: Final = 2
FIRST_COOKIE: Final = 3
"""Cookies of `.` and `..`; an entry's is FIRST_COOKIE more than the record that made it."""

PAGE_ENTRIES: Final = 192
"""Entries that are taken from the view at once: what fits into one answer of 32 KiB, as libc asks."""


class Directories:
    """Lists the directories of one volume."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def entries(self, directory: OpenDirectory, cookie: int) -> Iterator[tuple[bytes, Any, int]]:
        """Yield (name, entry, cookie of the next) from `cookie` on, 0 being the start.

        Raises
        ------
        CorruptData
            When all that can be read has been told, and damage hides more.
        """
        node = directory.node
        if node.nlink == 0:
            return
        if cookie < DOT_COOKIE:
            yield b".", node, DOT_COOKIE
        if cookie < DOTDOT_COOKIE:
            yield b"..", self._tree.node(node.parent), DOTDOT_COOKIE
        if cookie < FIRST_COOKIE:
            self._rewind(directory)
        told = cookie < DOTDOT_COOKIE
        nodes = self._tree.nodes
        for name, entry in self._named_after(directory, cookie - FIRST_COOKIE):
            current = self._tree.entry(node, name) if directory.whole else entry
            if current is not None and (current is entry or current.cookie == entry.cookie):
                told = True
                shown = nodes.get(current.ino) or self._shown(current)
                yield name, shown, entry.cookie + FIRST_COOKIE
        if directory.is_torn and not told:  # an error would take back what was told beside it
            raise self._tree.torn(node)

    def _shown(self, entry: Dentry) -> Node | Unreadable:
        try:
            return self._tree.named(entry)
        except CorruptData:
            return Unreadable(entry)

    def _rewind(self, directory: OpenDirectory) -> None:
        listing = self._tree.listing(directory.node)
        directory.whole = listing is not None
        directory.entries = listing or []
        directory.cookies = [entry.cookie for _, entry in directory.entries]
        directory.is_torn = listing is None and self._tree.is_small(directory.node)

    def _named_after(self, directory: OpenDirectory, cookie: int) -> Iterator[tuple[bytes, Dentry]]:
        for page in self._pages_after(directory, cookie):
            self._tree.fetch(entry.ino for _, entry in page)
            yield from page

    def _pages_after(
        self, directory: OpenDirectory, cookie: int
    ) -> Iterator[list[tuple[bytes, Dentry]]]:
        if directory.whole:
            start = bisect_right(directory.cookies, cookie)
            for first in range(start, len(directory.entries), PAGE_ENTRIES):
                yield directory.entries[first : first + PAGE_ENTRIES]
            return
        while True:
            page = self._tree.entries_after(directory.node, max(cookie, 0), PAGE_ENTRIES)
            directory.is_torn = directory.is_torn or self._tree.is_torn(directory.node)
            yield page
            if len(page) < PAGE_ENTRIES:
                return
            cookie = page[-1][1].cookie
