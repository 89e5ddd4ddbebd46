"""What a search must know of each file with a vector, in columns: who may read it, where it is, what it is.

Rows of a vector space are many and a question is quick, so that filters and permissions are computed for
all of them at once, by numpy.  The columns follow the tree lazily: a change marks an inode, the next
search looks at it again.
"""

import mimetypes
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from vexfs_fuse.errors import NotFound, VexfsError
from vexfs_fuse.storage.rows import Row
from vexfs_fuse.storage.state import State
from vexfs_fuse.tree.node import Node
from vexfs_fuse.tree.permissions import EXECUTE, READ, may
from vexfs_fuse.tree.tree import Tree
from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.volume.change_log import ChangeLog

GROW: Final = 1 << 14
GROW_SHARE: Final = 8
"""Columns grow by so many entries at a time, or by an eighth."""

LOOK_FILES: Final = 128
"""Files that are looked at together when nobody has them in memory: half a millisecond."""

HAS_LIST, MANY_NAMES, NO_NAME = 1, 2, 4
"""Bits of the column `special`: an access list, more than one name, none."""

VERDICTS_MAX: Final = 64
"""So many (identity, scope) pairs have their verdicts on directories remembered."""

PREFIXES_MAX: Final = 4_096
"""So many (scope, directory) pairs have their paths remembered."""

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Slots = np.ndarray[Any, np.dtype[np.int64]]


class Identity(NamedTuple):
    """Whose permissions count: uid, and all gids."""

    uid: int
    gids: frozenset[int]


class Place(NamedTuple):
    """A directory and a name in it."""

    parent: Inode
    name: bytes


