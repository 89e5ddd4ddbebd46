"""What a command of `vexfs` is, and the exit codes that all of them share."""

import argparse
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple


class Exit(IntEnum):
    """Exit codes; a command's help tells those that only it has."""

    OK = 0
    FAILED = 1
    USAGE = 2


class Command(NamedTuple):
    """One command: its name and help, its arguments, what it does.

    `run` returns an exit code or raises a `VexfsError`, which `main` tells and turns into `failed`.
    """

    name: str
    help: str
    examples: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    exit_codes: str = ""
    failed: int = Exit.FAILED
    """The exit code when it raises."""

    is_of_use_in_part: bool = True
    """Whether a reader of its output may go before the end, as head(1) does; else that is a failure."""

    scattered: str = ""
    """The list of positional arguments that may stand before, between and after the options."""


def no_arguments(parser: argparse.ArgumentParser) -> None:
    """Add none."""
