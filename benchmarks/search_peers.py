"""Searching through our mount beside vector databases and libraries in process: same data, same run.

The peers stand in benchmarks/requirements-peers.txt; `--peers` names the interpreter of an environment
that has them.  Each runs in a process of its own on one thread, with the least effort that reaches
recall@10 of 0.95 on the first questions; vexfs is asked through the kernel, as it comes.  What is
absent is said to be so.

usage: python -m benchmarks.search_peers [--quick] [--peers PYTHON] [--data DIR] [--collection NAME] [--json FILE]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import report, search, systems
from benchmarks.clients.peer_search import PEERS, RECALL_MIN, K
from benchmarks.collection import Collection, add_options, load, part_of
from benchmarks.commandline import OPTIONS, end_on_sigterm, parser, progress
from benchmarks.machine import BusinessMeter, machine

PROGRAM: Final = Path(__file__).parent / "clients/peer_search.py"
ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "LANCE_CPU_THREADS": "1",
    "TOKIO_WORKER_THREADS": "1",
}
PEER_TIMEOUT_S: Final = 3_600.0
ABSENT: Final = "absent: pip install -r benchmarks/requirements-peers.txt"


def main() -> None:
    """Measure, print the table, write the JSON."""
    arguments = _arguments()
    end_on_sigterm()
    real = load(arguments.data / arguments.collection)
    if arguments.quick:
        real = part_of(real, 10_000, 200)
    meter = BusinessMeter()
    with tempfile.TemporaryDirectory(prefix="vexfs-peers-", dir=arguments.work) as directory:
        work = Path(directory)
        described = machine(work)
        found: dict[str, Any] = _ours(arguments, real, work)
        collection = work / "collection.npz"
        np.savez(collection, base=real.base, queries=real.queries, truth=real.truth)
        for name in PEERS:
            progress(name)
            found[name] = _peer(name, arguments.peers, collection, work)
    settings = {"k": K, "collection": arguments.collection, "recall_min": RECALL_MIN}
    results = report.document("search_peers", described, meter.end(), settings)
    report.tell(results, found, readable(found), arguments.json)


def _arguments() -> argparse.Namespace:
    options = parser(__doc__, quick="10,000 vectors and 200 questions")
    options.set_defaults(options=f"{OPTIONS},index=off")
    options.add_argument("--peers", default=sys.executable, help="the interpreter that has them")
    add_options(options)
    return options.parse_args()


def _ours(arguments: argparse.Namespace, real: Collection, work: Path) -> dict[str, Any]:
    """Measure vexfs: by `.new`, and by listing a directory."""
    with systems.named("vexfs", arguments).mounted(work) as mounted:
        bench = search.Bench(mounted, real)
        progress("vexfs")
        bench.make_files()
        before = mounted.resident_bytes()
        inserted = search.seconds_of(lambda: search.set_and_find(bench))
        ready = inserted + bench.wait_until_built()
        common: dict[str, Any] = {
            "inserts_per_second": len(real.base) / inserted,
            "ready_after_s": ready,
            "bytes_per_vector": (mounted.resident_bytes() - before) / len(real.base),
        }
        progress("vexfs, finding its effort")  # as the peers' was chosen, by these questions
        search.asked_by_new(bench)
        bench.wait_until_built()
        asked = {"vexfs, .new": search.asked_by_new(bench), "vexfs, listing": search.listed(bench)}
        common["effort"] = bench.space()["ef"]
        mounted.end()
        common["first_answer_s"] = search.seconds_of(lambda: (mounted.start([]), bench.answer(0)))
    return {name: common | each.as_json() for name, each in asked.items()}


def _peer(name: str, python: str, collection: Path, work: Path) -> dict[str, Any]:
    place = work / name
    place.mkdir()

    def run(what: str) -> str:
        answer = subprocess.run(
            [python, str(PROGRAM), name, what, str(collection), str(place)],
            env=os.environ | ONE_THREAD,
            capture_output=True,
            text=True,
            timeout=PEER_TIMEOUT_S,
            check=True,
        )
        return answer.stdout.splitlines()[-1]

    try:
        found: dict[str, Any] = json.loads(run("measure"))
        found["first_answer_s"] = _least(lambda: run("reopen"), 3)
    except subprocess.CalledProcessError as failed:
        error = failed.stderr.strip().rpartition("\n")[2]
        return {"error": ABSENT if "ModuleNotFoundError" in error else error}
    return found


def _least(act: Callable[[], object], times: int) -> float:
    """Return how long it takes when the files are in the page cache."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        act()
        taken.append(time.perf_counter() - start)
    return min(taken)


def readable(found: dict[str, Any]) -> str:
    """Return the table."""
    header = [
        "",
        "inserts",
        "ready after",
        "median",
        "p99",
        "recall@10",
        "effort",
        "a vector takes",
        "first answer",
    ]
    rows = [_row(name, each) for name, each in found.items() if "error" not in each]
    absent = [f"{name}: {each['error']}" for name, each in found.items() if "error" in each]
    return "\n".join([report.table(header, rows), *([""] if absent else []), *absent])


def _row(name: str, each: dict[str, Any]) -> list[str]:
    return [
        name,
        f"{each['inserts_per_second']:,.0f}/s",
        f"{each['ready_after_s']:.0f} s",
        f"{each['median_ms']:.2f} ms",
        f"{each['p99_ms']:.2f} ms",
        f"{each['recall']:.3f}",
        str(each.get("effort", "exact")),
        f"{each['bytes_per_vector']:,.0f} bytes",
        f"{each['first_answer_s']:.2f} s",
    ]


if __name__ == "__main__":
    main()
