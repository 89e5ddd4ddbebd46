"""Search against the model: whatever happened before, hits are those of a scan over what may be seen.

Files and directories are made, moved, linked, removed, opened and closed to others; vectors are set
and removed, spaces dropped; the volume is killed and opened again.  Then somebody asks, with filters,
and must get what numpy finds among the files that he can reach and read.
"""

import random
import stat
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.models.search import Asked, SearchModel
from tests.support.stores import ROOT_USER, SimulatedStore
from vexfs_fuse.errors import NoAttribute, NotFound, VexfsError
from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.vfs.search.asking import Asking, Question
from vexfs_fuse.vfs.search.results import ResultSet
from vexfs_fuse.volume import catalogue, search
from vexfs_fuse.volume.attributes import Attributes
from vexfs_fuse.volume.catalogue import Identity
from vexfs_fuse.volume.check import check
from vexfs_fuse.volume.writer import Actor

STEPS = 40
DIM = 3
"""Few directions, so that scores tie."""

SPACES = ("default", "flat")
METRICS = {"default": "cosine", "flat": "l2"}
ROOT_PERSON = Identity(0, frozenset())
PERSONS = (
    ROOT_PERSON,
    Identity(61_001, frozenset({61_001})),
    Identity(61_002, frozenset({61_002, 61_100})),
)
OWNERS = st.sampled_from([(0, 0), (61_001, 61_001), (61_002, 61_002), (0, 61_100)])
FILE_MODES = st.sampled_from([0o644, 0o644, 0o600, 0o640, 0o044, 0o604])
DIRECTORY_MODES = st.sampled_from([0o755, 0o755, 0o700, 0o710, 0o750, 0o711, 0o055])
PICKS = st.integers(0, 9)
NAMES = st.sampled_from([b"a.txt", b"b.md", b"c", b"A.TXT", b"log a.md"])
DIRECTORY_NAMES = st.sampled_from([b"d", b"e"])
VECTORS = st.sampled_from(
    [(1, 0, 0), (1, 0, 0), (2, 0, 0), (0, 1, 0), (1, 1, 0), (-1, 0, 1), (1, 2, 3), (1, 2, 4)]
)
SPACE_NAMES = st.sampled_from(SPACES)
FILTERS = [
    b"ext=txt", b"ext=md,txt", b"name=*.md", b"name=?.*", b"size=>2", b"size=<4", b"has=a",
    b"not=log", b"min=0.5", b"min=-2", b"xattr=tag:x", b"type=text/*", b"mode=exact",
]  # fmt: skip
SOME_FILTERS = st.lists(
    st.sampled_from(FILTERS), max_size=2, unique_by=lambda segment: segment.split(b"=")[0]
)
K = [b"k=1", b"k=2", b"k=3", b"k=50"]
COUNTS = st.sampled_from(K)


