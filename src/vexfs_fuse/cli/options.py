"""The arguments that fill the option table: `-o`, `--config`, and a flag for each option."""

import argparse
from pathlib import Path

from vexfs_fuse.config import OPTIONS, Effective, load
from vexfs_fuse.config.table import SWITCH

_DEST = "option_"


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add `--store` and `--config`, for commands that work on a store."""
    group = parser.add_argument_group("which store")
    group.add_argument("--store", metavar="DIR", dest=f"{_DEST}store", help=OPTIONS["store"].help)
    group.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="read options from FILE instead of $XDG_CONFIG_HOME/vexfs/config.toml",
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add everything that sets an option."""
    add_store(parser)
    parser.add_argument(
        "-o",
        metavar="OPTIONS",
        dest="mount_options",
        action="append",
        default=[],
        help="options as in /etc/fstab: NAME or NAME=VALUE, separated by commas",
    )
    group = parser.add_argument_group("options, also for -o and the configuration file")
    for option in OPTIONS.values():
        if option.name == "store":
            continue
        switch = {"nargs": "?", "const": "true"} if option.kind is SWITCH else {}
        group.add_argument(
            f"--{option.name.replace('_', '-')}",
            metavar=option.kind.name.upper() if " " not in option.kind.name else "VALUE",
            dest=_DEST + option.name,
            help=option.help.replace("%", "%%"),
            **switch,  # type: ignore[arg-type]
        )


def effective_options(arguments: argparse.Namespace) -> Effective:
    """Return the options in effect for parsed arguments."""
    flags = {
        name.removeprefix(_DEST): text
        for name, text in vars(arguments).items()
        if name.startswith(_DEST) and text is not None
    }
    return load(flags, getattr(arguments, "mount_options", ()), arguments.config)
