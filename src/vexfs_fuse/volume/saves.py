"""Recognises the save of an editor that puts the old file aside: rename NAME to NAME~, create NAME.

Vim and Emacs do so.  The other way, a new file renamed over the old one, needs no memory.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from vexfs_fuse.units import Inode

BACKUP_SUFFIX: Final = b"~"

REMEMBERED_S: Final = 60.0
"""So long after the renaming a file of the old name counts as its successor."""

REMEMBERED_MAX: Final = 256
"""Files put aside that are remembered."""


class _Aside(NamedTuple):
    ino: Inode
    pid: int
    at_s: float


class PutAside:
    """Files that somebody has renamed to a backup's name not long ago, by the place they left."""

    def __init__(self) -> None:
        self._aside: OrderedDict[tuple[Inode, bytes], _Aside] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._aside)

    def remember(self, ino: Inode, parent: Inode, name: bytes, pid: int, now_s: float) -> None:
        """Take note that a process has put a file aside."""
        self._aside.pop((parent, name), None)
        self._aside[parent, name] = _Aside(ino, pid, now_s)
        if len(self._aside) > REMEMBERED_MAX:
            self._aside.popitem(last=False)

    def take(self, parent: Inode, name: bytes, pid: int, now_s: float) -> Inode | None:
        """Return what the process has put aside from here, once."""
        found = self._aside.pop((parent, name), None)
        if found is None or found.pid != pid or now_s - found.at_s > REMEMBERED_S:
            return None
        return found.ino
