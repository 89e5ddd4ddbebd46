"""One group commit: what the writer thread does, in the order that keeps promises."""

from vexfs_fuse.storage.journal import JournalBatch
from vexfs_fuse.storage.segments import SegmentBatch
from vexfs_fuse.units import Lsn


class Batch:
    """Everything that was staged and logged when it was sealed.

    Segments first, then the journal: a durable record never points at contents that are not.
    """

    __slots__ = ("journal", "lsn", "segments")

    def __init__(
        self, lsn: Lsn, segments: SegmentBatch | None, journal: JournalBatch | None
    ) -> None:
        self.lsn = lsn
        self.segments = segments
        self.journal = journal

    def run(self) -> None:
        """Write and sync, in the writer thread; touches nothing of the volume.

        Raises
        ------
        StoreFailed, NoSpace
            Never try it again: after a failed fsync(2) Linux takes the pages for clean.
        """
        if self.segments is not None:
            self.segments.write()
        if self.journal is not None:
            self.journal.write()
