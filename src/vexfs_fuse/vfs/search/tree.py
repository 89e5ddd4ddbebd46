"""`.search` in every directory: what its names lead to, and what can be done there.

Looking up a segment runs nothing and remembers nothing but the name.  A search runs when a query's
directory is opened, or when one of its hits is looked up.
"""

import re
import stat
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from vexfs_fuse.errors import AccessDenied, NoAttribute, NotFound, NotPermitted
from vexfs_fuse.units import Inode
from vexfs_fuse.vfs.search import grammar
from vexfs_fuse.vfs.search.asking import Asker, Asking, Counted, Question
from vexfs_fuse.vfs.search.nodes import (
    HitFile,
    LinksDirectory,
    LinkTo,
    QueryDirectory,
    ResultText,
)
from vexfs_fuse.vfs.search.private import NewQuery, PrivateVectors, VectorFile
from vexfs_fuse.vfs.search.results import ResultSet
from vexfs_fuse.vfs.virtual import (
    ACCESS_MODE,
    RANGE,
    VIRTUAL_FROM,
    Listing,
    Text,
    VirtualDirectory,
    VirtualNode,
    VirtualTree,
)
from vexfs_fuse.volume.attributes import Attributes
from vexfs_fuse.volume.slices import then
from vexfs_fuse.volume.volume import Volume
from vexfs_fuse.volume.writer import Caller

NAME: Final = b".search"
SAVED_PREFIX: Final = b"vexfs.saved."
"""Saved queries are attributes of their directory that no listing shows."""

SAVED_BYTES_MAX: Final = 4096
N = TypeVar("N", bound=VirtualNode)

_HIT: Final = re.compile(rb"\d{3,}-")


class SavedDirectory(VirtualDirectory):
    """`.saved`: the saved queries of a directory."""

    __slots__ = ("scope",)

    def __init__(self, ino: Inode, owner: tuple[int, int], parent: Inode, scope: Inode) -> None:
        super().__init__(ino, 0o755, *owner, parent)
        self.scope = scope


class VectorsDirectory(VirtualDirectory):
    """`.vec`: the caller's private query vectors."""

    def __init__(self, ino: Inode, parent: Inode) -> None:
        super().__init__(ino, 0o1777, 0, 0, parent)


class NewFile(VirtualNode):
    """`.new`: open, write a query, read the answer."""

    __slots__ = ("scope",)

    def __init__(self, ino: Inode, scope: Inode) -> None:
        super().__init__(ino, stat.S_IFREG | 0o666, 0, 0)
        self.scope = scope


def _nobody_counts(plan: str, space: str, took_ns: int) -> None:
    """Count nothing."""


