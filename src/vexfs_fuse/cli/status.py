"""`vexfs status`: what a mounted volume does, for people or as JSON."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vexfs_fuse.cli import mounted
from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.quantities import approximate_size

WATCH_S: Final = 1.0

_SIZES: Final = frozenset({"bytes", "free", "total"})


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "mount_point", metavar="MOUNTPOINT", nargs="?", type=Path, help="which volume, if several"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--watch", action="store_true", help="show indexing and requests anew every second"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the status of one volume."""
    there = mounted.only_volume(arguments.mount_point)
    if arguments.watch:
        return _watch(there)
    status = mounted.read_status(there)
    if arguments.json:
        print(json.dumps(status, indent=1))
    else:
        print("\n".join(lines(status)))
    return Exit.OK


def _watch(there: Path) -> int:
    """Show what changes, until interrupted or unmounted."""
    clear = "\033[H\033[J" if sys.stdout.isatty() else ""
    while True:
        status = mounted.read_status(there)
        shown = {"indexing": status["indexing"], "requests": status["requests"]}
        print(clear + "\n".join(lines(shown)), flush=True)
        time.sleep(WATCH_S)


def lines(status: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Yield a nested status as lines: a title for what has parts, a table for equal parts."""
    width = max((len(key) for key in status), default=0)
    for key, value in status.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            first = next(iter(value[0]))
            value = {_shown(first, row.pop(first)): row for row in map(dict, value)}
        if isinstance(value, dict):
            yield f"{indent}{_words(key)}"
            yield from (
                _table(value, indent + "  ") if _is_table(value) else lines(value, indent + "  ")
            )
        else:
            yield f"{indent}{_words(key):<{width}}  {_shown(key, value)}"


def _is_table(value: dict[str, Any]) -> bool:
    rows = list(value.values())
    return bool(rows) and all(
        isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows
    )


def _table(rows: dict[str, Any], indent: str) -> Iterator[str]:
    columns = list(next(iter(rows.values())))
    cells = [["", *map(_words, columns)]]
    cells += [[name, *(_shown(key, row[key]) for key in columns)] for name, row in rows.items()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *rest in cells:
        shown = (f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        yield f"{indent}{first:<{widths[0]}}  {'  '.join(shown)}"


def _words(key: str) -> str:
    return key.removesuffix("_bytes").replace("_", " ")


def _shown(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and (key in _SIZES or key.endswith("_bytes")):
        return approximate_size(value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


COMMAND = Command(
    "status",
    "Show what a mounted volume holds and does.",
    """
    vexfs status                   the only volume mounted
    vexfs status /mnt/vex --json
    vexfs status --watch           how indexing goes on, every second
    """,
    _add_arguments,
    run,
)
