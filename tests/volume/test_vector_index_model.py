"""What is derived from vectors, through anything: it is the stored vectors, or it is made of them again.

Vectors are set and removed, spaces dropped, graphs built and saved a step at a time; the process is
killed, the power cut in the middle of a write, a bit flipped, files removed.  Whatever happened, a
search finds exactly what is stored.
"""

import json
import random
import stat
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.disks import PowerCut
from tests.support.stores import ROOT_USER, SimulatedStore
from tests.vectors.worlds import finished, model_scores
from vexfs_fuse.errors import NoAttribute
from vexfs_fuse.pending import Pending
from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.vectors import schedule
from vexfs_fuse.vectors.codec import from_raw
from vexfs_fuse.vectors.store import MANIFEST
from vexfs_fuse.vfs.search.asking import Asking, Question
from vexfs_fuse.volume import vector_indexes
from vexfs_fuse.volume.catalogue import Identity
from vexfs_fuse.volume.check import check

STEPS = 40
FILES = 14
DIM = 3
TAIL_ROWS = 3
"""A few vectors make a graph, a few graphs are merged."""

SPACES = ("default", "flat")
SOMEBODY = Identity(0, frozenset())
PICKS = st.integers(0, FILES - 1)
SEEDS = st.integers(0, 2**16)
SPACE_NAMES = st.sampled_from(SPACES)


