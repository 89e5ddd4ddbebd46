"""The option `durability`: what an answer promises beyond what fsync does.

`interval` is how the core answers by itself.  The other two replace methods of the mounted view, so
that the usual mode pays nothing for them.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from vexfs_fuse.fuse.slow import then
from vexfs_fuse.pending import Durable
from vexfs_fuse.units import Lsn

CHANGES: Final = (
    "mknod",
    "mkdir",
    "symlink",
    "link",
    "unlink",
    "rmdir",
    "rename",
    "setattr",
    "setxattr",
    "removexattr",
    "create",
    "open",  # may truncate
    "fallocate",
)
"""Methods of the mounted view that may log a change."""

SYNCS: Final = ("fsync", "fsyncdir")

Method = Callable[..., Any]


class Logged(Protocol):
    """What is needed of a volume."""

    @property
    def logged_lsn(self) -> Lsn:
        """The last record."""
        ...


def promise(durability: str, vfs: Any, volume: Logged) -> None:
    """Make `vfs` answer as `durability` says: none, interval or always."""
    if durability == "always":
        vfs.write = _durable_write(vfs.write, vfs.fsync)
        for name in CHANGES:
            setattr(vfs, name, _durable(getattr(vfs, name), volume))
    elif durability == "none":
        for name in SYNCS:
            setattr(vfs, name, _at_once(getattr(vfs, name)))


def _durable(method: Method, volume: Logged) -> Method:
    def change(*request: Any) -> Any:
        before = volume.logged_lsn
        return then(method(*request), lambda value: _once_durable(value, volume, before))

    return change


def _once_durable(value: Any, volume: Logged, before: Lsn) -> Any:
    lsn = volume.logged_lsn
    return value if lsn == before else Durable(lsn, value)


def _durable_write(write: Method, fsync: Method) -> Method:
    def change(handle: int, *request: Any) -> Any:
        return then(
            write(handle, *request),
            lambda size: then(fsync(handle, True), lambda _: size),
        )

    return change


def _at_once(sync: Method) -> Method:
    """Return what stages and logs as `sync` does, and waits for no disk."""

    def answer(*request: Any) -> Any:
        return sync(*request).value

    return answer