class SearchTree(VirtualTree):
    """All search directories of one mounted volume."""

    def __init__(
        self,
        volume: Volume,
        *,
        owner: tuple[int, int],
        open_real: Callable[[Inode, int, Caller], Any],
        changed_behind: Callable[[Inode], None],
        counted: Counted = _nobody_counts,
    ) -> None:
        super().__init__(volume.clock.now_ns)
        self._volume = volume
        self._owner = owner
        self._open_real = open_real
        self._changed_behind = changed_behind
        self._vectors = PrivateVectors(volume.clock)
        self._asking = Asking(volume, self._vectors.get, counted)
        self._next = VIRTUAL_FROM + RANGE
        self._keys: dict[Any, Inode] = {}
        self._key_of: dict[Inode, Any] = {}
        self._references: dict[Inode, int] = {}

    # -- inodes --------------------------------------------------------------------------------

    def _node(self, key: Any, make: Callable[[Inode], N]) -> N:
        """Return the node of a key, a new one if there is none."""
        ino = self._keys.get(key)
        if ino is None:
            self._next += 1
            ino = self._keys[key] = Inode(self._next)
            self._key_of[ino] = key
            self.nodes[ino] = make(ino)
        return cast("N", self.nodes[ino])

    def _given(self, node: VirtualNode) -> VirtualNode:
        """Count a reference that a look-up gives to the kernel."""
        self._references[node.ino] = self._references.get(node.ino, 0) + 1
        return self.fresh(node)

    def remember(self, ino: Inode) -> None:
        """Count a reference that readdir has given to the kernel."""
        self._references[ino] = self._references.get(ino, 0) + 1

    def forget(self, ino: Inode, count: int) -> None:
        """The kernel gives back references; a node without any goes."""
        left = self._references.get(ino, 0) - count
        if left > 0:
            self._references[ino] = left
        else:
            self._drop(ino)

    def _drop(self, ino: Inode) -> None:
        self._references.pop(ino, None)
        self.nodes.pop(ino, None)
        self._keys.pop(self._key_of.pop(ino, None), None)

    def fresh(self, node: VirtualNode) -> VirtualNode:
        """Bring a node up to date: a hit's attributes are those of its file."""
        super().fresh(node)
        if isinstance(node, HitFile):
            self._mirror(node)
        return node

    def _mirror(self, node: HitFile) -> None:
        real = self._volume.tree.node(node.hit.ino)
        size, mtime, ctime = self._volume.files.size_times(real)
        node.mode, node.uid, node.gid = real.mode, real.uid, real.gid
        node.size, node.stored = size, self._volume.contents.stored_of(real)
        node.atime, node.mtime, node.ctime = real.atime, mtime, ctime

    # -- names ---------------------------------------------------------------------------------

    def reserves(self, parent: Inode, name: bytes) -> bool:
        """Whether a name is ours: `.search`, in every directory."""
        return name == NAME

    def entry_into(self, parent: Inode, name: bytes, who: Caller) -> VirtualNode | None:
        """Return the search directory of a real one."""
        if name != NAME:
            return None
        self._volume.names.directory(parent)
        return self._given(self._query(parent, (), parent))

    def _query(self, scope: Inode, segments: tuple[bytes, ...], parent: Inode) -> QueryDirectory:
        made: QueryDirectory = self._node(
            ("query", scope, segments),
            lambda ino: QueryDirectory(ino, self._owner, parent, scope, segments),
        )
        return made

    def lookup(self, parent: Inode, name: bytes, who: Caller) -> Any:
        """Return what a name in a search directory is."""
        directory = self.directory(parent)
        if name == b".":
            return self._given(directory)
        if isinstance(directory, QueryDirectory):
            return self._lookup_in_query(directory, name, who)
        if isinstance(directory, LinksDirectory):
            return self._with_set(
                directory.of, who, lambda results: self._link(directory, results, name, who)
            )
        if isinstance(directory, SavedDirectory):
            return self._given(self._saved(directory, name))
        return self._given(self._vector_file(directory, name, who))

    def _lookup_in_query(self, directory: QueryDirectory, name: bytes, who: Caller) -> Any:
        if name[:1] == b".":
            return self._lookup_reserved(directory, name, who)
        if directory.segments and _HIT.match(name):
            return self._with_set(
                directory, who, lambda results: self._hit(directory, results, name, who)
            )
        segments = (*directory.segments, name)
        grammar.parse(segments, self._now_ns())
        return self._given(self._query(directory.scope, segments, directory.ino))

    def _lookup_reserved(self, directory: QueryDirectory, name: bytes, who: Caller) -> Any:
        """Answer for names that start with a dot: they are never words."""
        if name in {b".results.jsonl", b".results.txt"} and directory.segments:
            return self._with_set(
                directory, who, lambda results: self._text(directory, results, name, who)
            )
        if name == b".links" and directory.segments:
            return self._given(
                self._node(("links", directory.ino), lambda ino: LinksDirectory(ino, directory))
            )
        if not directory.segments:
            return self._given(self._lookup_service(directory, name))
        raise NotFound

    def _lookup_service(self, directory: QueryDirectory, name: bytes) -> VirtualNode:
        scope, parent = directory.scope, directory.ino
        if name == b".saved":
            made: VirtualNode = self._node(
                ("saved", scope), lambda ino: SavedDirectory(ino, self._owner, parent, scope)
            )
            return made
        if name == b".vec":
            return self._node(("vec", parent), lambda ino: VectorsDirectory(ino, parent))
        if name == b".new":
            return self._node(("new", scope), lambda ino: NewFile(ino, scope))
        raise NotFound

    def _with_set(
        self, directory: QueryDirectory, who: Caller, use: Callable[[ResultSet], Any]
    ) -> Any:
        """Use the set that the caller has listed; search first, or again when it has no answer."""
        asker = Asker.of(who)
        question = Question(asker.identity, directory.scope, directory.segments)
        held = self._asking.held(question)
        if held is not None:
            try:
                return use(held)
            except NotFound:
                pass  # a file has gone, or come back under another number
        return then(self._asking.ask(question, asker.actor), use)

    def _hit(
        self, directory: QueryDirectory, results: ResultSet, name: bytes, who: Caller
    ) -> VirtualNode:
        rank_hit = results.by_name.get(name)
        if rank_hit is None:
            raise NotFound
        return self._given(self._hit_node(directory, rank_hit[0], rank_hit[1].ino, results, who))

    def _hit_node(
        self, directory: QueryDirectory, rank: int, ino: Inode, results: ResultSet, who: Caller
    ) -> HitFile:
        hit = results.shown[rank - 1].hit
        node: HitFile = self._node(
            ("hit", directory.ino, who.uid, ino), lambda number: HitFile(number, hit, rank)
        )
        node.hit, node.rank = hit, rank
        found_at = self._volume.catalogue.found_at
        if not any(found_at(self._volume.tree.node(ino), directory.scope, Asker.of(who).identity)):
            raise NotFound
        self._mirror(node)
        return node

    def _text(
        self, directory: QueryDirectory, results: ResultSet, name: bytes, who: Caller
    ) -> VirtualNode:
        text = results.jsonl() if name.endswith(b".jsonl") else results.text()
        node: ResultText = self._node(
            ("text", directory.ino, name, who.uid),
            lambda ino: ResultText(ino, who.uid, who.gid, text),
        )
        node.text, node.size = text, len(text)
        return self._given(node)

    def _link(
        self, directory: LinksDirectory, results: ResultSet, name: bytes, who: Caller
    ) -> VirtualNode:
        rank_hit = results.by_name.get(name)
        if rank_hit is None:
            raise NotFound
        return self._given(self._link_node(directory, name, rank_hit[1].path, who))

    def _link_node(
        self, directory: LinksDirectory, name: bytes, path: bytes, who: Caller
    ) -> VirtualNode:
        above = len(directory.of.segments) + 2  # the segments, `.search` and `.links`
        made: VirtualNode = self._node(
            ("link", directory.ino, name, path, who.uid),
            lambda ino: LinkTo(ino, b"../" * above + path, self._owner),
        )
        return made

    # -- saved queries -------------------------------------------------------------------------

    def _saved(self, directory: SavedDirectory, name: bytes) -> QueryDirectory:
        saved = self._volume.tree.xattrs(self._volume.tree.node(directory.scope))
        text = saved.get(SAVED_PREFIX + name)
        if text is None:
            raise NotFound
        segments = tuple(part for part in text.split(b"/") if part)
        return self._query(directory.scope, segments, directory.ino)

    def make_directory(self, parent: Inode, name: bytes, who: Caller) -> Any:
        """Save a query: its name is its text."""
        directory = self.directory(parent)
        if not isinstance(directory, SavedDirectory) or name[:1] == b".":
            raise NotPermitted("a search directory")
        real = self._volume.tree.node(directory.scope)
        if who.uid not in {0, real.uid}:
            raise AccessDenied("only the owner of a directory saves queries there")
        grammar.parse((name,), self._now_ns())
        self._volume.attributes.set_hidden(real, SAVED_PREFIX + name, name, who)
        return self._given(self._saved(directory, name))

    def remove(self, parent: Inode, name: bytes, who: Caller) -> None:
        """Forget a saved query, or a private vector."""
        directory = self.directory(parent)
        if isinstance(directory, VectorsDirectory):
            self._vectors.remove(who.uid, name.decode("utf-8", "replace"))
            return
        if not isinstance(directory, SavedDirectory):
            raise NotPermitted("a hit cannot be removed")
        real = self._volume.tree.node(directory.scope)
        if who.uid not in {0, real.uid}:
            raise AccessDenied("only the owner of a directory forgets its queries")
        try:
            self._volume.attributes.set_hidden(real, SAVED_PREFIX + name, None, who)
        except NoAttribute:
            raise NotFound from None

    # -- private vectors -----------------------------------------------------------------------

    def _vector_file(self, directory: VirtualDirectory, name: bytes, who: Caller) -> VirtualNode:
        key = name.decode("utf-8", "replace")
        size = len(self._vectors.get(who.uid, key))
        node: VirtualNode = self._node(
            ("vector", who.uid, name),
            lambda ino: VirtualNode(ino, stat.S_IFREG | 0o600, who.uid, who.gid),
        )
        node.size = size
        return node

    def create(self, parent: Inode, name: bytes, who: Caller) -> tuple[VirtualNode, Any]:
        """Make a private vector: copy a .npy, raw float32 or JSON there."""
        directory = self.directory(parent)
        if not isinstance(directory, VectorsDirectory):
            raise NotPermitted("a search directory")
        opened = self._vectors.create(who.uid, name.decode("utf-8", "replace"))
        return self._given(self._vector_file(directory, name, who)), opened

    # -- contents ------------------------------------------------------------------------------

    def open(self, ino: Inode, flags: int, who: Caller) -> Any:
        """Open a hit, which is its file, or a text."""
        node = self.node(ino)
        if isinstance(node, HitFile):
            return self._open_real(node.hit.ino, flags, who)
        if isinstance(node, NewFile):
            return NewQuery(self._asking, node.scope, Asker.of(who), self._now_ns)
        if isinstance(node, ResultText):
            if flags & ACCESS_MODE:
                raise AccessDenied("results are read-only")
            return Text(node.text)
        key = self._key_of[ino]
        return self._vectors.open(
            who.uid, key[2].decode("utf-8", "replace"), writing=bool(flags & ACCESS_MODE)
        )

    def write(self, opened: Any, offset: int, data: bytes) -> Any:
        """Write a query into `.new`, or a private vector."""
        if isinstance(opened, NewQuery | VectorFile):
            return opened.write(offset, data)
        raise AccessDenied("read-only")

    def open_directory(self, ino: Inode, who: Caller) -> Any:
        """Open a directory: a query is run."""
        directory = self.directory(ino)
        if isinstance(directory, SavedDirectory):
            saved = self._volume.tree.xattrs(self._volume.tree.node(directory.scope))
            names = [
                key.removeprefix(SAVED_PREFIX) for key in saved if key.startswith(SAVED_PREFIX)
            ]
            return self._listing(
                directory, [(name, self._saved(directory, name)) for name in names]
            )
        if isinstance(directory, VectorsDirectory):
            names = [name.encode() for name in self._vectors.names(who.uid)]
            return self._listing(
                directory, [(name, self._vector_file(directory, name, who)) for name in names]
            )
        query = directory.of if isinstance(directory, LinksDirectory) else directory
        if not isinstance(query, QueryDirectory) or not query.segments:
            return self._listing(directory, [])
        asker = Asker.of(who)
        question = Question(asker.identity, query.scope, query.segments)
        return then(
            self._asking.ask(question, asker.actor),
            lambda results: self._listed(directory, results, who),
        )

    def _listed(self, directory: VirtualDirectory, results: ResultSet, who: Caller) -> Listing:
        entries: list[tuple[bytes, VirtualNode]] = []
        for rank, (name, hit) in enumerate(results.shown, 1):
            if isinstance(directory, LinksDirectory):
                entries.append((name, self._link_node(directory, name, hit.path, who)))
            elif isinstance(directory, QueryDirectory):
                entries.append((name, self._hit_node(directory, rank, hit.ino, results, who)))
        return self._listing(directory, entries)

    def _listing(
        self, directory: VirtualDirectory, entries: list[tuple[bytes, VirtualNode]]
    ) -> Listing:
        return Listing(self, [(b".", directory), *entries])

    def release(self, opened: Any) -> None:
        """Close; nodes that were listed and that nobody took go."""
        if isinstance(opened, Listing):
            for _, node in opened.entries[1:]:
                if node.ino not in self._references:
                    self._drop(node.ino)

    # -- attributes ----------------------------------------------------------------------------

    def target(self, ino: Inode) -> bytes:
        """Return what a link points at."""
        node = self.node(ino)
        if not isinstance(node, LinkTo):
            raise NotFound
        return node.target

    def set_attributes(self, ino: Inode, wanted: Attributes, who: Caller) -> Any:
        """Change the attributes of a hit's file; a private vector can be truncated."""
        node = self.node(ino)
        if isinstance(node, HitFile):
            real = self._volume.tree.node(node.hit.ino)
            self._changed_behind(real.ino)
            if wanted.size is not None:
                self._volume.files.resize(real, wanted.size, who)
            rest = wanted._replace(size=None)
            if rest != Attributes():
                self._volume.attributes.set(real, rest, who)
            return self.fresh(node)
        key = self._key_of.get(ino)
        if (key is not None and key[0] == "vector") or isinstance(node, NewFile):
            return self.fresh(node)
        raise NotPermitted("a search directory")

    def get_xattr(self, ino: Inode, name: bytes, who: Caller) -> bytes:
        """Return what a hit says of itself, or what its file does."""
        node = self.node(ino)
        if not isinstance(node, HitFile):
            raise NoAttribute
        told = {
            b"user.vexfs.path": node.hit.path,
            b"user.vexfs.score": b"%.6f" % node.hit.score,
            b"user.vexfs.rank": b"%d" % node.rank,
        }
        if node.hit.distance is not None:
            told[b"user.vexfs.distance"] = b"%.6f" % node.hit.distance
        value = told.get(name)
        return value if value is not None else self._volume.get_xattr(node.hit.ino, name)
