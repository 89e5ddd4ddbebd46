"""`vexfs set`: gives a file a vector, and says in words what is wrong with it."""

import argparse
from pathlib import Path

from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.errors import IsADirectory


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a file in a mounted volume")
    parser.add_argument("--space", metavar="NAME", default="default", help="which vector space")
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument(
        "--vector-file",
        metavar="VECTOR",
        help="a .npy, raw float32, JSON or a list of numbers; - is standard input",
    )
    given.add_argument("--json", metavar="ARRAY", help="the numbers: [0.1, 0.2]")


def run(arguments: argparse.Namespace) -> int:
    """Set one vector."""
    from vexfs_fuse.cli import vectors

    if arguments.file.is_dir():
        raise IsADirectory(f"{arguments.file}; vectors belong to files")
    space = vectors.space_at(arguments.file, arguments.space)
    given = arguments.json
    value = given.encode() if given is not None else vectors.read_value(arguments.vector_file)
    vectors.set_vector(str(arguments.file), arguments.space, vectors.checked(value, space))
    return Exit.OK


COMMAND = Command(
    "set",
    "Give a file a vector.",
    """
    vexfs set photo.jpg --vector-file photo.npy
    vexfs set photo.jpg --space clip --json '[0.1, 0.2, 0.3]'
    """,
    _add_arguments,
    run,
)
