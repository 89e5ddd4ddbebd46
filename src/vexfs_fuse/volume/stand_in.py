"""A view to read from in the place of a damaged one: made anew from the journal, or of the sound rows."""

import logging
from pathlib import Path
from typing import Final, NamedTuple

from vexfs_fuse.storage.disk import Disk
from vexfs_fuse.storage.journal_rescue import Gap, sound_records
from vexfs_fuse.storage.view_copy import applied_in, readable_copy
from vexfs_fuse.units import Lsn
from vexfs_fuse.volume.salvage import salvage

log = logging.getLogger(__name__)

LINES_LOGGED_MAX: Final = 100
"""So many things are told that could not be shown as they were."""

FROM_JOURNAL: Final = "the journal"
FROM_ROWS: Final = "the rows that are left"


class Survey(NamedTuple):
    """What a journal has."""

    is_whole: bool  # every record from the first, all of them sound
    is_sound: bool  # and the marks between them, too: it can be opened
    last: Lsn  # the last record that it has or has lost


def make_stand_in(disk: Disk, damaged: Path, directory: Path) -> str | None:
    """Put a sound view into `directory`, under the name of the damaged one; return what it was made of.

    None when nothing is left.  Of the journal it is made by whoever opens it, replaying all records.
    """
    journal = survey(disk)
    if journal.is_whole and journal.is_sound and journal.last >= applied_in(damaged):
        return FROM_JOURNAL
    readable = readable_copy(damaged, directory)
    if readable is None:
        return None
    done = salvage(readable, directory / damaged.name, journal.last)
    for line in done[:LINES_LOGGED_MAX]:
        log.warning("in what is shown: %s", line)
    return FROM_ROWS


def survey(disk: Disk) -> Survey:
    """Read the whole journal."""
    is_whole, is_sound, last = True, True, Lsn(0)
    for found in sound_records(disk):
        if isinstance(found, Gap):
            is_sound, last = False, found.last
            is_whole = is_whole and found.first > found.last
            continue
        is_whole = is_whole and found.lsn == last + 1
        last = found.lsn
    return Survey(is_whole and last > 0, is_sound, last)
