"""What a search answers: the files found, and how that was found out."""

from typing import NamedTuple

from vexfs_fuse.units import Inode


class Part(NamedTuple):
    """The part of a file that speaks best for it, as it was when it was indexed."""

    line: int  # where to look first, from 1
    first_line: int  # of the passage
    last_line: int  # inclusive
    excerpt: str


class Scores(NamedTuple):
    """What a score was made of; None where a file was not found that way."""

    vector: float | None
    text: float | None  # by bm25


class Hit(NamedTuple):
    """One file found."""

    ino: Inode
    path: bytes  # relative to the scope
    score: float
    distance: float | None
    stale: bool
    scores: Scores | None = None
    part: Part | None = None


class Outcome(NamedTuple):
    """What a search found, best first, and how."""

    hits: list[Hit]
    plan: str  # exact, ann, filtered, names, text
    space: str | None
    model: str
    ef: int | None
    candidates: int
    recall: float | None  # running recall of approximate searches in this space
    mode: str | None = None  # hybrid, vector, text; None: no text was searched for
    fallback: str | None = None  # why not both meaning and words decided, where both were asked for
