"""FUSE requests that each system call costs, counted in the kernel: counts, not times.

The kernel's tracepoint `fuse:fuse_request_send` (Linux 6.12 or later, root) tells every request to
one connection, whatever the daemon is written in, so the floors are counted by the same rule.

usage: python -m benchmarks.request_counts [--quick] [--systems c,python,vexfs] [--json FILE]
"""

import argparse
import os
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from benchmarks import report, systems
from benchmarks.commandline import end_on_sigterm, parser, words
from benchmarks.machine import BusinessMeter, machine

TRACING: Final = Path("/sys/kernel/tracing")
EVENT: Final = "events/fuse/fuse_request_send"
REPEATS: Final = 8
"""Times that each call is made, on another file each time; a count that is not the same each time
shows as a fraction."""
LATE_S: Final = 0.05
"""How long requests that nobody waits for (RELEASE, FORGET) may come after the call."""
NAMES_BYTES: Final = 1536
PAGE_BYTES: Final = 4096

Call = Callable[[Path], object]


@dataclass(frozen=True, slots=True)
class Case:
    """One call, what must be there before it, and the least that the protocol needs for it.

    `least` is what pyfuse3 can reach, with the mount option default_permissions and killpriv in the
    kernel.  FORGET is left out everywhere, for it depends on the memory that the kernel wants back.

    The first write to an inode, or change of its size, asks whether it has security.capability: one
    GETXATTR.  With HANDLE_KILLPRIV_V2 the kernel then remembers, without it each write asks again.

    A call that changes a directory makes the kernel forget the directory's attributes, and with
    default_permissions the next call in it asks for them: one GETATTR for each such call in a row.
    """

    title: str
    prepare: Call
    call: Call
    least: dict[str, int]
    changes_directory: bool = False

    def expected(self) -> Counter[str]:
        """Return `least`, and the GETATTR that a directory's change costs."""
        return Counter(self.least) + Counter(GETATTR=int(self.changes_directory))


class CountingUnavailable(Exception):
    """This kernel or this user cannot trace FUSE requests."""


class Counting:
    """Counts requests to one connection in a trace instance of its own."""

    def __init__(self, mountpoint: Path) -> None:
        self._connection = os.stat(mountpoint).st_dev
        self._instance = TRACING / "instances" / f"vexfs-{os.getpid()}"
        self._mounted = False

    def __enter__(self) -> Self:
        try:
            if not (TRACING / "events").is_dir():
                subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACING], check=True)
                self._mounted = True
            self._instance.mkdir()
            (self._instance / EVENT / "filter").write_text(f"connection == {self._connection}")
            (self._instance / EVENT / "enable").write_text("1")
        except (OSError, subprocess.CalledProcessError) as error:
            self._leave()
            raise CountingUnavailable(f"{error}: needs root and Linux 6.12") from error
        return self

    def __exit__(self, *_: object) -> None:
        (self._instance / EVENT / "enable").write_text("0")
        self._leave()

    def _leave(self) -> None:
        if self._instance.is_dir():
            self._instance.rmdir()
        if self._mounted:  # unless others trace as well by now
            subprocess.run(["umount", TRACING], check=False, stderr=subprocess.DEVNULL)

    def requests(self, act: Callable[[], object]) -> Counter[str]:
        """Return the requests that `act` makes, by opcode without `FUSE_`."""
        (self._instance / "trace").write_text("")
        act()
        time.sleep(LATE_S)
        lines = (self._instance / "trace").read_text()
        seen = Counter(re.findall(r"opcode \d+ \(FUSE_(\w+)\)", lines))
        for ignored in ("FORGET", "BATCH_FORGET"):
            del seen[ignored]
        return seen


# --- the calls -----------------------------------------------------------------------------------


def _nothing(_: Path) -> None:
    pass


def _file(path: Path) -> None:
    path.write_bytes(b"")


