"""`.search` in every directory: what its names lead to, and what can be done there.

Looking up a segment runs nothing and remembers nothing but the name.  A search runs when a query's
directory is read, or when one of its hits is looked up.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from vexfs_fuse.errors import AccessDenied, InvalidArgument, NoAttribute, NotFound, NotPermitted
from vexfs_fuse.tree.names import check_name
from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.vfs.search import grammar
from vexfs_fuse.vfs.search.asking import Asker, Asking, Counted, Question
from vexfs_fuse.vfs.search.lingering import Lingering
from vexfs_fuse.vfs.search.listing import ResultListing
from vexfs_fuse.vfs.search.nodes import (
    HitFile,
    LinksDirectory,
    LinkTo,
    NewFile,
    PrivateVector,
    QueryDirectory,
    ResultText,
    SavedDirectory,
    SavedQuery,
    SavedText,
    VectorsDirectory,
)
from vexfs_fuse.vfs.search.numbers import Numbers
from vexfs_fuse.vfs.search.private import NewQuery, PrivateVectors, VectorFile
from vexfs_fuse.vfs.search.results import ResultSet
from vexfs_fuse.vfs.search.saved import QueryText, SavedQueries, segments_of
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

APPEND_FLAG: Final = 0o2000  # O_APPEND
NAME: Final = b".search"

N = TypeVar("N", bound=VirtualNode)


def _nobody_counts(plan: str, space: str, took_ns: int) -> None:
    """Count nothing."""


def _nobody_keeps(parent: Inode, name: bytes) -> None:
    """Have no kernel forget anything."""


class SearchTree(VirtualTree):
    """All search directories of one mounted volume."""

    def __init__(
        self,
        volume: Volume,
        *,
        owner: tuple[int, int],
        open_real: Callable[[Inode, int, Caller], Any],
        changed_behind: Callable[[Inode], None],
        forget_entry: Callable[[Inode, bytes], None] = _nobody_keeps,
        is_visible: bool = False,
        counted: Counted = _nobody_counts,
    ) -> None:
        super().__init__(volume.clock.now_ns)
        self._volume = volume
        self._owner = owner
        self._open_real = open_real
        self._changed_behind = changed_behind
        self._is_visible = is_visible
        self._vectors = PrivateVectors(volume.clock)
        self._asking = Asking(volume, self._vectors.get, counted)
        self._saved = SavedQueries(volume)
        self._numbers = Numbers(self.nodes, VIRTUAL_FROM + RANGE)
        self._node = self._numbers.node
        self._lingering = Lingering(self.nodes, forget_entry)

    # -- inodes --------------------------------------------------------------------------------

    def _given(self, node: N) -> N:
        """Count a reference that a look-up gives to the kernel."""
        self._numbers.refer(node.ino)
        self.fresh(node)
        return node

    def remember(self, ino: Inode) -> None:
        """Count a reference that readdir has given to the kernel."""
        self._numbers.refer(ino)

    def forget(self, ino: Inode, count: int) -> None:
        """The kernel gives back references; a node without any goes."""
        self._numbers.forget(ino, count)
        if ino not in self.nodes:
            self._lingering.gone(ino)

    def fresh(self, node: VirtualNode) -> VirtualNode:
        """Bring a node up to date: a hit's attributes are those of its file."""
        super().fresh(node)
        if isinstance(node, HitFile):
            self._mirror(node)
        elif isinstance(node, SavedDirectory | SavedText):
            real = self._volume.tree.node(node.scope)
            node.uid, node.gid = real.uid, real.gid
            if isinstance(node, SavedText):
                node.size = len(self._text_of(node.of))
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
        return self._given(self._top(parent))

    def listed_in(self, parent: Inode) -> Iterable[tuple[bytes, VirtualNode]]:
        """List `.search` in the root, if it is wished."""
        return [(NAME, self._top(parent))] if self._is_visible and parent == ROOT else []

    def _top(self, scope: Inode) -> QueryDirectory:
        return self._node(
            ("top", scope), lambda ino: QueryDirectory(ino, self._owner, scope, scope, depth=1)
        )

    def _query(self, above: QueryDirectory, name: bytes) -> QueryDirectory:
        node = self._node(
            ("query", above.ino, name),
            lambda ino: QueryDirectory(ino, self._owner, above.ino, above.scope, above.depth + 1),
        )
        node.segments = (*above.segments, name)
        node.timeout_s = above.timeout_s
        self._lingering.used(node.ino, above.ino, name)
        return node

    def lookup(self, parent: Inode, name: bytes, who: Caller) -> Any:
        """Return what a name in a search directory is."""
        directory = self.directory(parent)
        if name == b".":
            return self._given(directory)
        if isinstance(directory, QueryDirectory):
            return self._lookup_in_query(directory, name, who)
        if isinstance(directory, LinksDirectory):
            return self._with_hit(
                directory.of, who, lambda results: self._link(directory, results, name)
            )
        if isinstance(directory, SavedDirectory):
            return self._given(self._saved_query(directory, name))
        return self._given(self._private_vector(name, who))

    def _lookup_in_query(self, directory: QueryDirectory, name: bytes, who: Caller) -> Any:
        if name[:1] == b".":
            return self._lookup_reserved(directory, name, who)
        if directory.segments and grammar.is_hit(name):
            return self._with_hit(
                directory, who, lambda results: self._hit(directory, results, name, who)
            )
        if grammar.is_temporary(name):
            raise NotFound
        check_name(name)  # newer kernels let longer ones through
        grammar.parse((*directory.segments, name), self._now_ns())
        return self._given(self._query(directory, name))

    def _lookup_reserved(self, directory: QueryDirectory, name: bytes, who: Caller) -> Any:
        """Answer for names that start with a dot: they are never words."""
        if directory.segments:
            return self._lookup_shown(directory, name, who)
        scope, parent = directory.scope, directory.ino
        if name == b".saved":
            return self._given(
                self._node(
                    ("saved", parent), lambda ino: SavedDirectory(ino, self._owner, parent, scope)
                )
            )
        if name == b".vec":
            return self._given(
                self._node(("vectors", parent), lambda ino: VectorsDirectory(ino, parent))
            )
        if name == b".new":
            return self._given(self._node(("new", parent), lambda ino: NewFile(ino, scope)))
        raise NotFound

    def _lookup_shown(self, directory: QueryDirectory, name: bytes, who: Caller) -> Any:
        """Answer for what shows a set beside its hits."""
        if name in {b".results.jsonl", b".results.txt"}:
            asker = Asker.of(who)
            question = _question(directory, asker)
            results = self._asking.shown(question) or self._asking.ask(question, asker.actor)
            return then(results, lambda results: self._text(directory, results, name, asker))
        if name == b".links":
            return self._given(
                self._node(("links", directory.ino), lambda ino: LinksDirectory(ino, directory))
            )
        if name == b".query" and isinstance(directory, SavedQuery):
            return self._given(
                self._node(("text of", directory.ino), lambda ino: SavedText(ino, directory))
            )
        raise NotFound

    def _with_hit(
        self, directory: QueryDirectory, who: Caller, use: Callable[[ResultSet], Any]
    ) -> Any:
        """Use the set that the caller has listed; search first, or again when it has no answer."""
        asker = Asker.of(who)
        question = _question(directory, asker)
        for held in self._asking.held(question):
            try:
                return use(held)
            except NotFound:
                pass  # of another set, or the file has gone, or come back under another number
        return then(self._asking.ask(question, asker.actor), use)

    def _hit(
        self, directory: QueryDirectory, results: ResultSet, name: bytes, who: Caller
    ) -> VirtualNode:
        rank = results.ranks.get(name)
        if rank is None:
            raise NotFound
        return self._given(self._hit_node(directory, results, rank, Asker.of(who)))

    def _hit_node(
        self, directory: QueryDirectory, results: ResultSet, rank: int, asker: Asker
    ) -> HitFile:
        """Return the node of a hit; its name and thus its rank are part of its identity."""
        name, hit = results.shown[rank - 1]
        real = self._volume.tree.node(hit.ino)
        if not any(self._volume.catalogue.found_at(real, directory.scope, asker.identity)):
            raise NotFound
        node = self._node(
            ("hit", directory.ino, asker.identity, name, hit.ino),
            lambda ino: HitFile(ino, hit, rank),
        )
        node.hit = hit
        return node

    def _text(
        self, directory: QueryDirectory, results: ResultSet, name: bytes, asker: Asker
    ) -> VirtualNode:
        text = results.jsonl() if name.endswith(b".jsonl") else results.text()
        node = self._node(
            ("text", directory.ino, name, asker.identity),
            lambda ino: ResultText(ino, asker.actor.uid, asker.actor.gid, text),
        )
        node.text, node.size = text, len(text)
        return self._given(node)

    def _link(self, directory: LinksDirectory, results: ResultSet, name: bytes) -> VirtualNode:
        rank = results.ranks.get(name)
        if rank is None:
            raise NotFound
        return self._given(self._link_node(directory, results, rank))

    def _link_node(self, directory: LinksDirectory, results: ResultSet, rank: int) -> VirtualNode:
        name, hit = results.shown[rank - 1]
        target = b"../" * (directory.of.depth + 1) + hit.path
        return self._node(
            ("link", directory.ino, name, target), lambda ino: LinkTo(ino, target, self._owner)
        )

    # -- saved queries and private vectors -----------------------------------------------------

    def _saved_query(self, directory: SavedDirectory, name: bytes) -> SavedQuery:
        segments = segments_of(self._saved.text(directory.scope, name))
        owner = directory.uid, directory.gid
        node = self._node(
            ("saved query", directory.ino, name),
            lambda ino: SavedQuery(ino, owner, directory.ino, directory.scope, name),
        )
        node.segments = segments
        return node

    def _private_vector(self, name: bytes, who: Caller) -> PrivateVector:
        key = _vector_name(name)
        size = len(self._vectors.get(who.uid, key))
        node = self._node(
            ("vector", who.uid, key), lambda ino: PrivateVector(ino, who.uid, who.gid, key)
        )
        node.size = size
        return node

    def make_directory(self, parent: Inode, name: bytes, who: Caller) -> Any:
        """Save a query: its name is its text."""
        directory = self.directory(parent)
        if not isinstance(directory, SavedDirectory) or name[:1] == b".":
            raise NotPermitted("a search directory")
        self._saved.make(directory.scope, name, who)
        return self._given(self._saved_query(directory, name))

    def remove(self, parent: Inode, name: bytes, who: Caller) -> None:
        """Forget a saved query, or a private vector."""
        directory = self.directory(parent)
        if isinstance(directory, VectorsDirectory):
            self._vectors.remove(who.uid, _vector_name(name))
        elif isinstance(directory, SavedDirectory):
            self._saved.forget(directory.scope, name, who)
        else:
            raise NotPermitted("a hit cannot be removed")

    def create(self, parent: Inode, name: bytes, who: Caller) -> tuple[VirtualNode, Any]:
        """Make a private vector: copy a .npy, raw float32 or JSON there."""
        directory = self.directory(parent)
        if not isinstance(directory, VectorsDirectory) or name[:1] == b".":
            raise NotPermitted("a search directory")
        opened = self._vectors.create(who.uid, _vector_name(name))
        return self._given(self._private_vector(name, who)), opened

    # -- contents ------------------------------------------------------------------------------

    def open(self, ino: Inode, flags: int, who: Caller) -> Any:
        """Open a hit, which is its file, or a text."""
        node = self.node(ino)
        writing = bool(flags & ACCESS_MODE)
        if isinstance(node, HitFile):
            return self._open_real(node.hit.ino, flags, who)
        if isinstance(node, NewFile):
            return NewQuery(self._asking, node.scope, Asker.of(who), self._now_ns)
        if isinstance(node, PrivateVector):
            return self._vectors.open(who.uid, node.name, writing=writing)
        if isinstance(node, SavedText):
            saved, actor = node.of, Asker.of(who).actor
            text = b"" if writing and not flags & APPEND_FLAG else self._text_of(saved)
            return QueryText(self._saved, saved.scope, saved.name, actor, begins=text)
        if not isinstance(node, ResultText) or writing:
            raise AccessDenied("results are read-only")
        return Text(node.text)

    def _text_of(self, saved: SavedQuery) -> bytes:
        return self._saved.text(saved.scope, saved.name) + b"\n"

    def write(self, opened: Any, offset: int, data: bytes) -> Any:
        """Write a query into `.new` or `.query`, or a private vector."""
        if isinstance(opened, NewQuery | VectorFile | QueryText):
            return opened.write(offset, data)
        raise AccessDenied("read-only")

    def open_directory(self, ino: Inode, who: Caller) -> Any:
        """Open a directory; it is when a query's is read that it is run."""
        directory = self.directory(ino)
        if isinstance(directory, SavedDirectory):
            names = self._saved.names(directory.scope)
            return self._listing(
                directory, [(name, self._saved_query(directory, name)) for name in names]
            )
        if isinstance(directory, VectorsDirectory):
            names = [name.encode() for name in self._vectors.names(who.uid)]
            return self._listing(
                directory, [(name, self._private_vector(name, who)) for name in names]
            )
        query = directory.of if isinstance(directory, LinksDirectory) else directory
        if not isinstance(query, QueryDirectory) or not query.segments:
            return self._listing(directory, [])
        if isinstance(query, SavedQuery):
            query.segments = segments_of(self._saved.text(query.scope, query.name))
        return self._results(directory, query, Asker.of(who))

    def _results(
        self, directory: VirtualDirectory, query: QueryDirectory, asker: Asker
    ) -> ResultListing:
        def node(results: ResultSet, rank: int) -> VirtualNode:
            if isinstance(directory, LinksDirectory):
                return self._link_node(directory, results, rank)
            return self._hit_node(query, results, rank, asker)

        if query.segments and not isinstance(query, SavedQuery):
            self._lingering.used(query.ino, query.parent, query.segments[-1])
        question, unused = _question(query, asker), self._numbers.drop_unused
        self._asking.check(question)
        return ResultListing(self, directory, self._asking, question, asker, node, unused)

    def _listing(
        self, directory: VirtualDirectory, entries: Iterable[tuple[bytes, VirtualNode]]
    ) -> Listing:
        return Listing(self, [(b".", directory), *entries])

    def release(self, opened: Any) -> None:
        """Close; nodes that were listed and that nobody took go."""
        if isinstance(opened, ResultListing):
            opened.close()
        elif isinstance(opened, Listing):
            for _, node in opened.entries[1:]:
                self._numbers.drop_unused(node.ino)

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
        if isinstance(node, PrivateVector | NewFile | SavedText):
            return self.fresh(node)
        raise NotPermitted("a search directory")

    def stands_for(self, ino: Inode) -> Inode | None:
        """Return the file that a hit is."""
        node = self.node(ino)
        return node.hit.ino if isinstance(node, HitFile) else None

    def get_xattr(self, ino: Inode, name: bytes, who: Caller) -> bytes:
        """Return what a hit says of itself, or what its file does."""
        node = self.node(ino)
        if not isinstance(node, HitFile):
            raise NoAttribute
        told = node.told(name)
        return told if told is not None else self._volume.get_xattr(node.hit.ino, name)


def _vector_name(name: bytes) -> str:
    """Return the name that `vec=` says.

    Raises
    ------
    InvalidArgument
        It is not UTF-8, so that no segment could say it.
    """
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument("the name of a vector is UTF-8") from error


def _question(directory: QueryDirectory, asker: Asker) -> Question:
    return Question(asker.identity, directory.scope, directory.segments)
