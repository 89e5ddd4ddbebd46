"""Whatever happens to files and to the indexer: when all is quiet, the index is that of the same tree made anew.

Files are written, renamed, linked, removed and ignored; the indexer ends without warning and goes on; the
machine loses what was not durable.  In the end each file has its text and its vectors, and no other has any.
"""

import random
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.support.stores import ROOT_USER
from tests.text.test_indexer import Workshop
from vexfs_fuse.errors import VexfsError
from vexfs_fuse.text.filing import with_mean
from vexfs_fuse.text.passages import embedded_text
from vexfs_fuse.units import ROOT, Inode

NAMES = st.sampled_from([b"a.txt", b"b.txt", b"c.loud", b"d.draft"])
PLACES = st.sampled_from([0, 1])
TEXTS = st.sampled_from(
    [
        b"",
        b"one",
        b"two words",
        b"broken text",
        b"unembeddable text",
        b"\0",
        b"\n".join(b"line %d of many" % n for n in range(150)),
    ]
)
IGNORES = st.sampled_from([b"*.draft\n", b"*.loud\n", b"a*\n", b"# nothing\n"])
PAUSES = st.sampled_from([0.05, 0.5, 40.0])


class IndexerMachine(RuleBasedStateMachine):
    """One volume, its indexer, and all that may come between."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.shop = Workshop(Path(self.directory.name, "text.sqlite3"))
        self.shop.mkdir(b"below")
        self.shop.mounted.sync()
        self.shop.settle()
        self.open: list[int] = []

    def teardown(self) -> None:
        try:
            for handle in self.open:
                self.shop.vfs.release(handle)
            self.shop.settle()
            self.compare()
            self.shop.close()
        finally:
            self.shop.store.remove()
            self.directory.cleanup()

    def place(self, number: int) -> Inode:
        tree = self.shop.mounted.volume.tree
        entry = tree.entry(tree.node(ROOT), b"below")
        return ROOT if number == 0 or entry is None else entry.ino

    def find(self, place: int, name: bytes) -> Inode | None:
        tree = self.shop.mounted.volume.tree
        entry = tree.entry(tree.node(self.place(place)), name)
        return None if entry is None else entry.ino

    @rule(place=PLACES, name=NAMES, text=TEXTS)
    def write(self, place: int, name: bytes, text: bytes) -> None:
        self.shop.write(name, text, self.place(place))

    @rule(place=PLACES, name=NAMES, text=TEXTS)
    def append_and_keep_open(self, place: int, name: bytes, text: bytes) -> None:
        ino = self.find(place, name)
        if ino is not None and text:
            handle, _, _ = self.shop.vfs.open(ino, 2, ROOT_USER)
            size = self.shop.vfs.size_times(self.shop.vfs.getattr(ino))[0]
            self.shop.mounted.finish(self.shop.vfs.write(handle, size, text))
            self.open.append(handle)

    @rule()
    def release(self) -> None:
        if self.open:
            self.shop.vfs.release(self.open.pop())

    @rule(place=PLACES, name=NAMES, to=PLACES, new_name=NAMES)
    def rename(self, place: int, name: bytes, to: int, new_name: bytes) -> None:
        self.attempt("rename", self.place(place), name, self.place(to), new_name, 0, ROOT_USER)

    @rule(place=PLACES, name=NAMES, to=PLACES, new_name=NAMES)
    def link(self, place: int, name: bytes, to: int, new_name: bytes) -> None:
        ino = self.find(place, name)
        if ino is not None:
            self.attempt("link", ino, self.place(to), new_name, ROOT_USER)

    @rule(place=PLACES, name=NAMES)
    def unlink(self, place: int, name: bytes) -> None:
        self.attempt("unlink", self.place(place), name, ROOT_USER)

    @rule(new_name=st.sampled_from([b"below", b"moved"]))
    def rename_directory(self, new_name: bytes) -> None:
        old = b"moved" if new_name == b"below" else b"below"
        self.attempt("rename", ROOT, old, ROOT, new_name, 0, ROOT_USER)

    @rule(place=PLACES, lines=IGNORES)
    def ignore(self, place: int, lines: bytes) -> None:
        self.shop.write(b".vexignore", lines, self.place(place))

    @rule(place=PLACES)
    def ignore_nothing(self, place: int) -> None:
        self.attempt("unlink", self.place(place), b".vexignore", ROOT_USER)

    def attempt(self, request: str, *arguments: object) -> None:
        try:
            getattr(self.shop.vfs, request)(*arguments)
        except VexfsError:
            pass

    @rule(seconds=PAUSES)
    def pass_time(self, seconds: float) -> None:
        self.shop.store.clock.advance(seconds)

    @rule(steps=st.integers(1, 6))
    def work(self, steps: int) -> None:
        for _ in range(steps):
            self.shop.indexer.step()

    @rule()
    def flush_and_sync(self) -> None:
        for _ in self.shop.mounted.volume.flush_aged():
            pass
        self.shop.mounted.sync()

    @rule()
    def end_the_indexer(self) -> None:
        self.shop.end_indexer()
        self.shop.start_indexer()

    @rule(seed=st.none() | st.integers(0, 2**16))
    def end_everything(self, seed: int | None) -> None:
        self.shop.end_indexer()
        if seed is None:
            self.shop.store.kill(self.shop.mounted)
        else:
            self.shop.store.cut_power(random.Random(seed), self.shop.mounted)
        self.open.clear()
        self.shop.start()

    def compare(self) -> None:
        """Compare with an index of the same tree that was made from nothing."""
        shop = self.shop
        incremental = {ino: shop.index.state(ino) for ino in shop.index.inodes()}
        vectors = shop.mounted.volume.applier.vectors
        space = vectors.spaces["text"]
        for ino, state in incremental.items():
            assert state is not None
            expected: list[bytes] = []
            found = None if state.content is None else shop.index.passages(state.content)
            failed = state.error is not None
            if found is not None and found[1] and not failed:
                assert shop.embedder is not None
                told = [embedded_text(found[0], passage) for passage in found[1]]
                made = with_mean(shop.embedder.embed_documents(told))
                expected = [row.tobytes() for row in made]
            number = vectors.numbers["text"]
            stored = shop.mounted.volume.view.vectors(ino)
            values = [stored[at].value for at in sorted(stored) if at[0] == number]
            assert values == expected, state
            assert not stored or not stored[number, 0].stale
        held = {
            int(space.rows.inos[row]) for row in range(space.rows.limit) if space.rows.live[row]
        }
        assert held <= set(incremental)
        shop.end_indexer()
        shop.path.unlink()
        shop.start_indexer()
        shop.settle()
        anew = {ino: shop.index.state(ino) for ino in shop.index.inodes()}
        assert {ino: state._replace(name=b"") for ino, state in incremental.items() if state} == {
            ino: state._replace(name=b"") for ino, state in anew.items() if state
        }


def test_the_index_ends_as_one_made_anew() -> None:
    run_state_machine_as_test(IndexerMachine)
