"""`vexfs` as a user runs it: a process of its own, in a home directory of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import vexfs_fuse

TIMEOUT_S: Final = 60.0
SOURCE: Final = Path(vexfs_fuse.__file__).parents[1]
NOBODY: Final = 65_534

Result = subprocess.CompletedProcess[str]


class Home:
    """A home directory with stores, mount points and a configuration that serves no metrics."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = path / "store"
        self.mount_point = path / "mnt"
        self.mount_point.mkdir()
        configuration = path / ".config/vexfs/config.toml"
        configuration.parent.mkdir(parents=True)
        configuration.write_text('metrics = "none"\nindex = false\n')

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        return kept | {"HOME": str(self.path), "PYTHONPATH": str(SOURCE), "COLUMNS": "100"}

    @property
    def log(self) -> str:
        """All that daemons have logged."""
        files = (self.path / ".local/state/vexfs").glob("*.log")
        return "".join(file.read_text() for file in files)

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "vexfs_fuse", *map(str, arguments)]

    def run(self, *arguments: str | Path, uid: int | None = None, stdin: str = "") -> Result:
        return subprocess.run(
            [*as_user(uid), *self.command(*arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=TIMEOUT_S,
            check=False,
        )

    def succeed(self, *arguments: str | Path, uid: int | None = None) -> str:
        """Run a command that must succeed; return what it prints."""
        result = self.run(*arguments, uid=uid)
        assert result.returncode == 0, f"{arguments}: {result.stderr}\n{self.log}"
        return result.stdout

    def fail(self, *arguments: str | Path, code: int = 1, uid: int | None = None) -> str:
        """Run a command that must fail with `code`; return its one line of complaint."""
        result = self.run(*arguments, uid=uid)
        assert result.returncode == code, f"{arguments}: {result.stdout}{result.stderr}"
        assert "Traceback" not in result.stderr
        return result.stderr

    @contextmanager
    def mounted(self, *arguments: str | Path) -> Iterator[Path]:
        """Mount the store; unmount at the end, whatever happened, and demand a quiet log."""
        self.succeed("mount", "--store", self.store, *arguments, self.mount_point)
        try:
            yield self.mount_point
        finally:
            if os.path.ismount(self.mount_point):
                self.succeed("umount", self.mount_point)
        assert "ERROR" not in self.log
        assert "WARNING" not in self.log


def as_user(uid: int | None) -> list[str]:
    """Return the prefix that runs a command as another user.

    It may read what it may not otherwise: our interpreter may lie in root's home directory.
    """
    if uid is None:
        return []
    capability = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *capability]


def lines(text: str) -> Sequence[str]:
    """Return the lines of a command's output."""
    return text.rstrip("\n").split("\n")
