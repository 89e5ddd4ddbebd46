"""Whatever is damaged in a store: it opens to be read, says what is wrong, shows nothing wrong, and is repaired.

Two kinds of store: one whose journal has every record, and one whose journal has dropped the old ones,
so that the state view is the only place of what is older.
"""

import os
import random
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import pytest

from tests.support.stores_at_rest import Someone
from vexfs_fuse.config import Config
from vexfs_fuse.errors import CorruptData, ReadOnly, StoreDamaged
from vexfs_fuse.storage.disk import LocalDisk
from vexfs_fuse.storage.journal_files import header_of
from vexfs_fuse.units import KIB, MIB, ROOT, Inode
from vexfs_fuse.vfs.posix import Vfs
from vexfs_fuse.vfs.virtual import VirtualTrees
from vexfs_fuse.volume.check import check
from vexfs_fuse.volume.damaged import Part
from vexfs_fuse.volume.opening import open_volume
from vexfs_fuse.volume.repair import damaged_parts, repair
from vexfs_fuse.volume.volume import Volume

WHO: Final = Someone()
HIDDEN: Final = "cannot be told"
VECTOR: Final = b"user.vexfs.vector"
LOST: Final = "/lost+found"

Seen = dict[str, Any]


def config_of(store: Path, *, keeps_journal: bool) -> Config:
    config = Config(store=store, pool_bytes=16 * MIB, segment_bytes=MIB, journal_file_bytes=8 * KIB)
    if keeps_journal:
        return config
    return replace(config, journal_keep_bytes=0, journal_keep_age=0.0)


class Opened:
    """A volume that is open, and everything that can be seen of it."""

    def __init__(self, config: Config) -> None:
        self.volume: Volume = open_volume(config.store, config)
        self.vfs = Vfs(self.volume, VirtualTrees(), open_max=100, atime="noatime")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.volume.close()

    def write(self, parent: Inode, name: bytes, contents: bytes) -> Inode:
        handle, node = self.vfs.create(parent, name, 0o644, os.O_WRONLY, WHO)
        self.vfs.write(handle, 0, contents)
        self.vfs.release(handle)
        return Inode(node.ino)

    def everything(self) -> Seen:
        """By path: kind, contents, attributes; `HIDDEN` for what damage is in the way of."""
        seen: Seen = {}
        self._look_into(ROOT, "", seen)
        return seen

    def _look_into(self, ino: Inode, path: str, seen: Seen) -> None:
        handle = self.vfs.opendir(ino, WHO)
        entries = []
        try:
            cookie = 0
            while page := list(self.vfs.readdir(handle, cookie)):
                entries += page
                cookie = page[-1][2]
        except CorruptData:
            seen[f"{path}/..."] = HIDDEN
        for name, entry, _ in entries:
            if name in {b".", b".."}:
                continue
            here = f"{path}/{name.decode()}"
            seen[here] = self._told(ino, name)
            if stat.S_ISDIR(entry.mode) and seen[here] != HIDDEN:
                self._look_into(entry.ino, here, seen)
        self.vfs.releasedir(handle)

    def _told(self, parent: Inode, name: bytes) -> Any:
        try:
            node = self.vfs.lookup(parent, name, WHO)
            contents = self._contents(node.ino) if stat.S_ISREG(node.mode) else None
            names = sorted(self.vfs.listxattr(node.ino, WHO))
            xattrs = {name: self.vfs.getxattr(node.ino, name, WHO) for name in names}
        except CorruptData:
            return HIDDEN
        return stat.S_IFMT(node.mode), contents, xattrs

    def _contents(self, ino: Inode) -> bytes:
        handle, _, _ = self.vfs.open(ino, 0, WHO)
        try:
            data = self.vfs.read(handle, 0, MIB)
            while not isinstance(data, bytes | memoryview):
                data = data.resume(data.work())
            return bytes(data)
        finally:
            self.vfs.release(handle)


