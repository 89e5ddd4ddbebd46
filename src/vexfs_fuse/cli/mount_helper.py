"""`mount.fuse.vexfs`: what mount(8) and /etc/fstab call; its arguments, then `vexfs mount`.

An fstab line: `/srv/notes  /mnt/vex  fuse.vexfs  allow_other,nofail  0 0`.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from vexfs_fuse.cli import main as vexfs

USAGE_CODE: Final = 1
FAILED_CODE: Final = 32
"""Exit codes of mount(8): 1 wrong usage, 32 the mount failed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Mount as mount(8) asks; return an exit code of mount(8)."""
    parsed = _parser().parse_args(arguments)
    if parsed.fake:
        return 0
    words = ",".join(parsed.options).split(",")
    if "remount" in words:
        return _remount(parsed.mount_point, words)
    command = ["mount"]
    if "/" in parsed.source:
        command += ["--store", parsed.source]
    # What is not a path names nothing that we open: it is there to be seen in findmnt.
    command += ["-o", f"fsname={parsed.source.replace(',', chr(92) + ',')}"]
    for options in parsed.options:
        command += ["-o", options]
    return FAILED_CODE if vexfs.main([*command, parsed.mount_point]) else 0


def _remount(mount_point: str, words: list[str]) -> int:
    """Change the flags of a mount, such as ro: the kernel's business alone, so mount(8) does it itself."""
    command = ["mount", "--internal-only", "-o", ",".join(words), mount_point]
    return FAILED_CODE if subprocess.run(command, check=False).returncode else 0


class _Parser(argparse.ArgumentParser):
    def exit(self, status: int = 0, message: str | None = None) -> None:  # type: ignore[override]
        if message:
            sys.stderr.write(message)
        raise SystemExit(USAGE_CODE if status else 0)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mount.fuse.vexfs",
        description="Mount a vexfs volume for mount(8).",
        epilog="A SOURCE with a slash is the store directory; another one is a mere name.",
    )
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("mount_point", metavar="MOUNTPOINT")
    parser.add_argument("-o", dest="options", action="append", default=[], metavar="OPTIONS")
    parser.add_argument("-f", dest="fake", action="store_true", help="do not mount")
    for flag, meaning in (("-s", "sloppy"), ("-n", "no mtab"), ("-v", "verbose")):
        parser.add_argument(flag, action="store_true", help=f"{meaning}: without effect")
    return parser
