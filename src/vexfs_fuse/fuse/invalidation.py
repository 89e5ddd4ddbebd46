"""Has the kernel forget inodes that changed by another one's name, and names unused for long.

The call can wait for requests of the same inode or directory, so that it has a thread of its own.
"""

import logging
import threading
from queue import SimpleQueue
from typing import Final, NamedTuple

import pyfuse3

from vexfs_fuse.fuse.affinity import Follower

STOP_S: Final = 1.0

_log = logging.getLogger(__name__)


class _Forgotten(NamedTuple):
    """An inode; with a name, the entry of that name in it."""

    ino: int
    name: bytes | None = None


class Invalidation:
    """A queue of what to forget; the thread starts with the first."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._forgotten: SimpleQueue[_Forgotten | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def forget(self, ino: int) -> None:
        """Have the kernel drop its pages and attributes of an inode, soon."""
        self._put(_Forgotten(ino))

    def forget_entry(self, parent: int, name: bytes) -> None:
        """Have the kernel drop a name in a directory, and what is below it, soon."""
        self._put(_Forgotten(parent, name))

    def _put(self, forgotten: _Forgotten) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="vexfs-forget", daemon=True)
            self._thread.start()
        self._forgotten.put(forgotten)

    def _work(self) -> None:
        self._follower.free_worker()
        while (forgotten := self._forgotten.get()) is not None:
            ino, name = forgotten
            try:
                if name is None:
                    pyfuse3.invalidate_inode(ino)
                else:
                    pyfuse3.invalidate_entry(ino, name)
            except FileNotFoundError:
                continue  # the kernel has nothing of it
            except OSError as failure:
                _log.warning("the kernel keeps what it has of inode %d: %s", ino, failure)

    def stop(self) -> None:
        """End the thread, before the session is closed.

        One that waits for a request of its inode is left behind: it wakes when the session is gone.
        """
        if self._thread is not None:
            self._forgotten.put(None)
            self._thread.join(STOP_S)
            self._thread = None
