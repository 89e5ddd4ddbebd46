"""Searching through a mount, with real vectors: rates, latencies, recall, and what it does to others.

Every question is asked once, so nothing that was answered before is answered from memory.  A search by
`.new` is open, write, read and close; a listing is os.listdir() of a directory that was never looked up, so
it has the look-ups in it.  Vectors (float16 .npy) and the exact nearest of real queries lie in --data.

usage: python -m benchmarks.search [--quick] [--data DIR] [--collection NAME] [--json FILE]
"""

import argparse
import ctypes
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks import report, systems
from benchmarks.collection import Collection, add_options, load, part_of
from benchmarks.commandline import OPTIONS, end_on_sigterm, parser, progress
from benchmarks.harness import run_load
from benchmarks.machine import BusinessMeter, machine
from benchmarks.request_counts import Counting, CountingUnavailable
from benchmarks.systems import Mounted

K: Final = 10
FILES_PER_DIRECTORY: Final = 1_000
RARE_EVERY: Final = 100
"""One file in so many is called .md: the filter that keeps a hundredth."""
NAMES_AHEAD: Final = 60
"""Vectors that wait in .vec at a time; a user may have 64."""
BUILT_TIMEOUT_S: Final = 900.0
ANSWER_BYTES: Final = 1 << 16
STATS: Final = 20_000

SETS_MIN: Final = 5_000
RECALL_MIN: Final = 0.95
NEW_MEDIAN_MS: Final = 0.5
LISTING_MEDIAN_MS: Final = 1.0
LISTING_P99_MS: Final = 10.0
FILTERED_MAX: Final = 2.0
STAT_MAX: Final = 5.0
"""Targets: sets a second until they are found, and so on; the last two are ratios."""


class Asked(NamedTuple):
    """What a number of searches took, and how much of what they should have found they found."""

    seconds: list[float]
    recall: float | None

    def as_json(self) -> dict[str, Any]:
        milliseconds = 1e3 * np.array(self.seconds)
        return {
            "searches": len(self.seconds),
            "median_ms": float(np.median(milliseconds)),
            "p99_ms": float(np.percentile(milliseconds, 99)),
            "max_ms": float(milliseconds.max()),
            "recall": self.recall,
        }


def main() -> None:
    """Measure, print the table, write the JSON."""
    arguments = _arguments()
    end_on_sigterm()
    real = load(arguments.data / arguments.collection)
    if arguments.quick:
        real = part_of(real, 10_000, 200)
    meter = BusinessMeter()
    with tempfile.TemporaryDirectory(prefix="vexfs-search-", dir=arguments.work) as work:
        described = machine(Path(work))
        with systems.named("vexfs", arguments).mounted(Path(work)) as mounted:
            found = _measured(Bench(mounted, real))
    settings = {"k": K, "collection": arguments.collection, "options": arguments.options}
    results = report.document("search", described, meter.end(), settings)
    report.tell(results, found, readable(found), arguments.json)


def _arguments() -> argparse.Namespace:
    options = parser(__doc__, quick="10,000 vectors and 200 questions")
    options.set_defaults(options=f"{OPTIONS},index=off")
    add_options(options)
    return options.parse_args()


