"""Moves what is still in use out of segments that are mostly garbage, and drops them.

A segment's frames say which inode they were written for; so the extents in use are found without an index
from segments to files.  A move is logged as `ExtentMoved` like any change, and the old segment goes once
that record is durable: until then both copies are there.
"""

import logging
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from vexfs_fuse.errors import CorruptData, NoSpace, NotFound, VexfsError
from vexfs_fuse.pending import Pending
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.segment_files import SegmentGone
from vexfs_fuse.storage.segment_scan import FrameAt
from vexfs_fuse.storage.segments import SegmentUse
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import Lsn, Segment
from vexfs_fuse.volume.changes import ExtentMoved
from vexfs_fuse.volume.writer import SYSTEM

if TYPE_CHECKING:
    from vexfs_fuse.volume.volume import Volume

log = logging.getLogger(__name__)

LIVE_SHARE_MAX: Final = 0.5
"""A complete segment of which less than this is in use is worth moving."""

SHORT_LIVE_SHARE_MAX: Final = 0.9
"""The same while the disk is short of room."""

ROUNDS_MAX: Final = 5
"""So often a segment is gone through before what remains counts as unaccounted for."""

T = TypeVar("T")
Step = Pending[Any] | None


class Copied(NamedTuple):
    """An extent and its bytes, as read and verified in a thread."""

    extent: Extent
    data: memoryview


class Compactor:
    """Works on one segment at a time, in steps between which the volume changes as it likes."""

    def __init__(self, volume: "Volume") -> None:
        self._volume = volume
        self._waiting: list[tuple[Segment, Lsn]] = []  # emptied; dropped once the lsn is durable
        self._full_at: dict[Segment, Lsn] = {}  # the last record when it was first seen complete
        self._given_up: set[Segment] = set()  # hold something that cannot be moved: fsck tells what
        self.moved_bytes = 0
        self.dropped_segments = 0

    def steps(self) -> Iterator[Step]:
        """Do what is due: drop what is empty, move what is worth it.

        When the disk is short of room, one segment goes before the next is moved.
        """
        self._drop_emptied()
        worth_it = []
        for use in self._candidates():
            if use.live_bytes == 0:
                self._waiting.append((use.segment, self._volume.logged_lsn))
            elif use.live_bytes < use.size_bytes * self._live_share_max:
                worth_it.append(use)
        if worth_it and not (self._waiting and self._volume.room.is_short):
            yield from self._empty(min(worth_it, key=_live_share).segment)

    def _candidates(self) -> list[SegmentUse]:
        """Return the complete segments that nothing was decided about."""
        waiting = {segment for segment, _ in self._waiting}
        return [
            use
            for use in self._volume.segments.uses()
            if use.segment not in waiting
            and use.segment not in self._given_up
            and self._is_settled(use.segment)
        ]

    @property
    def _live_share_max(self) -> float:
        return SHORT_LIVE_SHARE_MAX if self._volume.room.is_short else LIVE_SHARE_MAX

    def _is_settled(self, segment: Segment) -> bool:
        """Whether all its frames are in the file: not before what had been logged when it was full is."""
        full_at = self._full_at.setdefault(segment, self._volume.logged_lsn)
        return full_at <= self._volume.durable_lsn

    def _drop_emptied(self) -> None:
        volume = self._volume
        kept = []
        for segment, lsn in self._waiting:
            if lsn <= volume.view.applied:
                self._full_at.pop(segment, None)
                self.dropped_segments += 1
                volume.segments.drop(segment)
            else:
                kept.append((segment, lsn))
        self._waiting = kept

    def _empty(self, segment: Segment) -> Iterator[Step]:
        live = self._volume.segments.live_bytes
        try:
            frames = yield from _worked(lambda: self._volume.segments.frames(segment))
            for _ in range(ROUNDS_MAX):
                before = live(segment)
                for frame in frames:
                    yield from self._move(segment, frame)
                if not 0 < live(segment) < before:
                    break  # else a file has changed under way, and what is left of it moves now
        except NoSpace:
            return  # what is left of it moves when there is room
        except (CorruptData, SegmentGone) as error:
            log.warning("segment %d cannot be compacted: %s", segment, error)
            self._given_up.add(segment)
            return
        if live(segment):
            log.warning("segment %d holds bytes in use that no frame accounts for", segment)
            self._given_up.add(segment)

    def _move(self, segment: Segment, frame: FrameAt) -> Iterator[Step]:
        """Move what is in use of one frame."""
        extents = self._in_use(segment, frame)
        if not extents:
            return
        copied = yield from _worked(lambda: self._read(extents))
        if self._volume.failure is not None:
            return
        node = self._node(frame)
        moved = (
            [self._stage(node, part) for part in copied if self._holds(node, part.extent)]
            if node
            else []
        )
        if node is not None and moved:
            self._volume.writer.admit(is_freeing=True)
            self._volume.writer.commit(
                node.ino, ExtentMoved([list(extent) for extent in moved]), SYSTEM
            )
            self.moved_bytes += sum(extent.length for extent in moved)

    def _node(self, frame: FrameAt) -> Node | None:
        try:
            node = self._volume.tree.node(frame.header.inode)
        except NotFound:
            return None
        return node if node.is_file else None

    def _in_use(self, segment: Segment, frame: FrameAt) -> list[Extent]:
        node = self._node(frame)
        if node is None:
            return []
        return [
            extent
            for extent in self._volume.contents.extents(node)
            if extent.segment == segment and extent.position == frame.position
        ]

    def _holds(self, node: Node, extent: Extent) -> bool:
        """Whether the extent is still what it was when it was read."""
        return self._volume.contents.extents(node).holds(extent)

    def _read(self, extents: list[Extent]) -> list[Copied]:
        segments = self._volume.segments
        return [Copied(extent, segments.read(extent, 0, extent.length)) for extent in extents]

    def _stage(self, node: Node, part: Copied) -> Extent:
        staged = self._volume.segments.stage(
            node.ino, part.extent.offset, [part.data], _nothing_to_release
        )
        return Extent(
            part.extent.offset,
            part.extent.length,
            staged.segment,
            staged.position,
            0,
            staged.frame_bytes,
            staged.sums,
        )


def _worked(work: Callable[[], T]) -> Generator[Step, None, T]:
    """Have `work` done in a thread; return what it returns, or raise what it raises, on the loop."""

    def run() -> tuple[T | None, Exception | None]:
        try:
            return work(), None
        except (VexfsError, SegmentGone) as failure:
            return None, failure

    outcomes: list[tuple[T, Exception | None]] = []
    yield Pending(run, outcomes.append)
    result, failure = outcomes.pop()
    if failure is not None:
        raise failure
    return result


def _live_share(use: SegmentUse) -> float:
    return use.live_bytes / use.size_bytes


def _nothing_to_release() -> None:
    """The copy is the compactor's own."""
