"""`vexfs config`: the options in effect, of a mount to be made or of one that is."""

import argparse
import sys
from pathlib import Path

from vexfs_fuse.cli import mounted
from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.cli.options import add_options, effective_options


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "mount_point",
        metavar="MOUNTPOINT",
        nargs="?",
        type=Path,
        help="show what this mounted volume runs with",
    )
    add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the options as TOML, each with its help and with what set it."""
    if arguments.mount_point is None:
        text = effective_options(arguments).toml()
    else:
        there = mounted.volume_at(arguments.mount_point)
        text = mounted.read_control(there, "config.toml").decode()
    sys.stdout.write(text)
    return Exit.OK


COMMAND = Command(
    "config",
    "Show the options in effect as TOML, ready to be edited into a configuration file.",
    """
    vexfs config                         what `vexfs mount` would use
    vexfs config -o pool_bytes=1G        the same with an option set
    vexfs config /mnt/vex                what a mounted volume runs with
    """,
    _add_arguments,
    run,
)
