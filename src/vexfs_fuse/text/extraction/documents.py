"""Every format that is read without foreign code: a file is what its contents show, its name only breaks ties."""

from typing import Final

from vexfs_fuse.text.document import Document
from vexfs_fuse.text.extraction import plain

FORKS: Final = False


def extract(name: bytes, data: bytes, chars_max: int) -> Document | None:
    """Return what a file says; None if it is no text.

    Raises
    ------
    ExtractionFailed
    """
    return plain.extract(data, chars_max)
