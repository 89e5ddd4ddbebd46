"""What is still there after an unmount, and after the daemon is killed."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.access_lists import ACCESS, DEFAULT, acl_for
from tests.support.mounting import MountedVolume
from tests.support.persons import BOB


def make_one_of_each(root: Path) -> None:
    """Make nodes of every kind, with every sort of attribute."""
    (root / "directory" / "empty").mkdir(parents=True)
    (root / "directory" / "file").write_bytes(os.urandom(300_000))
    os.link(root / "directory" / "file", root / "second name")
    (root / "small").write_bytes(b"small")
    with (root / "sparse").open("wb") as sparse:
        sparse.seek(1 << 30)
        sparse.write(b"end")
    (root / "link").symlink_to("somewhere/else")
    os.mkfifo(root / "fifo", 0o640)
    os.mknod(root / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    (root / os.fsdecode(b"\xff\xfe \n")).touch()
    os.setxattr(root / "small", "user.key", b"value" * 1_000)
    os.setxattr(root / "small", "trusted.key", b"")
    os.setxattr(root / "small", ACCESS, acl_for(BOB, 4))
    os.setxattr(root / "directory", DEFAULT, acl_for(BOB, 7))
    os.chown(root / "sparse", 12, 34)
    (root / "sparse").chmod(0o4751)
    os.utime(root / "sparse", ns=(-1, 2**62))


class Seen(NamedTuple):
    """What can be told of one path, but its atime."""

    attributes: tuple[int, ...]
    contents: bytes | str | tuple[str, ...]
    xattrs: dict[str, bytes]


def everything_below(root: Path) -> dict[str, Seen]:
    """Look at every path of a tree."""
    return {str(path.relative_to(root)): _seen(path) for path in [root, *root.rglob("*")]}


def _seen(path: Path) -> Seen:
    found = path.lstat()
    attributes = (
        found.st_ino,
        found.st_mode,
        found.st_nlink,
        found.st_uid,
        found.st_gid,
        found.st_size,
        found.st_rdev,
        found.st_blocks,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )
    contents: bytes | str | tuple[str, ...] = b""
    if path.is_symlink():
        contents = os.readlink(path)
    elif path.is_dir():
        contents = tuple(os.listdir(path))
    elif path.is_file() and found.st_size < 1 << 20:
        contents = path.read_bytes()
    names = os.listxattr(path, follow_symlinks=False)
    return Seen(attributes, contents, {name: os.getxattr(path, name) for name in names})


def synced(path: Path) -> None:
    """Sync a file or directory."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def test_an_unmount_loses_nothing(volume: MountedVolume) -> None:
    make_one_of_each(volume.path)
    before = everything_below(volume.path)
    volume.remount()
    assert everything_below(volume.path) == before
    volume.remount()
    assert everything_below(volume.path) == before


def test_a_kill_loses_nothing_that_was_synced(volume: MountedVolume) -> None:
    make_one_of_each(volume.path)
    for path in [*volume.path.rglob("*"), volume.path]:
        if path.is_dir() or (path.is_file() and not path.is_symlink()):
            synced(path)
    before = everything_below(volume.path)
    volume.kill9()
    volume.start()
    assert everything_below(volume.path) == before


def _make(root: Path) -> Path:
    (root / "made").touch()
    return root / "made"


def _replace(root: Path) -> Path:
    (root / "draft").write_bytes(b"fresh")
    synced(root / "draft")
    (root / "draft").rename(root / "kept")
    return root / "kept"


def _link(root: Path) -> Path:
    os.link(root / "kept", root / "linked")
    return root / "linked"


@pytest.mark.parametrize("change", [_make, _replace, _link])
def test_a_synced_directory_keeps_its_changes(
    volume: MountedVolume, change: Callable[[Path], Path]
) -> None:
    (volume.path / "kept").write_bytes(b"stale")
    synced(volume.path / "kept")
    changed = change(volume.path)
    synced(volume.path)
    before = _seen(changed)
    volume.kill9()
    volume.start()
    assert _seen(changed) == before
