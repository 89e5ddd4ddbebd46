"""The indexer does what must be done to each file, and nothing twice."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.indexing import DirectDesk, PlainExtractor, WordEmbedder
from tests.support.stores import ROOT_USER, Mounted, SimulatedStore
from vexfs_fuse.text.filing import Limits
from vexfs_fuse.text.index import TextIndex
from vexfs_fuse.text.indexer import RESTLESS_S, Indexer
from vexfs_fuse.text.lookup import TextLookup
from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.volume.check import check

LIMITS = Limits(10_000)
VECTOR = b"user.vexfs.vector.text"


class Workshop:
    """A volume without a kernel, and its indexer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = SimulatedStore()
        self.embedder: WordEmbedder | None = WordEmbedder()
        self.extractor = PlainExtractor()
        self.limits = LIMITS
        self.start()

    def start(self) -> None:
        self.mounted: Mounted = self.store.open()
        self.vfs = self.mounted.vfs
        self.start_indexer()

    def start_indexer(self, distrusted: frozenset[Inode] = frozenset()) -> None:
        self.index = TextIndex(self.path)
        self.desk = DirectDesk(self.mounted)
        if self.embedder is not None:
            problem = self.desk.indexing.open_space(self.embedder.dim, self.embedder.fingerprint)
            assert problem is None
        self.indexer = Indexer(
            self.desk,
            self.index,
            self.extractor,
            self.embedder,
            self.limits,
            self.store.clock.monotonic_s,
            distrusted,
        )

    def end_indexer(self) -> None:
        self.index.close()

    def settle(self) -> None:
        """Let time pass until everything is indexed and durable."""
        for _ in range(100):
            self.store.clock.advance(1)
            for _ in self.mounted.volume.flush_aged():
                pass
            self.mounted.sync()
            if not self.run() and not self.index.pending:
                return
        raise AssertionError("the indexer finds no end")

    def run(self) -> int:
        """Let the indexer do what it can now; return how many steps it took."""
        steps = 0
        while self.indexer.step():
            steps += 1
            assert steps < 10_000
        return steps

    def close(self) -> None:
        assert check(self.mounted.volume) == []
        self.end_indexer()
        self.mounted.close()

    # -- what a program does -------------------------------------------------------------------

    def write(self, name: bytes, data: bytes, parent: Inode = ROOT) -> Inode:
        entry = self.mounted.volume.tree.entry(self.mounted.volume.tree.node(parent), name)
        if entry is None:
            handle, node = self.vfs.create(parent, name, 0o644, 2, ROOT_USER)
            ino = node.ino
        else:
            ino = entry.ino
            handle, _, _ = self.vfs.open(ino, 0o1002, ROOT_USER)
        self.mounted.finish(self.vfs.write(handle, 0, data))
        self.vfs.release(handle)
        return Inode(ino)

    def mkdir(self, name: bytes, parent: Inode = ROOT) -> Inode:
        return Inode(self.vfs.mkdir(parent, name, stat.S_IFDIR | 0o755, ROOT_USER).ino)

    # -- what there is -------------------------------------------------------------------------

    def vectors(self, ino: Inode) -> int:
        vectors = self.mounted.volume.applier.vectors
        return len(vectors.passages(ino, "text")) if "text" in vectors.spaces else 0

    def origin(self, ino: Inode) -> bytes:
        return bytes(self.vfs.getxattr(ino, b"user.vexfs.origin.text", ROOT_USER))

    def text(self, ino: Inode) -> str | None:
        """Return the text of a file in the index; None when it is not there."""
        state = self.index.state(ino)
        if state is None or state.content is None or state.error:
            return None
        found = self.index.passages(state.content)
        return None if found is None else "\n".join(passage.text for passage in found[1])

    def embeddings(self) -> int:
        return 0 if self.embedder is None else sum(self.embedder.embedded.values())


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    shop = Workshop(tmp_path / "text.sqlite3")
    try:
        yield shop
        shop.close()
    finally:
        shop.store.remove()


