"""When reading moves the time of access: the option `atime`."""

from typing import Final

from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import NS_PER_S
from vexfs_fuse.vfs.handles import NOATIME_FLAG
from vexfs_fuse.volume.volume import Volume

DAY_NS: Final = 24 * 3600 * NS_PER_S


class AccessTimes:
    """Moves atime as `option` says: relatime, noatime or strictatime."""

    def __init__(self, volume: Volume, option: str) -> None:
        self._files = volume.files
        self._attributes = volume.attributes
        self._now_ns = volume.clock.now_ns
        self._option = option
        self.is_strict = option == "strictatime"

    def opened(self, node: Node, flags: int) -> None:
        """Move a time that is a day old: what is read from the kernel's cache is not told."""
        if flags & NOATIME_FLAG:
            return
        if self._option == "relatime" and self._now_ns() - node.atime > DAY_NS:
            self.read(node)

    def read(self, node: Node) -> None:
        """Move atime, with relatime when it is not after mtime or ctime, or a day old."""
        if self._option == "noatime":
            return
        now = self._now_ns()
        _, mtime, ctime = self._files.size_times(node)
        if self.is_strict or node.atime <= max(mtime, ctime) or now - node.atime > DAY_NS:
            self._attributes.touch_atime(node, now)
