"""Saved queries: what `.saved` of a directory holds, and the text of each, which `.query` shows.

They are kept as attributes of the directory that no program sees.
"""

from typing import Any, Final

from vexfs_fuse.errors import (
    AccessDenied,
    Exists,
    FileTooBig,
    InvalidArgument,
    NoAttribute,
    NoSpace,
    NotFound,
)
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import Inode
from vexfs_fuse.vfs.search import grammar
from vexfs_fuse.volume.volume import Volume
from vexfs_fuse.volume.writer import Caller

PREFIX: Final = b"vexfs.saved."
TEXT_BYTES_MAX: Final = 4096
SAVED_MAX: Final = 1_000
"""Saved queries of one directory."""


class SavedQueries:
    """The saved queries of all directories of a volume."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def names(self, scope: Inode) -> list[bytes]:
        """Return the names of the queries that are saved in a directory, in the order of their bytes."""
        attributes = self._volume.tree.xattrs(self._node(scope))
        return sorted(key.removeprefix(PREFIX) for key in attributes if key.startswith(PREFIX))

    def text(self, scope: Inode, name: bytes) -> bytes:
        """Return what a saved query asks, as a path.

        Raises
        ------
        NotFound
        """
        text = self._volume.tree.xattrs(self._node(scope)).get(PREFIX + name)
        if text is None:
            raise NotFound
        return text

    def make(self, scope: Inode, name: bytes, who: Caller) -> None:
        """Save a query that asks for its name.

        Raises
        ------
        AccessDenied, Exists, InvalidArgument, NoSpace
        """
        names = self.names(scope)
        if name in names:
            raise Exists
        if len(names) >= SAVED_MAX:
            raise NoSpace(f"more than {SAVED_MAX} saved queries")
        self.change(scope, name, name, who)

    def change(self, scope: Inode, name: bytes, text: bytes, who: Caller) -> None:
        """Give a saved query another text: segments, divided by slashes or lines.

        Raises
        ------
        AccessDenied, InvalidArgument
        """
        segments = segments_of(text)
        if not segments:
            raise InvalidArgument("a query has segments")
        if any(segment.startswith(b".") for segment in segments):
            raise InvalidArgument("a segment that begins with a dot is written text=.…")
        grammar.parse(segments, self._volume.clock.now_ns())
        node = self._owned(scope, who)
        self._volume.attributes.set_hidden(node, PREFIX + name, b"/".join(segments), who)

    def forget(self, scope: Inode, name: bytes, who: Caller) -> None:
        """Forget a saved query.

        Raises
        ------
        AccessDenied, NotFound
        """
        try:
            self._volume.attributes.set_hidden(self._owned(scope, who), PREFIX + name, None, who)
        except NoAttribute:
            raise NotFound from None

    def _node(self, scope: Inode) -> Node:
        return self._volume.tree.node(scope)

    def _owned(self, scope: Inode, who: Caller) -> Node:
        node = self._node(scope)
        if who.uid not in {0, node.uid}:
            raise AccessDenied("only its owner saves queries in a directory")
        return node


def segments_of(text: bytes) -> tuple[bytes, ...]:
    """Return the segments that the text of a saved query has."""
    return tuple(part for part in text.replace(b"\n", b"/").split(b"/") if part)


class QueryText:
    """An open `.query`; each write saves all that has been written."""

    def __init__(
        self, saved: SavedQueries, scope: Inode, name: bytes, who: Caller, *, begins: bytes
    ) -> None:
        self._saved = saved
        self._scope = scope
        self._name = name
        self._who = who
        self._text = bytearray(begins)

    def read(self, offset: int, size: int) -> bytes:
        """Return at most `size` bytes from `offset`."""
        return bytes(self._text[offset : offset + size])

    def write(self, offset: int, data: bytes) -> Any:
        """Write at `offset`.

        Raises
        ------
        FileTooBig, InvalidArgument
            What has been written by now is no query.
        """
        end = offset + len(data)
        if end > TEXT_BYTES_MAX:
            raise FileTooBig
        text = self._text.ljust(offset, b"\n")
        text[offset:end] = data
        self._saved.change(self._scope, self._name, bytes(text), self._who)
        self._text = text
        return len(data)
