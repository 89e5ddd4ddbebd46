"""Opens a store: who it is, that nobody else has it, and how it comes back after a crash."""

import fcntl
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from vexfs_fuse import __version__
from vexfs_fuse.clock import Clock, SystemClock
from vexfs_fuse.config import Config
from vexfs_fuse.errors import (
    CorruptData,
    NotFound,
    StoreDamaged,
    StoreLocked,
    StoreTooNew,
    VexfsError,
)
from vexfs_fuse.storage.disk import Disk, LocalDisk
from vexfs_fuse.storage.extent import NOWHERE
from vexfs_fuse.storage.journal import Entry, Journal
from vexfs_fuse.storage.journal_files import unreadable_tail
from vexfs_fuse.storage.journal_rescue import Gap, sound_records
from vexfs_fuse.storage.pool import Pool
from vexfs_fuse.storage.segments import Segments
from vexfs_fuse.storage.state import State
from vexfs_fuse.units import ROOT, Inode, Lsn, Segment
from vexfs_fuse.volume.changes import Formatted, Kinds, Mounted
from vexfs_fuse.volume.damaged import Damage, Part, told
from vexfs_fuse.volume.identity import (
    LOCK,
    Identity,
    holds_volume,
    make_identity,
    read_identity,
    stored_identity,
)
from vexfs_fuse.volume.room import fitting, fitting_segment, headroom_bytes
from vexfs_fuse.volume.stand_in import make_stand_in
from vexfs_fuse.volume.volume import OVERLAY_ROWS_MAX, Volume
from vexfs_fuse.volume.writer import SYSTEM, Actor

log = logging.getLogger(__name__)

STATE: Final = "state.sqlite3"
ROOT_MODE: Final = 0o755


def open_volume(store: Path, config: Config, clock: Clock | None = None) -> Volume:
    """Open the volume in `store`, or make one there; blocks while it recovers.

    A damaged store opens read-only, with whatever can be read; `Volume.damaged` says what is wrong.

    Raises
    ------
    StoreLocked, StoreTooNew, NoSpace, AccessDenied
    StoreDamaged
        Nothing can be read.
    NotFound
        The options say read-only, and there is no volume.
    """
    clock = clock or SystemClock()
    if config.ro and not holds_volume(store, LocalDisk(store)):
        raise NotFound(f"{store} holds no volume, and none is made for reading only")
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    unlock = lock_store(store)
    try:
        volume = _open(LocalDisk(store), config, clock)
    except BaseException:
        unlock()
        raise
    volume.on_close.append(unlock)
    return volume


def _open(disk: LocalDisk, config: Config, clock: Clock) -> Volume:
    identity, damaged = _identity(disk, clock)
    path = disk.root / STATE
    try:
        return assemble(disk, State.open(path), identity, config, clock, damaged)
    except (StoreDamaged, CorruptData) as failure:
        damage = _damage(Part.VIEW, failure)
        log.error("%s", failure)  # noqa: TRY400 - no bug, and told in full
        with ExitStack() as cleanup:
            scratch = Path(cleanup.enter_context(TemporaryDirectory(prefix="vexfs-")))
            source = make_stand_in(disk, path, scratch)
            if source is None:
                raise
            damaged = [*damaged, damage, Damage(Part.VIEW, f"what is shown was read from {source}")]
            view = State.open(scratch / STATE)
            volume = assemble(disk, view, identity, config, clock, damaged, is_lenient=True)
            volume.on_close.append(cleanup.pop_all().close)
            return volume


def _identity(disk: LocalDisk, clock: Clock) -> tuple[Identity, list[Damage]]:
    """Return who the volume is, which may be a new one, and what is wrong with its word on that."""
    store = disk.root
    try:
        identity = read_identity(store)
    except StoreDamaged as damage:
        known = stored_identity(disk)
        if known is None:
            raise
        return known, [_damage(Part.IDENTITY, damage)]
    return identity or make_identity(store, clock), []