def make(config: Config) -> Seen:
    """Make files small and large in a few directories, with attributes and vectors; over two sessions."""
    rng = random.Random(7)
    for session in ("first", "second"):
        with Opened(config) as there:
            parent = ROOT
            for depth in range(3):
                parent = there.vfs.mkdir(
                    parent, b"%s-%d" % (session.encode(), depth), 0o755, WHO
                ).ino
                for number in range(12):
                    size = rng.choice([0, 10, 3_000, 70_000, 200_000])
                    ino = there.write(parent, b"file-%d" % number, rng.randbytes(size))
                    there.vfs.setxattr(ino, b"user.number", b"%d" % number, WHO)
                    there.vfs.setxattr(ino, VECTOR, rng.randbytes(2) + b"\0\x3f" * 7, WHO)
    with Opened(config) as there:
        return there.everything()


@pytest.fixture(scope="module", params=["whole journal", "recent journal"])
def template(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, bool, Seen]:
    """A store to copy, whether its journal reaches back, and what is in it."""
    path = tmp_path_factory.mktemp("template") / "store"
    keeps = request.param == "whole journal"
    truth = make(config_of(path, keeps_journal=keeps))
    assert ((path / "journal/1.vxj").exists()) == keeps
    return path, keeps, truth


class Store:
    """A copy to damage."""

    def __init__(self, template: tuple[Path, bool, Seen], path: Path) -> None:
        source, self.keeps_journal, self.truth = template
        shutil.copytree(source, path)
        self.path = path
        self.config = config_of(path, keeps_journal=self.keeps_journal)

    def journal(self) -> list[Path]:
        return sorted((self.path / "journal").iterdir(), key=lambda file: int(file.stem))

    def sql(self, statement: str) -> None:
        with closing(sqlite3.connect(self.path / "state.sqlite3")) as view, view:
            assert view.execute(statement).rowcount

    def overwrite(self, name: str | Path, start: int, data: bytes) -> None:
        with (self.path / name).open("r+b") as file:
            file.seek(start)
            file.write(data)


@pytest.fixture
def store(template: tuple[Path, bool, Seen], tmp_path: Path) -> Store:
    return Store(template, tmp_path / "store")


def assert_nothing_is_wrong(seen: Seen, truth: Seen, *, is_repaired: bool = False) -> None:
    """What is told is right; what a repair had to lose is gone, or in `/lost+found`, never something else."""
    for path, told in seen.items():
        if path.startswith(LOST) or told == HIDDEN:
            continue
        kind, contents, xattrs = told
        assert (kind, contents) == truth[path][:2], path
        attributes = {name: xattrs[name] for name in xattrs if b"recovered" not in name}
        assert attributes.items() <= truth[path][2].items()
        assert is_repaired or len(xattrs) == len(truth[path][2]), path


def open_and_repair(store: Store, part: Part) -> tuple[Seen, Seen]:
    """Open what is damaged, then repair it; return what was seen before and after."""
    with Opened(store.config) as there:
        assert {damage.part for damage in there.volume.damaged} == {part}
        assert "the store is damaged" in str(there.volume.failure)
        with pytest.raises(ReadOnly):
            there.vfs.mkdir(ROOT, b"more", 0o755, WHO)
        before = there.everything()
        assert_nothing_is_wrong(before, store.truth)
    return before, repaired(store)


def repaired(store: Store) -> Seen:
    """Repair, find the store sound and writable, but for contents; return what is seen."""
    parts = damaged_parts(store.path, store.config)
    if parts:
        assert repair(store.path, store.config, ["a test"], parts)
    with Opened(store.config) as there:
        assert there.volume.failure is None
        assert check(there.volume, contents=False) == []
        after = there.everything()
        assert HIDDEN in after.values() or check(there.volume) == []
        assert_nothing_is_wrong(after, store.truth, is_repaired=True)
        there.vfs.mkdir(ROOT, b"more", 0o755, WHO)
        assert check(there.volume, contents=False) == []
    return after


# --- volume.json -----------------------------------------------------------------------------------


@pytest.mark.parametrize("contents", [None, b"", b"{}", b"[1]", b'{"format": 1, "volume": "x"}'])
def test_without_volume_json_the_rest_says_which_volume_it_is(
    store: Store, contents: bytes | None
) -> None:
    identity = (store.path / "volume.json").read_text()
    (store.path / "volume.json").unlink()
    if contents is not None:
        (store.path / "volume.json").write_bytes(contents)
    assert open_and_repair(store, Part.IDENTITY) == (store.truth, store.truth)
    assert identity.split('"volume"')[1][:42] in (store.path / "volume.json").read_text()


