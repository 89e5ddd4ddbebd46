"""The inodes of `.search`: directories that are queries, files that are hits, texts, links."""

import stat

from vexfs_fuse.units import Inode
from vexfs_fuse.vfs.virtual import VirtualDirectory, VirtualNode
from vexfs_fuse.volume.hits import Hit

EVERYBODY_READS = 0o555


class QueryDirectory(VirtualDirectory):
    """A query: the segments that lead here, and the real directory that they are asked of."""

    __slots__ = ("scope", "segments")

    def __init__(
        self,
        ino: Inode,
        owner: tuple[int, int],
        parent: Inode,
        scope: Inode,
        segments: tuple[bytes, ...],
    ) -> None:
        super().__init__(ino, EVERYBODY_READS, *owner, parent)
        self.scope = scope
        self.segments = segments


class LinksDirectory(VirtualDirectory):
    """`.links`: the hits of a query as relative symbolic links."""

    __slots__ = ("of",)

    def __init__(self, ino: Inode, of: QueryDirectory) -> None:
        super().__init__(ino, EVERYBODY_READS, of.uid, of.gid, of.ino)
        self.of = of


class HitFile(VirtualNode):
    """A hit: its attributes are those of the file found, but for the inode number."""

    __slots__ = ("hit", "rank")

    def __init__(self, ino: Inode, hit: Hit, rank: int) -> None:
        super().__init__(ino, stat.S_IFREG, 0, 0)
        self.hit = hit
        self.rank = rank


class LinkTo(VirtualNode):
    """A symbolic link to a hit."""

    __slots__ = ("target",)

    def __init__(self, ino: Inode, target: bytes, owner: tuple[int, int]) -> None:
        super().__init__(ino, stat.S_IFLNK | 0o777, *owner)
        self.target = target
        self.size = len(target)


class ResultText(VirtualNode):
    """`.results.jsonl` or `.results.txt` of a set, private to who asked."""

    __slots__ = ("text",)

    def __init__(self, ino: Inode, uid: int, gid: int, text: bytes) -> None:
        super().__init__(ino, stat.S_IFREG | 0o400, uid, gid)
        self.text = text
        self.size = len(text)
