"""Work that knows what a crash may do to it: threads that change a volume until its daemon dies.

Each worker keeps the states that its part of the volume went through, and which of them a returned
fsync covers.  After a crash one of the states since then must be found, whole.
"""

import errno
import os
import random
import sqlite3
import threading
from pathlib import Path
from typing import Any, Final

from tests.support.syscalls import RENAME_EXCHANGE, renameat2

GONE: Final = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.EROFS)
"""What a request meets whose daemon dies or whose disk fails."""

JOIN_TIMEOUT_S: Final = 30.0
ROOT_MARK: Final = b"user.step"


def sync_directory(path: Path) -> None:
    """Return when the names in a directory are durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Worker:
    """Works in a directory of its own until `stop`, or until the daemon is gone."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.rng = random.Random(seed)
        self.root = Path()
        self.steps = 0
        self.failure: BaseException | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None

    def prepare(self, volume: Path) -> None:
        """Make the directory, once; durable when this returns."""
        self.root = volume / self.name
        self.root.mkdir()
        sync_directory(volume)

    def start(self) -> None:
        """Work in a thread of its own."""
        self._stopping, self.failure = False, None
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Return when the thread has ended; raises what it met, but for a daemon that is gone."""
        self._stopping = True
        assert self._thread is not None
        self._thread.join(JOIN_TIMEOUT_S)
        assert not self._thread.is_alive(), f"{self.name} hangs"
        failure = self.failure
        if failure is not None and not _is_of_the_dead(failure):
            raise AssertionError(f"{self.name}, step {self.steps}: {failure!r}") from failure

    def _run(self) -> None:
        try:
            while not self._stopping:
                self.step()
                self.steps += 1
        except BaseException as failure:  # noqa: BLE001 - `stop` raises it
            self.failure = failure

    def step(self) -> None:
        """Do one thing."""
        raise NotImplementedError

    def verify(self) -> None:
        """Find one of the states that a crash may leave, and go on from there."""
        raise NotImplementedError


def _is_of_the_dead(failure: BaseException) -> bool:
    if isinstance(failure, sqlite3.Error):
        return failure.sqlite_errorname.startswith(
            ("SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY")
        )
    return isinstance(failure, OSError) and failure.errno in GONE


class History:
    """The states something went through, oldest first, and the last that is known to be durable."""

    def __init__(self, state: Any) -> None:
        self._digests = [hash(state)]
        self._durable = 0

    def append(self, state: Any) -> None:
        """Note the state that the operation about to be called will lead to."""
        self._digests.append(hash(state))

    def synced(self) -> None:
        """Note that the last state is durable."""
        self._durable = len(self._digests) - 1

    def admits(self, state: Any) -> bool:
        """Whether a crash may leave this."""
        return hash(state) in self._digests[self._durable :]

    def __str__(self) -> str:
        return f"{len(self._digests)} states, the first {self._durable} are over"


Names = dict[str, str]
"""By path: what is there.  A symbolic link's target tells which one it is."""


