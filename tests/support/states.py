"""A state view on real files, and what a crash leaves of them."""

import random
import shutil
import tempfile
from pathlib import Path

from vexfs_fuse.storage.state import Commit, State
from vexfs_fuse.units import Lsn

NAME = "state.sqlite3"
LOG_HEADER_BYTES = 32
_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where the files are: what a crash takes is decided here, so that no sync needs to be real."""


class StateFiles:
    """The directory of a state view whose process or machine may fail.

    A commit survives the end of the process.  A power cut may in addition take any commits since
    the last checkpoint, and tear the one at the cut: only checkpoints sync.
    """

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="vexfs-state-", dir=_MEMORY)
        self._copies = 0
        self._synced_log = b""
        self.path = Path(self._directory.name, NAME)

    def synced(self) -> None:
        """Take note that the view at `path` has just been opened or checkpointed."""
        self._synced_log = self._log(self.path).read_bytes()

    def after_kill(self) -> Path:
        """Return the path of the database as it is found when the process has been killed now."""
        self._copies += 1
        path = Path(self._directory.name, f"crash{self._copies}", NAME)
        path.parent.mkdir()
        shutil.copyfile(self.path, path)
        if self._log(self.path).exists():  # a view that was closed has none
            shutil.copyfile(self._log(self.path), self._log(path))
        return path

    def after_power_cut(self, rng: random.Random) -> Path:
        """Return the path of a database that has lost some or all of what was not synced.

        Behind the cut, the log is what it was at the last sync.  SQLite syncs the header of a log
        that it starts over.
        """
        path = self.after_kill()
        if not self._log(path).exists():
            return path
        log = self._log(path).read_bytes()
        kept = rng.randint(min(LOG_HEADER_BYTES, len(log)), len(log))
        self._log(path).write_bytes(log[:kept] + self._synced_log[kept:])
        return path

    @staticmethod
    def _log(path: Path) -> Path:
        return path.with_name(NAME + "-wal")

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
