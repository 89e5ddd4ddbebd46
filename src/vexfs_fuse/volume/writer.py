"""Decide, log, apply: the middle and the end of it.  Who decides calls `admit`, then `commit`."""

from typing import NamedTuple, Protocol

from vexfs_fuse.clock import Clock
from vexfs_fuse.errors import CorruptData, NoSpace, ReadOnly, VexfsError
from vexfs_fuse.storage.journal import Journal
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import Inode
from vexfs_fuse.volume.apply import Applier
from vexfs_fuse.volume.changes import Change, body


class Caller(Protocol):
    """Who asks: pyfuse3's RequestContext, or `SYSTEM`."""

    @property
    def uid(self) -> int:
        """User id."""
        ...

    @property
    def gid(self) -> int:
        """Group id."""
        ...

    @property
    def pid(self) -> int:
        """Process id; 0 when it is not known."""
        ...

    @property
    def umask(self) -> int:
        """File mode creation mask."""
        ...


class Actor(NamedTuple):
    """A caller that is not a FUSE request."""

    uid: int
    gid: int
    pid: int
    umask: int = 0


SYSTEM = Actor(0, 0, 0)
"""The daemon itself."""


class Writer:
    """The only way to change a volume."""

    def __init__(self, journal: Journal, applier: Applier, clock: Clock) -> None:
        self.journal = journal
        self.applier = applier
        self.clock = clock
        self.changes = 0  # records, but for those of searches
        self.refusal: str | None = None  # why the volume takes no changes; None: it does

    def admit(self, *, is_freeing: bool = False) -> None:
        """Raise unless a change can be logged now.

        What frees space, or was long promised, finds room that other changes do not.

        Raises
        ------
        ReadOnly
            The volume takes no changes.
        NoSpace
            The journal finds no room.
        """
        if self.refusal is not None:
            raise ReadOnly(self.refusal)
        self.journal.reserve_space(is_freeing=is_freeing)

    def note(self, ino: Inode, change: Change, who: Caller | None = None) -> None:
        """Log a record that changes no state, if there is room for it."""
        if self.refusal is not None:
            return
        try:
            self.journal.reserve_space()
        except NoSpace:
            return
        actor = who or SYSTEM
        self.journal.append(
            change.__class__.__name__,
            ino,
            (actor.uid, actor.gid, actor.pid),
            body(change),
            self.clock.now_ns(),
        )

    def commit(self, ino: Inode, change: Change, who: Caller) -> Node | None:
        """Log a change that was decided and admitted, and apply it; return the inode's node.

        Raises
        ------
        CorruptData
            The state view is damaged where the change belongs.  That should have been found before;
            now memory and journal differ, so the volume takes no more changes.
        """
        now = self.clock.now_ns()
        self.changes += 1
        kind = change.__class__
        lsn = self.journal.append(
            kind.__name__, ino, (who.uid, who.gid, who.pid), body(change), now
        )
        try:
            return self.applier.table[kind](lsn, now, ino, change)
        except BaseException as failure:
            self.refusal = self.refusal or f"record {lsn} could not be applied: {failure}"
            if isinstance(failure, VexfsError):
                raise CorruptData(str(failure)) from failure
            raise
