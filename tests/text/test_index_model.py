"""The text index against a model of dicts: whatever happens, readers see what was committed last."""

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vexfs_fuse.text import words
from vexfs_fuse.text.document import Passage
from vexfs_fuse.text.index import FileState, TextIndex
from vexfs_fuse.text.lookup import TextLookup
from vexfs_fuse.units import Inode

INOS = st.integers(2, 7).map(Inode)
VOCABULARY = ("rotate", "logs", "wing", "naïve", "c3po")
WORDS = st.sampled_from(VOCABULARY)
TEXTS = st.lists(WORDS, max_size=4).map(" ".join)
NAMES = st.sampled_from(
    [b"rotate.conf", b"wing-3.txt", b"\xff\xfe logs", b"c3po", b"x", b"leftwing9"]
)
PASSAGES = st.lists(TEXTS, max_size=3)


@dataclass
class Model:
    """What must be known: files by inode, and the texts by hash."""

    files: dict[int, tuple[bytes, bytes | None, str | None]] = field(default_factory=dict)
    contents: dict[bytes, tuple[str, list[str]]] = field(default_factory=dict)
    pending: list[int] = field(default_factory=list)
    position: int = 0

    def copy(self) -> "Model":
        return Model(dict(self.files), dict(self.contents), list(self.pending), self.position)

    def set_file(self, ino: int, name: bytes, content: bytes | None, error: str | None) -> None:
        self.files[ino] = (name, content, error)
        self.drop_unused()

    def drop_unused(self) -> None:
        used = {content for _, content, _ in self.files.values()}
        self.contents = {key: value for key, value in self.contents.items() if key in used}

    def has(self, ino: int, word: str) -> bool:
        name, content, _ = self.files[ino]
        title, texts = self.contents.get(content or b"", ("", []))
        in_text = any(word in f"{title} {text}".split() for text in texts)
        return in_text or word in name.decode("utf-8", "replace")


class IndexMachine(RuleBasedStateMachine):
    """The indexer's doing, its crashes, and a reader beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.path = Path(self.directory.name) / "text.sqlite3"
        self.index = TextIndex(self.path)
        self.lookup = TextLookup(self.path)
        self.live, self.committed = Model(), Model()

    @rule(ino=INOS, name=NAMES, title=TEXTS, texts=PASSAGES, content=st.integers(0, 3))
    def put(self, ino: Inode, name: bytes, title: str, texts: list[str], content: int) -> None:
        hashed = bytes([content]) * 16
        known = self.live.contents.get(hashed)
        if known is None or (not known[1] and texts):
            self.live.contents[hashed] = (title, texts)
        passages = [Passage(at, at, at + 1, text) for at, text in enumerate(texts, 1)]
        self.index.put(ino, name, hashed, title, passages)
        self.live.set_file(ino, name, hashed, None)

    @rule(ino=INOS, name=NAMES | st.none())
    def fail(self, ino: Inode, name: bytes | None) -> None:
        known = self.live.files.get(ino, (b"", None, None))[0]
        self.index.fail(ino, "not to be read", name)
        self.live.set_file(ino, known if name is None else name, None, "not to be read")

    @rule(ino=INOS, name=NAMES)
    def rename(self, ino: Inode, name: bytes) -> None:
        self.index.rename(ino, name)
        if ino in self.live.files:
            self.live.files[ino] = (name, *self.live.files[ino][1:])

    @rule(ino=INOS)
    def remove(self, ino: Inode) -> None:
        self.index.remove(ino)
        self.live.files.pop(ino, None)
        self.live.drop_unused()

    @rule(ino=INOS)
    def enqueue(self, ino: Inode) -> None:
        self.index.pending.add(ino)
        if ino not in self.live.pending:
            self.live.pending.append(ino)

    @rule(ino=INOS)
    def dequeue(self, ino: Inode) -> None:
        self.index.pending.discard(ino)
        if ino in self.live.pending:
            self.live.pending.remove(ino)

    @rule(lsns=st.integers(1, 9))
    def commit(self, lsns: int) -> None:
        before = self.lookup.version()
        self.live.position += lsns
        self.index.position = self.live.position
        self.index.commit()
        self.committed = self.live.copy()
        assert self.lookup.version() != before

    @rule()
    def crash(self) -> None:
        self.index.close()
        self.index = TextIndex(self.path)
        assert self.index.damage is None
        self.live = self.committed.copy()

    @rule()
    def lose(self) -> None:
        self.index.begin_anew("it was deleted")
        self.live, self.committed = Model(), Model()

    @invariant()
    def the_writer_knows_what_it_did(self) -> None:
        assert self.index.inodes() == sorted(self.live.files)
        assert list(self.index.pending) == self.live.pending
        for ino, (name, content, error) in self.live.files.items():
            count = len(self.live.contents[content][1]) if content else 0
            assert self.index.state(Inode(ino)) == FileState(name, content, count, error)
        for content, (title, texts) in self.live.contents.items():
            known = self.index.passages(content)
            assert known is not None
            assert (known[0], [passage.text for passage in known[1]]) == (title, texts)
            sound = [
                ino
                for ino, (_, of, error) in self.live.files.items()
                if of == content and not error
            ]
            assert self.index.known(content) == min(sound, default=None)

    @invariant()
    def readers_see_the_last_commit(self) -> None:
        counts = self.lookup.counts()
        assert counts is not None
        assert counts.position == self.committed.position
        assert counts.files == len(self.committed.files)
        assert counts.pending == len(self.committed.pending)
        for word in VOCABULARY:
            expected = {ino for ino in self.committed.files if self.committed.has(ino, word)}
            assert set(self.lookup.match(words.read(word), 1000).inos.tolist()) == expected
            found = self.lookup.having(f'"{word}"')
            assert sorted({ino for each in found for ino in each.tolist()}) == sorted(expected)
        for ino, (_, content, error) in self.committed.files.items():
            assert self.lookup.error(Inode(ino)) == error
            texts = self.committed.contents[content][1] if content else []
            places = [(Inode(ino), number) for number in range(1, len(texts) + 2)]
            told = [each and each.text for each in self.lookup.excerpts(places)]
            assert told == [*texts, None]

    def teardown(self) -> None:
        self.lookup.close()
        self.index.close()
        with sqlite3.connect(self.path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
        self.directory.cleanup()


TestIndex = IndexMachine.TestCase
