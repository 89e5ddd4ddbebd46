"""What extended attributes tell of a file's place in the index: read in a worker, told as bytes."""

from typing import Final

from vexfs_fuse.errors import NoAttribute
from vexfs_fuse.pending import Pending
from vexfs_fuse.text.lookup import TextLookup
from vexfs_fuse.units import Inode

CUT: Final = b"it has more text than is indexed of one file: what comes later is not found"


def index_error(lookup: TextLookup, ino: Inode) -> Pending[bytes]:
    """Return why a file's text is not in the index; the answer may be `NoAttribute`."""

    def told(error: str | None) -> bytes:
        if error is None:
            raise NoAttribute
        return error.encode()

    return Pending(lambda: lookup.error(ino), told)


def index_cut(lookup: TextLookup, ino: Inode) -> Pending[bytes]:
    """Return that a file has more text than is in the index; the answer may be `NoAttribute`."""

    def told(is_cut: bool) -> bytes:
        if not is_cut:
            raise NoAttribute
        return CUT

    return Pending(lambda: lookup.is_cut(ino), told)


def index_pending(lookup: TextLookup, ino: Inode) -> Pending[bytes]:
    """Return whether a file is still to be indexed, as far as the journal was followed: 1 or 0."""
    return Pending(lambda: lookup.is_pending(ino), lambda pending: b"%d" % pending)
