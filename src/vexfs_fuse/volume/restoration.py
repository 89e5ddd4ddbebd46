"""Makes a store of what `volume/backup.py` wrote: all of it, or nothing.

The files are laid in a directory within the target, and take their places when whoever asked has found
them good.  What fails before that leaves the target as it was.
"""

import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from vexfs_fuse.errors import Exists, StoreDamaged
from vexfs_fuse.volume.backup import COPIED, MEMBER, Progress
from vexfs_fuse.volume.identity import IDENTITY

DRAFT: Final = ".restoring"
"""Where a store is until it is whole; one that a power cut left there is removed by the next attempt."""

_COPY_BYTES: Final = 1 << 20


class Draft(NamedTuple):
    """A store that has been read from a backup, and where it is for now."""

    path: Path
    size_bytes: int  # of the files in the backup


@contextmanager
def restoration(
    source: BinaryIO, store: Path, progress: Progress = lambda _: None
) -> Iterator[Draft]:
    """Read a backup, let the caller look at it, and make it the store unless that raises.

    Raises
    ------
    Exists
        The target is not empty.
    StoreDamaged
        This is no whole backup.
    """
    is_made = not store.exists()
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(entry.name != DRAFT for entry in store.iterdir()):
        raise Exists(f"{store} is not empty")
    draft = store / DRAFT
    try:
        shutil.rmtree(draft, ignore_errors=True)
        yield Draft(draft, _read(source, draft, progress))
        _settle(draft, store)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        if is_made:
            store.rmdir()
        raise


def _read(source: BinaryIO, draft: Path, progress: Progress) -> int:
    draft.mkdir(mode=0o700)
    for part in COPIED:
        (draft / part).mkdir(mode=0o700)
    try:
        with tarfile.open(fileobj=source, mode="r|*") as archive:
            size_bytes = _extract(archive, draft, progress)
    except (tarfile.TarError, EOFError) as error:
        raise StoreDamaged(f"not a whole backup: {error}") from None
    if not (draft / IDENTITY).exists():
        raise StoreDamaged(f"not a backup: {IDENTITY} is missing")
    return size_bytes


def _extract(archive: tarfile.TarFile, draft: Path, progress: Progress) -> int:
    size_bytes = 0
    for member in archive:
        if not (MEMBER.fullmatch(member.name) and member.isreg()):
            raise StoreDamaged(f"not a backup: it has {member.name!r}")
        source = archive.extractfile(member)
        assert source is not None
        with open(draft / member.name, "xb", opener=_private) as target:
            shutil.copyfileobj(source, target, _COPY_BYTES)
            target.flush()
            os.fsync(target.fileno())
        size_bytes += member.size
        progress(size_bytes)
    return size_bytes


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _settle(draft: Path, store: Path) -> None:
    """Give all parts their places; `volume.json` comes last, as it says that the rest is there."""
    for directory in (*(draft / part for part in COPIED), draft):
        _sync_directory(directory)
    parts = sorted(draft.iterdir(), key=lambda part: part.name == IDENTITY)
    for part in parts:
        if part.name == IDENTITY:
            _sync_directory(store)
        part.rename(store / part.name)
    draft.rmdir()
    _sync_directory(store)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
