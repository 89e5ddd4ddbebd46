"""Finds files by the words in their names: what a search without a vector does."""

import stat
from collections.abc import Generator, Iterator
from typing import Final

from vexfs_fuse.errors import NotFound
from vexfs_fuse.pending import Pending
from vexfs_fuse.tree.node import Node
from vexfs_fuse.tree.permissions import EXECUTE, READ, may
from vexfs_fuse.units import Inode
from vexfs_fuse.volume.catalogue import CallerOf, Catalogue, Identity
from vexfs_fuse.volume.filters import Filters
from vexfs_fuse.volume.hits import Hit, Outcome
from vexfs_fuse.volume.query import Query
from vexfs_fuse.volume.slices import in_slices
from vexfs_fuse.volume.walking import resolve
from vexfs_fuse.volume.word_filter import ANY_WORDS, WordFilter

STEP_NAMES: Final = 64
"""Names between two looks at the clock."""

KEPT_NAMES: Final = 4096
"""Hits that are kept beyond the best `k`, before the others are thrown away."""


class ByNames:
    """Walks the directories that a caller can list."""

    def __init__(self, catalogue: Catalogue, filters: Filters) -> None:
        self._tree = catalogue.tree
        self._catalogue = catalogue
        self._filters = filters

    def find(
        self, query: Query, scope: Inode, who: Identity, words: WordFilter = ANY_WORDS
    ) -> Outcome | Pending[Outcome]:
        """Find the files whose names have all the words; the share of the name that they make is the score."""
        return in_slices(self._find(query, scope, who, words))

    def _find(
        self, query: Query, scope: Inode, who: Identity, words: WordFilter
    ) -> Generator[None, None, Outcome]:
        letters = sum(len(word) for text in query.words for word in text.casefold().split())
        hits: list[Hit] = []
        found = 0
        for seen, (path, node) in enumerate(self._under(scope, who)):
            if seen % STEP_NAMES == 0:
                yield
            name = path.rpartition(b"/")[2]
            if node is None or not self._filters.passes(name, node, query):
                continue
            if not words.lets_one_pass(node.ino):
                continue
            length = len(name.decode("utf-8", "replace"))
            score = min(1.0, letters / length) if letters else 1.0
            if query.min_score is None or score >= query.min_score:
                found += 1
                hits.append(Hit(node.ino, path, score, None, False))
                if len(hits) > query.k + KEPT_NAMES:
                    hits = _best(hits, query.k)
        hits = [hit for hit in _best(hits, query.k) if self._is_there(hit, scope, who)]
        return Outcome(hits, "names", None, "", None, found, None)

    def _under(self, scope: Inode, who: Identity) -> Iterator[tuple[bytes, Node | None]]:
        """Yield (path, node) of the files below `scope` that `who` can list; None for those it cannot read."""
        waiting = [(b"", scope)]
        while waiting:
            prefix, ino = waiting.pop()
            try:
                directory = self._tree.node(ino)
            except NotFound:  # while others had their turn
                continue
            if not self._lets_in(directory, who):
                continue
            for name, entry in self._tree.each_entry(directory):
                if entry.kind == stat.S_IFDIR:
                    waiting.append((prefix + name + b"/", entry.ino))
                elif entry.kind == stat.S_IFREG:
                    yield prefix + name, self._readable(entry.ino, who)
            yield b"", None

    def _lets_in(self, directory: Node, who: Identity) -> bool:
        xattrs = self._tree.xattrs(directory)
        return may(directory, xattrs, READ | EXECUTE, CallerOf(who), who.gids.__contains__)

    def _readable(self, ino: Inode, who: Identity) -> Node | None:
        try:
            node = self._tree.node(ino)
        except NotFound:
            return None
        return node if self._catalogue.may_read(node, who) else None

    def _is_there(self, hit: Hit, scope: Inode, who: Identity) -> bool:
        """Whether a file is still where the walk met it; others may have had their turn since."""
        try:
            return resolve(self._catalogue, hit.path, scope, who).ino == hit.ino
        except NotFound:
            return False


def _best(hits: list[Hit], count: int) -> list[Hit]:
    """Return the best hits in order, each file by the best of its names."""
    hits.sort(key=lambda hit: (-hit.score, hit.path))
    inos: set[Inode] = set()
    kept: list[Hit] = []
    for hit in hits:
        if len(kept) == count:
            break
        if hit.ino not in inos:
            inos.add(hit.ino)
            kept.append(hit)
    return kept
