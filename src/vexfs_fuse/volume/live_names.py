"""The names that the text index may not know yet: of files made, renamed, linked or unlinked since it looked.

A question asks them directly, so that a file is found by its name as soon as it has it, and no longer by one
that it has lost.  What an ignore file speaks of is known to the index alone: such a file can be found until
the indexer has seen it.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from typing import Final, NamedTuple

import numpy as np

from vexfs_fuse.errors import CorruptData, NotFound
from vexfs_fuse.text import words as text_words
from vexfs_fuse.text.ignore import DEFAULT, is_ignored
from vexfs_fuse.text.lookup import Longs, Matches, Settled
from vexfs_fuse.text.words import Words
from vexfs_fuse.units import ROOT, Inode, Lsn
from vexfs_fuse.volume.catalogue import Catalogue, Identity, Place

INODES_MAX: Final = 16_384
"""Inodes whose names are asked directly; with more the oldest are found by name once they are indexed."""

STEP_INODES: Final = 64
"""Inodes between two looks at the clock."""


class Shares(NamedTuple):
    """Inodes in order, and which share of a question's terms their names have."""

    inos: Longs
    shares: "np.ndarray[tuple[int], np.dtype[np.float64]]"


class Having(NamedTuple):
    """Where the index knows a phrase from."""

    phrase: str
    texts: Longs
    names: Longs


class Named(NamedTuple):
    """What a worker learned of the names that the index does not know."""

    settled: Settled
    older: list[tuple[Inode, Lsn]] | None  # None: they are noted already


class Phrases(NamedTuple):
    """What `has=` and `not=` say, as far as the index knows."""

    having: list[Having]
    without: list[Having]
    named: Named


class LiveNames:
    """Inodes whose names have changed, with the record that did it, and the names they have now."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._tree = catalogue.tree
        self._changed: OrderedDict[Inode, Lsn] = OrderedDict()
        self._names: dict[Inode, list[tuple[Place, str]]] = {}  # as far as they were asked for

    def note(self, ino: Inode, lsn: Lsn) -> None:
        """Take note that a record has given an inode a name, or taken one from it."""
        self._names.pop(ino, None)
        if ino in self._changed:
            self._changed.move_to_end(ino)
        self._changed[ino] = lsn
        if len(self._changed) > INODES_MAX:
            self._forget(next(iter(self._changed)))

    def note_older(self, changes: Sequence[tuple[Inode, Lsn]]) -> None:
        """Take note of changes from before there was anybody to take note, as far as there is room."""
        for ino, lsn in changes[: INODES_MAX - len(self._changed)]:
            self._changed.setdefault(ino, lsn)

    def changed(self) -> str:
        """Return the inodes as JSON, for `TextLookup.settled`."""
        return json.dumps(list(self._changed)) if self._changed else ""

    def settle(self, settled: Settled) -> None:
        """Leave to the index what it knows by now."""
        for ino in settled.inos.tolist():
            lsn = self._changed.get(ino)
            if lsn is not None and lsn <= settled.position:
                self._forget(ino)

    def _forget(self, ino: Inode) -> None:
        del self._changed[ino]
        self._names.pop(ino, None)

    # -- asking --------------------------------------------------------------------------------

    def in_place(
        self, matches: Matches, words: Words, scope: Inode, who: Identity
    ) -> Generator[None, None, Matches]:
        """Return matches with the names that files have now in place of those that the index knows."""
        if not self._changed:
            return matches
        shares = yield from self._shares(words.share, scope, who)
        return _replaced(matches, shares)

    def having(
        self, text: str, texts: Longs, names: Longs, scope: Inode, who: Identity
    ) -> Generator[None, None, Longs]:
        """Return the inodes, in order, that have a phrase in their texts, or in their names as they are now."""
        if not self._changed:
            return np.union1d(texts, names)
        has = text_words.has_phrase(text)
        shares = yield from self._shares(lambda name: float(has(name)), scope, who)
        names = np.setdiff1d(names, shares.inos)
        return np.union1d(np.union1d(texts, names), shares.inos[shares.shares > 0])

    def _shares(
        self, share: Callable[[str], float], scope: Inode, who: Identity
    ) -> Generator[None, None, Shares]:
        found: dict[Inode, float] = {}
        for at, ino in enumerate(list(self._changed)):
            if at % STEP_INODES == 0:
                yield
            names = self._names.get(ino)
            if names is None:
                names = self._names[ino] = self._names_of(ino)
            parts = [(share(name), place) for place, name in names]
            found[ino] = max(
                (part for part, place in parts if part and self._is_found(place, scope, who)),
                default=0.0,
            )
        inos = np.array(sorted(found), np.int64)
        return Shares(inos, np.array([found[ino] for ino in inos.tolist()], np.float64))

    def _names_of(self, ino: Inode) -> list[tuple[Place, str]]:
        """Return where a file is, and its names as text; nothing of what is no file, or has gone."""
        try:
            node = self._tree.node(ino)
            places = self._catalogue.places(node) if node.is_file else []
        except (NotFound, CorruptData):
            return []
        return [(place, text_words.name_text(place.name)) for place in places]

    def _is_found(self, place: Place, scope: Inode, who: Identity) -> bool:
        """Whether a name is one that a caller may know, and that is not left out of the index."""
        if not self._catalogue.reaches(place.parent, scope, who):
            return False
        return not is_ignored(self._catalogue.path(place, ROOT), False, [(b"", DEFAULT)])


def _replaced(matches: Matches, shares: Shares) -> Matches:
    """Put the shares of some inodes into matches, and take out what matches no more."""
    inos, passages, scores, named, all_there = matches
    at = np.searchsorted(shares.inos, inos)
    at[at == len(shares.inos)] = 0
    is_live = shares.inos[at] == inos
    named = np.where(is_live, shares.shares[at], named)
    kept = ~is_live | (passages > 0) | (named > 0)
    added = (shares.shares > 0) & ~np.isin(shares.inos, inos)
    count = int(np.count_nonzero(added))
    every = np.concatenate([inos[kept], shares.inos[added]])
    numbers = np.concatenate([passages[kept], np.zeros(count, np.int64)])
    ranks = np.concatenate([scores[kept], np.zeros(count)])
    share = np.concatenate([named[kept], shares.shares[added]])
    order = np.lexsort((every, -share, -ranks))
    return Matches(every[order], numbers[order], ranks[order], share[order], all_there)