class Catalogue:
    """The columns, by slot; an inode keeps its slot."""

    def __init__(self, tree: Tree, view: State) -> None:
        self.tree = tree
        self._view = view
        self.slots: dict[Inode, int] = {}
        self.names: list[bytes] = []
        self.generation = 0  # grows with everything that may alter a search
        self.epoch = 0  # grows when directories move, or let others in than before
        self.looked_at = ChangeLog()  # slots
        self._changed: set[Inode] = set()
        self._free: list[int] = []  # slots of inodes that have gone
        self._directories: dict[Inode, int] = {}
        self._directory_inos: list[Inode] = []  # by index
        self._prefixes: dict[tuple[Inode, Inode], bytes] = {}  # by scope and directory
        self._extensions: dict[bytes, int] = {}
        self._types: list[str] = []  # by number of the extension
        self._verdicts: dict[tuple[Identity, Inode], list[bool | None]] = {}
        self._capacity = 0
        self.inode = np.zeros(0, np.int64)
        self.parent = np.zeros(0, np.int64)  # index of the directory
        self.mode = np.zeros(0, np.int64)
        self.uid = np.zeros(0, np.int64)
        self.gid = np.zeros(0, np.int64)
        self.size = np.zeros(0, np.int64)
        self.mtime = np.zeros(0, np.int64)
        self.extension = np.zeros(0, np.int64)
        self.special = np.zeros(0, np.int64)
        self.checked = np.zeros(0, np.bool_)  # whether the checksums of its rows were verified

    # -- following the tree --------------------------------------------------------------------

    def slot(self, ino: Inode) -> int:
        """Return an inode's slot, a new one if it has none."""
        slot = self.slots.get(ino)
        if slot is None:
            slot = self.slots[ino] = self._free.pop() if self._free else self._extend()
            self.inode[slot] = ino
            self._changed.add(ino)
        return slot

    def slots_of(self, inos: list[int]) -> list[int]:
        """Return the slots of many inodes, which may be a few times among them."""
        slots = self.slots
        missing = dict.fromkeys(ino for ino in inos if ino not in slots)
        while missing and self._free:
            ino, _ = missing.popitem()
            self.slot(Inode(ino))
        if missing:
            first, count = len(self.names), len(missing)
            self.names += [b""] * count
            self._grow_to(first + count)
            self.special[first : first + count] = NO_NAME
            self.inode[first : first + count] = list(missing)
            slots.update(zip(map(Inode, missing), range(first, first + count), strict=True))
            self._changed.update(map(Inode, missing))
        return [slots[Inode(ino)] for ino in inos]

    def _extend(self) -> int:
        slot = len(self.names)
        self.names.append(b"")
        self._grow_to(slot + 1)
        self.special[slot] = NO_NAME
        return slot

    def _grow_to(self, count: int) -> None:
        if count <= self._capacity:
            return
        self._capacity = count + max(GROW, count // GROW_SHARE)
        for column in (
            "inode",
            "parent",
            "mode",
            "uid",
            "gid",
            "size",
            "mtime",
            "extension",
            "special",
            "checked",
        ):
            old = getattr(self, column)
            grown = np.zeros(self._capacity, old.dtype)
            grown[: len(old)] = old
            setattr(self, column, grown)

    def note(self, ino: Inode) -> None:
        """Take note that an inode has changed."""
        if ino in self.slots:
            self._changed.add(ino)
            self.generation += 1

    def note_directories(self) -> None:
        """Take note that a directory has moved, or lets others in than before."""
        self._verdicts.clear()
        self._prefixes.clear()
        self.generation += 1
        self.epoch += 1

    @property
    def is_behind(self) -> bool:
        """Whether something has changed since the last `refresh`."""
        return bool(self._changed)

    def refresh(self) -> Iterator[None]:
        """Look again at what has changed since the last time; it can be left alone at each step."""
        while self._changed:
            if len(self._changed) >= LOOK_FILES:
                self._look_at_many([self._changed.pop() for _ in range(LOOK_FILES)])
            else:
                self._look_at_one(self._changed.pop())
            yield

    def _look_at_one(self, ino: Inode) -> None:
        """Look at an inode; what damage is in the way of is left for the next time."""
        try:
            self._look_at(ino)
        except VexfsError:
            self._changed.add(ino)
            raise

    def _look_at_many(self, inos: list[Inode]) -> None:
        """Look at inodes together: what is plain of them and not in memory, as after a mount."""
        nodes = self.tree.nodes
        plain = list(self._view.plain_files([ino for ino in inos if ino not in nodes]))
        left = set(inos)
        try:
            if plain:
                left -= self._take_in(plain)
        except (TypeError, ValueError, OverflowError):
            pass  # damage has changed the type of a column: looking at each tells where
        self._changed |= left
        for ino in left:
            self._changed.discard(ino)
            self._look_at_one(ino)

    def _take_in(self, rows: list[Row]) -> set[Inode]:
        """Fill the columns of files, as far as they are to be believed before somebody finds them."""
        inos, mode, uid, gid, size, mtime, parents, names = zip(*rows, strict=True)
        slots = [self.slots[ino] for ino in inos]
        self.mode[slots], self.uid[slots], self.gid[slots] = mode, uid, gid
        self.size[slots], self.mtime[slots] = size, mtime
        self.parent[slots] = [self._directory(Inode(parent)) for parent in parents]
        self.extension[slots] = [self._extension(name) for name in names]
        for slot, name in zip(slots, names, strict=True):
            self.names[slot] = name
        self.special[slots] = 0
        self.checked[slots] = False
        self.looked_at.extend(slots)
        return set(inos)

    def _look_at(self, ino: Inode) -> None:
        slot = self.slots[ino]
        self.looked_at.append(slot)
        self.checked[slot] = True
        try:
            node = self.tree.node(ino)
        except NotFound:
            self.special[slot] = NO_NAME
            self.names[slot] = b""
            self._free.append(self.slots.pop(ino))
            return
        places = self._stored_places(node)
        if not places:
            self.special[slot] = NO_NAME
            return
        place = places[0]
        self.parent[slot] = self._directory(place.parent)
        self.names[slot] = place.name
        self.extension[slot] = self._extension(place.name)
        self.mode[slot], self.uid[slot], self.gid[slot] = node.mode, node.uid, node.gid
        content = node.content
        dirty = content is not None and content.dirty
        self.size[slot] = content.size if dirty else node.size
        self.mtime[slot] = content.mtime if dirty else node.mtime
        has_list = bool(node.xattr_count) and b"system.posix_acl_access" in self.tree.xattrs(node)
        self.special[slot] = has_list * HAS_LIST | (len(places) > 1) * MANY_NAMES

    def places(self, node: Node) -> list[Place]:
        """Return all names of an inode, in the order of their bytes."""
        slot = self.slots.get(node.ino)
        if slot is None or node.ino in self._changed or self.special[slot] & ~HAS_LIST:
            return self._stored_places(node)
        place = Place(self._directory_inos[self.parent[slot]], self.names[slot])
        if self.checked[slot]:
            return [place]
        places = self._stored_places(node)
        if places == [place]:
            self.checked[slot] = True
        else:
            self.note(node.ino)
        return places

    def sure_place(self, ino: Inode) -> Place | None:
        """Return the name of a file of which the columns say everything; None where a look is needed."""
        slot = self.slots.get(ino)
        if slot is None or ino in self._changed or self.special[slot] or not self.checked[slot]:
            return None
        return Place(self._directory_inos[self.parent[slot]], self.names[slot])

    def _stored_places(self, node: Node) -> list[Place]:
        if node.nlink == 0:
            return []
        return sorted(Place(parent, name) for parent, name in self._view.names(node.ino))

    def _directory(self, ino: Inode) -> int:
        index = self._directories.get(ino)
        if index is None:
            index = self._directories[ino] = len(self._directories)
            self._directory_inos.append(ino)
            self._verdicts.clear()
        return index

    def _extension(self, name: bytes) -> int:
        extension = extension_of(name)
        number = self._extensions.get(extension)
        if number is None:
            number = self._extensions[extension] = len(self._types)
            self._types.append(type_of(extension))
        return number

    # -- asking --------------------------------------------------------------------------------

    def permitted(self, slots: Slots, scope: Inode, who: Identity) -> Bools:
        """Return which slots are files below `scope` that `who` can find and read, as of `refresh`."""
        special = self.special[slots]
        allowed = np.array(self._reachable(scope, who), np.bool_)
        found: Bools = (
            allowed[self.parent[slots]] if len(allowed) else np.zeros(len(slots), np.bool_)
        )
        if who.uid != 0:
            found &= self._readable(slots, who)
        for at in np.flatnonzero(special):
            found[at] = self._one_by_one(int(slots[at]), int(special[at]), scope, who)
        return found

    def _readable(self, slots: Slots, who: Identity) -> Bools:
        mode = self.mode[slots]
        in_group = np.isin(self.gid[slots], np.fromiter(who.gids, np.int64))
        shift = np.where(self.uid[slots] == who.uid, 6, np.where(in_group, 3, 0))
        readable: Bools = (mode >> shift & READ) != 0
        return readable

    def _one_by_one(self, slot: int, special: int, scope: Inode, who: Identity) -> bool:
        """Decide on a file that the columns cannot tell of."""
        if special & NO_NAME:
            return False
        node = self.tree.node(Inode(int(self.inode[slot])))
        if not self.may_read(node, who):
            return False
        return any(self.reaches(place.parent, scope, who) for place in self.places(node))

    def may_read(self, node: Node, who: Identity) -> bool:
        """Whether `who` may read a file, once it is reached."""
        return self._lets_in(node, READ, who)

    def _lets_in(self, node: Node, mask: int, who: Identity) -> bool:
        return may(node, self.tree.xattrs(node), mask, CallerOf(who), who.gids.__contains__)

    def entered(self, node: Node, name: bytes, who: Identity) -> Node:
        """Return what a name in a directory is; `NotFound` as well where it is only that `who` may not know."""
        entered = node.is_dir and self._lets_in(node, EXECUTE, who)
        entry = self.tree.entry(node, name) if entered else None
        if entry is None:
            raise NotFound
        return self.tree.node(entry.ino)

    def reaches(self, directory: Inode, scope: Inode, who: Identity) -> bool:
        """Whether `who` can list all directories from `scope` to one below it, or to `scope` itself.

        To enter them is not enough: a search tells names.
        """
        index = self._directory(directory)
        verdicts = self._verdicts_of(scope, who)
        return self._verdict(directory, index, verdicts, scope, who)

    def _reachable(self, scope: Inode, who: Identity) -> list[bool]:
        verdicts = self._verdicts_of(scope, who)
        if None in verdicts:
            for ino, index in list(self._directories.items()):
                if verdicts[index] is None:
                    self._verdict(ino, index, verdicts, scope, who)
        return verdicts  # type: ignore[return-value]  # none is left undecided

    def _verdicts_of(self, scope: Inode, who: Identity) -> list[bool | None]:
        verdicts = self._verdicts.get((who, scope))
        if verdicts is None:
            if len(self._verdicts) >= VERDICTS_MAX:
                self._verdicts.clear()
            verdicts = self._verdicts[who, scope] = []
        verdicts.extend([None] * (len(self._directories) - len(verdicts)))
        return verdicts

    def _verdict(
        self, ino: Inode, index: int, verdicts: list[bool | None], scope: Inode, who: Identity
    ) -> bool:
        """Walk up until the scope, a directory that is decided, or one that does not let pass."""
        trail = []
        verdict: bool | None = None
        while verdict is None:
            at = self._directories.get(ino)
            known = verdicts[at] if at is not None and at < len(verdicts) else None
            if known is not None:
                verdict = known
                break
            if at is not None and at < len(verdicts):
                trail.append(at)
            verdict, ino = self._pass(ino, scope, who)
        for at in trail:
            verdicts[at] = verdict
        verdicts[index] = verdict
        return verdict

    def _pass(self, ino: Inode, scope: Inode, who: Identity) -> tuple[bool | None, Inode]:
        """Decide on one directory: (verdict, _) when that ends it, else (None, its parent)."""
        try:
            node = self.tree.node(ino)
        except NotFound:
            return False, ino
        if not self._lets_in(node, READ | EXECUTE, who):
            return False, ino
        if ino == scope:
            return True, ino
        if ino == ROOT or node.nlink == 0:
            return False, ino
        return None, node.parent

    def filtered(
        self,
        slots: Slots,
        *,
        extensions: Iterable[frozenset[bytes]] = (),
        types: Iterable[str] = (),
        size_min: int | None = None,
        size_max: int | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> Bools:
        """Return which slots pass the filters that columns can answer."""
        found: Bools = np.ones(len(slots), np.bool_)
        for wanted in extensions:
            found &= np.isin(self.extension[slots], self._numbers(wanted.__contains__))
        for pattern in types:
            found &= np.isin(self.extension[slots], self._typed(pattern))
        if size_min is not None:
            found &= self.size[slots] >= size_min
        if size_max is not None:
            found &= self.size[slots] <= size_max
        if since_ns is not None:
            found &= self.mtime[slots] >= since_ns
        if until_ns is not None:
            found &= self.mtime[slots] <= until_ns
        return found

    def _numbers(self, wanted: Callable[[bytes], bool]) -> list[int]:
        return [number for extension, number in self._extensions.items() if wanted(extension)]

    def _typed(self, pattern: str) -> list[int]:
        return [number for number, kind in enumerate(self._types) if is_type(kind, pattern)]

    def path(self, place: Place, scope: Inode) -> bytes:
        """Return the path of a name, relative to `scope`."""
        prefix = self._prefixes.get((scope, place.parent))
        if prefix is None:
            if len(self._prefixes) >= PREFIXES_MAX:
                self._prefixes.clear()
            prefix = self._prefixes[scope, place.parent] = self._prefix(place.parent, scope)
        return prefix + place.name

    def _prefix(self, ino: Inode, scope: Inode) -> bytes:
        """Return the path of a directory relative to `scope`, with a slash at its end, or nothing."""
        parts = [b""]
        while ino != scope:
            node = self.tree.node(ino)
            above = self._view.names(ino)
            if not above:
                break
            parts.append(above[0][1])
            ino = node.parent
        return b"/".join(reversed(parts))

    def found_at(self, node: Node, scope: Inode, who: Identity) -> Iterator[Place]:
        """Yield the names by which `who` finds an inode below `scope`."""
        for place in self.places(node):
            if self.reaches(place.parent, scope, who):
                yield place


class CallerOf(NamedTuple):
    """An identity as `tree.permissions` asks for it."""

    identity: Identity

    @property
    def uid(self) -> int:
        """User id."""
        return self.identity.uid

    @property
    def gid(self) -> int:
        """No group: all of them are asked of `in_group`."""
        return -1


def extension_of(name: bytes) -> bytes:
    """Return a name's extension in lower case, without the dot; empty when it has none."""
    stem, dot, extension = name.rpartition(b".")
    return extension.lower() if dot and stem else b""


def type_of(extension: bytes) -> str:
    """Return the MIME type that goes by a file name's extension."""
    name = f"x.{extension.decode('utf-8', 'replace')}"
    return mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"


def is_type(kind: str, pattern: str) -> bool:
    """Whether a MIME type is `pattern`, which may be `major/*`."""
    return kind == pattern or (pattern.endswith("/*") and kind.startswith(pattern[:-1]))
