"""A volume whose texts are indexed by hand, and a model of language that knows a few words."""

import stat
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.stores import ROOT_USER, SimulatedStore
from vexfs_fuse.errors import EmbedderFailed, ModelMissing
from vexfs_fuse.pending import Pending
from vexfs_fuse.text.document import Passage
from vexfs_fuse.text.embedder import Floats
from vexfs_fuse.text.index import TextIndex
from vexfs_fuse.text.lookup import TextLookup
from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.vfs.search.asking import Asker, Asking
from vexfs_fuse.vfs.search.grammar import parse
from vexfs_fuse.volume.catalogue import Identity
from vexfs_fuse.volume.changes import PassagesSet
from vexfs_fuse.volume.hits import Outcome
from vexfs_fuse.volume.live_names import LiveNames
from vexfs_fuse.volume.text_search import TextSearch
from vexfs_fuse.volume.vectors import TEXT_SPACE
from vexfs_fuse.volume.writer import SYSTEM, Actor

MEANINGS = (
    {"cat", "kitten", "feline"},
    {"car", "automobile", "vehicle"},
    {"log", "logs", "journal"},
    {"bread", "loaf", "baker"},
)
MODEL = "a-model"
NOBODY = Identity(61_001, frozenset({61_001}))
SUPERUSER = Identity(0, frozenset())


def embedded(text: str) -> Floats:
    """Return the vector of a text: which of the meanings it speaks of, and a little of nothing."""
    words = text.lower().split()
    counts = [sum(word in meaning for word in words) for meaning in MEANINGS]
    vector = np.array([*counts, 0.1], np.float32)
    unit: Floats = vector / np.linalg.norm(vector)
    return unit


class SlowQuestions:
    """Embeds questions in a worker; can be without a model, or fail."""

    fingerprint: str | None = MODEL
    is_available = True
    missing = ModelMissing()

    def __init__(self) -> None:
        self.failure: EmbedderFailed | ModelMissing | None = None

    def embed(self, text: str) -> Floats | Pending[Floats]:
        return Pending(lambda: self._work(text), lambda vector: vector)

    def _work(self, text: str) -> Floats:
        if self.failure is not None:
            raise self.failure
        return embedded(text)


class Texts:
    """A volume, its text index, and who asks."""

    def __init__(self, directory: Path, *, model: bool = True) -> None:
        self.store = SimulatedStore()
        self.mounted = self.store.open()
        self.volume, self.vfs = self.mounted.volume, self.mounted.vfs
        self.index = TextIndex(directory / "text.sqlite3")
        self.lookup = TextLookup(directory / "text.sqlite3")
        self.questions = SlowQuestions() if model else None
        self.progress: dict[str, Any] = {"pending": 0}
        self.names = LiveNames(self.volume.catalogue)
        self.volume.applier.named = self.names.note
        self.volume.text = TextSearch(
            self.volume.search,
            self.volume.applier.vectors,
            self.lookup,
            self.questions,
            lambda: self.progress,
            self.names,
        )
        if model:
            self.volume.vectors.create_space(TEXT_SPACE, 5, "cosine", MODEL, ROOT_USER)
        self.asking = Asking(self.volume, lambda uid, name: b"", lambda *_: None)

    def directory(self, name: bytes, mode: int = 0o755) -> Inode:
        made: Inode = self.vfs.mkdir(ROOT, name, mode, ROOT_USER).ino
        return made

    def add(self, name: bytes, *passages: str, mode: int = 0o644, parent: Inode = ROOT) -> Inode:
        """Make a file and index it, as the indexer does."""
        ino: Inode = self.vfs.mknod(parent, name, stat.S_IFREG | mode, 0, ROOT_USER).ino
        lines = [Passage(at, at * 10, at * 10 + 9, text) for at, text in enumerate(passages, 1)]
        self.index.put(ino, name, repr((name, passages)).encode(), "", lines)
        self.index.position = self.volume.logged_lsn
        self.index.commit()
        if passages and TEXT_SPACE in self.volume.applier.vectors.numbers:
            values = [embedded(text) for text in (" ".join(passages), *passages)]
            kept = values if len(passages) > 1 else values[:1]
            number = self.volume.applier.vectors.numbers[TEXT_SPACE]
            change = PassagesSet(number, None, tuple(value.tobytes() for value in kept), 0)
            self.volume.writer.commit(ino, change, SYSTEM)
        return ino

    def begin(self, *segments: str, who: Identity = SUPERUSER, scope: Inode = ROOT) -> Any:
        """Ask; return the answer, or what has to be done for it."""
        query = parse(tuple(segment.encode() for segment in segments), self.volume.clock.now_ns())
        asker = Asker(who, Actor(who.uid, who.uid, 1))
        encoded = tuple(segment.encode() for segment in segments)
        return self.asking.answer(query, encoded, scope, asker)

    def ask(self, *segments: str, who: Identity = SUPERUSER, scope: Inode = ROOT) -> Outcome:
        outcome: Outcome = self.mounted.finish(self.begin(*segments, who=who, scope=scope))
        return outcome

    def found(self, *segments: str, who: Identity = SUPERUSER, scope: Inode = ROOT) -> list[str]:
        return [hit.path.decode() for hit in self.ask(*segments, who=who, scope=scope).hits]

    def close(self) -> None:
        self.lookup.close()
        self.index.close()
        self.mounted.close()
        self.store.remove()