class NameWorker(Worker):
    """Makes, moves and removes names; each call is all or nothing, and they stay in order."""

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(name, seed)
        self._names: Names = {"": ""}
        self._history = History(_frozen(self._names))
        self._serial = 0

    def step(self) -> None:
        """Change one name or two, now and then sync."""
        if self.rng.random() < 0.03:
            sync_directory(self.root)
            self._history.synced()
            return
        self._serial += 1
        kind = self.rng.choice(
            [
                "symlink",
                "symlink",
                "mkdir",
                "remove",
                "rename",
                "rename",
                "exchange",
                "link",
                "mark",
            ]
        )
        getattr(self, f"_{kind}")(self._somewhere(), self._somewhere())

    def verify(self) -> None:
        """Compare all names."""
        found = self._look()
        assert self._history.admits(_frozen(found)), (
            f"{self.name}: no state of {self._history} is {found}; the last was {self._names}"
        )
        self._names = found
        self._history = History(_frozen(found))

    def _look(self) -> Names:
        found = {"": os.getxattr(self.root, ROOT_MARK).decode() if self._is_marked() else ""}
        for directory, _, _ in os.walk(self.root):
            for entry in os.scandir(directory):
                path = os.path.relpath(entry.path, self.root)
                found[path] = os.readlink(entry.path) if entry.is_symlink() else "/"
        return found

    def _is_marked(self) -> bool:
        return ROOT_MARK.decode() in os.listxattr(self.root)

    def _somewhere(self) -> str:
        """Return a path, taken or free, below an existing directory."""
        directories = [path for path, what in self._names.items() if what == "/" and len(path) < 5]
        directory = self.rng.choice(["", *directories])
        return os.path.join(directory, self.rng.choice("abcdefgh"))

    def _becomes(self, names: Names) -> None:
        self._names = names
        self._history.append(_frozen(names))

    def _symlink(self, path: str, _: str) -> None:
        if path not in self._names:
            self._becomes(self._names | {path: str(self._serial)})
            os.symlink(str(self._serial), self.root / path)

    def _mkdir(self, path: str, _: str) -> None:
        if path not in self._names:
            self._becomes(self._names | {path: "/"})
            os.mkdir(self.root / path)

    def _remove(self, path: str, _: str) -> None:
        what = self._names.get(path)
        if what is None or self._has_entries(path):
            return
        self._becomes({key: value for key, value in self._names.items() if key != path})
        (os.rmdir if what == "/" else os.unlink)(self.root / path)

    def _rename(self, path: str, target: str) -> None:
        what, there = self._names.get(path), self._names.get(target)
        if what is None or path == target or _is_below(target, path) or self._has_entries(target):
            return
        if there is not None and (what == "/") != (there == "/"):
            return
        if there == what != "/":  # two names of one inode: nothing happens, see rename(2)
            return
        self._becomes(_moved(self._names, {path: target}))
        os.rename(self.root / path, self.root / target)

    def _exchange(self, path: str, other: str) -> None:
        if path == other or path not in self._names or other not in self._names:
            return
        if _is_below(path, other) or _is_below(other, path):
            return
        self._becomes(_moved(self._names, {path: other, other: path}))
        renameat2(self.root / path, self.root / other, RENAME_EXCHANGE)

    def _link(self, path: str, target: str) -> None:
        what = self._names.get(path, "/")
        if what != "/" and target not in self._names:
            self._becomes(self._names | {target: what})
            os.link(self.root / path, self.root / target, follow_symlinks=False)

    def _mark(self, _: str, __: str) -> None:
        self._becomes(self._names | {"": str(self._serial)})
        os.setxattr(self.root, ROOT_MARK, str(self._serial).encode())

    def _has_entries(self, path: str) -> bool:
        return any(_is_below(other, path) for other in self._names)


def _frozen(names: Names) -> frozenset[tuple[str, str]]:
    return frozenset(names.items())


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(f"{directory}/")


def _moved(names: Names, moves: dict[str, str]) -> Names:
    """Return the names after a rename, or an exchange as two of them."""
    left, arrived = {}, {}
    for path, what in names.items():
        for source, target in moves.items():
            if path == source or _is_below(path, source):
                arrived[target + path[len(source) :]] = what
                break
        else:
            left[path] = what
    return left | arrived


