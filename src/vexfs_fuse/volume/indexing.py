"""What an indexer may ask of a volume, and what it may do to it: read files, and give them vectors of text.

Every method is one slice of the loop.  Knows no process, no words and no model.
"""

import stat
import struct
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final

from vexfs_fuse.errors import CorruptData, InvalidArgument, NoSpace, NotFound
from vexfs_fuse.pending import Pending
from vexfs_fuse.storage.records import Entry
from vexfs_fuse.text.desk import Affected, Holds, IgnoreFile, Look, Outcome, Place
from vexfs_fuse.text.ignore import FILE_NAME as IGNORE_FILE
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import MIB, NS_PER_S, ROOT, Inode
from vexfs_fuse.volume.changes import PassagesSet, VectorRemoved
from vexfs_fuse.volume.slices import in_slices
from vexfs_fuse.volume.vectors import AUTO, TEXT_SPACE, WHOLE
from vexfs_fuse.volume.volume import Volume
from vexfs_fuse.volume.writer import SYSTEM

READ_BYTES_MAX: Final = MIB
"""The most that one `read` returns."""

LISTED_MAX: Final = 256
"""Entries that one `listing` looks at."""

VALUES_MAX: Final = 64
"""Vectors that one record sets: half a millisecond of the loop."""

COUNTED_STEP: Final = 64
"""Files between two looks at the clock."""

_DIRECTORY: Final = Look(Inode(0), True, (), 0, b"", 0, 0.0, Holds.NOTHING, 0)
_SUM: Final = struct.Struct("<qQ").pack
_TIMES: Final = struct.Struct("<3q").pack


