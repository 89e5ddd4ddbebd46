"""Repairs a store at rest, part by part; what was damaged is kept beside what takes its place.

The view is made anew from the journal where that has it all, else of its own sound rows and the records
that fit them.  The journal goes on with what is sound at its end.  Contents that do not match their
checksums cannot be brought back; they stay what they are, EIO on their range.
"""

import os
import re
import shutil
import uuid
from pathlib import Path
from typing import Final, NamedTuple

from vexfs_fuse.clock import SystemClock
from vexfs_fuse.config import Config
from vexfs_fuse.errors import StoreDamaged
from vexfs_fuse.storage.disk import LocalDisk
from vexfs_fuse.storage.journal import Journal
from vexfs_fuse.storage.journal_files import no_tail
from vexfs_fuse.storage.journal_rescue import Gap, renew, sound_records
from vexfs_fuse.storage.pool import Pool
from vexfs_fuse.storage.segments import Segments
from vexfs_fuse.storage.state import State
from vexfs_fuse.storage.view_copy import applied_in, readable_copy
from vexfs_fuse.text import schema
from vexfs_fuse.units import MIB, ROOT, Inode, Lsn
from vexfs_fuse.volume import text_index, vector_indexes
from vexfs_fuse.volume.changes import Repaired
from vexfs_fuse.volume.check import check
from vexfs_fuse.volume.damaged import Part
from vexfs_fuse.volume.identity import IDENTITY, read_identity, stored_identity, write_identity
from vexfs_fuse.volume.opening import STATE, apply_entry, commit_view, lock_store, open_volume
from vexfs_fuse.volume.salvage import salvage
from vexfs_fuse.volume.stand_in import survey
from vexfs_fuse.volume.vectors import DIRECTORY
from vexfs_fuse.volume.volume import OVERLAY_ROWS_MAX, Volume
from vexfs_fuse.volume.writer import SYSTEM

DAMAGED: Final = ".damaged"
"""What is added to the name of a file that is replaced; a former one is overwritten."""

PROBLEMS_RECORDED_MAX: Final = 20
"""So many of the problems found go into the journal's record of the repair."""

_DERIVED: Final = re.compile(rf"{DIRECTORY}/[^/]+")

SCRATCH: Final = ".repairing"
"""Where what is repaired is made; one that was left there is removed by the next repair."""

SALT_BYTES: Final = 8
_DATABASE: Final = ("", "-wal", "-shm")
_NO_VOLUME: Final = uuid.UUID(int=0)
_POOL_BYTES: Final = 16 * MIB


def damaged_parts(store: Path, config: Config) -> set[Part]:
    """Return which parts of a store are damaged, but for contents."""
    volume = open_volume(store, config)
    try:
        parts = {damage.part for damage in volume.damaged}
        problems = check(volume, contents=False)
    finally:
        volume.close()
    for problem in problems:
        parts.add(Part.JOURNAL if problem.startswith("journal") else Part.VIEW)
    return parts


def repair(store: Path, config: Config, problems: list[str], parts: set[Part]) -> list[str]:
    """Repair these parts as far as that can be; return what was done, as sentences.

    Raises
    ------
    StoreLocked
        The volume is mounted.
    VexfsError
        It cannot be repaired.
    """
    unlock = lock_store(store)
    done: list[str] = []
    try:
        if Part.IDENTITY in parts:
            done += _repair_identity(store)
        if Part.VIEW in parts or Part.JOURNAL in parts:
            # Records may be numbered anew from here: what was derived from others must be gone before.
            vector_indexes.remove(LocalDisk(store))
            text_index.remove(store)
            done += _repair_records(store, parts)
    finally:
        unlock()
    volume = open_volume(store, config)
    try:
        done += _take_for_lost(volume)
        if volume.failure is None:
            volume.writer.commit(ROOT, Repaired(problems[:PROBLEMS_RECORDED_MAX]), SYSTEM)
            volume.commit_all()
    finally:
        volume.close()
    return done


def remove_derived(store: Path, problems: list[str]) -> list[str]:
    """Remove the indexes that `problems` tell of; return what was done, as sentences.

    Raises
    ------
    StoreLocked
        The volume is mounted.
    """
    found = {match[0] for problem in problems if (match := _DERIVED.match(problem))}
    removed = sorted(found)
    has_text = any(problem.startswith(text_index.PROBLEM) for problem in problems)
    if not found and not has_text:
        return []
    unlock = lock_store(store)
    try:
        if found:
            vector_indexes.remove(LocalDisk(store), sorted(found))
        if has_text:
            text_index.remove(store)
            removed.append(schema.FILE)
    finally:
        unlock()
    return [f"removed {each}: the next mount makes it anew" for each in removed]


def _repair_identity(store: Path) -> list[str]:
    known = stored_identity(LocalDisk(store))
    if known is None:
        raise StoreDamaged(f"{IDENTITY} cannot be made anew: nothing tells which volume this is")
    if (store / IDENTITY).exists():
        (store / IDENTITY).rename(store / f"{IDENTITY}{DAMAGED}")
    write_identity(store, known)
    return [f"made {IDENTITY} anew from the journal and the segments"]