class ContentWorker(Worker):
    """Writes into one file, anywhere; a crash leaves what some write had left, and no mixture.

    What the kernel passes on as one request is all or nothing: a write that begins with a page, or
    stays within one.  It cuts others after the first page, see fuse_fill_write_pages().
    """

    WRITE_BYTES_MAX: Final = 60_000
    PAGE_BYTES: Final = 4_096
    FILE_BYTES_MAX: Final = 400_000

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(name, seed)
        self._bytes = b""
        self._history = History(b"")

    def step(self) -> None:
        """Open the file and change it a few times; sync, or do not."""
        descriptor = os.open(self.root / "file", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            for _ in range(self.rng.randrange(1, 12)):
                self._change(descriptor)
            if self.rng.random() < 0.5:
                self.rng.choice([os.fsync, os.fdatasync])(descriptor)
                self._history.synced()
        finally:
            os.close(descriptor)

    def verify(self) -> None:
        """Compare all bytes."""
        try:
            found = (self.root / "file").read_bytes()
        except FileNotFoundError:
            found = b""
        assert self._history.admits(found), (
            f"{self.name}: {len(found)} bytes are no state of {self._history}"
        )
        self._bytes = found
        self._history = History(found)

    def _change(self, descriptor: int) -> None:
        before = self._bytes
        if self.rng.random() < 0.1:
            size = self.rng.choice([0, self.rng.randrange(self.FILE_BYTES_MAX)])
            self._becomes(before[:size].ljust(size, b"\0"))
            os.ftruncate(descriptor, size)
            return
        data = self.rng.randbytes(self.rng.choice([10, 500, 5_000, self.WRITE_BYTES_MAX]))
        place = self.rng.choice([len(before), self.rng.randrange(len(before) + 10_000)])
        if place % self.PAGE_BYTES + len(data) > self.PAGE_BYTES:
            place -= place % self.PAGE_BYTES
        if place + len(data) <= self.FILE_BYTES_MAX:
            self._becomes(before[:place].ljust(place, b"\0") + data + before[place + len(data) :])
            os.pwrite(descriptor, data, place)

    def _becomes(self, contents: bytes) -> None:
        self._bytes = contents
        self._history.append(contents)


class SaveWorker(Worker):
    """Saves as editors do, into a temporary file that is renamed: the old contents or the new.

    Half of them sync neither file nor directory, so they may be lost, but never in part.
    """

    NAMES: Final = "abcd"

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(name, seed)
        self._saved: dict[str, list[bytes]] = {name: [b""] for name in self.NAMES}

    def step(self) -> None:
        """Save one file."""
        name = self.rng.choice(self.NAMES)
        contents = self.rng.randbytes(self.rng.choice([1, 100, 5_000, 100_000]))
        is_careful = self.rng.random() < 0.5
        with (self.root / "draft").open("wb") as file:
            file.write(contents)
            file.flush()
            if is_careful:
                os.fsync(file.fileno())
        self._saved[name].append(contents)
        (self.root / "draft").rename(self.root / name)
        if is_careful:
            sync_directory(self.root)
            self._saved[name] = [contents]

    def verify(self) -> None:
        """Compare each file with everything that was saved under its name since the last sync."""
        for name, states in self._saved.items():
            path = self.root / name
            found = path.read_bytes() if path.exists() else b""
            assert found in states, (
                f"{self.name}/{name}: {len(found)} bytes are none of {[len(s) for s in states]}"
            )
            self._saved[name] = [found]
        others = {entry.name for entry in self.root.iterdir()} - set(self.NAMES)
        assert others <= {"draft"}


class DatabaseWorker(Worker):
    """Commits rows into SQLite: what was committed is there, and nothing else.

    The write-ahead log is used without shared memory, as a mapping of it would end the test with
    the daemon.
    """

    def __init__(self, name: str, seed: int, *, journal_mode: str) -> None:
        super().__init__(name, seed)
        self._journal_mode = journal_mode
        self._committed = 0
        self._tried = 0

    def step(self) -> None:
        """Open the database and commit rows, one transaction each."""
        database = self._open()
        try:
            for _ in range(self.rng.randrange(1, 10)):
                self._tried = self._committed + 1
                padding = self.rng.randbytes(self.rng.choice([10, 3_000]))
                with database:
                    database.execute("INSERT INTO rows VALUES (?, ?)", (self._tried, padding))
                self._committed = self._tried
                self.steps += 1
        finally:
            database.close()

    def verify(self) -> None:
        """Let SQLite recover and check itself, and compare the rows."""
        database = self._open()
        try:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            found = [row[0] for row in database.execute("SELECT number FROM rows ORDER BY number")]
        finally:
            database.close()
        assert found == list(range(1, len(found) + 1))
        assert self._committed <= len(found) <= max(self._tried, self._committed)
        self._committed = self._tried = len(found)

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.root / "database", check_same_thread=False)
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute(f"PRAGMA journal_mode = {self._journal_mode}").fetchall()
        database.execute("PRAGMA synchronous = FULL")
        with database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY, padding BLOB)"
            )
        return database


def workers(seed: int) -> list[Worker]:
    """Return one of each kind, two of those whose syncs should meet."""
    rng = random.Random(seed)
    return [
        NameWorker("names", rng.getrandbits(32)),
        ContentWorker("contents", rng.getrandbits(32)),
        ContentWorker("more-contents", rng.getrandbits(32)),
        SaveWorker("saves", rng.getrandbits(32)),
        DatabaseWorker("rollback", rng.getrandbits(32), journal_mode="DELETE"),
        DatabaseWorker("write-ahead", rng.getrandbits(32), journal_mode="WAL"),
    ]