def _paged_file(path: Path) -> None:
    path.write_bytes(bytes(PAGE_BYTES))
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _attributed_file(path: Path) -> None:
    path.write_bytes(b"")
    os.setxattr(path, "user.count", bytes(NAMES_BYTES))


def _full_directory(path: Path) -> None:
    path.mkdir()
    for number in range(16):
        (path / str(number)).write_bytes(b"")
    path.stat()


def _open_close(path: Path, flags: int = os.O_RDONLY, mode: int = 0o644) -> None:
    os.close(os.open(path, flags, mode))


def _create(path: Path) -> None:
    _open_close(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)


def _written_twenty_times(path: Path) -> None:
    file = os.open(path, os.O_WRONLY)
    for _ in range(20):
        os.write(file, bytes(PAGE_BYTES))
    os.close(file)


def _written(path: Path, *, sync: bool = False) -> None:
    file = os.open(path, os.O_WRONLY)
    os.write(file, bytes(PAGE_BYTES))
    if sync:
        os.fsync(file)
    os.close(file)


def _small_file(path: Path) -> None:
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    os.write(file, bytes(1024))
    os.close(file)


def _read(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    os.read(file, PAGE_BYTES)
    os.close(file)


def _read_cached(path: Path) -> None:
    _paged_file(path)
    _read(path)


def _missing(path: Path) -> None:
    path.exists()


def _beside(path: Path) -> Path:
    return path.with_name(path.name + "-beside")


def _symlink(path: Path) -> None:
    path.symlink_to("target")


OPEN: Final = {"OPEN": 1, "RELEASE": 1}
FIRST: Final = {"GETXATTR": 1}
CASES: Final = (
    Case("stat, cached", _file, lambda path: path.stat(), {}),
    Case("failed lookup", _nothing, _missing, {"LOOKUP": 1}),
    Case("failed lookup, again", _missing, _missing, {}),
    Case(
        "create + close",
        _nothing,
        _create,
        {"LOOKUP": 1, "CREATE": 1, "RELEASE": 1},
        changes_directory=True,
    ),
    Case(
        "mkdir",
        _nothing,
        lambda path: path.mkdir(),
        {"LOOKUP": 1, "MKDIR": 1},
        changes_directory=True,
    ),
    Case("symlink", _nothing, _symlink, {"LOOKUP": 1, "SYMLINK": 1}, changes_directory=True),
    Case(
        "link",
        _file,
        lambda path: os.link(path, _beside(path)),
        {"LOOKUP": 1, "LINK": 1},
        changes_directory=True,
    ),
    Case(
        "rename",
        _file,
        lambda path: path.rename(_beside(path)),
        {"LOOKUP": 1, "RENAME": 1},
        changes_directory=True,
    ),
    Case("unlink", _file, lambda path: path.unlink(), {"UNLINK": 1}, changes_directory=True),
    Case(
        "rmdir",
        lambda path: path.mkdir(),
        lambda path: path.rmdir(),
        {"RMDIR": 1},
        changes_directory=True,
    ),
    Case("readlink", _symlink, lambda path: path.readlink(), {"READLINK": 1}),
    Case("chmod", _file, lambda path: path.chmod(0o600), {"SETATTR": 1}),
    Case("truncate", _file, lambda path: os.truncate(path, 9), {**FIRST, "SETATTR": 1}),
    Case("utime", _file, lambda path: os.utime(path), {"SETATTR": 1}),
    Case("open + close", _file, _open_close, OPEN),
    Case("open + write 4 KiB + close", _file, _written, {**OPEN, **FIRST, "WRITE": 1}),
    Case("open + 20 writes + close", _file, _written_twenty_times, {**OPEN, **FIRST, "WRITE": 20}),
    Case(
        "open + write + fsync + close",
        _file,
        lambda path: _written(path, sync=True),
        {**OPEN, **FIRST, "WRITE": 1, "FSYNC": 1},
    ),
    Case("open + read 4 KiB + close", _paged_file, _read, {**OPEN, "READ": 1}),
    Case("the same, read before", _read_cached, _read, OPEN),
    Case(
        "create + write 1 KiB + close",
        _nothing,
        _small_file,
        {"LOOKUP": 1, "CREATE": 1, **FIRST, "WRITE": 1, "RELEASE": 1},
        changes_directory=True,
    ),
    Case(
        "getxattr", _attributed_file, lambda path: os.getxattr(path, "user.count"), {"GETXATTR": 2}
    ),  # Python asks with 128 bytes first, and with the largest size then
    Case(
        "setxattr",
        _file,
        lambda path: os.setxattr(path, "user.count", bytes(NAMES_BYTES)),
        {"SETXATTR": 1},
    ),
    Case("listxattr", _attributed_file, os.listxattr, {"LISTXATTR": 1}),
    Case(
        "readdir of 16",
        _full_directory,
        os.listdir,
        {"OPENDIR": 1, "READDIRPLUS": 1, "READDIR": 1, "RELEASEDIR": 1},  # the last finds the end
    ),
    Case("statvfs", _nothing, lambda path: os.statvfs(path.parent), {"STATFS": 1}),
)


def count(mountpoint: Path) -> dict[str, dict[str, float]]:
    """Return, for each case, the requests that one call makes on a mounted file system."""
    counts = {}
    with Counting(mountpoint) as counting:
        for number, case in enumerate(CASES):
            counts[case.title] = _count_case(case, mountpoint / f"case-{number}", counting)
    return counts


def _count_case(case: Case, directory: Path, counting: Counting) -> dict[str, float]:
    directory.mkdir()
    paths = [directory / f"file-{number}" for number in range(REPEATS)]
    for path in paths:
        case.prepare(path)
    (directory / "change").mkdir()
    if not case.changes_directory:
        directory.stat()
    time.sleep(LATE_S)
    seen = counting.requests(lambda: [case.call(path) for path in paths])
    return {opcode: number / REPEATS for opcode, number in sorted(seen.items())}


# --- the command ---------------------------------------------------------------------------------


def main() -> None:
    """Count, print the table, write the JSON."""
    arguments = _arguments()
    end_on_sigterm()
    meter = BusinessMeter()
    counts = {}
    with tempfile.TemporaryDirectory(prefix="vexfs-counts-", dir=arguments.work) as work:
        described = machine(Path(work))
        for name in arguments.systems:
            with systems.named(name, arguments).mounted(Path(work)) as mounted:
                counts[name] = count(mounted.directory)
    results = report.document("request_counts", described, meter.end(), {"repeats": REPEATS})
    found = {
        case.title: {
            "least": case.expected(),
            **{name: counts[name][case.title] for name in counts},
        }
        for case in CASES
    }
    report.tell(results, found, readable(found, list(counts)), arguments.json)


def _arguments() -> argparse.Namespace:
    options = parser(__doc__, quick="nothing: counting is quick")
    options.add_argument("--systems", default=["c", "python", "vexfs"], type=words)
    return options.parse_args()


def readable(results: dict[str, Any], names: list[str]) -> str:
    """Return the table; a `+` marks a system that makes more requests than the least."""
    header = ("requests for one call", "least", *names)
    rows = [
        (title, _listed(by_system["least"]), *(_cell(by_system, name) for name in names))
        for title, by_system in results.items()
    ]
    return report.table(header, rows)


def _cell(by_system: dict[str, dict[str, float]], name: str) -> str:
    seen, least = by_system[name], by_system["least"]
    more = sum(seen.values()) > sum(least.values())
    return ("+ " if more else "") + ("same" if seen == least else _listed(seen))


def _listed(requests: dict[str, float]) -> str:
    words = (
        opcode if number == 1 else f"{number:g} {opcode}" for opcode, number in requests.items()
    )
    return ", ".join(words) or "none"


if __name__ == "__main__":
    main()
