"""What the state view says when its file is damaged, or its disk full or failing."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.storage.test_state import FILE, extent, node
from tests.support.states import commit
from vexfs_fuse.errors import (
    CorruptData,
    NoSpace,
    StoreDamaged,
    StoreFailed,
    StoreLocked,
    StoreTooNew,
)
from vexfs_fuse.storage.rows import SpaceRow, VectorRow
from vexfs_fuse.storage.state import Commit, State, Totals
from vexfs_fuse.units import ROOT, Inode, Lsn

INO = Inode(7)
Question = Callable[[State], Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a closed view with rows in all tables."""
    path = tmp_path / "state.sqlite3"
    state = State.open(path)
    fill(state, 40)
    commit(state, Lsn(40))
    state.close()
    return path


def fill(state: State, count: int) -> None:
    for number in range(1, count + 1):
        ino = Inode(number)
        children = count if number == ROOT else 0
        links = 0 if number % 10 == 0 else 1
        state.touch(node(number, nlink=links, size=number << 40, children=children))
        state.put_dentry(ROOT, b"name-%d" % number, (number, number, FILE))
        state.put_xattr(ino, b"user.a", bytes(number) * 100)
        state.put_extents(ino, [], [extent(0, number), extent(4096, number, 2)])
        state.put_vector(ino, 1, 0, VectorRow(number, 0, 0, bytes(16)))
    state.put_space(1, SpaceRow(1, b"default", 4, b"cosine", b""))
    state.put_meta("colour", b"green")


def questions() -> Iterator[Question]:
    for number in range(1, 41):
        ino = Inode(number)
        yield partial(State.node_row, ino=ino)
        yield partial(State.dentry, parent=ROOT, name=b"name-%d" % ino)
        yield partial(State.xattrs, ino=ino)
        yield partial(State.extents, ino=ino)
        yield partial(State.names, ino=ino)
        yield partial(State.vectors, ino=ino)
    yield State.spaces
    yield lambda state: list(state.space_vectors(1))
    yield partial(State.dentries_after, parent=ROOT, cookie=0, limit=100)
    yield State.orphans
    yield State.live_bytes
    yield partial(State.get_meta, key="colour")


def part_of(answer: Any, whole: Any) -> bool:
    """Whether an answer is right as far as it goes."""
    if answer is None:
        return True
    if isinstance(answer, dict):
        return bool(answer.items() <= whole.items())
    if isinstance(answer, list):
        return all(item in whole for item in answer)
    return bool(answer == whole)


@pytest.mark.parametrize(
    ("statement", "question", "named"),
    [
        ("UPDATE nodes SET mode = mode | 8 WHERE ino = 7", "node", "nodes[7]"),
        ("UPDATE nodes SET mtime = 'text' WHERE ino = 7", "node", "nodes[7]"),
        ("UPDATE nodes SET target = x'00' WHERE ino = 7", "node", "nodes[7]"),
        ("UPDATE dentries SET ino = 8 WHERE cookie = 7", "name", "dentries[1, b'name-7']"),
        ("UPDATE xattrs SET value = x'ff' WHERE ino = 7", "xattrs", "xattrs[7, b'user.a']"),
        ("UPDATE xattrs SET name = x'ff' WHERE ino = 7", "xattrs", r"xattrs[7, b'\xff']"),
        ("UPDATE extents SET position = 0 WHERE ino = 7", "extents", "extents[7, 0]"),
        ("UPDATE extents SET inline = x'01' WHERE ino = 7", "extents", "extents[7, 0]"),
        ("UPDATE extents SET sums = x'01' WHERE offset = 4096", "extents", "extents[7, 4096]"),
        ("UPDATE vectors SET stale = 1 WHERE ino = 7", "vectors", "vectors[7, 1, 0]"),
        ("UPDATE spaces SET dim = 5", "spaces", "spaces[1]"),
        ("UPDATE meta SET value = 7 WHERE key = 'colour'", "meta", "meta[b'colour']"),
    ],
)
def test_a_changed_row_is_refused_with_its_table_and_key(
    path: Path, statement: str, question: str, named: str
) -> None:
    tamper(path, statement)
    state = State.open(path)
    asked: dict[str, Question] = {
        "node": lambda state: state.node_row(INO),
        "name": lambda state: state.dentry(ROOT, b"name-7"),
        "xattrs": lambda state: state.xattrs(INO),
        "extents": lambda state: state.extents(INO),
        "vectors": lambda state: state.vectors(INO),
        "spaces": State.spaces,
        "meta": lambda state: state.get_meta("colour"),
    }
    with pytest.raises(CorruptData) as refusal:
        asked[question](state)
    assert named in str(refusal.value)
    state.close()


def test_a_name_both_of_whose_copies_are_damaged_is_left_out_of_the_listing_and_missed(
    path: Path,
) -> None:
    tamper(path, "UPDATE dentries SET kind = 0 WHERE cookie = 7")
    state = State.open(path)
    names = [name for name, _, _, _ in state.dentries_after(ROOT, 0, 100)]
    assert names == [b"name-%d" % number for number in range(1, 41) if number != 7]
    assert state.is_torn(ROOT)
    assert state.dentries_after(ROOT, 5, 1) == [(b"name-6", 6, 6, FILE)]
    assert state.damage.count >= 1
    state.close()


