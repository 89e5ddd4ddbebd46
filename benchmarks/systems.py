"""The file systems under measurement: how each is mounted, watched while it settles, and ended."""

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import programs
from benchmarks.commandline import OPTIONS

MOUNT_TIMEOUT_S: Final = 60.0
END_TIMEOUT_S: Final = 60.0
SETTLE_TIMEOUT_S: Final = 5.0
SETTLE_WINDOW_S: Final = 0.05
SETTLE_BUSY_S: Final = 0.01
"""A daemon that used less CPU time than this (one tick) in a window has settled."""
VEXFS_LATE_S: Final = 0.3
"""vexfs looks for work that can wait only so often, and must not do it in another's time."""

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_UTIME_FIELD, _STIME_FIELD = 11, 12  # of /proc/PID/stat, counted after the command's bracket


class MountFailed(Exception):
    """A file system did not come up, or did not end; its last output is the text."""


@dataclass(frozen=True, slots=True)
class System:
    """One kind of file system: its name in results, a sentence, and the command that serves it.

    In `command`, `{mountpoint}` and `{store}` are replaced; a system without a command is the
    directory `{store}` itself, on the disk's own file system.
    """

    name: str
    sentence: str
    command: tuple[str, ...]
    settle_window_s: float = SETTLE_WINDOW_S

    @contextlib.contextmanager
    def mounted(self, work: Path, prefix: list[str] | None = None) -> Iterator["Mounted"]:
        """Mount anew below `work` under a command prefix, and unmount at the end."""
        place = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=work))
        (place / "store").mkdir()
        (place / "mnt").mkdir()
        mounted = Mounted(self, place)
        try:
            mounted.start(prefix or [])
            yield mounted
        finally:
            mounted.end()
            shutil.rmtree(place)


class Mounted:
    """A file system that answers at `directory`; `start` and `end` may alternate on one store."""

    def __init__(self, system: System, place: Path) -> None:
        self.system = system
        self.place = place
        self.store = place / "store"
        self.directory = place / "mnt" if system.command else self.store
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The daemon's process, or None for the disk itself."""
        return self._process.pid if self._process else None

    def start(self, prefix: list[str]) -> float:
        """Mount, and return after how many seconds the mount answered."""
        if not self.system.command:
            return 0.0
        words = {"mountpoint": str(self.directory), "store": str(self.store)}
        command = [word.format(**words) for word in self.system.command]
        bare = os.stat(self.directory).st_dev
        start = time.perf_counter()
        with open(self.place / "log", "ab") as log:
            self._process = subprocess.Popen(
                [*prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
            )
        while not self._answers(bare):
            if self._process.poll() is not None or time.perf_counter() > start + MOUNT_TIMEOUT_S:
                raise MountFailed(f"{shlex.join(command)}\n{self._log_tail()}")
            time.sleep(0.002)
        return time.perf_counter() - start

    def end(self) -> float:
        """Unmount, and return after how many seconds the daemon had ended."""
        if self._process is None:
            return 0.0
        process, self._process = self._process, None
        start = time.perf_counter()
        try:
            self._unmount(process)
            process.wait(END_TIMEOUT_S)
        except BaseException:
            process.send_signal(signal.SIGKILL)
            process.wait()
            raise
        finally:
            if self._is_mount():
                subprocess.run(["fusermount3", "-u", "-z", self.directory], check=False)
        return time.perf_counter() - start

    def _unmount(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + END_TIMEOUT_S
        while process.poll() is None and self._is_mount():
            if subprocess.run(["fusermount3", "-u", self.directory], check=False).returncode:
                time.sleep(0.1)
            if time.monotonic() > deadline:
                raise MountFailed(f"{self.system.name} does not unmount\n{self._log_tail()}")

    def settle(self) -> None:
        """Wait until the daemon rests, so that its late work is not in another's figures.

        What waits for the commit interval is synced, so that it is not late either.
        """
        directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        before = self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(self.system.settle_window_s)
            now = self.cpu_seconds()
            if now - before < SETTLE_BUSY_S:
                return
            before = now

    def cpu_seconds(self) -> float:
        """Return the CPU time that the daemon has used."""
        if self.pid is None:
            return 0.0
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[_UTIME_FIELD]) + int(fields[_STIME_FIELD])) / _TICKS_PER_S

    def resident_bytes(self) -> int:
        """Return the memory that the daemon holds."""
        if self.pid is None:
            return 0
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _environment(self) -> dict[str, str]:
        """Return surroundings in which no daemon finds the user's configuration."""
        kinds = ("CONFIG_HOME", "DATA_HOME", "STATE_HOME", "CACHE_HOME", "RUNTIME_DIR")
        return os.environ | {f"XDG_{kind}": str(self.place / kind.lower()) for kind in kinds}

    def _answers(self, bare: int) -> bool:
        try:
            return os.stat(self.directory).st_dev != bare
        except OSError:
            return False

    def _is_mount(self) -> bool:
        with open("/proc/self/mounts") as mounts:
            return any(line.split()[1] == str(self.directory) for line in mounts)

    def _log_tail(self) -> str:
        return (self.place / "log").read_text(errors="replace")[-2000:]


def c_floor() -> System:
    """Return the C file system in memory, which ratios are against."""
    return System(
        "c",
        "C in memory, libfuse low-level, one thread",
        (str(programs.memory_fs()), "-f", "-s", "-o", "default_permissions", "{mountpoint}"),
    )


def python_floor() -> System:
    """Return the file system in memory on pyfuse3 as it comes."""
    program = programs.HERE / "floor" / "no_op_fs.py"
    return System(
        "python",
        "Python in memory, pyfuse3 and trio as they come",
        (sys.executable, str(program), "-o", "default_permissions", "{mountpoint}"),
    )


def vexfs(options: str = OPTIONS, command: str | None = None) -> System:
    """Return vexfs with journal, durability at 1 s, metrics, and what `options` say."""
    return System(
        "vexfs",
        f"vexfs, -o {options}",
        (
            *(shlex.split(command) if command else _vexfs_command()),
            *("mount", "--foreground", "--store", "{store}", "-o", options, "{mountpoint}"),
        ),
        settle_window_s=VEXFS_LATE_S,
    )


def disk() -> System:
    """Return the disk's own file system, which stores and plain directories are on."""
    return System("disk", "the disk's own file system", ())


def peer() -> System:
    """Return gocryptfs, a FUSE file system in Go that keeps its data, encrypted, on the disk."""
    if not shutil.which("gocryptfs"):
        raise programs.ToolMissing("apt-get install gocryptfs")
    script = (
        "test -e {store}/gocryptfs.conf"
        " || gocryptfs -q -init -scryptn 10 -extpass 'echo bench' {store}"
        " && exec gocryptfs -q -fg -extpass 'echo bench' {store} {mountpoint}"
    )
    return System("peer", "gocryptfs", ("sh", "-c", script))


def named(name: str, options: argparse.Namespace) -> System:
    """Return the system of that name, vexfs as the command line wants it."""
    if name == "vexfs":
        return vexfs(options.options, options.vexfs)
    return {"c": c_floor, "python": python_floor, "disk": disk, "peer": peer}[name]()


def _vexfs_command() -> tuple[str, ...]:
    beside = Path(sys.executable).with_name("vexfs")
    return (str(beside),) if beside.exists() else (sys.executable, "-m", "vexfs_fuse")