class Indexing:
    """One volume as its indexer sees it.

    Parameters
    ----------
    volume
        An open volume that takes changes.
    writers
        Tells how many handles there are by which somebody may write to an inode.
    """

    def __init__(self, volume: Volume, writers: Callable[[Inode], int]) -> None:
        self._volume = volume
        self._tree = volume.tree
        self._files = volume.files
        self._vectors = volume.applier.vectors
        self._writers = writers

    # -- asking --------------------------------------------------------------------------------

    def open_space(
        self, dim: int, model: str, *, is_anew: bool = False
    ) -> str | Pending[str | None] | None:
        """Make the space for an embedder's vectors, unless it is there; return why it cannot be used.

        With `is_anew` the space of another model is dropped before, with all its vectors, unless users have
        set some of them.

        Raises
        ------
        NoSpace, ReadOnly
        """
        space = self._vectors.spaces.get(TEXT_SPACE)
        if space is None or (space.model, space.dimensions) == (model, dim):
            self._make_space(dim, model)
            return None
        if is_anew:
            return in_slices(self._replace_space(dim, model))
        what = f"{space.model or 'nobody knows what'} with {space.dimensions} dimensions"
        return (
            f"space {TEXT_SPACE} has vectors of {what}, not of {model} with {dim};"
            " to have all files embedded anew: vexfs reindex --text"
        )

    def _make_space(self, dim: int, model: str) -> None:
        if TEXT_SPACE not in self._vectors.spaces:
            self._volume.vectors.create_space(TEXT_SPACE, dim, "cosine", model, SYSTEM)

    def _replace_space(self, dim: int, model: str) -> Generator[None, None, str | None]:
        refusal = yield from self.drop_space()
        if refusal is None:
            self._make_space(dim, model)
        return refusal

    def drop_space(self) -> Generator[None, None, str | None]:
        """Drop the space of texts, if there is one; return why not.

        Raises
        ------
        NoSpace, ReadOnly
        """
        changes = -1
        while changes != self._vectors.changes:
            changes = self._vectors.changes
            count = yield from self._count_set_by_user()
        if count:
            return (
                f"{count} files have vectors in space {TEXT_SPACE} that users have set, for the model of"
                f" before; to drop them, too: setfattr -x user.vexfs.space.{TEXT_SPACE} on the root"
            )
        if TEXT_SPACE in self._vectors.spaces:
            self._volume.vectors.drop_space(TEXT_SPACE, SYSTEM)
        return None

    def _count_set_by_user(self) -> Generator[None, None, int]:
        space = self._vectors.spaces.get(TEXT_SPACE)
        if space is None:
            return 0
        rows = space.rows
        wholes = rows.live[: rows.limit] & (rows.passages[: rows.limit] == WHOLE)
        count = 0
        for at, ino in enumerate(rows.inos[: rows.limit][wholes].tolist()):
            row = self._vectors.stored(Inode(ino), TEXT_SPACE)
            count += row is not None and row.origin != AUTO
            if at % COUNTED_STEP == 0:
                yield
        return count

    def look(self, inos: Sequence[Inode], *, settle: bool = False) -> list[Look | None]:
        """Look at inodes: None for what has no name, or is neither a regular file nor a directory.

        What was written to files that nobody has open for writing is flushed first; with `settle`,
        that of all.
        """
        above: dict[Inode, _Above] = {}
        return [self._look_unless_damaged(ino, above, settle) for ino in inos]

    def _look_unless_damaged(
        self, ino: Inode, above: "dict[Inode, _Above]", settle: bool
    ) -> Look | None:
        try:
            return self._look(ino, above, settle)
        except CorruptData:
            return None  # `vexfs fsck` tells of it

    def _look(self, ino: Inode, above: "dict[Inode, _Above]", settle: bool) -> Look | None:
        node = self._named(ino)
        if node is None:
            return None
        if node.is_dir:
            return _DIRECTORY._replace(ino=ino)
        writers = self._writers(ino)
        if settle or not writers:
            self._flush(node)
        row = self._vectors.stored(ino, TEXT_SPACE)
        holds = Holds.NOTHING
        if row is not None:
            holds = (
                (Holds.STALE if row.stale else Holds.FRESH) if row.origin == AUTO else Holds.USER
            )
        size, _, ctime = self._files.size_times(node)
        return Look(
            ino,
            False,
            tuple(self._places(node, above)),
            size,
            self._stamp(node),
            writers,
            max(0.0, (self._volume.clock.now_ns() - ctime) / NS_PER_S),
            holds,
            0 if row is None else len(self._vectors.passages(ino, TEXT_SPACE)),
        )

    def _named(self, ino: Inode) -> Node | None:
        try:
            node = self._tree.node(ino)
        except (NotFound, CorruptData):
            return None
        return node if node.nlink and (node.is_file or node.is_dir) else None

    def _flush(self, node: Node) -> None:
        """Flush; what there is no room for stays dirty, and the stamp says so."""
        try:
            self._files.flush(node)
        except NoSpace:
            pass

    def _stamp(self, node: Node) -> bytes:
        if self._files.is_dirty(node):
            return b""
        try:
            total = self._files.content_sum(node)
        except CorruptData:
            total = None
        if total is None:
            return _TIMES(node.size, node.mtime, node.ctime)
        return _SUM(node.size, total)

    def _places(self, node: Node, above: "dict[Inode, _Above]") -> Iterator[Place]:
        for parent, name in self._volume.catalogue.places(node):
            path, ignores = self._above(parent, above)
            yield Place(path + name, parent, ignores)

    def _above(self, directory: Inode, above: "dict[Inode, _Above]") -> "_Above":
        """Return the path of a directory, with a slash at its end, and the ignore files to it."""
        found = above.get(directory)
        if found is None:
            node = self._tree.node(directory)
            path, ignores = _TOP
            if directory != ROOT and node.nlink:
                path, ignores = self._above(node.parent, above)
                (place,) = self._volume.catalogue.places(node)
                path += place.name + b"/"
            found = above[directory] = path, ignores + tuple(self._ignore_file(node, path))
        return found

    def _ignore_file(self, directory: Node, path: bytes) -> Iterator[IgnoreFile]:
        entry = self._tree.entry(directory, IGNORE_FILE)
        if entry is not None and entry.kind == stat.S_IFREG:
            node = self._tree.node(entry.ino)
            self._flush(node)
            yield IgnoreFile(path.rstrip(b"/"), entry.ino, self._stamp(node))

    def read(self, ino: Inode, offset: int, size: int) -> Any:
        """Return bytes of a file, or the `Pending` that leads to them.

        Raises
        ------
        NotFound, CorruptData
        """
        node = self._tree.node(ino)
        return self._volume.contents.read(node, offset, min(size, READ_BYTES_MAX))

    def listing(self, directory: Inode, cookie: int) -> tuple[list[Inode], int]:
        """Return the files and directories among the next entries, and the cookie to go on with, or 0."""
        node = self._named(directory)
        if node is None or not node.is_dir:
            return [], 0
        page = self._tree.entries_after(node, cookie, LISTED_MAX)
        kinds = {stat.S_IFREG, stat.S_IFDIR}
        found = [entry.ino for _, entry in page if entry.kind in kinds]
        return found, page[-1][1].cookie if len(page) == LISTED_MAX else 0

    # -- changing ------------------------------------------------------------------------------

    def set_passages(
        self, ino: Inode, stamp: bytes, values: Sequence[bytes], first: int = WHOLE
    ) -> Outcome:
        """Give a file vectors from the passage `first` on, if its contents are still those of `stamp`.

        Without values it keeps those that it has, which are of these contents then.

        Raises
        ------
        InvalidArgument
            There is no space for them, or they are of another.
        NoSpace, ReadOnly
        """
        refusal = self._refusal(ino, stamp)
        if refusal is not None:
            return refusal
        space = self._vectors.spaces.get(TEXT_SPACE)
        if space is None or any(len(value) != 4 * space.dimensions for value in values):
            raise InvalidArgument(f"these are no vectors for space {TEXT_SPACE}")
        self._volume.writer.admit()
        content = self._files.content_sum(self._tree.node(ino))
        change = PassagesSet(self._vectors.numbers[TEXT_SPACE], content, list(values), first)
        self._volume.writer.commit(ino, change, SYSTEM)
        return Outcome.SET

    def copy_passages(
        self, ino: Inode, stamp: bytes, source: Inode, source_stamp: bytes, first: int = WHOLE
    ) -> tuple[Outcome, int]:
        """Give a file the vectors of another one; return where to go on, or 0.

        Raises
        ------
        NoSpace, ReadOnly
        """
        other = self._named(source)
        row = None if other is None else self._vectors.stored(source, TEXT_SPACE)
        if (
            other is None
            or row is None
            or row.origin != AUTO
            or row.stale
            or self._stamp(other) != source_stamp
        ):
            return Outcome.ABSENT, 0
        passages = self._vectors.passages(source, TEXT_SPACE)
        wanted = passages[first : first + VALUES_MAX]
        number = self._vectors.numbers[TEXT_SPACE]
        rows = [self._volume.view.vector(source, number, passage) for passage in wanted]
        values = [row.value for row in rows if row is not None]
        outcome = self.set_passages(ino, stamp, values, first)
        more = outcome is Outcome.SET and first + VALUES_MAX < len(passages)
        return outcome, first + VALUES_MAX if more else 0

    def _refusal(self, ino: Inode, stamp: bytes) -> Outcome | None:
        node = self._named(ino)
        if node is None or not node.is_file or not stamp or self._stamp(node) != stamp:
            return Outcome.CHANGED
        row = self._vectors.stored(ino, TEXT_SPACE)
        return Outcome.KEPT if row is not None and row.origin != AUTO else None

    def drop_passages(self, ino: Inode) -> None:
        """Take an embedder's vectors from a file, if it has any.

        Raises
        ------
        NoSpace, ReadOnly
        """
        row = self._vectors.stored(ino, TEXT_SPACE)
        if row is not None and row.origin == AUTO:
            self._volume.writer.admit(is_freeing=True)
            change = VectorRemoved(self._vectors.numbers[TEXT_SPACE])
            self._volume.writer.commit(ino, change, SYSTEM)


