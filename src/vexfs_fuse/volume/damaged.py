"""What of a store was found damaged when it was opened; such a volume is opened to be read."""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple


class Part(Enum):
    """A part of a store that can be damaged, and repaired, by itself."""

    IDENTITY = "volume.json"
    VIEW = "state.sqlite3"
    JOURNAL = "journal"
    SEGMENTS = "segments"


class Damage(NamedTuple):
    """One thing that is wrong."""

    part: Part
    sentence: str


def told(damages: Sequence[Damage]) -> str:
    """Return all that is wrong in one line."""
    return "the store is damaged: " + "; ".join(damage.sentence for damage in damages)
