"""What the indexer asks of a volume, and what it is told: the protocol between the two.

The volume is in another process; tests have one in memory.  Knows no journal and no socket.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from vexfs_fuse.text.embedder import Floats
from vexfs_fuse.units import Inode, Lsn


class Holds(StrEnum):
    """What vectors of text a file has."""

    NOTHING = "nothing"
    FRESH = "fresh"
    """An embedder's, of the contents as they are."""
    STALE = "stale"
    """An embedder's, of other contents."""
    USER = "user"


class Outcome(StrEnum):
    """What became of vectors that the indexer wanted a file to have."""

    SET = "set"
    CHANGED = "changed"
    """Not set: the contents are no longer those that were read."""
    KEPT = "kept"
    """Not set: a user has set one by hand."""
    ABSENT = "absent"
    """Not copied: the other file has no longer what was to be copied."""


class IgnoreFile(NamedTuple):
    """A file that says what is not to be indexed: of which directory, and which contents."""

    directory: bytes
    """Relative to the root, which is empty."""
    ino: Inode
    stamp: bytes


class Place(NamedTuple):
    """One name of a file."""

    path: bytes
    """Relative to the root."""
    parent: Inode
    ignores: tuple[IgnoreFile, ...]
    """Those of the directories above, from the root on."""


class Look(NamedTuple):
    """A file or directory as it is now."""

    ino: Inode
    is_directory: bool
    places: tuple[Place, ...]
    """All its names, in the order of their bytes; none of a directory's are told."""
    size: int
    stamp: bytes
    """Changes with the contents; empty while what was written is not in the journal."""
    writers: int
    """Handles by which somebody may write to it."""
    quiet_s: float
    """Time since it was last changed."""
    holds: Holds
    vectors: int
    """Vectors of text, that of the whole included."""


class Affected(NamedTuple):
    """What a record of the journal makes worth a look."""

    lsn: Lsn
    ino: Inode


class Followed(NamedTuple):
    """A stretch of the journal."""

    position: Lsn
    """Its last record: what comes after is for the next time."""
    affected: Sequence[Affected]


class Desk(Protocol):
    """Where the indexer puts its questions, one at a time; each may raise `ConnectionError`."""

    @property
    def durable(self) -> Lsn:
        """The last record known to survive a power cut."""
        ...

    @property
    def logged(self) -> Lsn:
        """The last record there was at the last answer, which tells of no later ones."""
        ...

    def follow(self, after: Lsn) -> Followed | None:
        """Return what the next durable records affect; None when those after `after` are gone."""
        ...

    def hints(self) -> list[Inode]:
        """Return the files that were closed or renamed since the last call, as far as is known."""
        ...

    def look(self, inos: Sequence[Inode], *, settle: bool = False) -> list[Look | None]:
        """Look at inodes: None for what has no name, or is neither a regular file nor a directory.

        With `settle`, what was written to files that are open reaches the journal first.
        """
        ...

    def listing(self, directory: Inode, cookie: int) -> tuple[list[Inode], int]:
        """Return the next files and directories of a directory, and the cookie to go on with, or 0."""
        ...

    def read(self, ino: Inode) -> bytes | None:
        """Return a file's contents; None when they cannot be read."""
        ...

    def set_passages(self, ino: Inode, stamp: bytes, vectors: Floats) -> Outcome:
        """Give a file its vectors, if its contents are still those of `stamp`."""
        ...

    def keep_passages(self, ino: Inode, stamp: bytes) -> Outcome:
        """Let a file's vectors be of its contents, if these are still those of `stamp`."""
        ...

    def copy_passages(
        self, ino: Inode, stamp: bytes, source: Inode, source_stamp: bytes
    ) -> Outcome:
        """Give a file the vectors of another one, if both still have the contents of their stamps."""
        ...

    def drop_passages(self, ino: Inode) -> None:
        """Take an embedder's vectors from a file, if it has any."""
        ...