def assemble(
    disk: Disk,
    view: State,
    identity: Identity,
    config: Config,
    clock: Clock,
    damaged: Sequence[Damage] = (),
    *,
    is_lenient: bool = False,
) -> Volume:
    """Put a volume together from its parts, and recover what the journal has and the view has not.

    Closes the view when that fails.  `damaged` is what is wrong so far; if anything is, the volume is
    for reading.  A lenient recovery leaves out records that do not fit rows that are lost.
    """
    with ExitStack() as cleanup:
        cleanup.callback(view.close)
        damages = list(damaged)
        journal = _open_journal(disk, view, identity, config, clock, damages)
        cleanup.callback(journal.close)
        live = view.live_bytes()
        segments = Segments.open(
            disk,
            uuid.UUID(identity.volume).bytes,
            segment_bytes=fitting_segment(config.segment_bytes, disk),
            headroom_bytes=headroom_bytes(disk),
            first_free=Segment(max(live.keys() - {NOWHERE}, default=0) + 1),
            live_bytes=live,
        )
        cleanup.callback(segments.close)
        volume = Volume(
            disk=disk,
            journal=journal,
            segments=segments,
            pool=Pool(config.pool_bytes),
            view=view,
            config=config,
            clock=clock,
        )
        volume.applier.next_inode = Inode(max(view.last_inode, ROOT) + 1)
        newest = max(view.applied, volume.logged_lsn)
        volume.applier.vectors.tune(config.search_recall, config.search_ef)
        volume.applier.vectors.load(disk, newest, identity.volume)
        replay(volume, damages, is_lenient=is_lenient)
        damages += missing_segments(volume)
        if (volume.logged_lsn or damages) and not _has_root(volume):
            reason = damages[0].sentence if damages else "its row is missing"
            raise StoreDamaged(f"there is no root directory: {reason}")
        _take_up(volume, damages)
        cleanup.pop_all()
    return volume


def _take_up(volume: Volume, damages: Sequence[Damage]) -> None:
    """Let a recovered volume take changes, unless there is a reason not to."""
    if damages:
        volume.damaged = list(damages)
        volume.refuse_changes(told(damages))
        log.error("the volume is read-only: %s", told(damages))
        return
    if volume.config.ro:
        volume.refuse_changes("mounted read-only")
        return
    if volume.logged_lsn == 0:
        volume.writer.admit()
        volume.writer.commit(ROOT, Formatted(ROOT_MODE, os.getuid(), os.getgid()), SYSTEM)
    mounter = Actor(os.getuid(), os.getgid(), os.getpid())
    volume.writer.note(ROOT, Mounted(__version__, False), mounter)
    volume.purge_orphans()


def _has_root(volume: Volume) -> bool:
    try:
        volume.tree.node(ROOT)
    except NotFound:
        return False
    return True


def _open_journal(
    disk: Disk,
    view: State,
    identity: Identity,
    config: Config,
    clock: Clock,
    damages: list[Damage],
) -> Journal:
    """Open the journal; without one that can be used, the view is still there to read."""
    try:
        return Journal.open(
            disk,
            volume=identity.volume,
            durable_at_least=view.applied,
            file_bytes_max=fitting(config.journal_file_bytes, disk),
            headroom_bytes=headroom_bytes(disk),
            time_ns=clock.now_ns(),
        )
    except StoreDamaged as damage:
        damages.append(_damage(Part.JOURNAL, damage))
        return Journal(disk, unreadable_tail(disk, view.applied), "", 0, 0)


def _damage(part: Part, failure: VexfsError) -> Damage:
    """Return what is wrong as a part of a longer sentence."""
    return Damage(part, str(failure).removeprefix(f"{StoreDamaged.sentence}: "))