def _repair_records(store: Path, parts: set[Part]) -> list[str]:
    """Repair the view, then the journal: once the view has what is sound, the rest can go."""
    disk = LocalDisk(store)
    scratch = store / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)
    try:
        done, last = _repair_view(disk, scratch, parts)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return done if Part.JOURNAL not in parts else done + _renew(disk, last)


def _renew(disk: LocalDisk, last: Lsn) -> list[str]:
    identity = read_identity(disk.root)
    assert identity is not None, "it was repaired before"
    return renew(disk, identity.volume, last, os.urandom(SALT_BYTES), SystemClock().now_ns())


def _repair_view(disk: LocalDisk, scratch: Path, parts: set[Part]) -> tuple[list[str], Lsn]:
    """Bring the view up to all sound records; return what was done, and the last record there is."""
    view = disk.root / STATE
    current, done = _begun(disk, view, scratch) if Part.VIEW in parts else (view, [])
    caught_up = _catch_up(disk, current)
    done += caught_up.told
    if caught_up.is_out_of_step:
        settled = scratch / f"settled-{STATE}"
        done += salvage(current, settled, caught_up.last)
        current = settled
    if current != view:
        _set_aside(disk.root)
        _sync(current)
        current.rename(view)
        disk.sync_directory("")
        done.append(f"the damaged state view is {STATE}{DAMAGED} now")
    return done, caught_up.last


def _begun(disk: LocalDisk, damaged: Path, scratch: Path) -> tuple[Path, list[str]]:
    """Return a sound view to bring up to date: an empty one where the journal has everything."""
    journal = survey(disk)
    if journal.is_whole and journal.last >= applied_in(damaged):
        return scratch / STATE, ["rebuilt the state view from the journal"]
    readable = readable_copy(damaged, scratch)
    if readable is None:
        raise StoreDamaged(f"nothing is left of {STATE}, and the journal does not reach back")
    done = salvage(readable, scratch / STATE, journal.last)
    return scratch / STATE, ["kept the sound rows of the state view", *done]


class _CaughtUp(NamedTuple):
    last: Lsn
    is_out_of_step: bool  # some records between were lost, or did not fit
    told: list[str]


def _catch_up(disk: LocalDisk, path: Path) -> _CaughtUp:
    """Apply to a view the sound records that it has not, and commit them."""
    view = State.open(path)
    told: list[str] = []
    count = skipped = 0
    is_out_of_step = False
    last = view.applied
    volume = _recovering(disk, view)
    try:
        for found in sound_records(disk):
            if isinstance(found, Gap):
                if found.last > last:
                    told.append(
                        f"lost the records {max(found.first, last + 1)} to {found.last}: {found.place}"
                    )
                    is_out_of_step = True
                    last = found.last
            elif found.lsn > last:
                fits = apply_entry(volume, found, is_lenient=True)
                count, skipped = count + fits, skipped + (not fits)
                last = found.lsn
                if view.dirty_count > OVERLAY_ROWS_MAX:
                    commit_view(view, last)
        commit_view(view, last)
        view.checkpoint()
    finally:
        volume.refuse_changes("it is being repaired")
        volume.close()
    if count:
        told.append(f"applied {count} later records of the journal")
    if skipped:
        told.append(f"left out {skipped} later records, which do not fit what is left")
    return _CaughtUp(last, is_out_of_step or skipped > 0, told)


def _recovering(disk: LocalDisk, view: State) -> Volume:
    """Return a volume that can apply records, and nothing else: it has no journal of its own."""
    live = view.live_bytes()
    volume = Volume(
        disk=disk,
        journal=Journal(disk, no_tail(view.applied), "", 0, 0),
        segments=Segments.open(disk, _NO_VOLUME.bytes, live_bytes=live),
        pool=Pool(_POOL_BYTES),
        view=view,
        config=Config(),
        clock=SystemClock(),
    )
    volume.applier.next_inode = Inode(max(view.last_inode, ROOT) + 1)
    volume.applier.vectors.load(disk, Lsn(0), "")  # no saved index is believed
    return volume


def _take_for_lost(volume: Volume) -> list[str]:
    """Let a volume take changes again although contents in missing segments are gone."""
    lost = volume.missing_segments()
    if not lost or {damage.part for damage in volume.damaged} != {Part.SEGMENTS}:
        return []
    volume.damaged.clear()
    volume.writer.refusal = None
    volume.writer.commit(ROOT, Repaired([], lost), SYSTEM)
    return [f"took segment {segment} for lost: reading what it held stays EIO" for segment in lost]


def _set_aside(store: Path) -> None:
    for part in _DATABASE:
        (store / f"{STATE}{DAMAGED}{part}").unlink(missing_ok=True)
    for part in _DATABASE:
        place = store / f"{STATE}{part}"
        if place.exists():
            place.rename(store / f"{STATE}{DAMAGED}{part}")


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