def test_any_flipped_bit_of_volume_json_is_noticed_or_does_not_matter(store: Store) -> None:
    sound = (store.path / "volume.json").read_bytes()
    for place in range(0, 8 * len(sound), 3):
        flipped = bytearray(sound)
        flipped[place // 8] ^= 1 << place % 8
        (store.path / "volume.json").write_bytes(flipped)
        with Opened(store.config) as there:
            assert {damage.part for damage in there.volume.damaged} <= {Part.IDENTITY}
            assert there.volume.tree.node(ROOT).children == 2


def test_a_directory_of_other_things_is_no_damaged_store(tmp_path: Path) -> None:
    (tmp_path / "letters").touch()
    with pytest.raises(StoreDamaged, match=r"volume\.json is missing"):
        open_volume(tmp_path, Config(store=tmp_path))


# --- state.sqlite3 ---------------------------------------------------------------------------------


def test_a_view_that_is_gone_is_made_anew(store: Store) -> None:
    (store.path / "state.sqlite3").unlink()
    if store.keeps_journal:
        with Opened(store.config) as there:
            assert there.volume.failure is None
            assert there.everything() == store.truth
    else:
        with pytest.raises(StoreDamaged):
            Opened(store.config)


UNOPENABLE: Final[dict[str, Callable[[Store], None]]] = {
    "first page": lambda store: store.overwrite("state.sqlite3", 0, bytes(4096)),
    "magic": lambda store: store.overwrite("state.sqlite3", 0, b"no"),
    "page size": lambda store: store.overwrite("state.sqlite3", 16, b"\xff\xff"),
    "schema": lambda store: store.sql("DROP TABLE segments"),
    "application id": lambda store: store.overwrite("state.sqlite3", 68, b"them"),
    "applied": lambda store: store.sql("UPDATE meta SET value = 7 WHERE key = 'applied'"),
    "totals": lambda store: store.sql("DELETE FROM meta WHERE key = 'last_inode'"),
    "segments": lambda store: store.sql("UPDATE segments SET live_bytes = 7"),
    "spaces": lambda store: store.sql("UPDATE spaces SET dim = 7"),
    "root": lambda store: store.sql("UPDATE nodes SET mode = 7 WHERE ino = 1"),
}


@pytest.mark.parametrize("damage", UNOPENABLE.values(), ids=UNOPENABLE)
def test_a_view_that_cannot_be_used_has_a_stand_in(
    store: Store, damage: Callable[[Store], None]
) -> None:
    damage(store)
    before, after = open_and_repair(store, Part.VIEW)
    for seen in (before, after):
        if store.keeps_journal or damage is not UNOPENABLE["spaces"]:
            assert seen == store.truth
        else:  # the vectors are there, in a space of another name
            assert seen.keys() == store.truth.keys()


def test_any_page_of_the_view_may_break(template: tuple[Path, bool, Seen], tmp_path: Path) -> None:
    pages = (template[0] / "state.sqlite3").stat().st_size // 4096
    for page in range(0, pages, 1 if pages < 40 else 3):
        store = Store(template, tmp_path / str(page))
        store.overwrite("state.sqlite3", page * 4096, bytes(4096))
        with Opened(store.config) as there:
            has_stand_in = any(damage.part is Part.VIEW for damage in there.volume.damaged)
            assert_nothing_is_wrong(there.everything(), store.truth, is_repaired=has_stand_in)
        if damaged_parts(store.path, store.config):
            after = repaired(store)
            assert not store.keeps_journal or after == store.truth
        shutil.rmtree(store.path)


@pytest.mark.parametrize(
    "table", ["nodes", "dentries", "xattrs", "extents", "vectors", "spaces", "segments", "meta"]
)
def test_rows_of_any_table_may_be_garbled(store: Store, table: str) -> None:
    store.sql(f"UPDATE {table} SET sum = sum + 1")
    if table == "nodes" and not store.keeps_journal:
        with pytest.raises(CorruptData):  # nothing is left to show
            Opened(store.config)
        return
    with Opened(store.config) as there:
        assert_nothing_is_wrong(there.everything(), store.truth, is_repaired=table == "spaces")
    after = repaired(store)
    assert not store.keeps_journal or after == store.truth
    if table == "extents" and not store.keeps_journal:
        assert HIDDEN in after.values()


# --- the journal -----------------------------------------------------------------------------------


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)