class SearchMachine(RuleBasedStateMachine):
    """A volume with vectors, and everybody who searches it."""

    def __init__(self) -> None:
        super().__init__()
        self.few = patch.object(catalogue, "LOOK_FILES", 2)  # else too few are looked at together
        self.few.start()
        self.unknown = patch.multiple(search, UNKNOWN_ROWS_MIN=1, LOOKED_AT_MAX=2, SPARE=0)
        self.unknown.start()  # else files are never looked at one by one
        self.store = SimulatedStore()
        self.model = SearchModel(METRICS)
        self.private = b""
        self.random = random.Random(0)
        self.start()

    def start(self) -> None:
        self.mounted = self.store.open()
        self.volume, self.vfs = self.mounted.volume, self.mounted.vfs
        self.asking = Asking(self.volume, lambda uid, name: self.private, lambda *_: None)

    def teardown(self) -> None:
        try:
            assert check(self.volume) == []
        finally:
            self.mounted.close()
            self.store.remove()
            self.few.stop()
            self.unknown.stop()
        self.unknown.stop()

    @initialize(seed=st.integers(0, 2**16))
    def populate(self, seed: int) -> None:
        """Begin with directories and files enough that most questions have an answer."""
        rng = self.random = random.Random(seed)
        modes, owners = (0o755, 0o755, 0o750, 0o711), ((0, 0), (61_001, 61_001), (61_002, 61_100))
        for name in (b"d", b"e", b"d"):
            self.make_directory(rng.randrange(9), name, rng.choice(modes), rng.choice(owners))
        for name in (b"a.txt", b"b.md", b"c", b"log a.md", b"A.TXT", b"a.txt"):
            at, mode = rng.randrange(9), rng.choice((0o644, 0o640, 0o600))
            vector = rng.choice(((1, 0, 0), (1, 1, 0), (1, 2, 3), (-1, 0, 1)))
            self.make_file(at, name, mode, rng.choice(owners), vector, rng.choice(SPACES))

    # -- the tree ------------------------------------------------------------------------------

    def directory(self, pick: int) -> Inode:
        return Inode(self.model.directories()[pick % len(self.model.directories())])

    def file(self, pick: int) -> Inode:
        files = self.model.files()
        return Inode(files[pick % len(files)])

    def place(self, pick: int) -> tuple[Inode, bytes]:
        places = self.model.places(self.file(pick))
        parent, name = places[pick % len(places)]
        return Inode(parent), name

    def has_files(self) -> bool:
        return bool(self.model.files())

    def has_room(self) -> bool:
        return len(self.model.files()) < 12

    @precondition(has_room)
    @rule(at=PICKS, name=NAMES, mode=FILE_MODES, owner=OWNERS, vector=VECTORS, space=SPACE_NAMES)
    def make_file(
        self,
        at: int,
        name: bytes,
        mode: int,
        owner: tuple[int, int],
        vector: tuple[int, ...],
        space: str,
    ) -> None:
        parent = self.directory(at)
        if self.model.child(parent, name) is not None:
            return
        who = Actor(*owner, 1)
        entry = self.vfs.mknod(parent, name, stat.S_IFREG | mode, 0, who)
        self.vfs.forget([(entry.ino, 1)])
        self.model.add_file(entry.ino, parent, name, mode, owner)
        self.set(entry.ino, space, vector)

    @rule(at=PICKS, name=DIRECTORY_NAMES, mode=DIRECTORY_MODES, owner=OWNERS)
    def make_directory(self, at: int, name: bytes, mode: int, owner: tuple[int, int]) -> None:
        parent = self.directory(at)
        if self.model.child(parent, name) is not None or len(self.model.directories()) > 5:
            return
        entry = self.vfs.mkdir(parent, name, mode, Actor(*owner, 1))
        self.vfs.forget([(entry.ino, 1)])
        self.model.add_directory(entry.ino, parent, name, mode, owner)

    @precondition(has_files)
    @rule(which=PICKS, to=PICKS, name=NAMES)
    def rename_file(self, which: int, to: int, name: bytes) -> None:
        parent, old = self.place(which)
        new_parent = self.directory(to)
        self.vfs.rename(parent, old, new_parent, name, 0, ROOT_USER)
        self.model.rename_file(parent, old, new_parent, name)

    @rule(which=PICKS, to=PICKS, name=DIRECTORY_NAMES)
    def rename_directory(self, which: int, to: int, name: bytes) -> None:
        ino, new_parent = self.directory(which), self.directory(to)
        if ino == ROOT or self.model.is_below(new_parent, ino):
            return
        if self.model.child(new_parent, name) is not None:
            return
        (parent, old), *_ = self.model.places(ino)
        self.vfs.rename(Inode(parent), old, new_parent, name, 0, ROOT_USER)
        self.model.move_directory(ino, new_parent, name)

    @precondition(has_files)
    @rule(which=PICKS, to=PICKS, name=NAMES)
    def link(self, which: int, to: int, name: bytes) -> None:
        ino, parent = self.file(which), self.directory(to)
        if self.model.child(parent, name) is None:
            self.vfs.link(ino, parent, name, ROOT_USER)
            self.vfs.forget([(ino, 1)])
            self.model.link(ino, parent, name)

    @precondition(has_files)
    @rule(which=PICKS)
    def unlink(self, which: int) -> None:
        parent, name = self.place(which)
        self.vfs.unlink(parent, name, ROOT_USER)
        self.model.unlink(parent, name)

    @precondition(has_files)
    @rule(which=PICKS, mode=FILE_MODES)
    def chmod_file(self, which: int, mode: int) -> None:
        self.attributes(self.file(which), mode=mode)

    @rule(which=PICKS, mode=DIRECTORY_MODES)
    def chmod_directory(self, which: int, mode: int) -> None:
        self.attributes(self.directory(which), mode=mode)

    @rule(which=PICKS, owner=OWNERS, is_file=st.booleans())
    def chown(self, which: int, owner: tuple[int, int], is_file: bool) -> None:
        if is_file and not self.has_files():
            return
        ino = self.file(which) if is_file else self.directory(which)
        self.attributes(ino, uid=owner[0], gid=owner[1])

    def attributes(self, ino: Inode, **wanted: int) -> None:
        self.vfs.setattr(ino, Attributes(**wanted), None, ROOT_USER)
        self.model.set_attributes(ino, **wanted)

    @precondition(has_files)
    @rule(which=PICKS, size=st.integers(1, 5), flushes=st.booleans())
    def write(self, which: int, size: int, flushes: bool) -> None:
        ino = self.file(which)
        handle, _, _ = self.vfs.open(ino, 2, ROOT_USER)
        self.vfs.write(handle, 0, b"x" * size)
        if flushes:
            self.mounted.finish(self.vfs.fsync(handle, False))
        self.vfs.release(handle)
        self.model.write(ino, size)

    @precondition(has_files)
    @rule(which=PICKS, value=st.sampled_from([b"x", b"y"]))
    def tag(self, which: int, value: bytes) -> None:
        ino = self.file(which)
        self.vfs.setxattr(ino, b"user.tag", value, ROOT_USER)
        self.model.tag(ino, value)

    # -- vectors -------------------------------------------------------------------------------

    def set(self, ino: Inode, space: str, vector: tuple[int, ...]) -> None:
        if space not in self.volume.applier.vectors.spaces:
            self.volume.vectors.create_space(space, DIM, METRICS[space], "", ROOT_USER)
        name = b"user.vexfs.vector" + (b"" if space == "default" else b"." + space.encode())
        self.vfs.setxattr(ino, name, " ".join(map(str, vector)).encode(), ROOT_USER)
        self.model.set_vector(ino, space, vector)

    @precondition(has_files)
    @rule(which=PICKS, space=SPACE_NAMES, vector=VECTORS)
    def set_vector(self, which: int, space: str, vector: tuple[int, ...]) -> None:
        self.set(self.file(which), space, vector)

    @precondition(has_files)
    @rule(which=PICKS, space=SPACE_NAMES)
    def remove_vector(self, which: int, space: str) -> None:
        ino = self.file(which)
        name = b"user.vexfs.vector." + space.encode()
        if self.model.has_vector(ino, space):
            self.vfs.removexattr(ino, name, ROOT_USER)
            self.model.remove_vector(ino, space)
        else:
            with pytest.raises(NoAttribute):
                self.vfs.removexattr(ino, name, ROOT_USER)

    @rule(space=SPACE_NAMES)
    def drop_space(self, space: str) -> None:
        if space in self.volume.applier.vectors.spaces:
            self.vfs.removexattr(ROOT, b"user.vexfs.space." + space.encode(), ROOT_USER)
            self.model.drop_space(space)

    # -- the daemon ----------------------------------------------------------------------------

    @rule()
    def commit(self) -> None:
        self.volume.commit_all()

    @rule()
    def maintain(self) -> None:
        self.mounted.sync()
        self.mounted.maintain()

    @rule()
    def kill_and_open(self) -> None:
        for _ in self.volume.flush_aged():
            pass
        self.mounted.sync()
        self.store.kill(self.mounted)
        self.start()

    @rule(seconds=st.sampled_from([0.5, 2.0]))
    def pass_time(self, seconds: float) -> None:
        self.store.clock.advance(seconds)

    # -- searching -----------------------------------------------------------------------------

    @rule(
        who=st.sampled_from(PERSONS),
        at=PICKS,
        vector=VECTORS,
        space=SPACE_NAMES,
        count=COUNTS,
        filters=SOME_FILTERS,
    )
    def ask_with_vector(
        self,
        who: Identity,
        at: int,
        vector: tuple[int, ...],
        space: str,
        count: bytes,
        filters: list[bytes],
    ) -> None:
        self.private = " ".join(map(str, vector)).encode()
        segments = (b"vec=q", b"space=" + space.encode(), count, *filters)
        asked = Asked(who, self.directory(at), space, vector, tuple(filters), count)
        self.compare(self.ask(who, asked.scope, segments), asked)

    @precondition(has_files)
    @rule(
        who=st.sampled_from(PERSONS),
        at=PICKS,
        which=PICKS,
        space=SPACE_NAMES,
        count=COUNTS,
        filters=SOME_FILTERS,
    )
    def ask_like_a_file(
        self,
        who: Identity,
        at: int,
        which: int,
        space: str,
        count: bytes,
        filters: list[bytes],
    ) -> None:
        scope, like = self.directory(at), self.file(which)
        path = self.model.path_below(like, scope)
        if path is None:
            return
        segments = (
            b"like=" + path.replace(b"/", b"%2F"), b"space=" + space.encode(), count, *filters
        )  # fmt: skip
        found = self.ask(who, scope, segments)
        vector = self.model.vector(like, space)
        if not self.model.may_use(like, path, scope, who) or vector is None:
            assert isinstance(found, NotFound | NoAttribute)
            return
        asked = Asked(who, scope, space, vector, tuple(filters), count, like)
        self.compare(found, asked)

    def ask(
        self, who: Identity, scope: Inode, segments: tuple[bytes, ...]
    ) -> ResultSet | VexfsError:
        actor = Actor(who.uid, min(who.gids, default=0), 1)
        try:
            found: ResultSet = self.mounted.finish(
                self.asking.ask(Question(who, scope, segments), actor)
            )
        except VexfsError as error:
            return error
        return found

    def compare(self, found: ResultSet | VexfsError, asked: "Asked") -> None:
        if isinstance(found, NoAttribute):
            assert self.model.count(asked.space) == 0
            return
        assert isinstance(found, ResultSet), found
        self.model.compare(found.outcome.hits, asked)
        assert found.outcome.plan == "exact"

    @invariant()
    def everybody_sees_what_he_may(self) -> None:
        """Ask for everything, as everybody."""
        for who in PERSONS:
            for space in SPACES:
                self.private = b"1 2 3"
                found = self.ask(who, ROOT, (b"vec=q", b"space=" + space.encode(), b"k=100"))
                self.compare(found, Asked(who, ROOT, space, (1, 2, 3), (), b"k=100"))

    @invariant()
    def every_filter_lets_through_what_it_should(self) -> None:
        """Beside what the rules ask: too little of that comes after any one change."""
        rng = self.random
        self.private = b"1 1 0"
        for each in FILTERS:
            scope, space = Inode(rng.choice(self.model.directories())), rng.choice(SPACES)
            who, count = rng.choice(PERSONS), rng.choice(K)
            segments = (b"vec=q", b"space=" + space.encode(), each, count)
            asked = Asked(who, scope, space, (1, 1, 0), (each,), count)
            self.compare(self.ask(who, scope, segments), asked)

    @invariant()
    def as_many_vectors_as_were_set(self) -> None:
        """But for those of files that have lost their last name and are not purged yet."""
        for name, space in self.volume.applier.vectors.spaces.items():
            orphans = sum(ino in space for ino in self.volume.orphans)
            assert len(space) - orphans == self.model.count(name)


TestSearch = SearchMachine.TestCase
TestSearch.settings = settings(stateful_step_count=STEPS)