_Above = tuple[bytes, tuple[IgnoreFile, ...]]

_TOP: Final[_Above] = (b"", ())


def affected(entry: Entry) -> Iterator[Affected]:
    """Yield what a record makes worth a look; `ROOT` stands for everything."""
    lsn, body = entry.lsn, entry.body
    kind = entry.kind
    if kind in _OF_FILES:
        yield Affected(lsn, entry.inode)
    if kind == "Purged":
        yield from (Affected(lsn, Inode(ino)) for ino in body["inodes"])
    elif kind == "Renamed":
        if body["replaced"]:
            yield Affected(lsn, Inode(body["replaced"]))
    elif kind == "Exchanged":
        yield Affected(lsn, Inode(body["other"]))
    elif kind == "VectorsMoved":
        yield Affected(lsn, Inode(body["source"]))
    elif kind in {"SpaceDropped", "Repaired"}:
        yield Affected(lsn, ROOT)
    for name, parent in (("name", "parent"), ("new_name", "new_parent")):
        if body.get(name) == IGNORE_FILE and parent in body:
            yield Affected(lsn, Inode(body[parent]))


_OF_FILES: Final = frozenset(
    {
        "Created",
        "Linked",
        "Unlinked",
        "Renamed",
        "Exchanged",
        "Resized",
        "Punched",
        "ExtentWritten",
        "VectorSet",
        "VectorRemoved",
        "VectorsMoved",
    }
)
"""Kinds after which the inode that they are about may have other contents, names or vectors."""