class IndexMachine(RuleBasedStateMachine):
    """One volume and its store."""

    def __init__(self) -> None:
        super().__init__()
        self.small = patch.object(schedule, "tail_rows", lambda dimensions: TAIL_ROWS)
        self.small.start()
        self.store = SimulatedStore()
        self.steps: Any = None
        self.pending: Pending | None = None
        self.damaged = False
        self.start()

    def start(self) -> None:
        self.steps = self.pending = None
        self.mounted = self.store.open()
        self.volume, self.vfs = self.mounted.volume, self.mounted.vfs
        self.query = np.ones(DIM, np.float32)
        self.asking = Asking(self.volume, lambda uid, name: self.query.tobytes(), lambda *_: None)

    def teardown(self) -> None:
        try:
            self.finish_maintenance()
            assert check(self.volume) == []
        finally:
            self.mounted.close()
            self.store.remove()
            self.small.stop()
        if not self.damaged:
            assert vector_indexes.damage(self.store.disk) == []

    @initialize(seed=SEEDS)
    def populate(self, seed: int) -> None:
        for number in range(FILES):
            name = b"%d" % number
            entry = self.vfs.mknod(ROOT, name, stat.S_IFREG | 0o644, 0, ROOT_USER)
            self.vfs.forget([(entry.ino, 1)])
        self.set_many(0, FILES, "default", seed)
        self.mounted.sync()

    # -- vectors -------------------------------------------------------------------------------

    def inode(self, pick: int) -> Inode | None:
        entry = self.volume.view.dentry(ROOT, b"%d" % pick)
        return None if entry is None else Inode(entry[0])

    def set(self, pick: int, space: str, seed: int) -> None:
        ino = self.inode(pick)
        if ino is None:
            return
        vector = np.random.default_rng(seed).integers(-2, 3, DIM).astype(np.float32)
        vector[seed % DIM] += 0.5
        self.vfs.setxattr(ino, attribute(space), vector.tobytes(), ROOT_USER)

    @rule(first=PICKS, count=st.integers(1, 8), space=SPACE_NAMES, seed=SEEDS)
    def set_many(self, first: int, count: int, space: str, seed: int) -> None:
        for pick in range(first, min(FILES, first + count)):
            self.set(pick, space, seed + pick)

    @rule(pick=PICKS, space=SPACE_NAMES)
    def remove_vector(self, pick: int, space: str) -> None:
        ino = self.inode(pick)
        if ino is not None and self.volume.applier.vectors.stored(ino, space) is not None:
            self.vfs.removexattr(ino, attribute(space), ROOT_USER)

    @rule(pick=PICKS)
    def unlink(self, pick: int) -> None:
        if self.inode(pick) is not None:
            self.vfs.unlink(ROOT, b"%d" % pick, ROOT_USER)

    @rule(pick=PICKS, over=PICKS)
    def save_over(self, pick: int, over: int) -> None:
        if pick != over and self.inode(pick) is not None:
            self.vfs.rename(ROOT, b"%d" % pick, ROOT, b"%d" % over, 0, ROOT_USER)

    @rule(space=SPACE_NAMES)
    def drop_space(self, space: str) -> None:
        if space in self.volume.applier.vectors.spaces:
            self.vfs.removexattr(ROOT, b"user.vexfs.space." + space.encode(), ROOT_USER)

    @rule()
    def reindex(self) -> None:
        self.volume.indexes.reindex(None)

    # -- the daemon ----------------------------------------------------------------------------

    @rule()
    def sync(self) -> None:
        self.mounted.sync()

    @rule()
    def commit(self) -> None:
        if self.steps is None:
            self.volume.commit_all()

    @rule(count=st.integers(1, 10))
    def maintain_some(self, count: int) -> None:
        for _ in range(count):
            self.advance()

    def advance(self) -> None:
        """Take half a step of maintenance: other rules may come between work and resumption."""
        if self.pending is not None:
            self.pending.resume(self.pending.work())
            self.pending = None
            return
        if self.steps is None:
            self.steps = self.volume.maintain()
        try:
            self.pending = next(self.steps)
        except StopIteration:
            self.steps = None

    def finish_maintenance(self) -> None:
        while self.steps is not None or self.pending is not None:
            self.advance()

    @rule()
    def settle(self) -> None:
        """Let all be committed, built and saved."""
        self.finish_maintenance()
        self.store.clock.advance(11)
        self.mounted.sync()
        for _ in range(4):
            self.mounted.maintain()

    @rule()
    def kill(self) -> None:
        self.store.kill(self.mounted)
        self.start()

    @rule(first=PICKS, count=st.integers(1, 8), seed=SEEDS, commits=st.booleans())
    def change_what_is_saved_and_kill(
        self, first: int, count: int, seed: int, commits: bool
    ) -> None:
        self.settle()
        self.set_many(first, count, "default", seed)
        self.mounted.sync()
        if commits:
            self.volume.commit_all()
        self.kill()
        self.ask("default", seed)

    @rule(first=PICKS, count=st.integers(1, 8), seed=SEEDS)
    def lose_records_and_give_their_numbers_again(self, first: int, count: int, seed: int) -> None:
        """Nothing may be saved of records that are not durable: others will have their numbers."""
        self.settle()
        self.set_many(first, count, "default", seed)
        for _ in range(2):
            self.mounted.maintain()
        self.kill()
        self.set_many(first, count, "default", seed + 1)
        self.settle()
        self.kill()
        self.ask("default", seed)

    @rule(seed=SEEDS)
    def cut_power(self, seed: int) -> None:
        self.store.cut_power(random.Random(seed), self.mounted)
        self.start()

    @rule(after=st.integers(0, 12), seed=SEEDS)
    def cut_power_while_maintaining(self, after: int, seed: int) -> None:
        self.mounted.sync()
        self.store.faults.cut_power(after=after)
        try:
            self.finish_maintenance()
            self.mounted.maintain()
        except PowerCut:
            self.cut_power(seed)
        self.store.faults.heal()

    @rule()
    def remount(self) -> None:
        self.finish_maintenance()
        self.mounted.close()
        if not self.damaged:
            assert vector_indexes.damage(self.store.disk) == []
        self.start()

    # -- the store -----------------------------------------------------------------------------

    def directories(self) -> list[str]:
        disk = self.store.disk
        return disk.names("vectors") if disk.exists("vectors") else []

    def files(self) -> list[str]:
        """Return the files that count; what a crash has left beside them does not."""
        found = []
        for directory in (f"vectors/{name}" for name in self.directories()):
            if self.store.disk.exists(f"{directory}/{MANIFEST}"):
                text = self.store.disk.contents(f"{directory}/{MANIFEST}").partition(b"\n")[2]
                named = [entry["file"] for entry in json.loads(text)["shards"]]
                found += [f"{directory}/{name}" for name in (*named, MANIFEST)]
        return found

    @rule(seed=SEEDS)
    def flip_a_bit_and_remount(self, seed: int) -> None:
        self.settle()
        self.mounted.close()
        rng, files = random.Random(seed), self.files()
        if files:
            path = rng.choice(files)
            bits = 8 * len(self.store.disk.contents(path))
            self.store.disk.flip_bit(path, rng.randrange(bits))
            assert [
                problem for problem in vector_indexes.damage(self.store.disk) if path in problem
            ]
            self.damaged = True
        self.start()

    @rule()
    def remove_and_remount(self) -> None:
        self.settle()
        self.mounted.close()
        vector_indexes.remove(self.store.disk)
        assert self.directories() == []
        self.damaged = False
        self.start()

    # -- searching -----------------------------------------------------------------------------

    @rule(space=SPACE_NAMES, seed=SEEDS)
    def ask(self, space: str, seed: int) -> None:
        self.query = np.random.default_rng(seed).integers(-2, 3, DIM).astype(np.float32) + 0.25
        stored = self.stored(space)
        question = Question(SOMEBODY, ROOT, (b"vec=q", b"space=" + space.encode(), b"k=100"))
        try:
            found: Any = self.mounted.finish(self.asking.ask(question, ROOT_USER))
        except NoAttribute:
            assert not self.volume.applier.vectors.spaces.get(space)
            return
        named = {ino: score for ino, score in self.scores(space, stored).items() if self.named(ino)}
        hits = {int(hit.ino): hit.score for hit in found.outcome.hits}
        assert hits.keys() == named.keys()
        assert all(abs(hits[ino] - named[ino]) < 1e-5 for ino in hits)
        self.ask_graphs(space, stored)

    def ask_graphs(self, space: str, stored: dict[int, Any]) -> None:
        """Whoever asks for all gets all, from graphs as well."""
        asked = self.volume.applier.vectors.spaces[space]
        hits = finished(asked.search(self.query, 100, mode="ann"))
        scores = self.scores(space, stored)
        assert sorted(hits.inos.tolist()) == sorted(scores)
        for ino, score in zip(hits.inos.tolist(), hits.scores.tolist(), strict=True):
            assert abs(scores[ino] - score) < 1e-5

    def named(self, ino: int) -> bool:
        return bool(self.volume.view.names(Inode(ino)))

    def stored(self, space: str) -> dict[int, Any]:
        number = self.volume.applier.vectors.numbers.get(space)
        vectors = self.volume.view.space_vectors(number) if number is not None else ()
        return {int(ino): from_raw(row.value) for ino, _, row in vectors}

    def scores(self, space: str, stored: dict[int, Any]) -> dict[int, float]:
        if not stored:
            return {}
        metric = self.volume.applier.vectors.spaces[space].metric
        scores = model_scores(metric, self.query, np.array(list(stored.values())))
        return dict(zip(stored, scores.tolist(), strict=True))

    @invariant()
    def spaces_know_what_is_stored(self) -> None:
        for name, space in self.volume.applier.vectors.spaces.items():
            assert len(space) == len(self.stored(name))
        assert self.volume.failure is None


def attribute(space: str) -> bytes:
    return b"user.vexfs.vector" + (b"" if space == "default" else b"." + space.encode())


TestIndexes = IndexMachine.TestCase
TestIndexes.settings = settings(stateful_step_count=STEPS)
