"""Copies a store into a tar stream, consistent while a daemon writes to it.

The order makes it so.  All files that exist are held open first, so that none can go away.  Then
the state view is copied as of some record, then the journal, which reaches at least that far, then
the segments, which hold at least what that journal points at.  The copy is a store as a crash could
have left it: opening it recovers.
"""

import re
import resource
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import BinaryIO, Final

from vexfs_fuse.errors import NotFound
from vexfs_fuse.volume.identity import IDENTITY
from vexfs_fuse.volume.opening import STATE

Progress = Callable[[int], None]
"""Called with the bytes copied so far."""

COPIED: Final = ("journal", "segments")
"""The directories of a store that a backup holds."""

MEMBER: Final = re.compile(
    rf"{re.escape(IDENTITY)}|{re.escape(STATE)}|journal/[0-9]+\.vxj|segments/[0-9]+\.seg"
)


def write_backup(store: Path, target: BinaryIO, progress: Progress = lambda _: None) -> int:
    """Write the store to `target` as a tar stream; return the bytes of its files.

    Holds everything that was durable when it began, and may hold some that came later.

    Raises
    ------
    NotFound
        There is no store.
    """
    if not (store / IDENTITY).exists():
        raise NotFound(f"{store} holds no volume")
    _raise_open_files_limit()
    with ExitStack() as cleanup:
        held = _Held(store, cleanup)
        held.look()
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        state = _snapshot(store / STATE, directory)
        archive = cleanup.enter_context(tarfile.open(fileobj=target, mode="w|"))
        writer = _Writer(archive, progress)
        writer.add(IDENTITY, cleanup.enter_context((store / IDENTITY).open("rb")))
        writer.add(STATE, cleanup.enter_context(state.open("rb")))
        for part in COPIED:
            held.look()
            for name, file in held.files(part):
                writer.add(name, file)
        return writer.size_bytes


def _snapshot(database: Path, directory: Path) -> Path:
    """Copy the state view as of its last commit; SQLite lets the daemon go on meanwhile."""
    copy = directory / STATE
    with (
        closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    return copy


class _Held:
    """The store's journal and segment files, kept open so that a removal does not take them."""

    def __init__(self, store: Path, cleanup: ExitStack) -> None:
        self._store = store
        self._cleanup = cleanup
        self._open: dict[str, BinaryIO] = {}

    def look(self) -> None:
        """Open what has appeared since the last look."""
        for part in COPIED:
            directory = self._store / part
            for entry in directory.iterdir() if directory.exists() else ():
                name = f"{part}/{entry.name}"
                if name in self._open or not MEMBER.fullmatch(name):
                    continue
                try:
                    self._open[name] = self._cleanup.enter_context(entry.open("rb"))
                except FileNotFoundError:
                    pass  # dropped between listing and opening: nothing needs it

    def files(self, part: str) -> list[tuple[str, BinaryIO]]:
        """Return the files of one directory in the order of their numbers."""
        found = [(name, file) for name, file in self._open.items() if name.startswith(part)]
        return sorted(found, key=lambda item: int(Path(item[0]).stem))


class _Writer:
    """Adds files to the archive at the size they have now; they may grow."""

    def __init__(self, archive: tarfile.TarFile, progress: Progress) -> None:
        self._archive = archive
        self._progress = progress
        self.size_bytes = 0

    def add(self, name: str, file: BinaryIO) -> None:
        member = self._archive.gettarinfo(arcname=name, fileobj=file)
        member.uname = member.gname = ""
        member.uid = member.gid = 0
        self._archive.addfile(member, file)
        self.size_bytes += member.size
        self._progress(self.size_bytes)


def _raise_open_files_limit() -> None:
    """A store of a terabyte has four thousand segments, the usual limit is a thousand."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
