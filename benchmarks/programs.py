"""Compiles the C programs on demand, into a cache whose files are named for their sources."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
COMPILER: Final = ("gcc", "-O2", "-Wall", "-Wextra")


class ToolMissing(Exception):
    """A program or library that a benchmark is built with is not installed."""


def memory_fs() -> Path:
    """Return the C floor, a file system in memory; needs libfuse3's development files."""
    return _compiled("memory_fs", HERE / "floor", _flags("fuse3"))


def load() -> Path:
    """Return the load generator."""
    return _compiled("load", HERE / "clients", [])


def _flags(package: str) -> list[str]:
    try:
        answer = subprocess.run(
            ["pkg-config", "--cflags", "--libs", package],
            capture_output=True,
            text=True,
            check=True,
        )
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise ToolMissing("apt-get install gcc pkg-config libfuse3-dev") from error
    return answer.stdout.split()


def _compiled(name: str, folder: Path, flags: list[str]) -> Path:
    sources = sorted(folder.glob("*.c"))
    digest = hashlib.sha256(repr((COMPILER, flags)).encode())
    for source in sorted(folder.glob("*.[ch]")):
        digest.update(source.read_bytes())
    program = _cache() / f"{name}-{digest.hexdigest()[:16]}"
    if program.exists():
        return program
    if not shutil.which(COMPILER[0]):
        raise ToolMissing("apt-get install gcc")
    unfinished = program.with_suffix(f".{os.getpid()}")
    command = [*COMPILER, *map(str, sources), "-o", str(unfinished), *flags, "-lpthread"]
    subprocess.run(command, check=True)
    unfinished.rename(program)  # whole or not there, should two runs compile at once
    return program


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = Path(base) / "vexfs-benchmarks"
    cache.mkdir(parents=True, exist_ok=True)
    return cache
