"""A state view on real files, and what a crash leaves of them."""

import random
import shutil
import tempfile
from pathlib import Path

from vexfs_fuse.storage.state import Commit, State
from vexfs_fuse.units import Lsn

NAME = "state.sqlite3"


class StateFiles:
    """The directory of a state view whose process or machine may fail.

    A commit survives the end of the process.  A power cut may in addition take any commits since
    the last checkpoint, and tear the one at the cut: only checkpoints sync.
    """

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="vexfs-state-")
        self._copies = 0
        self.path = Path(self._directory.name, NAME)

    def after_kill(self) -> Path:
        """Return the path of the database as it is found when the process has been killed now."""
        self._copies += 1
        copy = self.path.parent / f"crash{self._copies}"
        copy.mkdir()
        for suffix in ("", "-wal"):
            source = self.path.with_name(NAME + suffix)
            if source.exists():
                shutil.copyfile(source, copy / source.name)
        return copy / NAME

    def after_power_cut(self, rng: random.Random) -> Path:
        """Return the path of a database that has lost some or all of what was not synced."""
        path = self.after_kill()
        log = path.with_name(NAME + "-wal")
        if log.exists():
            kept = rng.randint(0, log.stat().st_size)
            with log.open("r+b") as file:
                file.truncate(kept)
        return path

    def remove(self) -> None:
        """Remove the directory with all copies."""
        self._directory.cleanup()


def commit(state: State, lsn: Lsn) -> Commit:
    """Commit everything up to the record `lsn`, and return what did it."""
    done = state.freeze(lsn)
    while not done.step():
        pass
    done.finish()
    state.settle(done)
    return done