def missing_segments(volume: Volume) -> list[Damage]:
    """Return the damage that segments of contents are missing, unless that was accepted by a repair."""
    lost = set(volume.missing_segments()) - volume.applier.lost_segments()
    return [
        Damage(
            Part.SEGMENTS,
            f"segment {segment} is missing, with {volume.segments.live_bytes(segment)} bytes of contents",
        )
        for segment in sorted(lost)
    ]


def replay(volume: Volume, damages: list[Damage], *, is_lenient: bool = False) -> None:
    """Apply the records that the state view has not; add what was in the way of all or some.

    The volume is what it was after some record all the same, and good for reading.

    Raises
    ------
    StoreTooNew
    CorruptData
        A record does not fit the rows, and recovery is not lenient.
    """
    view = volume.view
    applied = view.applied
    count = skipped = 0
    is_readable = not any(damage.part is Part.JOURNAL for damage in damages)
    try:
        for entry in volume.journal.replay(applied) if is_readable else _sound_after(volume):
            if apply_entry(volume, entry, is_lenient=is_lenient):
                count += 1
            else:
                skipped += 1
            if view.dirty_count > OVERLAY_ROWS_MAX:
                commit_view(view, entry.lsn)
    except StoreDamaged as damage:
        damages.append(_damage(Part.JOURNAL, damage))
    if skipped:
        damages.append(Damage(Part.VIEW, f"{skipped} later changes do not fit what is left"))
    if count:
        log.info("recovered %d records after record %d", count, applied)


def _sound_after(volume: Volume) -> Iterator[Entry]:
    """Yield the records after those in the view, of a journal that cannot be opened, up to the first lost one.

    Raises
    ------
    StoreDamaged
        Some are lost.
    """
    reached = volume.view.applied
    for found in sound_records(volume.disk):
        if isinstance(found, Gap):
            if found.last > reached:
                raise StoreDamaged(f"the records from {reached + 1} on are lost: {found.place}")
        elif found.lsn > reached:
            if found.lsn != reached + 1:
                raise StoreDamaged(f"the records {reached + 1} to {found.lsn - 1} are lost")
            yield found
            reached = found.lsn


def commit_view(view: State, lsn: Lsn) -> None:
    """Commit the state as of a durable record, the last one applied; blocks."""
    commit = view.freeze(lsn)
    while not commit.step():
        pass
    commit.finish()
    view.settle(commit)


def apply_entry(volume: Volume, entry: Entry, *, is_lenient: bool = False) -> bool:
    """Apply one record of the journal; whether it fits the rows, which it may not if recovery is lenient.

    Raises
    ------
    StoreTooNew
        A kind, or fields, that this program does not know.
    CorruptData
        It does not fit, and recovery is not lenient.
    """
    kind = Kinds.BY_NAME.get(entry.kind)
    if kind is None:
        raise StoreTooNew(f"record {entry.lsn} is of the unknown kind {entry.kind}")
    try:
        change = kind(**entry.body)
    except TypeError as unknown:
        raise StoreTooNew(f"record {entry.lsn}: {unknown}") from unknown
    try:
        volume.applier.table[kind](entry.lsn, entry.time_ns, Inode(entry.inode), change)
    except DOES_NOT_FIT as failure:
        if is_lenient:
            log.warning("record %d does not fit what is left: %r", entry.lsn, failure)
            return False
        raise CorruptData(f"record {entry.lsn} cannot be applied: {failure}") from failure
    return True


DOES_NOT_FIT: Final = (VexfsError, AssertionError, KeyError)
"""What applying a record raises over rows that are not those it was decided over: some are lost."""


def lock_store(store: Path) -> Callable[[], None]:
    """Take the store for this process; return what lets go of it.

    Raises
    ------
    StoreLocked
        With the process id of who has it.
    """
    descriptor = os.open(store / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode(errors="replace").strip()
        os.close(descriptor)
        raise StoreLocked(f"{store} is held by process {holder or 'unknown'}") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return lambda: os.close(descriptor)
