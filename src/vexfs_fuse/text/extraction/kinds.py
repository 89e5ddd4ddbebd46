"""Which parser a file needs, by its first bytes; reads nothing else, so that anybody may ask.

Names do not count here: a wrong one must not bring a file to a parser in C.
"""

from enum import Enum
from typing import Final

from vexfs_fuse.text.extraction.textual import is_binary

HEAD_BYTES: Final = 64 * 1024
"""How much of a file is asked for."""

_PDF_WITHIN: Final = 1_024
"""Readers of PDF look for its mark so far, and writers know it."""


class Kind(Enum):
    """The parsers, by the names of their modules."""

    DOCUMENTS = "vexfs_fuse.text.extraction.documents"
    PDF = "vexfs_fuse.text.extraction.pdf"


def kind_of(head: bytes) -> Kind | None:
    """Return the parser for a file that begins with `head`; None when it is surely no text."""
    if b"%PDF-" in head[:_PDF_WITHIN]:
        return Kind.PDF
    if head.startswith((b"PK\3\4", b"\x1f\x8b")) or not is_binary(head):
        return Kind.DOCUMENTS
    return None
