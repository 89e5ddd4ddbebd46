"""What extended attributes tell of a file's place in the index: read in a worker, told as bytes."""

from vexfs_fuse.errors import NoAttribute
from vexfs_fuse.pending import Pending
from vexfs_fuse.text.lookup import TextLookup
from vexfs_fuse.units import Inode


def index_error(lookup: TextLookup, ino: Inode) -> Pending[bytes]:
    """Return why a file's text is not in the index; the answer may be `NoAttribute`."""

    def told(error: str | None) -> bytes:
        if error is None:
            raise NoAttribute
        return error.encode()

    return Pending(lambda: lookup.error(ino), told)


def index_pending(lookup: TextLookup, ino: Inode) -> Pending[bytes]:
    """Return whether a file is still to be indexed, as far as the journal was followed: 1 or 0."""
    return Pending(lambda: lookup.is_pending(ino), lambda pending: b"%d" % pending)
