"""One group commit of the journal: what the writer thread does, in the order that makes it safe."""

from dataclasses import dataclass
from typing import NamedTuple

from vexfs_fuse.errors import NoSpace
from vexfs_fuse.storage.disk import Disk, File
from vexfs_fuse.storage.journal_files import DIRECTORY, JournalFile
from vexfs_fuse.units import Lsn


class Begun(NamedTuple):
    """The file that a batch begins, and the one that it ends."""

    disk: Disk
    journal_file: JournalFile
    retired: File
    retired_bytes: int

    def retire(self) -> None:
        """Close the file before; its last mark must be whole before another file follows it."""
        self.retired.truncate(self.retired_bytes)  # gives back what was reserved beyond
        self.retired.datasync()
        self.retired.close()


@dataclass(slots=True, eq=False)
class JournalBatch:
    """Records on their way to the disk.  `write` is for the writer thread."""

    lsn: Lsn  # of the last record
    file: File
    position: int
    end: int  # where the next batch goes
    records: list[bytes]
    mark: bytes
    begun: Begun | None
    zeros: int = 0  # bytes to write behind it, so that the next batches overwrite something

    def write(self) -> None:
        """Write and sync: on return the records survive a power cut.

        Raises
        ------
        NoSpace
            Only where `reserve_space` was not asked, or where the file system cannot reserve.
        StoreFailed
            The disk refused.  Not to be tried again: after a failed fsync(2) Linux takes what could
            not be written for clean.
        """
        if self.begun is not None:
            self.begun.retire()
        if self.zeros:
            self._write_zeros()
        data = b"".join(self.records)
        self.file.pwritev([data], self.position)
        self.file.datasync()
        if self.begun is not None:
            self.begun.disk.sync_directory(DIRECTORY)
        # Not synced itself: it may be lost, but what it says is true from here on.  Written now, it
        # protects this batch from being taken for a torn tail even if no other batch follows.
        self.file.pwritev([self.mark], self.position + len(data))

    def _write_zeros(self) -> None:
        try:
            self.file.pwritev([bytes(self.zeros)], self.end)
        except NoSpace:
            pass  # the file system cannot reserve; the next batches grow the file