def test_a_file_gets_its_text_and_its_vector(shop: Workshop) -> None:
    ino = shop.write(b"note.txt", b"the quick brown fox")
    shop.settle()
    assert shop.text(ino) == "the quick brown fox"
    assert shop.vectors(ino) == 1
    assert shop.origin(ino) == b"auto"
    assert shop.indexer.report().pending == 0


def test_a_long_file_gets_vectors_of_its_passages_and_of_the_whole(shop: Workshop) -> None:
    ino = shop.write(b"book.txt", b"\n".join(b"line %d of the book" % n for n in range(300)))
    shop.settle()
    state = shop.index.state(ino)
    assert state is not None
    assert state.passages > 3
    assert shop.vectors(ino) == state.passages + 1


def test_a_touched_a_copied_and_a_renamed_file_are_not_embedded_again(shop: Workshop) -> None:
    ino = shop.write(b"note.txt", b"once upon a time")
    shop.settle()
    copy = shop.write(b"copy.txt", b"once upon a time")
    shop.vfs.rename(ROOT, b"note.txt", ROOT, b"story.txt", 0, ROOT_USER)
    shop.settle()
    again = shop.write(b"story.txt", b"once upon a time")
    shop.settle()
    assert again == ino
    assert (shop.vectors(ino), shop.vectors(copy)) == (1, 1)
    assert shop.embeddings() == 1
    assert shop.extractor.extracted == 1
    state = shop.index.state(ino)
    assert state is not None
    assert state.name == b"story.txt"


def test_a_closed_file_is_indexed_before_what_was_done_is_durable(shop: Workshop) -> None:
    ino = shop.write(b"note.txt", b"quick")
    shop.store.clock.advance(0.2)
    durable = shop.mounted.volume.durable_lsn
    shop.run()
    assert shop.text(ino) == "quick"
    assert shop.vectors(ino) == 1
    assert shop.mounted.volume.durable_lsn == durable
    assert ino in shop.index.pending  # until a crash can no longer undo it
    shop.settle()
    assert ino not in shop.index.pending


def test_an_open_file_waits_but_not_for_ever(shop: Workshop) -> None:
    handle, node = shop.vfs.create(ROOT, b"log", 0o644, 2, ROOT_USER)
    ino = Inode(node.ino)
    shop.vfs.write(handle, 0, b"first line")
    shop.mounted.sync()
    shop.store.clock.advance(1)
    for _ in shop.mounted.volume.flush_aged():
        pass
    shop.mounted.sync()
    shop.run()
    assert shop.text(ino) is None
    shop.store.clock.advance(RESTLESS_S)
    shop.vfs.write(handle, 10, b" and more")
    shop.run()
    assert shop.text(ino) == "first line and more"
    shop.vfs.write(handle, 19, b" at the end")
    shop.vfs.release(handle)
    shop.settle()
    assert shop.text(ino) == "first line and more at the end"


def test_what_cannot_be_read_is_told_and_holds_up_nothing(shop: Workshop) -> None:
    bad = shop.write(b"bad.txt", b"broken in some way")
    large = shop.write(b"large.txt", b"x" * 10_001)
    mute = shop.write(b"mute.txt", b"this is unembeddable")
    binary = shop.write(b"data.bin", b"\0\1")
    good = shop.write(b"good.txt", b"all is well")
    shop.settle()
    assert shop.text(good) == "all is well"
    errors = [shop.index.state(ino).error for ino in (bad, large, mute, binary)]  # type: ignore[union-attr]
    assert errors == [
        "the text cannot be extracted: it is broken",
        "larger than 10000 bytes",
        "the embedder failed: the text is unembeddable",
        None,
    ]
    shop.write(b"bad.txt", b"whole again")
    shop.write(b"good.txt", b"no longer: unembeddable")
    shop.settle()
    assert shop.text(bad) == "whole again"
    assert shop.vectors(good) == 0


def test_a_file_during_which_the_indexer_ended_is_not_tried_again(shop: Workshop) -> None:
    ino = shop.write(b"killer.txt", b"deadly")
    shop.end_indexer()
    shop.start_indexer(frozenset({ino}))
    shop.settle()
    state = shop.index.state(ino)
    assert state is not None
    assert state.error == "the indexer ended while it worked on it"