def break_middle(store: Store) -> None:
    """Flip a bit in the middle of a record in the middle of the journal."""
    file = store.journal()[len(store.journal()) // 2]
    flip(file, file.stat().st_size // 2)


def break_foreign(store: Store) -> None:
    """Put a file there that belongs to another volume."""
    with closing(LocalDisk(store.path).open(f"journal/{store.journal()[0].name}")) as file:
        header = header_of(file)
    assert header is not None
    store.overwrite(store.journal()[0], 0, bytes(header[1]))


JOURNALS: Final[dict[str, Callable[[Store], None]]] = {
    "first header": lambda store: flip(store.journal()[0], 30),
    "last header": lambda store: flip(store.journal()[-1], 30),
    "no header": break_foreign,
    "last file is gone": lambda store: store.journal()[-1].unlink(),
    "last file is empty": lambda store: os.truncate(store.journal()[-1], 0),
    "last file is cut off": lambda store: os.truncate(store.journal()[-1], 200),
    "all files are gone": lambda store: shutil.rmtree(store.path / "journal"),
    "middle": break_middle,
}


@pytest.mark.parametrize("damage", JOURNALS.values(), ids=JOURNALS)
def test_a_damaged_journal_loses_nothing_that_the_view_has(
    store: Store, damage: Callable[[Store], None]
) -> None:
    damage(store)
    with Opened(store.config) as there:
        assert there.everything() == store.truth
        damaged = {damage.part for damage in there.volume.damaged}
    # An end that was never synced would look like some of these.
    must_be_told = ("first header", "last header", "no header", "all files are gone")
    assert damaged == {Part.JOURNAL} or damage not in [JOURNALS[name] for name in must_be_told]
    assert repaired(store) == store.truth


def test_a_hole_among_journal_files_is_repaired(store: Store) -> None:
    if len(store.journal()) < 3:
        pytest.skip("this journal has one file")
    store.journal()[1].unlink()
    assert open_and_repair(store, Part.JOURNAL) == (store.truth, store.truth)
    assert len(list((store.path / "journal.damaged").iterdir())) == 1


def synced_in_batches(store: Store, count: int) -> None:
    """Make directories, each in a batch of its own, and end as a crash does: the view has none of them."""
    there = Opened(store.config)
    for number in range(count):
        there.vfs.mkdir(ROOT, b"late-%d" % number, 0o755, WHO)
        batch = there.volume.seal()
        assert batch is not None
        batch.run()
        there.volume.settle(batch, None)
    there.volume.refuse_changes("the test is over")  # so that closing it does not commit
    there.volume.close()


def test_damage_among_records_that_the_view_has_not_costs_their_batch(store: Store) -> None:
    synced_in_batches(store, 9)
    file = next(file for file in store.journal() if b"late-4" in file.read_bytes())
    flip(file, file.read_bytes().index(b"late-4"))
    with Opened(store.config) as there:
        assert {damage.part for damage in there.volume.damaged} == {Part.JOURNAL}
        seen = there.everything()
    late = {path for path in seen if path.startswith("/late")}
    assert late == {f"/late-{number}" for number in range(4)}
    done = repair(store.path, store.config, ["a test"], {Part.JOURNAL})
    assert any("lost the records" in line for line in done)
    with Opened(store.config) as there:
        assert check(there.volume) == []
        assert there.volume.failure is None
        after = there.everything()
    late = {path for path in after if path.startswith("/late")}
    assert late == {f"/late-{number}" for number in range(9) if number != 4}


def test_a_damaged_mark_costs_nothing(store: Store) -> None:
    synced_in_batches(store, 9)
    file = next(file for file in store.journal() if b"late-4" in file.read_bytes())
    data = file.read_bytes()
    flip(file, data.index(b"Synced", data.index(b"late-4")) - 3)
    repair(store.path, store.config, ["a test"], damaged_parts(store.path, store.config))
    with Opened(store.config) as there:
        assert check(there.volume) == []
        assert {f"/late-{number}" for number in range(9)} < there.everything().keys()


def test_a_mark_planted_in_a_file_is_not_where_reading_goes_on(store: Store) -> None:
    """The contents of a small file hold records that a user made up, behind a mark with another salt."""
    from vexfs_fuse.storage.records import SYNCED, pack_record

    planted = pack_record((10_000, 0, SYNCED, 0, (0, 0, 0), {"salt": b"guessed!"}, 0))
    planted += pack_record(
        (10_001, 0, "Unlinked", 2, (0, 0, 0), {"parent": 1, "name": b"first-0"}, 0)
    )
    there = Opened(store.config)
    ino = there.write(ROOT, b"planted", planted)
    there.volume.files.flush(there.volume.tree.node(ino), inline_allowed=True)
    batch = there.volume.seal()
    assert batch is not None
    batch.run()
    there.volume.settle(batch, None)
    there.volume.refuse_changes("the test is over")
    there.volume.close()
    file = next(file for file in store.journal() if planted in file.read_bytes())
    flip(file, file.read_bytes().index(planted) - 20)
    repair(store.path, store.config, ["a test"], {Part.JOURNAL})
    with Opened(store.config) as there:
        assert "/first-0" in there.everything()
        assert there.volume.logged_lsn < 10_000


# --- several at once, and segments -----------------------------------------------------------------


def test_a_missing_segment_is_told_and_given_up_by_a_repair(store: Store) -> None:
    lost = min((store.path / "segments").iterdir())
    lost.unlink()
    with Opened(store.config) as there:
        assert {damage.part for damage in there.volume.damaged} == {Part.SEGMENTS}
        assert f"segment {lost.stem} is missing" in str(there.volume.failure)
        before = there.everything()
    assert HIDDEN in before.values()
    assert_nothing_is_wrong(before, store.truth)
    done = repair(store.path, store.config, ["a test"], damaged_parts(store.path, store.config))
    assert done == [f"took segment {lost.stem} for lost: reading what it held stays EIO"]
    for _ in range(2):
        with Opened(store.config) as there:
            assert there.volume.failure is None
            assert there.everything() == before
            assert all(f"segment {lost.stem} is missing" in line for line in check(there.volume))


def test_a_segment_that_comes_back_is_read_again(store: Store) -> None:
    lost = min((store.path / "segments").iterdir())
    lost.rename(store.path.parent / "aside")
    Opened(store.config).volume.close()
    (store.path.parent / "aside").rename(lost)
    with Opened(store.config) as there:
        assert there.volume.failure is None
        assert there.everything() == store.truth


def test_everything_but_the_segments_may_be_damaged_at_once(store: Store) -> None:
    (store.path / "volume.json").write_bytes(b"{")
    store.overwrite("state.sqlite3", 0, bytes(4096))
    flip(store.journal()[0], 30)
    with Opened(store.config) as there:
        assert {damage.part for damage in there.volume.damaged} == {
            Part.IDENTITY,
            Part.VIEW,
            Part.JOURNAL,
        }
        assert there.everything() == store.truth
    assert repaired(store) == store.truth


@pytest.mark.parametrize("pattern", ["volume.json", "state.sqlite3", "journal/*", "segments/*"])
@pytest.mark.parametrize("seed", range(6))
def test_a_repair_after_a_few_flipped_bits_leaves_a_sound_volume(
    store: Store, pattern: str, seed: int
) -> None:
    rng = random.Random(seed)
    for _ in range(rng.choice([1, 3, 20])):
        file = rng.choice(sorted(store.path.glob(pattern)))
        flip(file, rng.randrange(file.stat().st_size))
    with Opened(store.config) as there:
        assert_nothing_is_wrong(there.everything(), store.truth)
    parts = damaged_parts(store.path, store.config)
    if parts:
        repair(store.path, store.config, ["a test"], parts)
    with Opened(store.config) as there:
        assert there.volume.failure is None
        assert check(there.volume, contents=False) == []
        assert_nothing_is_wrong(there.everything(), store.truth, is_repaired=True)
