"""Makes the store that is frozen for the format revision of today: one of everything, then a crash.

Its state view is behind its journal, which ends in a torn batch; a file without a name was open.

usage: python -m tests.formats.make_store

Writes NAME.tar.xz and NAME.json beside this file, and refuses to replace them: what was released stays
as it was made.  A revision that gets a further kind of record gets a further store.
"""

import io
import json
import lzma
import shutil
import stat
import struct
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.formats.looking import Seen, everything
from tests.support.access_lists import acl_for
from tests.support.persons import BOB
from vexfs_fuse.config import Config
from vexfs_fuse.tree import acl
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import KIB, MIB, NS_PER_S, ROOT, Inode
from vexfs_fuse.volume.attributes import TIME_NS_MAX, Attributes
from vexfs_fuse.volume.changes import IndexBuilt, PassagesSet, Repaired, Searched
from vexfs_fuse.volume.identity import FORMAT, IDENTITY
from vexfs_fuse.volume.opening import STATE, open_volume
from vexfs_fuse.volume.volume import Volume
from vexfs_fuse.volume.writer import SYSTEM, Actor

HERE = Path(__file__).parent
NAME = f"revision-{FORMAT}-with-holes"
VOLUME = "0f7e3ad2-5a52-4f0e-8f5e-8d1c7b1e9a01"
TORN = bytes.fromhex("97ce000f4240cf18ab")  # the beginning of a record
ALICE = Actor(1000, 1000, 4242)
ROOT_USER = Actor(0, 0, 1)
DIRECTORY, FILE, LINK = stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK


class Clock:
    """Goes on by a second, and some, with each look: every stamp is another one."""

    def __init__(self) -> None:
        self._ns = 1_767_225_600 * NS_PER_S

    def now_ns(self) -> int:
        self._ns += NS_PER_S + 1
        return self._ns

    def monotonic_s(self) -> float:
        return self._ns / NS_PER_S


def config_of(store: Path) -> Config:
    """Return options under which a small store has several files of each kind, and keeps all records."""
    return Config(
        store=store,
        pool_bytes=16 * MIB,
        segment_bytes=256 * KIB,
        journal_file_bytes=8 * KIB,
        commit_interval=3_600.0,
    )


