"""Names count at once: whatever happens to them, and however far behind the index is."""

import random
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from tests.support.stores import ROOT_USER
from tests.support.texts import NOBODY, SUPERUSER, Texts
from vexfs_fuse.text.words import name_text, read
from vexfs_fuse.units import ROOT, Inode, Lsn
from vexfs_fuse.volume import live_names
from vexfs_fuse.volume.catalogue import Identity
from vexfs_fuse.volume.check import check

WORDS = ("alpha", "beta", "gamma")
NAMES = st.sampled_from(
    [b"alpha.txt", b"beta-alpha.md", b"the gamma", b"BETA", b"x", b"alpha.tmp", b"gammabeta"]
)
PLACES = st.sampled_from(["open", "closed"])


class NamesMachine(RuleBasedStateMachine):
    """Files get, change and lose names; an indexer comes by now and then.

    `names` is where which file is, `known` by which name the index has a file that it is done with.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scratch = tempfile.TemporaryDirectory()
        self.texts = Texts(Path(self.scratch.name), model=False)
        self.places = {
            "open": self.texts.directory(b"open"),
            "closed": self.texts.directory(b"closed", 0o700),
        }
        self.names: dict[tuple[str, bytes], Inode] = {}
        self.known: dict[Inode, bytes] = {}
        self.behind: set[Inode] = set()
        self.asked = 0

    def teardown(self) -> None:
        assert check(self.texts.volume) == []
        self.texts.close()
        self.scratch.cleanup()

    def of(self, ino: Inode) -> list[tuple[str, bytes]]:
        return [at for at, each in self.names.items() if each == ino]

    def some(self, number: int) -> tuple[str, bytes]:
        return sorted(self.names)[number % len(self.names)]

    @rule(place=PLACES, name=NAMES)
    def make(self, place: str, name: bytes) -> None:
        if (place, name) not in self.names:
            parent = self.places[place]
            node = self.texts.vfs.mknod(parent, name, stat.S_IFREG | 0o644, 0, ROOT_USER)
            self.names[place, name] = node.ino
            self.behind.add(node.ino)

    @precondition(lambda self: self.names)
    @rule(number=st.integers(0), place=PLACES, name=NAMES)
    def rename(self, number: int, place: str, name: bytes) -> None:
        source, target = self.some(number), (place, name)
        parents = self.places[source[0]], self.places[place]
        self.texts.vfs.rename(parents[0], source[1], parents[1], name, 0, ROOT_USER)
        replaced = self.names.get(target)
        if replaced != self.names[source]:  # else rename(2) does nothing
            self.behind |= {self.names[source]} | ({replaced} if replaced is not None else set())
            self.names[target] = self.names.pop(source)

    @precondition(lambda self: self.names)
    @rule(number=st.integers(0), place=PLACES, name=NAMES)
    def link(self, number: int, place: str, name: bytes) -> None:
        ino = self.names[self.some(number)]
        if (place, name) not in self.names:
            self.texts.vfs.link(ino, self.places[place], name, ROOT_USER)
            self.names[place, name] = ino
            self.behind.add(ino)

    @precondition(lambda self: self.names)
    @rule(number=st.integers(0))
    def unlink(self, number: int) -> None:
        place, name = at = self.some(number)
        self.texts.vfs.unlink(self.places[place], name, ROOT_USER)
        ino = self.names.pop(at)
        self.behind.add(ino)

    @rule(share=st.integers(1, 3))
    def index(self, share: int) -> None:
        """Index some of the files of which the index knows that it is behind; the others stay pending."""
        for number, ino in enumerate(sorted(self.behind)):
            if number % share:
                self.texts.index.pending.add(ino)
                continue
            self.texts.index.pending.discard(ino)
            kept = sorted(name for _, name in self.of(ino) if not name.endswith(b".tmp"))
            self.behind.discard(ino)
            self.known.pop(ino, None)
            if kept:
                self.known[ino] = kept[0]
                self.texts.index.put(ino, kept[0], b"%16d" % ino, "", [])
            else:
                self.texts.index.remove(ino)
        self.texts.index.position = self.texts.volume.logged_lsn
        self.texts.index.commit()

    def expected(self, word: str, who: Identity) -> set[Inode]:
        found = set()
        for ino in set(self.names.values()):
            visible = [name for place, name in self.of(ino) if who.uid == 0 or place == "open"]
            if ino in self.behind:
                counts = [name for name in visible if not name.endswith(b".tmp")]
            else:
                counts = [self.known[ino]] if visible and ino in self.known else []
            if any(word in name.lower().decode() for name in counts):
                found.add(ino)
        return found

    @invariant()
    def names_are_found_as_they_are(self) -> None:
        self.asked += 1
        word = WORDS[self.asked % len(WORDS)]
        for who, question in ((SUPERUSER, word), (NOBODY, word), (NOBODY, f"has={word}")):
            hits = self.texts.ask(question, "k=100", who=who).hits
            assert {hit.ino for hit in hits} == self.expected(word, who), (question, who)


def test_names_count_at_once() -> None:
    run_machine(NamesMachine)


@pytest.fixture
def texts(tmp_path: Path) -> Iterator[Texts]:
    texts = Texts(tmp_path, model=False)
    yield texts
    assert check(texts.volume) == []
    texts.close()


def unindexed(texts: Texts, name: bytes, mode: int = 0o644) -> Inode:
    made: Inode = texts.vfs.mknod(ROOT, name, stat.S_IFREG | mode, 0, ROOT_USER).ino
    return made


def test_a_renamed_file_is_found_by_its_new_name_and_no_longer_by_its_old_one(texts: Texts) -> None:
    texts.add(b"draft.txt", "what it says")
    assert texts.found("draft") == ["draft.txt"]
    texts.vfs.rename(ROOT, b"draft.txt", ROOT, b"final.txt", 0, ROOT_USER)
    assert texts.found("final") == ["final.txt"]
    assert texts.found("draft") == []
    assert texts.found("says") == ["final.txt"]
    assert texts.found("says", "not=draft") == ["final.txt"]
    assert texts.found("says", "not=final") == []


def test_filters_and_permissions_apply_to_names_that_are_not_indexed(texts: Texts) -> None:
    unindexed(texts, b"plan.md")
    unindexed(texts, b"plan.txt")
    unindexed(texts, b"plan.private.md", 0o600)
    assert texts.found("plan", "ext=md") == ["plan.md", "plan.private.md"]
    assert texts.found("plan", "ext=md", who=NOBODY) == ["plan.md"]
    assert texts.found("plan", "name=*.txt", "not=private", who=NOBODY) == ["plan.txt"]


def test_a_directory_is_no_hit(texts: Texts) -> None:
    texts.directory(b"plans")
    texts.vfs.symlink(ROOT, b"plan", b"elsewhere", ROOT_USER)
    assert texts.found("plan") == []


def test_a_name_of_a_hidden_directory_does_not_lead_to_a_file(texts: Texts) -> None:
    closed = texts.directory(b"closed", 0o700)
    ino = unindexed(texts, b"harmless")
    texts.vfs.link(ino, closed, b"telling", ROOT_USER)
    assert texts.found("telling", who=NOBODY) == []
    assert texts.found("harmless", who=NOBODY) == ["harmless"]


def test_so_many_names_are_asked_and_no_more(texts: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_names, "INODES_MAX", 3)
    for number in range(5):
        unindexed(texts, b"plan%d" % number)
    assert sorted(texts.found("plan")) == ["plan2", "plan3", "plan4"]


def test_what_was_pending_before_is_found_by_its_name(texts: Texts) -> None:
    ino = unindexed(texts, b"plan")
    texts.index.pending.add(ino)
    texts.index.position = texts.volume.logged_lsn
    texts.index.commit()
    texts.names.settle(texts.lookup.settled("[]"))
    texts.names._changed.clear()  # as after mounting
    assert texts.found("plan") == ["plan"]


def test_what_the_journal_tells_and_the_index_does_not_know_is_found_by_its_name(
    texts: Texts,
) -> None:
    texts.index.position = Lsn(1)
    texts.index.commit()
    ino = unindexed(texts, b"plan")
    texts.names._changed.clear()  # as after mounting
    asked: list[Lsn] = []

    def since(position: Lsn) -> list[tuple[Inode, Lsn]]:
        asked.append(position)
        return [(ino, texts.volume.logged_lsn)]

    assert texts.volume.text is not None
    texts.volume.text._named_since = since
    assert texts.found("plan") == ["plan"]
    assert texts.found("plan", "k=3") == ["plan"]
    assert asked == [Lsn(1)]


def test_a_name_has_a_word_as_the_full_text_sees_it() -> None:
    def share(question: str, name: str) -> float:
        return read(question).share(name_text(name.encode()))

    assert share("cafe", "Café-Liste.txt") == 1.0
    assert share("running", "run_log") == 0.0  # `runn` is what is left of it
    assert share("logs", "catalog.md") == 1.0
    assert share("a b", "b.txt") == 1.0 / len(read("a b").terms)
    assert share("x", "box.txt") == 0.0
    assert share("...", "a") == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_answers_are_the_same_before_and_after_indexing(texts: Texts, seed: int) -> None:
    rng = random.Random(seed)
    made = [
        (unindexed(texts, name), name)
        for name in {b"-".join(rng.choices([b"red", b"green", b"blue"], k=2)) for _ in range(8)}
    ]
    questions = ["red", "green blue", "red has=blue", "reds"]
    before = [texts.ask(*each.split(" has="), "k=20").hits for each in questions]
    for ino, name in made:
        texts.index.put(ino, name, b"%16d" % ino, "", [])
    texts.index.position = texts.volume.logged_lsn
    texts.index.commit()
    after = [texts.ask(*each.split(" has="), "k=20").hits for each in questions]
    assert before == after