def test_a_vector_set_by_hand_is_kept(shop: Workshop) -> None:
    ino = shop.write(b"note.txt", b"some text")
    shop.settle()
    shop.vfs.setxattr(ino, VECTOR, b"1 2 3 4 5 6 7 8", ROOT_USER)
    shop.write(b"note.txt", b"another text")
    shop.settle()
    assert shop.origin(ino) == b"user"
    assert shop.text(ino) == "another text"
    shop.vfs.removexattr(ino, VECTOR, ROOT_USER)
    shop.settle()
    assert shop.origin(ino) == b"auto"


def test_a_write_between_reading_and_setting_is_not_lost(shop: Workshop) -> None:
    ino = shop.write(b"note.txt", b"first")
    assert shop.embedder is not None
    embed = shop.embedder.embed_documents

    def meddle(texts: list[str]) -> object:
        shop.embedder.embed_documents = embed  # type: ignore[union-attr, method-assign]
        shop.write(b"note.txt", b"second")
        return embed(texts)

    shop.embedder.embed_documents = meddle  # type: ignore[assignment, method-assign]
    shop.settle()
    assert shop.text(ino) == "second"
    assert shop.vfs.getxattr(ino, b"user.vexfs.stale.text", ROOT_USER) == b"0"
    value = shop.embedder.embed_query("second").tobytes()
    assert shop.vfs.getxattr(ino, VECTOR, ROOT_USER) == value


def test_ignored_files_go_and_come_back(shop: Workshop) -> None:
    docs = shop.mkdir(b"docs")
    plain, drafted = shop.write(b"a.txt", b"plain", docs), shop.write(b"a.draft", b"draft", docs)
    shop.settle()
    assert (shop.vectors(plain), shop.vectors(drafted)) == (1, 1)
    shop.write(b".vexignore", b"*.draft\n", docs)
    shop.settle()
    assert (shop.vectors(plain), shop.vectors(drafted)) == (1, 0)
    assert shop.index.state(drafted) is None
    shop.vfs.unlink(docs, b".vexignore", ROOT_USER)
    shop.settle()
    assert shop.text(drafted) == "draft"


def test_another_extension_is_another_way_to_read(shop: Workshop) -> None:
    ino = shop.write(b"a.txt", b"softly")
    shop.settle()
    shop.vfs.rename(ROOT, b"a.txt", ROOT, b"a.loud", 0, ROOT_USER)
    shop.settle()
    assert shop.text(ino) == "SOFTLY"
    assert shop.embedder is not None
    value = shop.embedder.embed_query("SOFTLY").tobytes()
    assert shop.vfs.getxattr(ino, VECTOR, ROOT_USER) == value


def test_what_was_there_before_the_indexer_is_indexed(shop: Workshop) -> None:
    shop.end_indexer()
    docs = shop.mkdir(b"docs")
    inos = [shop.write(b"%d.txt" % n, b"text %d" % n, docs) for n in range(300)]
    shop.mounted.volume.commit_all()
    shop.path.unlink()
    shop.start_indexer()
    shop.settle()
    assert [shop.text(ino) for ino in inos] == [f"text {n}" for n in range(300)]


def test_without_a_model_there_is_text_and_with_one_later_vectors(shop: Workshop) -> None:
    shop.end_indexer()
    shop.embedder = None
    shop.start_indexer()
    ino = shop.write(b"note.txt", b"words only")
    shop.settle()
    assert (shop.text(ino), shop.vectors(ino)) == ("words only", 0)
    shop.end_indexer()
    shop.embedder = WordEmbedder()
    shop.start_indexer()
    shop.settle()
    assert shop.vectors(ino) == 1
    assert shop.extractor.extracted == 1


def test_a_dropped_space_is_filled_again(shop: Workshop) -> None:
    ino = shop.write(b"note.txt", b"text")
    shop.settle()
    shop.mounted.volume.vectors.drop_space("text", ROOT_USER)
    assert shop.desk.indexing.open_space(8, "words-1") is None
    shop.settle()
    assert shop.vectors(ino) == 1


