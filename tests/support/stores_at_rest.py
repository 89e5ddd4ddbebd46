"""A store in a directory, opened and looked at without a mount."""

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from vexfs_fuse.config import Config
from vexfs_fuse.units import MIB, ROOT, Inode
from vexfs_fuse.vfs.posix import Vfs
from vexfs_fuse.vfs.virtual import VirtualTrees
from vexfs_fuse.volume.check import check
from vexfs_fuse.volume.damaged import Part
from vexfs_fuse.volume.opening import open_volume
from vexfs_fuse.volume.repair import damaged_parts, repair

CONTENTS = b"meaning" * 3_000


class Someone(NamedTuple):
    uid: int = 0
    gid: int = 0
    pid: int = 1
    umask: int = 0o022


class Store:
    """A store at rest with a small tree: /d, /d/e, /d/f with contents and an attribute, /d/g -> f."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = Config(store=path, pool_bytes=16 * MIB)
        with self.opened() as vfs:
            who = Someone()
            d = vfs.mkdir(ROOT, b"d", 0o755, who).ino
            vfs.mkdir(d, b"e", 0o755, who)
            handle, file = vfs.create(d, b"f", 0o644, 2, who)
            vfs.write(handle, 0, CONTENTS)
            vfs.setxattr(file.ino, b"user.a", b"b", who)
            vfs.link(file.ino, ROOT, b"second", who)
            vfs.symlink(d, b"g", b"f", who)
            vfs.release(handle)

    @contextmanager
    def opened(self) -> Iterator[Vfs]:
        volume = open_volume(self.path, self.config)
        try:
            yield Vfs(volume, VirtualTrees(), open_max=100, atime="noatime")
        finally:
            volume.close()

    def execute(self, sql: str) -> None:
        with closing(sqlite3.connect(self.path / "state.sqlite3")) as view, view:
            view.execute(sql)

    def problems(self, *, contents: bool = True) -> list[str]:
        volume = open_volume(self.path, self.config)
        try:
            return check(volume, contents=contents)
        finally:
            volume.close()

    def repair(self, parts: set[Part] | None = None) -> list[str]:
        parts = parts or damaged_parts(self.path, self.config)
        return repair(self.path, self.config, ["found by a test"], parts)

    def tree(self) -> dict[str, str]:
        """Return every path with what is there."""
        with self.opened() as vfs:
            return dict(_walk(vfs, ROOT, ""))

    def read(self, *names: bytes) -> bytes:
        who = Someone()
        with self.opened() as vfs:
            ino: Inode = ROOT
            for name in names:
                ino = vfs.lookup(ino, name, who).ino
            handle, _, _ = vfs.open(ino, 0, who)
            found = vfs.read(handle, 0, 1 << 20)
            if not isinstance(found, bytes | memoryview):
                found = found.resume(found.work())
            data = bytes(found)
            vfs.release(handle)
            return data


def _walk(vfs: Vfs, ino: Inode, path: str) -> Iterator[tuple[str, str]]:
    handle = vfs.opendir(ino, Someone())
    for name, entry, _ in list(vfs.readdir(handle, 0)):
        if name in {b".", b".."}:
            continue
        here = f"{path}/{name.decode()}"
        yield here, stat.filemode(entry.mode)[0]
        if stat.S_ISDIR(entry.mode):
            yield from _walk(vfs, entry.ino, here)
    vfs.releasedir(handle)
