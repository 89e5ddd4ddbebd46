"""Many short files indexed in the background: how fast, in how much memory, and what others notice of it.

The files are made of a text with a line for each (`--texts FILE`, or words drawn at random).  While they are
indexed, a client goes on with stat and create; the same was measured before, without an indexer.

usage: python -m benchmarks.indexing_scale [--quick] [--files N] [--texts FILE] [--json FILE]
"""

import json
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks import report, systems
from benchmarks.commandline import INDEXED, OPTIONS, end_on_sigterm, parser, progress
from benchmarks.machine import BusinessMeter, machine

FILES: Final = 60_000
DIRECTORY_FILES: Final = 1_000
PROBE_S: Final = 20.0
PAUSE_S: Final = 0.002
HURT_MAX: Final = 3.0
TIMEOUT_S: Final = 6 * 3600.0


def main() -> None:
    """Measure, print the table, write the JSON."""
    made = parser(__doc__, "2,000 files", INDEXED)
    made.add_argument("--files", type=int, default=FILES)
    made.add_argument("--texts", type=Path, help="a text for each line")
    arguments = made.parse_args()
    end_on_sigterm()
    files = 2_000 if arguments.quick else arguments.files
    texts = texts_of(arguments.texts, files)
    meter = BusinessMeter()
    with tempfile.TemporaryDirectory(prefix="vexfs-indexing-", dir=arguments.work) as work:
        described = machine(Path(work))
        found: dict[str, Any] = {"files": len(texts)}
        with systems.vexfs(OPTIONS, arguments.vexfs).mounted(Path(work)) as mounted:
            found["before"] = probe(mounted.directory)
        with systems.vexfs(arguments.options, arguments.vexfs).mounted(Path(work)) as mounted:
            found |= indexed(mounted.directory, texts)
    settings = {"files": files, "options": arguments.options, "texts": str(arguments.texts or "")}
    results = report.document("indexing_scale", described, meter.end(), settings)
    report.tell(results, found, readable(found), arguments.json)


def texts_of(path: Path | None, count: int) -> list[str]:
    """Return so many short texts."""
    if path is not None:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return lines[:count]
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(5_000)]
    return [" ".join(rng.choices(words, k=12)) for _ in range(count)]


def indexed(root: Path, texts: list[str]) -> dict[str, Any]:
    """Write all files and have them indexed; return what that took."""
    began_s = time.perf_counter()
    for number, text in enumerate(texts):
        directory = root / f"d{number // DIRECTORY_FILES}"
        if number % DIRECTORY_FILES == 0:
            directory.mkdir()
        (directory / f"{number}.txt").write_text(text)
    written_s = time.perf_counter() - began_s
    during = probe(root)
    rss_bytes = 0
    while True:
        status = status_of(root)
        rss_bytes = max(rss_bytes, status["rss_bytes"])
        progress(f"{status['pending']} of {len(texts)} to go")
        if status["indexed"] >= len(texts) and not status["pending"]:
            break
        if time.perf_counter() - began_s > TIMEOUT_S:
            raise TimeoutError(f"not indexed: {status}")
        time.sleep(0.5)
    return {
        "written_s": written_s,
        "during": during,
        "indexed_s": time.perf_counter() - began_s,
        "rss_bytes": rss_bytes,
        "failed": status["failed"],
        "restarts": status["restarts"],
        "model": status["model"],
    }


def status_of(root: Path) -> dict[str, Any]:
    """Return what the status says of indexing."""
    status: dict[str, Any] = json.loads((root / ".vexfs/status.json").read_text())["indexing"]
    return status


def probe(root: Path) -> dict[str, float]:
    """Return the 99th percentiles, in microseconds, of what a client waits for stat and create."""
    place = root / "probe"
    place.mkdir()
    took: dict[str, list[float]] = {"stat": [], "create": []}
    until_s = time.perf_counter() + PROBE_S
    number = 0
    while time.perf_counter() < until_s:
        number += 1
        path = place / f"file {number}.bin"
        began = time.perf_counter()
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        took["create"].append(time.perf_counter() - began)
        began = time.perf_counter()
        try:
            os.stat(place / f"missing {number}")
        except FileNotFoundError:
            pass
        took["stat"].append(time.perf_counter() - began)
        time.sleep(PAUSE_S)
    return {what: sorted(times)[len(times) * 99 // 100] * 1e6 for what, times in took.items()}


def readable(found: dict[str, Any]) -> str:
    """Return the table."""
    rows = []
    for what in ("stat", "create"):
        before, during = found["before"][what], found["during"][what]
        hurt = during / before
        verdict = "met" if hurt <= HURT_MAX else "missed"
        row = [f"p99 of {what}, us", f"{before:,.0f}", f"{during:,.0f}", f"{hurt:.1f}", verdict]
        rows.append(row)
    table = report.table(["", "no indexer", "indexing", "ratio", "target 3"], rows)
    per_second = found["files"] / found["indexed_s"]
    return (
        f"{table}\n\n{found['files']:,} files of {found['model']} in {found['indexed_s']:,.0f} s,"
        f" {per_second:,.0f} a second; written in {found['written_s']:,.0f} s;"
        f" the indexer took {found['rss_bytes'] / 2**20:,.0f} MiB at most,"
        f" {found['failed']} files failed, {found['restarts']} restarts"
    )


if __name__ == "__main__":
    main()