def test_what_is_cut_is_told_of_every_file_that_has_it(shop: Workshop) -> None:
    inos = [shop.write(name, b"endless text") for name in (b"a.txt", b"b.txt")]
    shop.write(b"c.txt", b"text")
    shop.settle()
    assert shop.index.counts() == (3, 0, 2)
    lookup = TextLookup(shop.path)
    assert [lookup.is_cut(ino) for ino in inos] == [True, True]
    shop.write(b"a.txt", b"text")
    shop.settle()
    assert [lookup.is_cut(ino) for ino in inos] == [False, True]
    lookup.close()


def test_another_model_is_refused(shop: Workshop) -> None:
    ino = shop.write(b"note.txt", b"text")
    shop.settle()
    refusal = shop.desk.indexing.open_space(8, "words-2")
    assert "vectors of words-1 with 8 dimensions, not of words-2" in str(refusal)
    assert "vexfs reindex --text" in str(refusal)
    assert "not of words-1 with 9" in str(shop.desk.indexing.open_space(9, "words-1"))
    shop.end_indexer()
    shop.embedder = None  # as the indexer goes on then
    shop.start_indexer()
    shop.settle()
    assert shop.vectors(ino) == 1
    assert shop.index.state(ino) is not None


def renew(shop: Workshop, embedder: WordEmbedder, dim: int) -> str | None:
    """Begin anew with an embedder, as the indexer's process does when it is told to."""
    answer: str | None = shop.mounted.finish(
        shop.desk.indexing.open_space(dim, embedder.fingerprint, is_anew=True)
    )
    if answer is None:
        shop.end_indexer()
        shop.embedder = embedder
        shop.start_indexer()
        shop.index.begin_anew("asked for")
    return answer


def test_made_anew_with_another_model_no_vector_of_the_old_one_is_left(shop: Workshop) -> None:
    inos = [shop.write(b"%d.txt" % number, b"text %d" % number) for number in range(5)]
    shop.settle()
    other = WordEmbedder("words-2")
    assert renew(shop, other, other.dim) is None
    space = shop.mounted.volume.applier.vectors.spaces["text"]
    assert (space.model, len(space)) == ("words-2", 0)
    shop.settle()
    assert [shop.vectors(ino) for ino in inos] == [1] * 5
    assert sum(other.embedded.values()) == 5


def test_made_anew_with_the_same_model_vectors_stay_until_they_are_replaced(
    shop: Workshop,
) -> None:
    ino = shop.write(b"note.txt", b"text")
    shop.settle()
    same = WordEmbedder()
    assert renew(shop, same, same.dim) is None
    assert shop.vectors(ino) == 1
    shop.settle()
    assert (shop.vectors(ino), shop.text(ino)) == (1, "text")


def test_vectors_that_users_set_are_not_dropped_with_the_model(shop: Workshop) -> None:
    shop.write(b"other.txt", b"more text")
    ino = shop.write(b"note.txt", b"text")
    shop.settle()
    raw = WordEmbedder().embed_query("by hand").tobytes()
    shop.vfs.setxattr(ino, VECTOR, raw, ROOT_USER)
    other = WordEmbedder("words-2")
    assert "1 files have vectors" in str(renew(shop, other, other.dim))
    space = shop.mounted.volume.applier.vectors.spaces["text"]
    assert (space.model, len(space)) == ("words-1", 2)
    assert shop.vfs.getxattr(ino, VECTOR, ROOT_USER) == raw


def test_without_its_model_a_file_keeps_the_vectors_of_its_text(shop: Workshop) -> None:
    kept = shop.write(b"kept.txt", b"stays as it is")
    changed = shop.write(b"changed.txt", b"before")
    shop.settle()
    shop.end_indexer()
    shop.embedder = None
    shop.start_indexer()
    shop.write(b"changed.txt", b"afterwards")
    shop.settle()
    stale = [shop.vfs.getxattr(ino, b"user.vexfs.stale.text", ROOT_USER) for ino in (kept, changed)]
    assert stale == [b"0", b"1"]
    shop.end_indexer()
    shop.embedder = WordEmbedder()
    shop.start_indexer()
    shop.settle()
    assert sum(shop.embedder.embedded.values()) == 1
    assert shop.vfs.getxattr(changed, b"user.vexfs.stale.text", ROOT_USER) == b"0"
