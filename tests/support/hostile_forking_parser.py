"""The parser that does what its file says, each time in a copy of its process."""

from typing import Final

from tests.support.hostile_parser import extract

FORKS: Final = True

__all__ = ["FORKS", "extract"]
