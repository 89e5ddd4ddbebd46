"""Text that is read as it is: notes, source code, tables, logs."""

from vexfs_fuse.text.document import Document
from vexfs_fuse.text.extraction.encoding import decode


def extract(data: bytes, chars_max: int) -> Document | None:
    """Return a text with its own lines and no title; None for what is no text."""
    text = decode(data, chars_max + 1)
    return None if text is None else Document("", text[:chars_max], is_cut=len(text) > chars_max)