class Bench:
    """A mounted volume with a file for each vector, named by its position."""

    def __init__(self, mounted: Mounted, real: Collection) -> None:
        self.mounted = mounted
        self.real = real
        self.root = str(mounted.directory)
        self.paths = [
            f"{self.root}/{position // FILES_PER_DIRECTORY:03}/{position}{_suffix(position)}"
            for position in range(len(real.base))
        ]
        self._asked = 0

    def make_files(self) -> None:
        for directory in sorted({os.path.dirname(path) for path in self.paths}):
            os.mkdir(directory)
        for path in self.paths:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))

    def set_all(self) -> None:
        for path, vector in zip(self.paths, self.real.base, strict=True):
            os.setxattr(path, "user.vexfs.vector", vector.tobytes())

    def answer(self, query: int) -> list[bytes]:
        """Search through one descriptor; return the lines of the answer."""
        descriptor = os.open(f"{self.root}/.search/.new", os.O_RDWR)
        try:
            os.write(descriptor, self.real.queries[query].tobytes())
            return os.read(descriptor, ANSWER_BYTES).splitlines()
        finally:
            os.close(descriptor)

    def put(self, query: int) -> str:
        """Give the volume a question's vector under a name never used before; return the name."""
        self._asked += 1
        name = f"q{self._asked}"
        with open(f"{self.root}/.search/.vec/{name}", "wb", buffering=0) as file:
            file.write(self.real.queries[query].tobytes())
        return name

    def space(self) -> dict[str, Any]:
        """Return what the status says of the space."""
        status = json.loads(Path(self.root, ".vexfs/status.json").read_text())
        space: dict[str, Any] = status["volume"]["spaces"][0]
        return space

    def wait_until_built(self) -> float:
        """Return how long it took until one graph holds what it will, or as few as it will be."""
        start = time.perf_counter()
        before, still = "", 0
        while still < 3:
            space = self.space()
            now = f"{space['building']} {space['built']} {space['tail']}"
            still = still + 1 if now == before and space["building"] is None else 0
            before = now
            if time.perf_counter() - start > BUILT_TIMEOUT_S:
                break
            time.sleep(1)
        return time.perf_counter() - start


def _suffix(position: int) -> str:
    return ".md" if position % RARE_EVERY == 0 else ".txt"


def _position(name: str) -> int:
    """Return the position that a path or the name of a hit stands for."""
    return int(name.rpartition("/")[2].rpartition("-")[2].partition(".")[0])


# --- what is measured ----------------------------------------------------------------------------


def _measured(bench: Bench) -> dict[str, Any]:
    count = len(bench.real.base)
    figures: dict[str, Any] = {"vectors": count, "dimensions": bench.real.base.shape[1]}
    before = bench.mounted.resident_bytes()
    progress("making files")
    figures["creates_per_second"] = count / seconds_of(bench.make_files)
    with_files = bench.mounted.resident_bytes()
    progress("setting vectors")
    figures["searchable_per_second"] = count / seconds_of(lambda: set_and_find(bench))
    searches = {"all but a tail unbuilt": asked_by_new(bench)}
    progress("building")
    figures["built_after_s"] = bench.wait_until_built()
    figures["bytes_per_file"] = (with_files - before) / count
    figures["bytes_per_vector"] = (bench.mounted.resident_bytes() - with_files) / count
    figures["requests"] = _requests(bench)
    progress("searching")
    searches |= _searches(bench)
    figures["idle_stat"] = run_load("stat_uncached", bench.mounted, 1, STATS)
    figures["space"] = bench.space()
    progress("searching during ingestion")
    figures |= _during_ingestion(bench, searches)
    progress("mounting again")
    bench.mounted.end()
    figures["first_answer_s"] = seconds_of(lambda: (bench.mounted.start([]), bench.answer(0)))
    return {**figures, "searches": {name: asked.as_json() for name, asked in searches.items()}}


