"""From the close of a small note to its being found: by the vector of its text, and by its words.

Notes are written one after the other, at rest in between; after each close the volume is asked until it has
the note's vector, and in another round until a search for a word of its own lists it.

usage: python -m benchmarks.freshness [--quick] [--notes N] [--json FILE]
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks import report, systems
from benchmarks.commandline import INDEXED, end_on_sigterm, parser, progress
from benchmarks.machine import BusinessMeter, machine

REST_S: Final = 0.5
POLL_S: Final = 0.01
TIMEOUT_S: Final = 60.0
TARGET_S: Final = 1.0
VECTOR: Final = "user.vexfs.vector.text"


def main() -> None:
    """Measure, print the table, write the JSON."""
    made = parser(__doc__, "10 notes", INDEXED)
    made.add_argument("--notes", type=int, default=50)
    arguments = made.parse_args()
    end_on_sigterm()
    notes = 10 if arguments.quick else arguments.notes
    meter = BusinessMeter()
    with tempfile.TemporaryDirectory(prefix="vexfs-freshness-", dir=arguments.work) as work:
        described = machine(Path(work))
        with systems.vexfs(arguments.options, arguments.vexfs).mounted(Path(work)) as mounted:
            root = mounted.directory
            note(root, -1, "to begin with", has_vector)
            found = {
                "its vector is there": [note(root, n, "vectors", has_vector) for n in range(notes)],
                "a search lists it": [note(root, n, "words", is_listed) for n in range(notes)],
            }
    settings = {"notes": notes, "options": arguments.options}
    results = report.document("freshness", described, meter.end(), settings)
    report.tell(results, found, readable(found), arguments.json)


def note(root: Path, number: int, title: str, is_found: Callable[[Path, str], bool]) -> float:
    """Write a note; return after how many seconds it is found."""
    progress(f"{title}: {number}")
    time.sleep(REST_S)
    word = f"{title.split()[0]}{number + 1}zebra"
    path = root / f"{word}.txt"
    path.write_text(f"A note about {word}, and what else there is to say of {title} today.\n")
    closed_s = time.perf_counter()
    while not is_found(path, word):
        if time.perf_counter() - closed_s > TIMEOUT_S:
            raise TimeoutError(f"{path} is not found")
        time.sleep(POLL_S)
    return time.perf_counter() - closed_s


def has_vector(path: Path, _: str) -> bool:
    """Whether a file has a vector of its text."""
    try:
        os.getxattr(path, VECTOR)
    except OSError:
        return False
    return True


def is_listed(path: Path, word: str) -> bool:
    """Whether a search for a word lists a file, by its words and its meaning."""
    try:
        names = os.listdir(path.parent / ".search" / f"a note about {word}")
    except OSError:
        return False
    return any(name.endswith(path.name) for name in names)


def readable(found: dict[str, list[float]]) -> str:
    """Return the table."""
    rows = [
        [
            what,
            f"{statistics.median(times):.2f}",
            f"{min(times):.2f}",
            f"{max(times):.2f}",
            "met" if statistics.median(times) < TARGET_S else "missed",
        ]
        for what, times in found.items()
    ]
    return report.table(["after close, s", "median", "least", "most", "target 1 s"], rows)


if __name__ == "__main__":
    main()
