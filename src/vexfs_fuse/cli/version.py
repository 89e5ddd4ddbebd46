"""`vexfs version`: which vexfs this is, and what it runs on."""

import argparse
import json
import platform
from importlib import metadata

from vexfs_fuse import __version__
from vexfs_fuse.cli.command import Command, Exit


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def versions() -> dict[str, str]:
    """Return the versions that a report of a fault should name."""
    return {
        "vexfs": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "pyfuse3": metadata.version("pyfuse3"),
        "trio": metadata.version("trio"),
        "numpy": metadata.version("numpy"),
    }


def run(arguments: argparse.Namespace) -> int:
    """Print the versions."""
    found = versions()
    if arguments.json:
        print(json.dumps(found))
    else:
        rest = ", ".join(f"{name} {version}" for name, version in list(found.items())[1:])
        print(f"vexfs {found['vexfs']} ({rest})")
    return Exit.OK


COMMAND = Command("version", "Show the version.", "vexfs version", _add_arguments, run)
