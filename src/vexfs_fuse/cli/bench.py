"""`vexfs bench`: how quick a directory is for a program, of a volume or of any other file system."""

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Final, NamedTuple

import numpy as np

from vexfs_fuse.cli import mounted
from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.cli.progress import Progress
from vexfs_fuse.cli.status import lines
from vexfs_fuse.cli.vectors import set_vector
from vexfs_fuse.errors import InvalidArgument, NotFound
from vexfs_fuse.units import KIB, MIB, NS_PER_S
from vexfs_fuse.vectors.arrays import Floats

FILES: Final = 1_000
FILES_MAX: Final = 1_000_000
FILES_SYNCED_MAX: Final = 100
"""A sync takes up to a hundred times as long as the rest."""

STREAM_BYTES: Final = 64 * MIB
SEARCHES_MAX: Final = 200
DIMENSIONS: Final = 384
"""Of the vectors that are set: as many as those of the embedder that comes with vexfs."""

SEED: Final = 1
NEAREST: Final = 10


class Timed(NamedTuple):
    """What one kind of operation took; each was timed by itself."""

    operation: str
    calls: int
    per_second: int
    median_us: float
    p99_us: float


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory",
        metavar="DIR",
        nargs="?",
        default=".",
        type=Path,
        help="where to measure; what is made there is removed again",
    )
    parser.add_argument(
        "--files", metavar="N", type=int, default=FILES, help=f"how many files ({FILES:,})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure, remove what was made, and print a table."""
    if not 1 <= arguments.files <= FILES_MAX:
        raise InvalidArgument(f"{arguments.files} files, not 1 to {FILES_MAX:,}")
    volume = _volume_of(arguments.directory)
    progress = Progress("measuring")
    told = []
    with _scratch(arguments.directory) as scratch:
        for timed in _measured(scratch, volume, arguments.files):
            told.append(timed)
            progress.show(timed.operation)
    progress.done()
    if arguments.json:
        print(json.dumps([timed._asdict() for timed in told], indent=1))
    else:
        print("\n".join(lines({"operations": [timed._asdict() for timed in told]})))
    return Exit.OK


def _volume_of(directory: Path) -> Path | None:
    """Return the root of the volume whose searches can be measured, or None.

    The vectors lie in a space of their own, which none but the owner of the root may drop again.
    """
    try:
        root = mounted.volume_at(directory)
    except NotFound:
        return None
    return root if os.geteuid() in {0, root.stat().st_uid} else None


@contextmanager
def _scratch(directory: Path) -> Iterator[Path]:
    """A directory of our own, whose files are not to be indexed."""
    scratch = Path(tempfile.mkdtemp(prefix=".vexfs-bench-", dir=directory))
    try:
        (scratch / ".vexignore").write_text("*\n")
        yield scratch
    finally:
        shutil.rmtree(scratch)


def _measured(scratch: Path, volume: Path | None, files: int) -> Iterator[Timed]:
    names = [str(scratch / str(number)) for number in range(files)]
    block, attribute = bytes(4 * KIB), bytes(1536)
    yield _timed("create + close", names, _create)
    yield _timed("write 4 KiB", names, lambda name: _write(name, block))
    yield _timed("read 4 KiB", names, _read)
    yield _timed("stat", names, os.stat)
    yield _timed("setxattr 1.5 KiB", names, lambda name: os.setxattr(name, "user.bench", attribute))
    yield _timed("getxattr 1.5 KiB", names, lambda name: os.getxattr(name, "user.bench"))
    yield _timed("rename there and back", names, _rename)
    synced = [f"{name}.synced" for name in names[:FILES_SYNCED_MAX]]
    yield _timed("create + write 1 KiB + fsync", synced, _write_synced)
    if volume is not None:
        yield from _measured_vectors(names, volume, scratch)
    yield from _measured_stream(scratch / "stream")
    yield _timed("unlink", names, os.unlink)


def _measured_vectors(names: list[str], volume: Path, scratch: Path) -> Iterator[Timed]:
    space = scratch.name.removeprefix(".")
    rng = np.random.default_rng(SEED)
    rows: Floats = rng.standard_normal((len(names), DIMENSIONS), dtype=np.float32)
    try:
        yield _timed(
            "set a vector",
            zip(names, rows, strict=True),
            lambda each: set_vector(each[0], space, each[1]),
        )
        questions = [
            f"{scratch}/.search/like={number}/space={space}/k={NEAREST}"
            for number in range(min(len(names), SEARCHES_MAX))
        ]
        yield _timed(f"search, k={NEAREST}", questions, os.listdir)
    finally:
        os.removexattr(volume, f"user.vexfs.space.{space}")


def _measured_stream(path: Path) -> Iterator[Timed]:
    chunk = os.urandom(MIB)
    chunks = range(STREAM_BYTES // MIB)
    with path.open("wb", buffering=0) as stream:
        yield _timed("write 1 MiB in turn", chunks, lambda _: stream.write(chunk))
    with path.open("rb", buffering=0) as stream:
        yield _timed("read 1 MiB in turn", chunks, lambda _: stream.read(MIB))


def _timed(operation: str, over: Iterable[Any], act: Callable[[Any], object]) -> Timed:
    took_ns = []
    for each in over:
        began = perf_counter_ns()
        act(each)
        took_ns.append(perf_counter_ns() - began)
    median, p99 = (round(float(each) / 1_000, 1) for each in np.percentile(took_ns, (50, 99)))
    per_second = round(len(took_ns) * NS_PER_S / sum(took_ns))
    return Timed(operation, len(took_ns), per_second, median, p99)


def _create(name: str) -> None:
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _write(name: str, data: bytes) -> None:
    descriptor = os.open(name, os.O_WRONLY)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _read(name: str) -> None:
    descriptor = os.open(name, os.O_RDONLY)
    try:
        os.read(descriptor, 4 * KIB)
    finally:
        os.close(descriptor)


def _rename(name: str) -> None:
    os.rename(name, f"{name}.moved")
    os.rename(f"{name}.moved", name)


def _write_synced(name: str) -> None:
    descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, bytes(KIB))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


COMMAND = Command(
    "bench",
    "Measure how quick a directory is for one program, system call by system call; in a volume also"
    " how quickly vectors are set and searched, for the owner of its root and for root.",
    """
    vexfs bench /mnt/vex
    vexfs bench /var/tmp           the same on the disk, to compare
    vexfs bench --files 10000 --json /mnt/vex
    """,
    _add_arguments,
    run,
)
