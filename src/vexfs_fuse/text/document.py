"""What extraction makes of a file, and the passages that it is cut into.

Knows no file formats, no models and no index.
"""

from typing import NamedTuple


class Document(NamedTuple):
    """The text of one file.

    Lines are separated by a line feed.  For files that are text themselves they are the file's own
    lines, so that a line number leads to the place in an editor; for others they are lines of this text.
    """

    title: str
    """What the contents name as their title; empty when they name none."""
    text: str
    is_cut: bool = False
    """Whether the file has more text than is taken of one."""


class Passage(NamedTuple):
    """A run of a document's lines that is embedded and found as one."""

    number: int
    """From 1, in the order of the text."""
    first_line: int
    """From 1."""
    last_line: int
    """Inclusive."""
    text: str
    """As it stands in the document, without the title."""
