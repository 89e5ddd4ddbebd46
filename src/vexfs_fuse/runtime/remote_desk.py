"""The volume as the indexer's process sees it: questions go to the daemon, the journal is read here."""

import socket
from collections.abc import Sequence
from typing import Any, Final

from vexfs_fuse.errors import VexfsError
from vexfs_fuse.runtime.frames import ask
from vexfs_fuse.runtime.journal_follower import JournalFollower
from vexfs_fuse.text.desk import Followed, Holds, IgnoreFile, Look, Outcome, Place
from vexfs_fuse.text.embedder import Floats
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.volume.indexing import VALUES_MAX, affected

FOLLOWED_MAX: Final = 2_000
"""Records that are read at a time."""


class RemoteDesk:
    """A desk at the other end of a socket; see `text.desk.Desk`."""

    def __init__(self, channel: socket.socket, journal: JournalFollower) -> None:
        self._channel = channel
        self._journal = journal
        self._hints: dict[Inode, None] = {}
        self.durable = Lsn(0)
        self.logged = Lsn(0)
        self.failure = ""  # why the last question was not answered

    def ask(self, *question: Any) -> Any:
        """Put a question; None when it could not be answered.

        Raises
        ------
        ConnectionError
        """
        answer = ask(self._channel, *question)
        self.durable, self.logged = Lsn(answer.durable), Lsn(answer.logged)
        self._hints.update(dict.fromkeys(map(Inode, answer.hints)))
        self.failure = answer.failure or ""
        return None if answer.failure is not None else answer.result

    def follow(self, after: Lsn) -> Followed | None:
        """Return what the next durable records affect; None when those after `after` are gone."""
        entries = self._journal.read(after, self.durable, FOLLOWED_MAX)
        if not entries or entries[0].lsn != after + 1:
            return None
        found = [each for entry in entries for each in affected(entry)]
        return Followed(entries[-1].lsn, found)

    def hints(self) -> list[Inode]:
        """Return the files that were closed since the last call."""
        hints, self._hints = list(self._hints), {}
        return hints

    def look(self, inos: Sequence[Inode], *, settle: bool = False) -> list[Look | None]:
        """Look at inodes."""
        found = self.ask("look", list(inos), settle)
        if found is None:
            raise VexfsError(self.failure)
        return [None if each is None else _look(*each) for each in found]

    def listing(self, directory: Inode, cookie: int) -> tuple[list[Inode], int]:
        """Return the next entries of a directory, and the cookie to go on with, or 0."""
        inos, cookie = self.ask("listing", directory, cookie) or ([], 0)
        return inos, cookie

    def read(self, ino: Inode) -> bytes | None:
        """Return a file's contents; None when they cannot be read."""
        parts: list[bytes] = []
        offset = 0
        while True:
            part = self.ask("read", ino, offset)
            if part is None:
                return None
            if not part:
                return b"".join(parts)
            parts.append(part)
            offset += len(part)

    def set_passages(self, ino: Inode, stamp: bytes, vectors: Floats) -> Outcome:
        """Give a file its vectors, some at a time."""
        outcome = Outcome.SET
        for first in range(0, len(vectors), VALUES_MAX):
            values = [row.tobytes() for row in vectors[first : first + VALUES_MAX].astype("<f4")]
            outcome = self._outcome("set", ino, stamp, values, first)
            if outcome is not Outcome.SET:
                break
        return outcome

    def keep_passages(self, ino: Inode, stamp: bytes) -> Outcome:
        """Let a file's vectors be of its contents."""
        return self._outcome("set", ino, stamp, [], 0)

    def copy_passages(
        self, ino: Inode, stamp: bytes, source: Inode, source_stamp: bytes
    ) -> Outcome:
        """Give a file the vectors of another one, some at a time."""
        first = 0
        while True:
            answer = self.ask("copy", ino, stamp, source, source_stamp, first)
            if answer is None:
                raise VexfsError(self.failure)
            outcome, first = answer
            if not first:
                return Outcome(outcome)

    def drop_passages(self, ino: Inode) -> None:
        """Take an embedder's vectors from a file."""
        self.ask("drop", ino)

    def _outcome(self, *question: Any) -> Outcome:
        """Return what became of vectors; a volume that takes none now is not asked again and again."""
        answer = self.ask(*question)
        if answer is None:
            raise VexfsError(self.failure)
        return Outcome(answer)


def _look(
    ino: int,
    is_directory: bool,
    places: Sequence[Any],
    size: int,
    stamp: bytes,
    writers: int,
    quiet_s: float,
    holds: str,
    vectors: int,
) -> Look:
    named = tuple(
        Place(path, parent, tuple(IgnoreFile(*each) for each in ignores))
        for path, parent, ignores in places
    )
    return Look(
        Inode(ino), is_directory, named, size, stamp, writers, quiet_s, Holds(holds), vectors
    )
