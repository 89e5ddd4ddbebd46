"""What a search answers: the files found, and how that was found out."""

from typing import NamedTuple

from vexfs_fuse.units import Inode


class Hit(NamedTuple):
    """One file found."""

    ino: Inode
    path: bytes  # relative to the scope
    score: float
    distance: float | None
    stale: bool


class Outcome(NamedTuple):
    """What a search found, best first, and how."""

    hits: list[Hit]
    plan: str  # exact, ann, filtered, names
    space: str | None
    model: str
    ef: int | None
    candidates: int
    recall: float | None  # running recall of approximate searches in this space
