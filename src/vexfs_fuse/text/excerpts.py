"""Which lines of a passage answer a question, for people to read."""

import re
from typing import Final, NamedTuple

from vexfs_fuse.text.words import Words, stem

EXCERPT_CHARACTERS: Final = 240

_SPACE: Final = re.compile(r"\s+")


class Place(NamedTuple):
    """Where to look, and what is there."""

    line: int
    """From 1, in the file's text."""
    text: str
    """One line, of at most `EXCERPT_CHARACTERS`."""


def place(words: Words, first_line: int, text: str) -> Place:
    """Return the line of a passage that has the most of the words, the first of equals, and what follows."""
    lines = text.split("\n")
    stems = [stem(term) for term in words.terms]
    counts = [sum(each in line for each in stems) for line in map(str.lower, lines)]
    best = max(range(len(lines)), key=counts.__getitem__)
    while not lines[best].strip() and best + 1 < len(lines):
        best += 1  # of a passage without any of the words
    return Place(first_line + best, _cut(" ".join(lines[best:]), stems))


def _cut(text: str, stems: list[str]) -> str:
    """Return so much of a text, in one line, as an excerpt has room for, around the first of the words."""
    text = _SPACE.sub(" ", text).strip()
    if len(text) <= EXCERPT_CHARACTERS:
        return text
    lower = text.lower()
    found = [at for at in (lower.find(each) for each in stems) if at >= 0]
    first = min(found, default=0)
    if first < EXCERPT_CHARACTERS * 2 // 3:
        return text[: EXCERPT_CHARACTERS - 1].rstrip() + "…"
    start = text.rfind(" ", 0, first - EXCERPT_CHARACTERS // 4) + 1
    end = start + EXCERPT_CHARACTERS - 2
    return f"…{text[start:end].rstrip()}{'…' if end < len(text) else ''}"