def test_a_name_is_told_although_one_of_its_copies_is_damaged(path: Path) -> None:
    sound = path.read_bytes()
    state = State.open(path)
    listing = state.dentries_after(ROOT, 0, 100)
    state.close()
    found = 0
    while (found := sound.find(b"name-17", found + 1)) > 0:
        path.write_bytes(sound[:found] + b"game" + sound[found + 4 :])
        state = State.open(path)
        assert state.dentries_after(ROOT, 0, 100) == listing
        assert state.dentry(ROOT, b"name-17") in ((17, 17, FILE), None)
        assert not state.is_torn(ROOT)
        state.close()


@pytest.mark.parametrize("page", range(1, 6))
def test_a_broken_page_of_one_copy_hides_no_name(tmp_path: Path, page: int) -> None:
    path = tmp_path / "large.sqlite3"
    state = State.open(path)
    for number in range(1, 2_001):
        state.put_dentry(ROOT, b"name-%d" % number, (number, number, FILE))
    state.touch(node(ROOT, children=2_000))
    commit(state, Lsn(2_000))
    listing = state.dentries_after(ROOT, 0, 3_000)
    state.close()
    data = bytearray(path.read_bytes())
    starts = [at for at in range(0, len(data), 4096) if b"name-15" in data[at : at + 4096]]
    at = starts[len(starts) * page // 6]
    data[at : at + 4096] = bytes(4096)
    path.write_bytes(data)
    state = State.open(path)
    assert state.dentries_after(ROOT, 0, 3_000) == listing
    assert not state.is_torn(ROOT)
    for name, *entry in listing:
        assert state.dentry(ROOT, name) == tuple(entry)
    state.close()


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A view with three directories of 400 names each, on dozens of pages."""
    path = tmp_path_factory.mktemp("directories") / "state.sqlite3"
    state = State.open(path)
    for number in range(1_200):
        parent, name = Inode(1 + number % 3), b"name-%04d" % (number * 7 % 1_200)
        state.put_dentry(parent, name, (number + 10, number + 1, FILE))
    for ino in range(1, 1_211):
        state.touch(node(ino, children=400 if ino <= 3 else 0))
    commit(state, Lsn(1_200))
    state.close()
    return path.read_bytes()


@pytest.mark.parametrize("seed", range(60))
def test_damage_makes_no_name_known_to_be_absent(
    tmp_path: Path, directories: bytes, seed: int
) -> None:
    rng = random.Random(seed)
    damaged = bytearray(directories)
    starts = range(0, len(damaged), 4096)
    pages = [at for at in starts if damaged[at : at + 4096].count(b"name-0") > 3]
    at, other = rng.choice(pages), rng.choice(pages)
    if seed % 3 == 0:
        damaged[at : at + 4096] = directories[other : other + 4096]  # written to the wrong place
    for place in range(at, at + rng.choice([1, 1, 8, 100])):
        damaged[place + rng.choice([0, 100, 3_900])] ^= 1 << rng.randrange(8)
    path = tmp_path / "state.sqlite3"
    path.write_bytes(damaged)
    state = State.open(path)
    for number in range(1_200):
        parent, name = Inode(1 + number % 3), b"name-%04d" % (number * 7 % 1_200)
        try:
            is_found = state.dentry(parent, name) is not None
        except CorruptData:
            continue
        assert is_found or not state.lacks(parent, name)
    state.close()


def test_names_of_a_sound_directory_are_known_to_be_absent(
    tmp_path: Path, directories: bytes
) -> None:
    path = tmp_path / "state.sqlite3"
    path.write_bytes(directories)
    state = State.open(path)
    for name in (b"a", b"name-0001x", b"name-9", b"z"):
        assert state.lacks(Inode(2), name)
    state.put_dentry(Inode(2), b"a", (5_000, 5_000, FILE))
    assert not state.lacks(Inode(2), b"a")
    state.put_dentry(Inode(2), b"a", None)
    assert state.lacks(Inode(2), b"a")
    state.close()


def tamper(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute(statement).rowcount
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE meta SET value = value + 1 WHERE key = 'applied'",
        "DELETE FROM meta WHERE key = 'last_inode'",
        "UPDATE segments SET live_bytes = 0 WHERE segment = 2",
        "DROP TABLE segments",
        "PRAGMA application_id = 1",
    ],
)
def test_damaged_totals_keep_the_view_from_opening(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    with pytest.raises(StoreDamaged):
        State.open(path)


def test_what_is_no_database_is_not_opened_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(StoreDamaged):
        State.open(path)
    assert path.read_bytes() == b"something else entirely" * 100


def test_a_later_revision_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(StoreTooNew):
        State.open(path)


def test_an_orphan_whose_row_is_damaged_is_not_offered_for_removal(path: Path) -> None:
    tamper(path, "UPDATE nodes SET nlink = 0 WHERE ino = 7")
    state = State.open(path)
    assert state.orphans() == [10, 20, 30, 40]
    state.close()


@pytest.mark.parametrize("seed", range(40))
def test_damage_anywhere_in_the_file_never_makes_a_wrong_answer(path: Path, seed: int) -> None:
    state = State.open(path)
    truth = [question(state) for question in questions()]
    state.close()
    rng = random.Random(seed)
    damaged = bytearray(path.read_bytes())
    at, size = rng.randrange(len(damaged)), rng.choice([1, 1, 8, 100])
    for place in range(at, min(at + size, len(damaged))):
        damaged[place] ^= 1 << rng.randrange(8)
    path.write_bytes(damaged)
    try:
        state = State.open(path)
    except (StoreDamaged, StoreTooNew):
        return
    for question, whole in zip(questions(), truth, strict=True):
        try:
            assert part_of(question(state), whole)
        except CorruptData:
            pass
    state.touch(node(41))
    try:
        commit(state, Lsn(41))
    except CorruptData:
        pass
    state.close()


# --- a disk that is full, busy or broken ----------------------------------------------------------


def write(commit: Commit) -> None:
    while not commit.step():
        pass
    commit.finish()


class Failing(sqlite3.Connection):
    """A connection on which statements that begin with certain words fail."""

    failures: dict[str, int]  # by the first words of a statement: SQLite's result code

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        for start, code in self.failures.items():
            if sql.startswith(start):
                error = sqlite3.OperationalError("made to fail")
                error.sqlite_errorcode = code
                raise error
        return super().execute(sql, *parameters)


@pytest.fixture
def failures() -> dict[str, int]:
    """What fails from now on, to be filled in."""
    return {}


@pytest.fixture
def state(tmp_path: Path, failures: dict[str, int]) -> Iterator[State]:
    Failing.failures = failures
    state = State.open(tmp_path / "failing.sqlite3", partial(sqlite3.connect, factory=Failing))
    yield state
    failures.clear()
    state.close()


@pytest.mark.parametrize(
    ("statement", "code", "refusal"),
    [
        ("BEGIN IMMEDIATE", sqlite3.SQLITE_BUSY, StoreLocked),
        ("COMMIT", sqlite3.SQLITE_FULL, NoSpace),
        ("COMMIT", sqlite3.SQLITE_IOERR_WRITE, StoreFailed),
        ("COMMIT", sqlite3.SQLITE_CORRUPT, CorruptData),
    ],
)
def test_a_failed_commit_can_be_discarded_and_its_rows_come_with_the_next(
    state: State,
    failures: dict[str, int],
    tmp_path: Path,
    statement: str,
    code: int,
    refusal: type[Exception],
) -> None:
    fill(state, 3)
    failed = state.freeze(Lsn(3))
    state.put_dentry(ROOT, b"name-2", None)
    failures[statement] = code
    with pytest.raises(refusal):
        write(failed)
    state.discard(failed)
    assert state.applied == 0
    assert state.dentry(ROOT, b"name-1") == (1, 1, FILE)
    failures.clear()
    commit(state, Lsn(4))
    again = State.open(tmp_path / "failing.sqlite3")
    assert again.applied == 4
    assert [row[0] for row in again.dentries_after(ROOT, 0, 9)] == [b"name-1", b"name-3"]
    assert again.counts() == Totals(3, 12)
    again.close()


def test_a_full_disk_stops_a_commit_but_no_reads_and_no_changes(tmp_path: Path) -> None:
    writers: list[sqlite3.Connection] = []

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        writers.append(sqlite3.connect(*arguments, **options))
        return writers[-1]

    state = State.open(tmp_path / "state.sqlite3", connect)
    writer = writers[0]
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    fill(state, 100)
    full = state.freeze(Lsn(100))
    with pytest.raises(NoSpace):
        write(full)
    state.discard(full)
    assert state.xattrs(INO) == {b"user.a": bytes(7) * 100}
    state.put_dentry(ROOT, b"name-7", None)
    writer.execute("PRAGMA max_page_count = 100000")
    commit(state, Lsn(101))
    assert state.dentry(ROOT, b"name-7") is None
    assert state.counts().inodes == 100
    state.close()


def test_a_checkpoint_that_the_disk_refused_is_never_tried_again(
    state: State, failures: dict[str, int]
) -> None:
    fill(state, 1)
    commit(state, Lsn(1))
    failures["PRAGMA wal_checkpoint"] = sqlite3.SQLITE_IOERR_FSYNC
    with pytest.raises(StoreFailed):
        state.checkpoint()
    failures.clear()
    with pytest.raises(StoreFailed):
        state.checkpoint()
    assert state.durable == 0


def test_a_view_on_a_full_disk_opens_and_knows_not_what_is_durable(
    path: Path, failures: dict[str, int]
) -> None:
    failures["PRAGMA wal_checkpoint"] = sqlite3.SQLITE_FULL
    Failing.failures = failures
    state = State.open(path, partial(sqlite3.connect, factory=Failing))
    assert (state.applied, state.durable) == (40, 0)
    state.close()
