"""What the benchmarks' commands have in common: options, progress, and an end that unmounts."""

import argparse
import signal
import sys
from pathlib import Path
from typing import Final

INDEXED: Final = "metrics=127.0.0.1:0"
"""Mount options of vexfs: everything on, and a port that no other volume has."""

OPTIONS: Final = f"{INDEXED},index=off"
"""The same without the text index: its process reads what was written in the time of whoever is measured
next, and no other system has one."""


def parser(description: str | None, quick: str, options: str = OPTIONS) -> argparse.ArgumentParser:
    """Return a parser with the common options; `quick` says what --quick leaves out."""
    made = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    made.add_argument("--quick", action="store_true", help=quick)
    made.add_argument("--options", default=options, help="vexfs's mount options")
    made.add_argument("--vexfs", help="the command to use as `vexfs`")
    made.add_argument("--work", type=Path, help="where stores are kept: a directory on a disk")
    made.add_argument("--json", type=Path, help="write everything measured to this file")
    return made


def words(text: str) -> list[str]:
    """Read a comma-separated list."""
    return text.split(",")


def numbers(text: str) -> list[int]:
    """Read a comma-separated list of numbers."""
    return [int(word) for word in text.split(",")]


def progress(text: str) -> None:
    """Show what is being done, on a terminal only; an empty text clears the line."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def end_on_sigterm() -> None:
    """Let SIGTERM unwind the stack like an interrupt, so that what is mounted is unmounted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
