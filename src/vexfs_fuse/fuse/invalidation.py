"""Tells the kernel to forget what it keeps of an inode that has changed by another one's name.

The call can wait for requests of the same inode, so that it has a thread of its own.
"""

import logging
import threading
from queue import SimpleQueue
from typing import Final

import pyfuse3

from vexfs_fuse.fuse.affinity import Follower

STOP_S: Final = 1.0

_log = logging.getLogger(__name__)


class Invalidation:
    """A queue of inodes to forget; the thread starts with the first."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._inodes: SimpleQueue[int | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def forget(self, ino: int) -> None:
        """Have the kernel drop its pages and attributes of an inode, soon."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="vexfs-forget", daemon=True)
            self._thread.start()
        self._inodes.put(ino)

    def _work(self) -> None:
        self._follower.free_worker()
        while (ino := self._inodes.get()) is not None:
            try:
                pyfuse3.invalidate_inode(ino)
            except FileNotFoundError:
                continue  # the kernel has nothing of it
            except OSError as failure:
                _log.warning("the kernel keeps what it has of inode %d: %s", ino, failure)

    def stop(self) -> None:
        """End the thread, before the session is closed.

        One that waits for a request of its inode is left behind: it wakes when the session is gone.
        """
        if self._thread is not None:
            self._inodes.put(None)
            self._thread.join(STOP_S)
            self._thread = None
