"""The journal as one growing stream of bytes, as `/.vexfs/journal` shows it."""

from vexfs_fuse.storage.disk import Disk, File
from vexfs_fuse.storage.journal import Journal


class JournalStream:
    """One reading of the journal's files in their order; the last one may grow, and others may follow.

    A file that is dropped while it is read stays readable to the end of this reading.
    """

    def __init__(self, disk: Disk, journal: Journal) -> None:
        self._disk = disk
        self._journal = journal
        self._files: list[tuple[int, File]] = []  # (number, file), ascending
        self._open_new()

    def _open_new(self) -> None:
        last = self._files[-1][0] if self._files else 0
        for number, name in self._journal.file_names():
            if number > last:
                self._files.append((number, self._disk.open(name)))

    def read(self, offset: int, size: int) -> bytes:
        """Return at most `size` settled bytes from `offset` of the stream."""
        self._open_new()
        start = 0
        for number, file in self._files:
            length = self._journal.settled_bytes(number)
            length = file.size() if length is None else length
            if offset < start + length:
                return file.pread(min(size, start + length - offset), offset - start)
            start += length
        return b""

    def close(self) -> None:
        """Close the files."""
        for _, file in self._files:
            file.close()
