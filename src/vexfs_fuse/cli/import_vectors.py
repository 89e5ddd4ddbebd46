"""`vexfs import`: gives many files their vectors, from a table of them and a list of paths."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.cli.progress import Progress
from vexfs_fuse.errors import InvalidArgument, NotFound, VexfsError

COMPLAINTS_MAX: Final = 20
"""Failures that are told one by one; all are counted."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("vectors", metavar="VECTORS", help="a .npy table, one vector a row")
    parser.add_argument(
        "paths", metavar="PATHS", help="a text file, one path a line, in the order of the rows"
    )
    parser.add_argument("--space", metavar="NAME", default="default", help="which vector space")
    parser.add_argument(
        "--directory",
        metavar="DIR",
        type=Path,
        default=Path(),
        help="what the paths are relative to; the current directory",
    )


def run(arguments: argparse.Namespace) -> int:
    """Set all vectors; what fails is told, and the rest is set."""
    from vexfs_fuse.cli import vectors

    rows = vectors.read_rows(arguments.vectors)
    paths = vectors.read_value(arguments.paths).splitlines()
    if len(paths) != len(rows):
        raise InvalidArgument(f"{len(rows):,} vectors and {len(paths):,} paths")
    if not paths:
        return Exit.OK
    complaints = list(_set_all(rows, paths, arguments.directory, arguments.space))
    for complaint in complaints[:COMPLAINTS_MAX]:
        print(f"vexfs: {complaint}", file=sys.stderr)
    failed = len(complaints)
    told = f"{len(paths) - failed:,} vectors set" + (f", {failed:,} failed" if failed else "")
    print(told, file=sys.stderr)
    return Exit.FAILED if failed else Exit.OK


def _set_all(rows: Any, paths: Sequence[bytes], directory: Path, space: str) -> Iterator[str]:
    """Yield a sentence for each file whose vector could not be set."""
    import numpy as np

    from vexfs_fuse.cli import vectors

    base = os.fsencode(directory)
    within = Path(os.fsdecode(os.path.join(base, paths[0]))).parent
    known = vectors.space_at(within, space)
    volume = os.stat(within).st_dev
    progress = Progress("import")
    for number, path in enumerate(paths):
        try:
            if os.stat(os.path.join(base, path)).st_dev != volume or not path:
                raise NotFound("a line without a path" if not path else "not in the same volume")
            with np.errstate(over="ignore"):
                row = np.ascontiguousarray(rows[number], "<f4")
            vector = vectors.checked(row.tobytes(), known)
            vectors.set_vector(os.path.join(base, path), space, vector)
        except (VexfsError, OSError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            yield f"{os.fsdecode(path)}: {said}"
        progress.share(number + 1, len(paths))
    progress.done()


COMMAND = Command(
    "import",
    "Give many files their vectors.",
    """
    vexfs import vectors.npy paths.txt
    vexfs import vectors.npy paths.txt --space clip --directory /mnt/vex/photos
    """,
    _add_arguments,
    run,
    "0 all set, 1 some or all failed (standard error says why), 2 wrong usage",
)