def pattern(size: int, seed: int) -> bytes:
    """Return bytes that differ from place to place, and pack well."""
    period = bytes((place * (seed + 2) + place // 7) % 251 for place in range(4_099))
    return (period * (size // len(period) + 1))[:size]


def make(store: Path) -> dict[str, Seen]:
    """Make the store, leave it as a crash would, and return all that must be found in it."""
    with tempfile.TemporaryDirectory() as directory:
        live = Path(directory, "store")
        live.mkdir()
        identity = {"format": FORMAT, "volume": VOLUME, "created_ns": 1_767_225_600 * NS_PER_S}
        (live / IDENTITY).write_text(json.dumps(identity, indent=1) + "\n")
        clock = Clock()
        volume = open_volume(live, config_of(live), clock)
        Maker(volume).before_the_commit()
        volume.close()
        volume = open_volume(live, config_of(live), clock)
        Maker(volume).after_the_commit()
        found = everything(volume)
        _crash(volume, live, store)
        volume.close()
    return found


def _crash(volume: Volume, live: Path, store: Path) -> None:
    """Copy a store in use as a crash could have left it."""
    shutil.copytree(live, store, ignore=shutil.ignore_patterns("lock", f"{STATE}-shm", "vectors"))
    last = max((store / "journal").iterdir(), key=lambda file: int(file.stem))
    with last.open("r+b") as file:
        file.truncate(volume.journal.statistics.file_bytes - _bytes_before(store, last))
        file.seek(0, 2)
        file.write(TORN)


def _bytes_before(store: Path, last: Path) -> int:
    return sum(file.stat().st_size for file in (store / "journal").iterdir() if file != last)


class Maker:
    """Does everything that leaves a trace in the format."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self.names = volume.names

    def before_the_commit(self) -> None:
        """What the state view has."""
        self.kinds_of_nodes()
        self.contents()
        self.attributes()
        self.renames()
        self.vectors()
        self.volume.commit_all()
        self.compaction()
        self.notes()

    def after_the_commit(self) -> None:
        """What only the journal has."""
        late = self.file(ROOT, b"late", pattern(5_000, 9))
        self.volume.attributes.set_xattr(late, b"user.late", b"yes", ROOT_USER)
        small = self.names.find(ROOT, b"small")
        self.write(small, 100, pattern(300, 10))
        self.volume.vectors.set(late, b"user.vexfs.vector", b"[0.5, 0.5, 0]", ROOT_USER)
        self.volume.files.punch(late, 4_000, 2_000, ROOT_USER, keeps_size=False)
        open_file = self.file(ROOT, b"open", pattern(70_000, 11))
        open_file.opens += 1
        self.names.unlink(ROOT, b"open", ROOT_USER)
        self.names.rename(ROOT, b"empty", ROOT, b"renamed late", 0, ROOT_USER)
        self.sync()

    def kinds_of_nodes(self) -> None:
        """Every type of inode, names that are hard, links."""
        create = self.names.create
        made = create(ROOT, b"directory", DIRECTORY | 0o2750, ALICE).ino
        below = create(made, b"below", DIRECTORY | 0o755, ALICE).ino
        self.file(below, b"deep", pattern(20, 1))
        create(ROOT, b"link", LINK | 0o777, ALICE, 0, b"some\xffwhere/else")
        create(ROOT, b"fifo", stat.S_IFIFO | 0o640, ALICE)
        create(ROOT, b"socket", stat.S_IFSOCK | 0o600, ALICE)
        create(ROOT, b"device", stat.S_IFCHR | 0o600, ROOT_USER, 259)
        create(ROOT, b"disk", stat.S_IFBLK | 0o660, ROOT_USER, 8 << 8)
        create(ROOT, b"\xff\xfe \n", FILE | 0o644, ALICE)
        create(ROOT, b"n" * 255, FILE | 0o644, ALICE)
        create(ROOT, b"empty", FILE | 0o4755, ALICE)
        gone = create(ROOT, b"gone", DIRECTORY | 0o755, ALICE)
        self.names.remove_directory(ROOT, b"gone", ALICE)
        self.names.let_go(gone.ino)

    def contents(self) -> None:
        """Inline, in frames, overwritten, cut, sparse."""
        self.file(ROOT, b"inline", pattern(1_000, 2), inline=True)
        lines = self.file(ROOT, b"lines", b"", inline=True)
        for number in range(3):
            self.write(lines, 100 * number, pattern(100, number), inline=True)
        small = self.file(ROOT, b"small", pattern(10_000, 3))
        self.names.link(small.ino, ROOT, b"second name", ALICE)
        large = self.file(ROOT, b"large", pattern(300_000, 4))
        self.write(large, 70_001, pattern(70_000, 5))
        self.volume.files.resize(large, 250_000, ROOT_USER)
        sparse = self.file(ROOT, b"sparse", b"")
        self.write(sparse, 1 << 40, b"far out")
        self.volume.files.resize(sparse, 1 << 41, ROOT_USER)
        punched = self.file(ROOT, b"punched", pattern(200_000, 13))
        self.volume.files.punch(punched, 70_001, 100_000, ROOT_USER, keeps_size=True)
        program = self.file(ROOT, b"program", pattern(70_000, 6))
        self.volume.attributes.touch_atime(program, self.volume.clock.now_ns())

    def attributes(self) -> None:
        """Owners, times at the ends of what can be told, extended attributes, access lists."""
        attributes = self.volume.attributes
        small, made = self.names.find(ROOT, b"small"), self.names.find(ROOT, b"directory")
        attributes.set(small, Attributes(uid=12, gid=34, atime=-1, mtime=TIME_NS_MAX), ROOT_USER)
        attributes.set(
            self.volume.tree.node(ROOT), Attributes(mode=0o1777, uid=0, gid=0), ROOT_USER
        )
        for name, value in (
            (b"user.comment", b"short"),
            (b"user.large", pattern(20_000, 7)),
            (b"trusted.empty", b""),
            (b"security.capability", bytes(20)),
            (acl.ACCESS, acl_for(BOB, 4)),
        ):
            attributes.set_xattr(small, name, value, ROOT_USER)
        attributes.set_xattr(made, acl.DEFAULT, acl_for(BOB, 7), ROOT_USER)
        self.file(made.ino, b"inherits", b"")
        attributes.set_xattr(small, b"user.gone", b"x", ROOT_USER)
        attributes.remove_xattr(small, b"user.gone", ROOT_USER)

    def renames(self) -> None:
        """A name that is replaced, two that are exchanged, a directory that moves."""
        self.file(ROOT, b"draft", pattern(6_000, 8))
        replaced = self.file(ROOT, b"kept", b"old")
        self.names.rename(ROOT, b"draft", ROOT, b"kept", 0, ALICE)
        self.names.let_go(replaced.ino)
        self.names.rename(ROOT, b"inline", ROOT, b"lines", 2, ALICE)
        made = self.names.find(ROOT, b"directory").ino
        self.names.rename(made, b"below", ROOT, b"moved", 0, ALICE)

    def vectors(self) -> None:
        """Spaces, vectors in them, one that a save carries over, some that go."""
        vectors = self.volume.vectors
        small, kept = self.names.find(ROOT, b"small"), self.names.find(ROOT, b"kept")
        vectors.set(small, b"user.vexfs.vector", b"[1, 0, 0]", ALICE)
        vectors.set(kept, b"user.vexfs.vector", b"[0, 1, 0]", ALICE)
        vectors.create_space("distances", 2, "l2", "a-model", ALICE)
        vectors.set(small, b"user.vexfs.vector.distances", b"3 4", ALICE)
        vectors.set(kept, b"user.vexfs.vector.distances", b"6 8", ALICE)
        vectors.remove(kept, b"user.vexfs.vector.distances", ALICE)
        vectors.create_space("dropped", 2, "ip", "", ALICE)
        vectors.drop_space("dropped", ALICE)
        self.file(ROOT, b"save", pattern(500, 12))
        self.names.rename(ROOT, b"save", ROOT, b"kept", 0, ALICE)
        self.names.let_go(kept.ino)
        self.passages()

    def passages(self) -> None:
        """What an embedder makes: in one record, in two, and what goes on with a save."""
        vectors, commit = self.volume.vectors, self.volume.writer.commit
        vectors.create_space("text", 2, "cosine", "a-model", ALICE)
        number = self.volume.applier.vectors.numbers["text"]
        short, long = self.file(ROOT, b"short text", b"a"), self.file(ROOT, b"long text", b"b")
        commit(short.ino, PassagesSet(number, 5, [_raw(1, 0)]), SYSTEM)
        commit(long.ino, PassagesSet(number, None, [_raw(1, 1), _raw(1, 0)]), SYSTEM)
        commit(long.ino, PassagesSet(number, None, [_raw(0, 1)], 2), SYSTEM)
        old = self.file(ROOT, b"edited text", b"c")
        commit(old.ino, PassagesSet(number, None, [_raw(3, 4)]), SYSTEM)
        self.file(ROOT, b"edit", b"d")
        self.names.rename(ROOT, b"edit", ROOT, b"edited text", 0, ALICE)
        self.names.let_go(old.ino)

    def compaction(self) -> None:
        """Fill segments, remove most of what is in them, and have the rest moved."""
        for number in range(4):
            self.file(ROOT, b"filler-%d" % number, pattern(200_000, 20 + number))
            self.file(ROOT, b"keeper-%d" % number, pattern(2_000, 30 + number))
            self.sync()
        for number in range(4):
            filler = self.names.unlink(ROOT, b"filler-%d" % number, ALICE)
            self.names.let_go(filler.ino)
        for _ in range(8):
            for step in self.volume.maintain():
                if step is not None:
                    step.resume(step.work())
            self.sync()
        assert self.volume.compactor.moved_bytes, "nothing was moved"

    def notes(self) -> None:
        """Records that change no state."""
        note = self.volume.writer.note
        note(ROOT, Searched(ROOT, 2**63, "default", "exact", 10, 3, 250), ALICE)
        note(Inode(0), IndexBuilt(1, 2, 3, "for the format"))
        note(ROOT, Repaired(["nothing, in truth"]))
        self.sync()

    def file(self, parent: Inode, name: bytes, data: bytes, *, inline: bool = False) -> Node:
        """Make a file with contents."""
        node = self.names.create(parent, name, FILE | 0o644, ALICE)
        if data:
            self.write(node, 0, data, inline=inline)
        return node

    def write(self, node: Node, offset: int, data: bytes, *, inline: bool = False) -> None:
        """Write, flush, and make durable."""
        written = self.volume.files.write(node, offset, data)
        assert written == len(data)
        self.volume.files.flush(node, inline_allowed=inline)
        self.sync()

    def sync(self) -> None:
        """Make durable what is logged."""
        batch = self.volume.seal()
        if batch is not None:
            batch.run()
            self.volume.settle(batch, None)


def _raw(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def pack(store: Path, archive: Path) -> None:
    """Write a store as an archive whose bytes depend on nothing else."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(path for path in store.rglob("*") if path.is_file()):
            member = tarfile.TarInfo(str(path.relative_to(store)))
            member.size, member.mode = path.stat().st_size, 0o600
            with path.open("rb") as file:
                tar.addfile(member, file)
    archive.write_bytes(lzma.compress(raw.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def main() -> None:
    """Freeze the revision of today."""
    archive, expected = HERE / f"{NAME}.tar.xz", HERE / f"{NAME}.json"
    if archive.exists():
        sys.exit(f"{archive} is frozen; remove it first if it was never released")
    with tempfile.TemporaryDirectory() as directory:
        store = Path(directory, "store")
        found = make(store)
        pack(store, archive)
    expected.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