def seconds_of(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def set_and_find(bench: Bench) -> None:
    """Set all vectors, and look for the last: it is found at once."""
    bench.set_all()
    last = len(bench.real.base) - 1
    descriptor = os.open(f"{bench.root}/.search/.new", os.O_RDWR)
    os.write(descriptor, bench.real.base[last].tobytes())
    hits = os.read(descriptor, ANSWER_BYTES).splitlines()[1:]
    os.close(descriptor)
    assert last in {_position(json.loads(hit)["path"]) for hit in hits}


def _searches(bench: Bench) -> dict[str, Asked]:
    rare = np.arange(0, len(bench.real.base), RARE_EVERY)
    truth = bench.real.nearest(bench.real.queries, rare, K)
    return {
        ".new": asked_by_new(bench),
        "listing, vec=": listed(bench),
        "listing, like=": _listed_like(bench),
        "listing, vec=, 1 % by ext=": listed(bench, lambda query: "ext=md", truth),
        "listing, vec=, 1 % by another pattern each time": listed(
            bench, lambda query: f"name={query % 1000:03}*", None
        ),
    }


def asked_by_new(bench: Bench) -> Asked:
    """Ask all questions through `.new`."""
    return _asked(bench, _by_new(bench))


def _by_new(bench: Bench) -> tuple[Callable[[int], Any], Callable[[Any], list[int]]]:
    """Return how to ask, which is timed, and how to read the answer, which is not."""
    return bench.answer, lambda lines: [_position(json.loads(line)["path"]) for line in lines[1:]]


def _asked(
    bench: Bench,
    way: tuple[Callable[[int], Any], Callable[[Any], Sequence[int]]],
    truth: Any = None,
    end: Callable[[], bool] = lambda: False,
) -> Asked:
    ask, read = way
    truth = bench.real.truth if truth is None else truth
    seconds, right = [], 0
    for query in range(len(bench.real.queries)):
        start = time.perf_counter()
        answer = ask(query)
        seconds.append(time.perf_counter() - start)
        right += len(set(read(answer)) & set(truth[query, :K].tolist()))
        if end():
            break
    return Asked(seconds, right / K / len(seconds))


def listed(bench: Bench, filtered: Callable[[int], str] | None = None, truth: Any = None) -> Asked:
    """List the answers; the questions' vectors are put there before, which is not timed."""
    queries = len(bench.real.queries)
    expected = bench.real.truth if filtered is None else truth
    seconds, right = [], 0
    for first in range(0, queries, NAMES_AHEAD):
        some = range(first, min(first + NAMES_AHEAD, queries))
        names = [bench.put(query) for query in some]
        for query, name in zip(some, names, strict=True):
            segment = "" if filtered is None else f"/{filtered(query)}"
            start = time.perf_counter()
            hits = os.listdir(f"{bench.root}/.search/vec={name}{segment}")
            seconds.append(time.perf_counter() - start)
            if expected is not None:
                right += len(set(map(_position, hits)) & set(expected[query, :K].tolist()))
    return Asked(seconds, None if expected is None else right / K / len(seconds))


def _listed_like(bench: Bench) -> Asked:
    """List what is near to files that nobody has asked about.

    What is right is found out afterwards: the threads of a product of matrices wait for the next one
    by spinning, which would be a part of the time of the search behind it.
    """
    count = len(bench.real.base)
    chosen = np.random.default_rng(0).permutation(count)[: len(bench.real.queries)].tolist()
    seconds, answers = [], []
    for position in chosen:
        path = bench.paths[position].removeprefix(f"{bench.root}/").replace("/", "@")
        start = time.perf_counter()
        answers.append(os.listdir(f"{bench.root}/.search/like={path}"))
        seconds.append(time.perf_counter() - start)
    unit = bench.real.unit
    right = 0
    for position, hits in zip(chosen, answers, strict=True):
        nearest = np.argpartition(-(unit @ unit[position]), K + 1)[: K + 1]
        right += len(set(map(_position, hits)) & (set(nearest.tolist()) - {position}))
    return Asked(seconds, right / K / len(seconds))


def _requests(bench: Bench) -> dict[str, Any] | None:
    """Return the FUSE requests of one search of each kind; None where they cannot be counted."""
    name = bench.put(0)
    try:
        with Counting(Path(bench.root)) as counting:
            return {
                ".new": dict(counting.requests(lambda: bench.answer(0))),
                "listing": dict(
                    counting.requests(lambda: os.listdir(f"{bench.root}/.search/vec={name}"))
                ),
            }
    except CountingUnavailable:
        return None


# --- beside somebody who sets vectors -------------------------------------------------------------


def _set_for_ever(paths: list[str], vectors: Any, count: "Synchronized[int]") -> None:
    """Set the vectors of all files anew, over and over, each time another file's."""
    for turn in range(1, 1 << 30):
        for position, path in enumerate(paths):
            vector = vectors[(position + turn) % len(paths)]
            os.setxattr(path, "user.vexfs.vector", vector.tobytes())
            count.value += 1


@contextmanager
def _setting(bench: Bench) -> Iterator["Synchronized[int]"]:
    context = multiprocessing.get_context("fork")
    count = context.Value(ctypes.c_longlong, 0)
    arguments = (bench.paths, bench.real.base, count)
    process = context.Process(target=_set_for_ever, args=arguments, daemon=True)
    process.start()
    try:
        yield count
    finally:
        process.kill()
        process.join()


def _during_ingestion(bench: Bench, searches: dict[str, Asked]) -> dict[str, Any]:
    """Search and stat while vectors are replaced as fast as they can be, and graphs are built."""
    figures: dict[str, Any] = {}
    for name, measure in {
        ".new, during ingestion": lambda: asked_by_new(bench),
        "listing, vec=, during ingestion": lambda: listed(bench),
    }.items():
        with _setting(bench) as count:
            start, before = time.perf_counter(), count.value
            found = measure()
            figures["sets_beside_searches_per_second"] = (count.value - before) / (
                time.perf_counter() - start
            )
        searches[name] = found._replace(recall=None)
    with _setting(bench) as count:
        start, before = time.perf_counter(), count.value
        figures["busy_stat"] = run_load("stat_uncached", bench.mounted, 1, STATS)
        seconds = time.perf_counter() - start
        figures["sets_beside_stat_per_second"] = (count.value - before) / seconds
    return figures


# --- what is printed ------------------------------------------------------------------------------


def readable(found: dict[str, Any]) -> str:
    """Return the tables: searches with their targets, then the rest."""
    searches = found["searches"]
    plain = searches["listing, vec="]["median_ms"]
    lines = []
    for name, search in searches.items():
        median_max = NEW_MEDIAN_MS if name.startswith(".new") else LISTING_MEDIAN_MS
        if "1 %" in name:
            median_max = FILTERED_MAX * plain
        p99_max = None if "1 %" in name else LISTING_P99_MS
        recall = search["recall"]
        met = search["median_ms"] <= median_max and (p99_max is None or search["p99_ms"] <= p99_max)
        met &= recall is None or recall >= RECALL_MIN
        lines.append(
            [
                name,
                f"{search['median_ms']:.2f} ms",
                f"{search['p99_ms']:.2f} ms",
                "-" if recall is None else f"{recall:.3f}",
                f"{median_max:.2f}" + ("" if p99_max is None else f" / {p99_max:g}"),
                "pass" if met else "MISS",
            ]
        )
    table = report.table(["search", "median", "p99", "recall@10", "target", ""], lines)
    return f"{table}\n\n{_rest(found)}"


def _rest(found: dict[str, Any]) -> str:
    idle, busy = found["idle_stat"]["p99_ns"], found["busy_stat"]["p99_ns"]
    searchable = found["searchable_per_second"]
    rows = [
        (
            "set until searchable",
            f"{searchable:,.0f}/s",
            f">= {SETS_MIN:,}",
            searchable >= SETS_MIN,
        ),
        (
            "p99 of stat during ingestion, to idle",
            f"{report.microseconds(busy)} / {report.microseconds(idle)}",
            f"<= {STAT_MAX:g}",
            busy <= STAT_MAX * idle,
        ),
        ("files made", f"{found['creates_per_second']:,.0f}/s", "", None),
        ("vectors replaced beside searches", f"{_beside(found):,.0f}/s", "", None),
        ("all graphs built after", f"{found['built_after_s']:.0f} s", "", None),
        ("memory of a vector, graph and all", f"{found['bytes_per_vector']:,.0f} bytes", "", None),
        ("mount to first answer", f"{found['first_answer_s']:.2f} s", "", None),
        ("effort (ef)", str(found["space"]["ef"]), "", None),
        *(
            (f"requests, {name}", _listed_requests(requests), "", None)
            for name, requests in (found["requests"] or {}).items()
        ),
    ]
    verdicts = {True: "pass", False: "MISS", None: ""}
    return report.table(
        ["", "", "target", ""],
        [[name, value, target, verdicts[met]] for name, value, target, met in rows],
    )


def _beside(found: dict[str, Any]) -> float:
    rate: float = found["sets_beside_searches_per_second"]
    return rate


def _listed_requests(requests: dict[str, int]) -> str:
    return ", ".join(
        opcode if number == 1 else f"{number} {opcode}" for opcode, number in requests.items()
    )


if __name__ == "__main__":
    main()
