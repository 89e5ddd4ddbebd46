"""Pages with transcripts: indented lines, `$ COMMAND` and below it what the command prints.

One shell runs all commands of a page, one after the other; what each prints is compared.
"""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

MARK: Final = "--- what follows is of the next command ---"
TIMEOUT_S: Final = 120.0

TOOLS: Final = f"""
exec 2>&1
export LC_ALL=C.UTF-8
cd
vexfs() {{ {sys.executable} -m vexfs_fuse "$@"; }}
"""


class Command(NamedTuple):
    """One command and what the page says that it prints; `line` is where it stands."""

    line: int
    text: str
    shown: str


def commands_of(page: Path) -> list[Command]:
    """Return the commands of a page's transcripts, in their order."""
    commands: list[Command] = []
    is_open = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith("    $ "):
            commands.append(Command(number, line[6:], ""))
            is_open = True
        elif is_open and line.startswith("    "):
            last = commands.pop()
            commands.append(last._replace(shown=f"{last.shown}{line[4:]}\n"))
        else:
            is_open = False
    return commands


def run(commands: Sequence[Command], environment: Mapping[str, str]) -> list[str]:
    """Run the commands in one shell; return what each printed, errors included."""
    script = TOOLS + "".join(f"{command.text}\necho {MARK!r}\n" for command in commands)
    result = subprocess.run(
        ["bash", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    printed = result.stdout.split(f"{MARK}\n")[:-1]
    assert len(printed) == len(commands), result.stdout
    return printed


def filled(page: Path, printed: Sequence[str]) -> str:
    """Return the page with what its commands really print, to be read before it is kept."""
    lines = page.read_text().splitlines(keepends=True)
    for command, output in reversed(list(zip(commands_of(page), printed, strict=True))):
        shown = re.sub("^", "    ", output, flags=re.MULTILINE).removesuffix("    ")
        end = command.line + command.shown.count("\n")
        lines[command.line : end] = [shown]
    return "".join(lines)
