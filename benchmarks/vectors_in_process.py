"""Vectors in one process, without mount and journal: rates, latencies, recall and memory of a `Space`.

Real vectors (float16 .npy) and the exact 100 nearest of real queries lie in --data.  Latencies are of
k = 10, one thread; bare hnswlib and numpy on the same vectors, in the same run, are the floor.

usage: python -m benchmarks.vectors_in_process [--quick] [--data DIR] [--json FILE]
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read by numpy when it is imported

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import hnswlib
import numpy as np

from benchmarks import report
from benchmarks.collection import DATA, Collection, load, part_of
from benchmarks.commandline import end_on_sigterm, progress
from benchmarks.machine import BusinessMeter, machine
from vexfs_fuse.pending import Pending
from vexfs_fuse.storage.disk import LocalDisk
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors.hits import Hits
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.saving import Saved
from vexfs_fuse.vectors.shard_file import Keys
from vexfs_fuse.vectors.space import Space

K: Final = 10
INGESTED_PER_S: Final = 5_000
RECALL_MIN: Final = 0.95
SEARCH_MAX_US: Final = 400.0
SHARES: Final = (0.001, 0.01, 0.1, 0.5)

_BURST: Final = 50


def main() -> None:
    """Measure, print, write the JSON."""
    arguments = _arguments()
    end_on_sigterm()
    meter = BusinessMeter()
    with tempfile.TemporaryDirectory(prefix="vexfs-vectors-", dir=arguments.work) as work:
        described = machine(Path(work))
        found = {
            name: _measured(load(arguments.data / name), arguments.quick, Path(work) / name)
            for name in arguments.collections.split(",")
        }
    settings = {"k": K, "quick": arguments.quick, "ingested_per_second": INGESTED_PER_S}
    results = report.document("vectors_in_process", described, meter.end(), settings)
    results["results"] = found
    report.write_json(arguments.json, results)
    progress("")
    print(report.heading(results))
    for name, figures in found.items():
        print(f"\n{name}: {_sentence(figures)}\n")
        print(readable(figures))


def readable(figures: dict[str, Any]) -> str:
    """Return a table of everything that was searched."""
    header = ["search", "median", "p99", "CPU", "recall@10", "plan"]
    rows = [
        [
            name,
            *(f"{search[key]:,.0f} us" for key in ("median_us", "p99_us", "cpu_median_us")),
            "-" if search["recall"] is None else f"{search['recall']:.3f}",
            search["plan"],
        ]
        for name, search in figures["searches"].items()
    ]
    return report.table(header, rows)


def _sentence(figures: dict[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {report.rate(value) if value > 100 else round(value, 3)}"
        for name, value in figures.items()
        if isinstance(value, int | float)
    )


def _arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--quick", action="store_true", help="fewer vectors and queries")
    made.add_argument("--data", type=Path, default=DATA, help="where the collections lie")
    made.add_argument("--collections", default="wordnet50k,glove100k", help="comma-separated")
    made.add_argument("--work", type=Path, help="where shards are kept: a directory on a disk")
    made.add_argument("--json", type=Path, help="write everything measured to this file")
    return made.parse_args()


def _measured(real: Collection, quick: bool, work: Path) -> dict[str, Any]:
    if quick:
        real = part_of(real, 10_000, 200)
    work.mkdir()
    figures: dict[str, Any] = {"vectors": len(real.base), "dimensions": real.base.shape[1]}
    searches: dict[str, Any] = {}
    space = _space(real)
    before = _resident_bytes()
    progress("setting")
    figures["sets_per_second"] = _set_rate(space, real)
    searches["all in the tail, unbuilt"] = _searched(space, real)
    progress("building")
    start = time.thread_time()
    _settle(space, idle=False)
    searches["log-structured"] = _searched(space, real)
    _settle(space, idle=True)
    figures["build_cpu_seconds"] = time.thread_time() - start
    figures["bytes_per_vector"] = (_resident_bytes() - before) / len(real.base)
    figures["bytes_per_vector_counted"] = space.statistics()["bytes"] / len(real.base)
    figures["ef"] = space.recall.ef
    searches["merged"] = _searched(space, real)
    searches["exact"] = _searched(space, real, mode="exact")
    for share in SHARES:
        searches[f"filter {share:.1%}"] = _filtered(space, real, share)
    figures.update(_restarted(space, real, work, searches))
    progress("ingesting")
    figures["ingested_per_second"] = _ingested(real, searches)
    _floor(real, searches)
    return {**figures, "searches": searches}


def _space(real: Collection) -> Space:
    space = Space("default", real.base.shape[1], Metric.COSINE)
    space.recall.pin(space.recall.ef)
    return space


def _set_rate(space: Space, real: Collection) -> float:
    start = time.perf_counter()
    for position, vector in enumerate(real.base):
        space.set(Inode(position + 1), vector, Lsn(position + 1))
    return len(real.base) / (time.perf_counter() - start)


def _settle(space: Space, *, idle: bool) -> list[Any]:
    events = []
    while (pending := space.due(idle=idle)) is not None:
        events.append(pending.resume(pending.work()))
    return events


def _finished(answer: Hits | Pending[Hits]) -> Hits:
    while isinstance(answer, Pending):
        answer = answer.resume(answer.work())
    return answer


def _searched(space: Space, real: Collection, **options: Any) -> dict[str, Any]:
    return _timed(
        real,
        real.truth[:, :K],
        lambda query: _finished(space.search(query, K, **options)),
    )


def _filtered(space: Space, real: Collection, share: float) -> dict[str, Any]:
    """Search under a mask that allows some rows at random; row = position, as they were set."""
    mask = np.random.default_rng(0).random(space.rows.limit) < share
    allowed = np.flatnonzero(mask)
    rows = real.base[allowed]
    scores = real.queries @ (rows / np.linalg.norm(rows, axis=1, keepdims=True)).T
    truth = allowed[np.argsort(-scores, axis=1)[:, :K]]
    return _timed(real, truth, lambda query: _finished(space.search(query, K, mask=mask)))


def _timed(real: Collection, truth: Any, search: Callable[[Any], Hits]) -> dict[str, Any]:
    taken, cpu, found, plan = [], [], 0, ""
    for query, nearest in zip(real.queries, truth, strict=False):
        start, start_cpu = time.perf_counter(), time.thread_time()
        hits = search(query)
        cpu.append(time.thread_time() - start_cpu)
        taken.append(time.perf_counter() - start)
        found += len({ino - 1 for ino in hits.inos[:K].tolist()} & set(nearest.tolist()))
        plan = hits.plan
    return _latencies(taken, cpu, found / K / len(taken), plan)


def _latencies(
    taken: list[float], cpu: list[float], recall: float | None, plan: str
) -> dict[str, Any]:
    return {
        "median_us": 1e6 * float(np.median(taken)),
        "p99_us": 1e6 * float(np.percentile(taken, 99)),
        "cpu_median_us": 1e6 * float(np.median(cpu)),
        "recall": recall,
        "plan": plan,
    }


def _restarted(
    space: Space, real: Collection, work: Path, searches: dict[str, Any]
) -> dict[str, Any]:
    """Save, load into another space, search there."""
    progress("saving")
    nothing = np.zeros(0, np.int64)
    space.keep_in(LocalDisk(work), "shards", Keys(nothing, nothing.astype(np.int32), nothing))
    start = time.perf_counter()
    saved = [event for event in _settle(space, idle=True) if isinstance(event, Saved)]
    save_s = time.perf_counter() - start
    assert saved
    rows = space.rows
    limit = rows.limit
    again = _space(real)
    start = time.perf_counter()
    missing = again.keep_in(
        LocalDisk(work), "shards", Keys(rows.inos[:limit], rows.passages[:limit], rows.lsns[:limit])
    ).missing
    for position in missing.tolist():
        again.set(Inode(position + 1), real.base[position], Lsn(position + 1))
    load_s = time.perf_counter() - start
    searches["restarted"] = _searched(again, real)
    bytes_on_disk = sum(path.stat().st_size for path in (work / "shards").iterdir())
    return {
        "save_seconds": save_s,
        "load_seconds": load_s,
        "disk_bytes_per_vector": bytes_on_disk / len(real.base),
    }


def _ingested(real: Collection, searches: dict[str, Any]) -> float:
    """Set at a fixed rate with graphs built beside, and search all the time between.

    The last search between two bursts of sets counts, so that early and late ones weigh the same.
    Not asleep between: a core that has slept is several times as slow at first, at anything.
    """
    space = _space(real)
    last: list[tuple[float, float]] = []
    shards: list[int] = []
    building: tuple[Pending[Any], Future[Any]] | None = None
    with ThreadPoolExecutor(1) as thread:
        begun = time.perf_counter()
        for first in range(0, len(real.base), _BURST):
            for position in range(first, min(first + _BURST, len(real.base))):
                space.set(Inode(position + 1), real.base[position], Lsn(position + 1))
            building = _kept_building(space, thread, building)
            shards.append(len(space.statistics()["shards"]))
            last.append(_searched_until(begun + first / INGESTED_PER_S, space, real, first))
        seconds = time.perf_counter() - begun
        if building is not None:
            building[0].resume(building[1].result())
    taken, cpu = (list(column) for column in zip(*last, strict=True))
    searches["during ingestion"] = _latencies(taken, cpu, None, f"{np.mean(shards):.0f} shards")
    return len(real.base) / seconds


def _searched_until(due: float, space: Space, real: Collection, first: int) -> tuple[float, float]:
    """Return time and CPU time of the last of at least two searches."""
    turn = 0
    while True:
        start, start_cpu = time.perf_counter(), time.thread_time()
        _finished(space.search(real.queries[(first + turn) % len(real.queries)], K))
        cpu, end = time.thread_time() - start_cpu, time.perf_counter()
        turn += 1
        if end >= due and turn > 1:
            return end - start, cpu


def _kept_building(
    space: Space,
    thread: ThreadPoolExecutor,
    building: "tuple[Pending[Any], Future[Any]] | None",
) -> "tuple[Pending[Any], Future[Any]] | None":
    if building is not None:
        if not building[1].done():
            return building
        building[0].resume(building[1].result())
    pending = space.due(idle=False)
    return None if pending is None else (pending, thread.submit(pending.work))


def _floor(real: Collection, searches: dict[str, Any]) -> None:
    """Ask bare hnswlib and numpy the same."""
    progress("bare hnswlib")
    unit = real.base / np.linalg.norm(real.base, axis=1, keepdims=True)
    graph = hnswlib.Index("ip", unit.shape[1])
    graph.init_index(len(unit), M=16, ef_construction=200)
    start = time.thread_time()
    graph.add_items(unit, num_threads=1)
    rate = len(unit) / (time.thread_time() - start)
    for ef in (80, 128):
        graph.set_ef(ef)
        searches[f"bare hnswlib, ef {ef}, {rate:,.0f}/s"] = _timed(
            real,
            real.truth[:, :K],
            lambda query: _bare(graph.knn_query(query, K, num_threads=1)[0]),
        )
    searches["bare numpy"] = _timed(
        real, real.truth[:, :K], lambda query: _bare(np.argpartition(-(unit @ query), K)[None, :K])
    )


def _bare(labels: Any) -> Hits:
    nothing = np.zeros(0)
    found = labels[0].astype(np.int64) + 1
    return Hits(found, found.astype(np.int32), nothing, nothing, "bare", 0, 0, 0)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
