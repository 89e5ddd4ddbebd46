"""The journal as one stream of bytes: its files one after the other, growing at the end."""

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import closing
from operator import itemgetter

from vexfs_fuse.storage.disk import Disk
from vexfs_fuse.storage.journal_files import JournalFile


class JournalStream:
    """A reader's view: offset 0 is where the file begins that was the oldest when it was made.

    It shows durable records only, whole batches at a time.
    """

    def __init__(self, disk: Disk, files: Sequence[JournalFile]) -> None:
        self._disk = disk
        self._files = files  # the journal's own list: it grows, and loses its oldest
        self._placed = [(0, files[0])]  # where each file begins in the stream

    def read(self, offset: int, size: int) -> bytes:
        """Return at most `size` bytes from `offset`; none at the end, for now.

        Raises
        ------
        NotFound
            These records have been dropped since.
        """
        self._place()
        pieces = []
        index = bisect_right(self._placed, offset, key=itemgetter(0)) - 1
        for start, file in self._placed[index:]:
            piece = self._read_file(file, offset - start, size)
            pieces.append(piece)
            offset += len(piece)
            size -= len(piece)
            if not size:
                break
        return b"".join(pieces)

    def _place(self) -> None:
        """Find the files that were begun since."""
        for file in self._files:
            start, last = self._placed[-1]
            if file.number > last.number:
                self._placed.append((start + last.size_bytes, file))

    def _read_file(self, journal_file: JournalFile, offset: int, size: int) -> bytes:
        count = min(size, journal_file.size_bytes - offset)
        if count <= 0:
            return b""
        with closing(self._disk.open(journal_file.name)) as file:
            return file.pread(count, offset)
