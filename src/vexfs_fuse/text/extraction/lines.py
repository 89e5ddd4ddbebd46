"""Collects the text of a document line by line, and knows when it is enough."""

import re
from typing import Final

from vexfs_fuse.text.document import Document
from vexfs_fuse.text.extraction.encoding import normalize
from vexfs_fuse.text.extraction.markup import Enough

_SPACES: Final = re.compile("[ \xa0\n]+")


class Lines:
    """The text so far.  Beyond `chars_max` characters it raises `Enough`, and goes on if asked to."""

    def __init__(self, chars_max: int) -> None:
        self._chars_max = chars_max
        self._parts: list[str] = []
        self._chars = 0  # of the parts
        self._current: list[str] = []
        self._current_chars = 0

    def add(self, text: str) -> None:
        """Add to the line."""
        self._current.append(text)
        self._current_chars += len(text)
        if self._chars + self._current_chars > 2 * self._chars_max + len(text):
            self.end_line()  # it has no end

    def end_line(self) -> str:
        """End the line, which is not there if it is empty; return it."""
        line = _SPACES.sub(" ", normalize("".join(self._current))).strip()
        self._current.clear()
        self._current_chars = 0
        if line:
            self._append(line + "\n")
        return line

    def end_part(self) -> None:
        """End a part of the document: an empty line follows."""
        self.end_line()
        if self._parts and self._parts[-1] != "\n":
            self._append("\n")

    def document(self, title: str) -> Document:
        """Return all of it, cut to the bound."""
        text = "".join([*self._parts, *self._current])
        is_cut = len(text) > self._chars_max
        return Document(normalize(title).strip(), text[: self._chars_max], is_cut)

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._chars += len(text)
        if self._chars > self._chars_max:
            raise Enough
