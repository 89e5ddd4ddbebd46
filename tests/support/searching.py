"""Searches as programs make them: by looking into a directory."""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.support.vectors import VECTOR, raw

DIMENSIONS: Final = 4
NEAREST: Final = "like=query"
"""The question that the tests ask most: what is near to the file `query`."""


def asked(scope: Path, *segments: str) -> Path:
    """Return the directory that a question is."""
    return scope.joinpath(".search", *segments)


def listed(scope: Path, *segments: str) -> list[str]:
    """Return the names of the hits, in the order of the listing."""
    return os.listdir(asked(scope, *segments))


def found(scope: Path, *segments: str) -> list[str]:
    """Return the paths of the hits, best first."""
    directory = asked(scope, *segments)
    with os.scandir(directory) as entries:
        return [os.getxattr(entry.path, "user.vexfs.path").decode() for entry in entries]


def results(scope: Path, *segments: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return header and lines of `.results.jsonl`."""
    text = (asked(scope, *segments) / ".results.jsonl").read_text()
    header, *lines = map(json.loads, text.splitlines())
    return header, lines


def make_files(scope: Path, files: Mapping[str, Iterable[float]]) -> None:
    """Make files with vectors of the default space; a file's contents are its path."""
    for path, vector in files.items():
        place = scope / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{path}\n")
        os.setxattr(place, VECTOR, raw(*vector))


def searches(root: Path) -> int:
    """Return how many searches the volume has run; `root` is its root directory."""
    text = (root / ".vexfs/metrics").read_text()
    lines = [line for line in text.splitlines() if line.startswith("vexfs_searches_total{")]
    return int(sum(float(line.rpartition(" ")[2]) for line in lines))


def eventually(is_so: Callable[[], bool], *, within_s: float = 5.0) -> bool:
    """Return whether something comes true, asking now and then."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.02)
    return is_so()
