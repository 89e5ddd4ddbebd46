"""The inodes of `.search`: directories that are queries, files that are hits, texts, links."""

import stat
from typing import Final

from vexfs_fuse.units import Inode
from vexfs_fuse.vfs.virtual import VirtualDirectory, VirtualNode
from vexfs_fuse.volume.hits import Hit

EVERYBODY_READS: Final = 0o555

STATIC_S: Final = 3_600.0
"""How long the kernel may keep what never changes: what a name asks for, `.vec`, `.new`."""


class QueryDirectory(VirtualDirectory):
    """A query: what it asks, and of which real directory; `depth` names lead here from there.

    Below a saved query nothing is static, because that may come to ask something else.
    """

    __slots__ = ("depth", "scope", "segments", "timeout_s")

    def __init__(
        self, ino: Inode, owner: tuple[int, int], parent: Inode, scope: Inode, depth: int
    ) -> None:
        super().__init__(ino, EVERYBODY_READS, *owner, parent)
        self.scope = scope
        self.depth = depth
        self.segments: tuple[bytes, ...] = ()
        self.timeout_s = STATIC_S


class SavedQuery(QueryDirectory):
    """A query under a name; what it asks is said by its `.query`."""

    __slots__ = ("name",)

    def __init__(
        self, ino: Inode, owner: tuple[int, int], parent: Inode, scope: Inode, name: bytes
    ) -> None:
        super().__init__(ino, owner, parent, scope, depth=3)  # .search/.saved/NAME
        self.name = name
        self.timeout_s = 0.0


class SavedDirectory(VirtualDirectory):
    """`.saved`: the saved queries of a directory; it belongs to whoever owns that."""

    __slots__ = ("scope",)

    def __init__(self, ino: Inode, owner: tuple[int, int], parent: Inode, scope: Inode) -> None:
        super().__init__(ino, 0o755, *owner, parent)
        self.scope = scope


class SavedText(VirtualNode):
    """`.query` of a saved query; it belongs to whoever owns the directory that was searched."""

    __slots__ = ("of", "scope")

    def __init__(self, ino: Inode, of: SavedQuery) -> None:
        super().__init__(ino, stat.S_IFREG | 0o644, of.uid, of.gid)
        self.of = of
        self.scope = of.scope


class VectorsDirectory(VirtualDirectory):
    """`.vec`: the caller's private query vectors."""

    timeout_s = STATIC_S

    def __init__(self, ino: Inode, parent: Inode) -> None:
        super().__init__(ino, 0o1777, 0, 0, parent)


class PrivateVector(VirtualNode):
    """A private query vector, of one user."""

    __slots__ = ("name",)

    def __init__(self, ino: Inode, uid: int, gid: int, name: str) -> None:
        super().__init__(ino, stat.S_IFREG | 0o600, uid, gid)
        self.name = name


class NewFile(VirtualNode):
    """`.new`: open, write a query, read the answer."""

    timeout_s = STATIC_S

    __slots__ = ("scope",)

    def __init__(self, ino: Inode, scope: Inode) -> None:
        super().__init__(ino, stat.S_IFREG | 0o666, 0, 0)
        self.scope = scope


class LinksDirectory(VirtualDirectory):
    """`.links`: the hits of a query as relative symbolic links."""

    __slots__ = ("of", "timeout_s")

    def __init__(self, ino: Inode, of: QueryDirectory) -> None:
        super().__init__(ino, EVERYBODY_READS, of.uid, of.gid, of.ino)
        self.of = of
        self.timeout_s = of.timeout_s


class HitFile(VirtualNode):
    """A hit: its attributes are those of the file found, but for the inode number."""

    __slots__ = ("hit", "rank")

    def __init__(self, ino: Inode, hit: Hit, rank: int) -> None:
        super().__init__(ino, stat.S_IFREG, 0, 0)
        self.hit = hit
        self.rank = rank

    def told(self, name: bytes) -> bytes | None:
        """Return an attribute that the hit has beside those of its file."""
        if name == b"user.vexfs.path":
            return self.hit.path
        if name == b"user.vexfs.rank":
            return b"%d" % self.rank
        if name == b"user.vexfs.score":
            return b"%.6f" % self.hit.score
        if name == b"user.vexfs.distance" and self.hit.distance is not None:
            return b"%.6f" % self.hit.distance
        if name == b"user.vexfs.line" and self.hit.part is not None:
            return b"%d" % self.hit.part.line
        return None


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
