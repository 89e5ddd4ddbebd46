"""`vexfs get`: what vectors a file has, or one of them as numbers."""

import argparse
import json
from pathlib import Path
from typing import Any

from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.cli.status import lines
from vexfs_fuse.errors import NoAttribute


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a file in a mounted volume")
    parser.add_argument("--space", metavar="NAME", help="which vector space; without it, all")
    parser.add_argument("--json", action="store_true", help="print JSON, with the numbers")
    parser.add_argument(
        "--npy", metavar="OUT", type=Path, help="write one vector to a .npy file instead"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print or write what one file has."""
    from vexfs_fuse.cli import vectors

    file = arguments.file
    if arguments.npy is not None:
        _write(file, arguments.space or "default", arguments.npy)
        return Exit.OK
    names = [arguments.space] if arguments.space else vectors.spaces_of(file)
    if not names:
        raise NoAttribute(f"{file} has no vector")
    found: list[dict[str, Any]] = [vectors.describe(file, name) for name in names]
    if arguments.json:
        for each in found:
            each["vector"] = vectors.vector_at(file, each["space"]).tolist()
        print(json.dumps(found[0] if arguments.space else found))
    else:
        print("\n".join(lines({"vectors": found})))
    return Exit.OK


def _write(file: Path, space: str, target: Path) -> None:
    import numpy as np

    from vexfs_fuse.cli import vectors

    vector = vectors.vector_at(file, space)
    with target.open("wb") as out:
        np.save(out, vector)


COMMAND = Command(
    "get",
    "Show the vectors of a file.",
    """
    vexfs get photo.jpg
    vexfs get photo.jpg --space clip --json
    vexfs get photo.jpg --npy photo.npy
    """,
    _add_arguments,
    run,
)
