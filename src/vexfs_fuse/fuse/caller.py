"""Who asks, as a request's header says it."""

from typing import Final

from vexfs_fuse.fuse.protocol import IDS

CALLERS_MAX: Final = 1024
"""Callers that are remembered, so that most requests need not make one."""


class Requester:
    """The process behind a request; what `volume.writer.Caller` asks for."""

    __slots__ = ("gid", "pid", "uid", "umask")

    def __init__(self, uid: int, gid: int, pid: int, umask: int) -> None:
        self.uid = uid
        self.gid = gid
        self.pid = pid
        self.umask = umask

    def __repr__(self) -> str:
        """Return the numbers, for the log."""
        return f"asked by uid {self.uid} gid {self.gid} pid {self.pid}"


class Requesters(dict[bytes, Requester]):
    """The latest callers, by the bytes of a header that tell them; never changed themselves."""

    def __missing__(self, ids: bytes) -> Requester:
        """Take in one more."""
        return self._remember(ids, 0)

    def with_umask(self, ids: bytes, umask: int) -> Requester:
        """Return who makes a file; only such requests tell the umask."""
        found = self[ids]
        return found if found.umask == umask else self._remember(ids, umask)

    def _remember(self, ids: bytes, umask: int) -> Requester:
        if len(self) >= CALLERS_MAX:
            self.clear()
        uid, gid, pid = IDS.unpack(ids)
        made = self[ids] = Requester(uid, gid, pid, umask)
        return made
