"""The command `vexfs`: finds the subcommand, runs it, tells its failure in one line."""

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Final

from vexfs_fuse.cli import (
    backup,
    bench,
    completions,
    config,
    doctor,
    fsck,
    get_vector,
    import_vectors,
    index,
    journal,
    model,
    mount,
    reindex,
    restore,
    search,
    set_vector,
    space,
    status,
    umount,
    version,
)
from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.errors import VexfsError

COMMANDS: Final = (
    mount.COMMAND,
    umount.COMMAND,
    search.COMMAND,
    set_vector.COMMAND,
    get_vector.COMMAND,
    import_vectors.COMMAND,
    space.COMMAND,
    index.COMMAND,
    model.COMMAND,
    status.COMMAND,
    journal.COMMAND,
    reindex.COMMAND,
    fsck.COMMAND,
    backup.COMMAND,
    restore.COMMAND,
    config.COMMAND,
    doctor.COMMAND,
    bench.COMMAND,
    completions.COMMAND,
    version.COMMAND,
)

_COMMON_EXIT_CODES: Final = "0 done, 1 failed (standard error says why), 2 wrong usage"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `vexfs` with these arguments; return its exit code."""
    parsed = parse(arguments)
    command: Command = parsed.command
    try:
        code = command.run(parsed)
        sys.stdout.flush()
    except VexfsError as error:
        return _tell(error, command)
    except BrokenPipeError:
        # The reader of our output has seen enough; Python must not complain while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if command.is_of_use_in_part:
            return Exit.OK
        return _tell(f"{command.name}: who reads it has gone before the end", command)
    except OSError as error:
        return _tell(f"{error.filename or command.name}: {error.strerror or error}", command)
    except KeyboardInterrupt:
        return _tell("interrupted", command)
    return code


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse; argparse takes positional arguments only as far as no option comes between them."""
    parser = make_parser()
    parsed, left = parser.parse_known_args(arguments)
    scattered = parsed.command.scattered
    if left and (not scattered or any(each.startswith("-") for each in left)):
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    if left:
        getattr(parsed, scattered).extend(left)
    parsed.parser = parser  # completions are made of it
    return parsed


def _tell(failure: object, command: Command) -> int:
    print(f"vexfs: {failure}", file=sys.stderr)
    return command.failed


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="vexfs",
        description="A file system whose files carry meaning.",
        epilog="`vexfs COMMAND --help` shows a command's options and examples.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        below = commands.add_parser(
            command.name,
            help=command.help,
            description=command.help,
            epilog=_epilog(command),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_arguments(below)
        below.set_defaults(command=command)
    return parser


def _epilog(command: Command) -> str:
    examples = textwrap.indent(textwrap.dedent(command.examples).strip(), "  ")
    return f"examples:\n{examples}\n\nexit codes:\n  {command.exit_codes or _COMMON_EXIT_CODES}"
