"""The simplest thing that answers as a search does: every file, one after the other."""

import fnmatch
import mimetypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from vexfs_fuse.units import Inode

ROOT = 1
READ, EXECUTE = 4, 1
EQUAL = 1e-6
"""Scores that differ by less may be in any order, unless their vectors are the same."""


class Asked(NamedTuple):
    """One question."""

    who: Any  # has uid and gids
    scope: Inode
    space: str
    vector: Sequence[float]
    filters: tuple[bytes, ...]
    most: bytes
    like: int = 0


@dataclass
class Item:
    """A file, or a directory."""

    mode: int
    uid: int
    gid: int
    is_dir: bool
    places: set[tuple[int, bytes]]
    vectors: dict[str, tuple[float, ...]] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)
    size: int = 0
    tag: bytes | None = None

    def lets(self, who: Any, wanted: int) -> bool:
        if who.uid == 0:
            return True
        shift = 6 if who.uid == self.uid else 3 if self.gid in who.gids else 0
        return bool(self.mode >> shift & wanted)


class SearchModel:
    """All items by inode, and what may be done with them."""

    def __init__(self, metrics: dict[str, str]) -> None:
        self.items = {ROOT: Item(0o755, 0, 0, True, set())}
        self.metrics = metrics

    def directories(self) -> list[int]:
        return [ino for ino, item in self.items.items() if item.is_dir]

    def files(self) -> list[int]:
        return [ino for ino, item in self.items.items() if not item.is_dir]

    def places(self, ino: int) -> list[tuple[int, bytes]]:
        return sorted(self.items[ino].places)

    def child(self, parent: int, name: bytes) -> int | None:
        return next((i for i, item in self.items.items() if (parent, name) in item.places), None)

    def add_file(
        self, ino: int, parent: int, name: bytes, mode: int, owner: tuple[int, int]
    ) -> None:
        self.items[ino] = Item(mode, *owner, False, {(parent, name)})

    def add_directory(
        self, ino: int, parent: int, name: bytes, mode: int, owner: tuple[int, int]
    ) -> None:
        self.items[ino] = Item(mode, *owner, True, {(parent, name)})

    def rename_file(self, parent: int, name: bytes, new_parent: int, new_name: bytes) -> None:
        """A file takes the vectors of the one that it replaces, in the spaces where it has none."""
        ino, replaced = self.child(parent, name), self.child(new_parent, new_name)
        assert ino is not None
        if ino == replaced:
            return
        if replaced is not None:
            item, other = self.items[ino], self.items[replaced]
            other.places.discard((new_parent, new_name))
            for space in other.vectors.keys() - item.vectors.keys():
                item.vectors[space] = other.vectors[space]
                item.stale.add(space)
            self._bury(replaced)
        self.items[ino].places ^= {(parent, name), (new_parent, new_name)}

    def move_directory(self, ino: int, parent: int, name: bytes) -> None:
        self.items[ino].places = {(parent, name)}

    def link(self, ino: int, parent: int, name: bytes) -> None:
        self.items[ino].places.add((parent, name))

    def unlink(self, parent: int, name: bytes) -> None:
        ino = self.child(parent, name)
        assert ino is not None
        self.items[ino].places.discard((parent, name))
        self._bury(ino)

    def _bury(self, ino: int) -> None:
        if not self.items[ino].places:
            del self.items[ino]

    def set_attributes(self, ino: int, **wanted: int) -> None:
        for key, value in wanted.items():
            setattr(self.items[ino], key, value)

    def write(self, ino: int, size: int) -> None:
        item = self.items[ino]
        item.size = max(item.size, size)
        item.stale = set(item.vectors)

    def tag(self, ino: int, value: bytes) -> None:
        self.items[ino].tag = value

    def set_vector(self, ino: int, space: str, vector: tuple[float, ...]) -> None:
        self.items[ino].vectors[space] = vector
        self.items[ino].stale.discard(space)

    def has_vector(self, ino: int, space: str) -> bool:
        return space in self.items[ino].vectors

    def vector(self, ino: int, space: str) -> tuple[float, ...] | None:
        return self.items[ino].vectors.get(space)

    def remove_vector(self, ino: int, space: str) -> None:
        del self.items[ino].vectors[space]
        self.items[ino].stale.discard(space)

    def drop_space(self, space: str) -> None:
        for item in self.items.values():
            item.vectors.pop(space, None)
            item.stale.discard(space)

    def count(self, space: str) -> int:
        return sum(space in item.vectors for item in self.items.values())

    # -- who may what ----------------------------------------------------------------------------

    def is_below(self, ino: int, above: int) -> bool:
        while ino not in {above, ROOT}:
            ((ino, _),) = self.items[ino].places
        return ino == above

    def _way(self, directory: int, scope: int) -> list[int] | None:
        """The directories from one of them up to the scope."""
        way = [directory]
        while way[-1] != scope:
            if way[-1] == ROOT:
                return None
            ((above, _),) = self.items[way[-1]].places
            way.append(above)
        return way

    def _reaches(self, directory: int, scope: int, who: Any) -> bool:
        way = self._way(directory, scope)
        return way is not None and all(self.items[each].lets(who, EXECUTE) for each in way)

    def _lists(self, directory: int, scope: int, who: Any) -> bool:
        """Whether the names there may be told: to enter a directory is not enough for that."""
        way = self._way(directory, scope)
        return self._reaches(directory, scope, who) and all(
            self.items[each].lets(who, READ) for each in way or ()
        )

    def _path(self, place: tuple[int, bytes], scope: int) -> bytes:
        way = self._way(place[0], scope)
        assert way is not None
        names = [next(iter(self.items[each].places))[1] for each in way[:-1]]
        return b"/".join([*reversed(names), place[1]])

    def path_below(self, ino: int, scope: int) -> bytes | None:
        """Any path of a file below the scope, for `like=`."""
        places = [place for place in self.places(ino) if self._way(place[0], scope) is not None]
        return self._path(places[-1], scope) if places else None

    def may_use(self, ino: int, path: bytes, scope: int, who: Any) -> bool:
        """Whether a file can be compared with, under this path."""
        reached = any(
            self._reaches(place[0], scope, who)
            for place in self.places(ino)
            if self._way(place[0], scope) is not None and self._path(place, scope) == path
        )
        return reached and self.items[ino].lets(who, READ)

    def _seen(self, asked: Asked) -> Iterator[tuple[int, bytes]]:
        """Every file with a vector that the asker can find and read, by the first name that passes."""
        for ino, item in self.items.items():
            if asked.space not in item.vectors or not item.lets(asked.who, READ):
                continue
            for place in sorted(item.places):
                if self._lists(place[0], asked.scope, asked.who) and all(
                    self._passes(item, place[1], each) for each in asked.filters
                ):
                    yield ino, self._path(place, asked.scope)
                    break

    # -- searching -------------------------------------------------------------------------------

    def score(self, ino: int, asked: Asked) -> float:
        row = np.array(self.items[ino].vectors[asked.space], np.float64)
        query = np.array(asked.vector, np.float64)
        if self.metrics[asked.space] == "l2":
            return -float(np.linalg.norm(row - query))
        return float(row @ query / np.linalg.norm(row) / np.linalg.norm(query))

    def _passes(self, item: Item, name: bytes, segment: bytes) -> bool:
        key, _, value = segment.partition(b"=")
        extension = name.rpartition(b".")[2].lower() if b"." in name else b""
        kind = mimetypes.guess_type(f"x.{extension.decode()}")[0] or ""
        return {
            b"ext": extension in value.split(b","),
            b"name": fnmatch.fnmatchcase(name.decode(), value.decode()),
            b"type": kind.startswith("text/"),
            b"size": item.size > 2 if value == b">2" else item.size < 4,
            b"has": value in name.lower(),
            b"not": value not in name.lower(),
            b"xattr": item.tag == b"x",
        }.get(key, True)

    def compare(self, hits: Sequence[Any], asked: Asked) -> None:
        """Fail unless the hits are what a scan finds; they have ino, path, score, distance, stale."""
        least = max((float(f[4:]) for f in asked.filters if f.startswith(b"min=")), default=-1e9)
        expected = {
            ino: (path, self.score(ino, asked))
            for ino, path in self._seen(asked)
            if ino != asked.like and self.score(ino, asked) >= least - EQUAL
        }
        wanted = min(int(asked.most[2:]), len(expected))
        border = {ino for ino, (_, score) in expected.items() if abs(score - least) <= EQUAL}
        assert wanted - len(border) <= len(hits) <= wanted
        for hit in hits:
            path, score = expected[hit.ino]
            assert hit.path == path
            assert abs(hit.score - score) <= EQUAL
            assert hit.stale == (asked.space in self.items[hit.ino].stale) or asked.like
        assert sorted(hits, key=lambda hit: (-hit.score, hit.path)) == list(hits)
        found = {hit.ino for hit in hits}
        for ino in expected.keys() - found - border:
            path, score = expected[ino]
            assert all(hit.score >= score - EQUAL for hit in hits)
            for hit in hits:
                if self.items[hit.ino].vectors[asked.space] == self.items[ino].vectors[asked.space]:
                    assert hit.path < path
