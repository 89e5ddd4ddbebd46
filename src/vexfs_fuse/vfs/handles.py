"""Open files and directories: what a handle number stands for."""

from collections.abc import Callable
from typing import Any, Final

from vexfs_fuse.errors import BadHandle, TooManyOpen
from vexfs_fuse.tree.node import Dentry, Node
from vexfs_fuse.units import Handle, Inode

WRITE_FLAGS: Final = 0o3  # O_ACCMODE
NOATIME_FLAG: Final = 0o1000000  # O_NOATIME


class OpenFile:
    """A regular file that somebody has open."""

    __slots__ = ("behind", "keeps_atime", "keeps_set_id", "node", "writable")

    def __init__(self, node: Node, uid: int, flags: int, *, behind: bool = False) -> None:
        self.node = node
        self.writable = bool(flags & WRITE_FLAGS)
        self.keeps_atime = bool(flags & NOATIME_FLAG)
        self.behind = behind  # opened by another inode's number: the kernel's cache does not know
        self.keeps_set_id = uid == 0  # stands for CAP_FSETID, where nobody knows who writes


class OpenDirectory:
    """A directory that somebody reads: its entries, or a page of them, since the last rewind."""

    __slots__ = ("cookies", "entries", "is_torn", "node", "whole")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.entries: list[tuple[bytes, Dentry]] = []
        self.cookies: list[int] = []
        self.whole = False
        self.is_torn = False  # damage has hidden names since the last rewind


class Handles:
    """Handle numbers and what they stand for; at most `open_max` at a time."""

    def __init__(self, open_max: int) -> None:
        self.open: dict[int, Any] = {}
        self._open_max = open_max
        self._last = 0

    def add(self, what: Any) -> Handle:
        """Return a new handle.

        Raises
        ------
        TooManyOpen
        """
        if len(self.open) >= self._open_max:  # as `require_room`, without a call
            raise TooManyOpen
        handle = self._last = self._last + 1
        self.open[handle] = what
        return handle  # type: ignore[return-value]  # calling Handle() takes 60 ns

    def require_room(self) -> None:
        """Refuse if no further handle can be had.

        Raises
        ------
        TooManyOpen
        """
        if len(self.open) >= self._open_max:
            raise TooManyOpen

    def get(self, handle: int) -> Any:
        """Return what the handle stands for.

        Raises
        ------
        BadHandle
        """
        found = self.open.get(handle)
        if found is None:
            raise BadHandle
        return found

    def remove(self, handle: int) -> Any:
        """Close a handle; return what it stood for.

        Raises
        ------
        BadHandle
        """
        found = self.open.pop(handle, None)
        if found is None:
            raise BadHandle
        return found


class Writing:
    """Which files are open for writing; `on_end` is told of a file that is so no longer."""

    def __init__(self) -> None:
        self._handles: dict[Inode, int] = {}
        self.on_end: Callable[[Inode], None] = _nobody_waits

    def handles(self, ino: Inode) -> int:
        """Return the number of handles by which somebody may write to an inode."""
        return self._handles.get(ino, 0)

    def begin(self, ino: Inode) -> None:
        """Take note of one handle more."""
        self._handles[ino] = self._handles.get(ino, 0) + 1

    def end(self, ino: Inode) -> None:
        """Take note of one handle less."""
        left = self._handles[ino] - 1
        if left:
            self._handles[ino] = left
        else:
            del self._handles[ino]
            self.on_end(ino)


def _nobody_waits(ino: Inode) -> None:
    """Do nothing: nobody waits for files to be closed."""
