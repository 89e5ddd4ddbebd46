"""Repairs the state view of a store at rest: from the journal where that has it all, else from its rows.

The damaged view is kept beside the new one.  Contents that do not match their checksums cannot be
brought back; they stay what they are, EIO on their range.
"""

import re
from pathlib import Path
from typing import Final

from vexfs_fuse.config import Config
from vexfs_fuse.errors import CorruptData, StoreDamaged, VexfsError
from vexfs_fuse.storage.disk import LocalDisk
from vexfs_fuse.storage.journal_scan import scan
from vexfs_fuse.units import ROOT, Lsn
from vexfs_fuse.volume import vector_indexes
from vexfs_fuse.volume.changes import Repaired
from vexfs_fuse.volume.check import check
from vexfs_fuse.volume.opening import STATE, lock_store, open_volume
from vexfs_fuse.volume.salvage import salvage
from vexfs_fuse.volume.vectors import DIRECTORY
from vexfs_fuse.volume.writer import SYSTEM

DAMAGED: Final = f"{STATE}.damaged"
"""Where the view goes that was found damaged; a former one is overwritten."""

PROBLEMS_RECORDED_MAX: Final = 20
"""So many of the problems found go into the journal's record of the repair."""

_DERIVED: Final = re.compile(rf"{DIRECTORY}/[^/]+")

_PARTS: Final = ("", "-wal", "-shm")


def repair(store: Path, config: Config, problems: list[str]) -> list[str]:
    """Repair what `problems` tell of, as far as it can be; return what was done, as sentences.

    Raises
    ------
    StoreLocked
        The volume is mounted.
    VexfsError
        It cannot be repaired.
    """
    unlock = lock_store(store)
    try:
        done = _from_journal(store) or _from_rows(store)
        # Records may be numbered anew from here: what was derived from others has no place.
        vector_indexes.remove(LocalDisk(store))
    finally:
        unlock()
    volume = open_volume(store, config)
    try:
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
    if not found:
        return []
    unlock = lock_store(store)
    try:
        vector_indexes.remove(LocalDisk(store), sorted(found))
    finally:
        unlock()
    return [f"removed {directory}: the next mount makes it anew" for directory in sorted(found)]


def is_about_view(store: Path, config: Config) -> bool:
    """Return whether the state view is what is wrong with a store, rather than contents or journal."""
    try:
        volume = open_volume(store, config)
    except (StoreDamaged, CorruptData):
        return True
    try:
        problems = check(volume, contents=False)
    except VexfsError:
        return True
    finally:
        volume.close()
    return any(not problem.startswith("journal") for problem in problems)


def _from_journal(store: Path) -> list[str]:
    """Let the next opening replay everything; not possible when old records have been dropped."""
    if not _journal_has_all(store):
        return []
    _set_aside(store)
    return [f"rebuilt the state view from the journal; the damaged one is {DAMAGED}"]


def _journal_has_all(store: Path) -> bool:
    expected = 1
    try:
        for entry in scan(LocalDisk(store)):
            if entry.lsn != expected:
                return False
            expected += 1
    except VexfsError:
        return False
    return expected > 1


def _from_rows(store: Path) -> list[str]:
    last = Lsn(0)
    for entry in scan(LocalDisk(store)):
        last = entry.lsn
    _set_aside(store)
    done = salvage(store / DAMAGED, store / STATE, last)
    return [f"kept the sound rows of the state view; the damaged one is {DAMAGED}", *done]


def _set_aside(store: Path) -> None:
    for part in _PARTS:
        (store / f"{DAMAGED}{part}").unlink(missing_ok=True)
    for part in _PARTS:
        place = store / f"{STATE}{part}"
        if place.exists():
            place.rename(store / f"{DAMAGED}{part}")
