"""Very many vectors through a mount: taken in, indexed, found, and found again after a remount.

The vectors are real ones, repeated with small perturbations.  `vexfs import` takes them in; what is
nearest is computed exactly beside.  Before a mount the kernel's caches are dropped where that is allowed.
The last mount finds no graphs: how soon is a question answered then?

usage: python -m benchmarks.vectors_scale [--quick] [--vectors N] [--data DIR] [--json FILE]
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read by numpy when it is imported

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import report, systems
from benchmarks.caches import drop_everything
from benchmarks.commandline import end_on_sigterm, parser, progress
from benchmarks.machine import BusinessMeter, machine

VECTORS: Final = 1_000_000
QUICK: Final = 20_000
QUERIES: Final = 200
K: Final = 10
RESIDENT_GIB_MAX: Final = 6.0
RECALL_MIN: Final = 0.95
FIRST_ANSWER_S_MAX: Final = 10.0
"""From the start of the mount."""

NOISE: Final = 0.2
"""Length of what is added to a vector of unit length each time that it is repeated."""

_CHUNK: Final = 50_000
_DIRECTORY_FILES: Final = 1_000
_PATIENCE_S: Final = 900.0
_REPORT_S: Final = 60.0
_LOADED_WITHIN_S: Final = 600.0
_DATA: Final = Path(__file__).parents[2] / "shared/data/wordnet50k"


class Collection:
    """Vectors in a file, queries, and which are nearest to them."""

    def __init__(self, source: Path, target: Path, count: int) -> None:
        base = _unit(np.load(source / "base_f16.npy").astype(np.float32))
        self.queries = _unit(np.load(source / "queries_f16.npy")[:QUERIES].astype(np.float32))
        self.path = target / "vectors.npy"
        self.count, self.dimensions = count, base.shape[1]
        rows = np.lib.format.open_memmap(
            self.path, mode="w+", dtype=np.float32, shape=(count, self.dimensions)
        )
        best = np.full((len(self.queries), K), -np.inf, np.float32)
        self.nearest = np.zeros((len(self.queries), K), np.int64)
        for first in range(0, count, _CHUNK):
            some = _repeated(base, first, min(count, first + _CHUNK))
            rows[first : first + len(some)] = some
            best, self.nearest = _merged(best, self.nearest, self.queries @ some.T, first)
        rows.flush()


def _unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _repeated(base: Any, first: int, end: int) -> Any:
    """Return vectors `first` to `end`: those of `base` in turn, each time with another noise."""
    some = base[np.arange(first, end) % len(base)]
    noise = np.random.default_rng(first).standard_normal(some.shape, np.float32)
    noise *= NOISE / np.sqrt(some.shape[1])
    noise[: max(0, len(base) - first)] = 0.0  # the first time they are what they are
    return _unit(some + noise)


def _merged(best: Any, nearest: Any, scores: Any, first: int) -> tuple[Any, Any]:
    chosen = np.argpartition(-scores, K, axis=1)[:, :K]
    together = np.concatenate([best, np.take_along_axis(scores, chosen, axis=1)], axis=1)
    numbers = np.concatenate([nearest, chosen + first], axis=1)
    order = np.argsort(-together, axis=1)[:, :K]
    return np.take_along_axis(together, order, axis=1), np.take_along_axis(numbers, order, axis=1)


class Resident:
    """The most memory that a daemon holds, looked at twice a second, in each phase."""

    def __init__(self, mounted: systems.Mounted) -> None:
        self._mounted = mounted
        self.most_bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(0.5):
            try:
                self.most_bytes = max(self.most_bytes, self._mounted.resident_bytes())
            except FileNotFoundError:
                continue  # it has just ended

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    @contextmanager
    def phase(self, figures: dict[str, Any], name: str) -> Iterator[None]:
        """Note time and memory of a phase."""
        progress(name)
        self.most_bytes = self._mounted.resident_bytes()
        start = time.perf_counter()
        yield
        figures[f"{name}_seconds"] = time.perf_counter() - start
        most_bytes = max(self.most_bytes, self._mounted.resident_bytes())
        figures[f"{name}_resident_gib"] = most_bytes / 2**30
        progress(f"{name}: {figures[f'{name}_seconds']:.1f} s, {most_bytes / 2**30:.2f} GiB")


def main() -> None:
    """Measure, print, write the JSON."""
    made = parser(__doc__, f"{QUICK:,} vectors")
    made.add_argument("--vectors", type=int, default=VECTORS)
    made.add_argument("--data", type=Path, default=_DATA, help="where the vectors lie")
    made.add_argument(
        "--patience",
        type=float,
        default=_PATIENCE_S,
        help="seconds to wait for graphs; what is not in one by then is compared one by one",
    )
    made.add_argument("--rebuild", action="store_true", help="wait for graphs at the end once more")
    arguments = made.parse_args()
    end_on_sigterm()
    count = QUICK if arguments.quick else arguments.vectors
    meter = BusinessMeter()
    with tempfile.TemporaryDirectory(prefix="vexfs-vectors-", dir=arguments.work) as work:
        described = machine(Path(work))
        progress("making vectors")
        vectors = Collection(arguments.data, Path(work), count)
        system = systems.vexfs(arguments.options, arguments.vexfs)
        with system.mounted(Path(work)) as mounted:
            found = _measured(mounted, vectors, arguments.patience, is_rebuilt=arguments.rebuild)
    settings = {"vectors": count, "k": K, "noise": NOISE, "options": arguments.options}
    results = report.document("vectors_scale", described, meter.end(), settings)
    report.tell(results, found, readable(found), arguments.json)


def _measured(
    mounted: systems.Mounted, vectors: Collection, patience_s: float, *, is_rebuilt: bool
) -> dict[str, Any]:
    figures: dict[str, Any] = {"vectors": vectors.count, "dimensions": vectors.dimensions}
    resident = Resident(mounted)
    try:
        with resident.phase(figures, "create"):
            _create(mounted.directory, vectors.count)
        with resident.phase(figures, "import"):
            _import(mounted, vectors)
        with resident.phase(figures, "index"):
            figures["graphs"] = _watched(mounted, patience_s)
        figures["waiting"] = _space(mounted)["waiting"]
        figures["indexed"] = _searched(mounted, vectors)
        if not figures["waiting"]:  # else what is built is saved by unmounting
            with resident.phase(figures, "save"):
                _wait_for(mounted, lambda space: space["saved"] == space["shards"], patience_s)
        figures["shards"] = _space(mounted)["shards"]
        figures["unmount_seconds"] = mounted.end()
        figures["store_gib"] = _sizes(mounted.store)
        _remount(mounted, resident, vectors, figures, "remount")
        figures["remounted"] = _searched(mounted, vectors)
        mounted.end()
        for path in mounted.store.glob("vectors/*/*"):
            path.unlink()
        _remount(mounted, resident, vectors, figures, "without_indexes")
        if is_rebuilt:
            with resident.phase(figures, "rebuild"):
                _wait_for(mounted, _is_indexed, patience_s)
            figures["rebuilt"] = _searched(mounted, vectors)
        return figures
    finally:
        resident.end()


def _create(root: Path, count: int) -> None:
    for number in range(count):
        if number % _DIRECTORY_FILES == 0:
            os.mkdir(root / f"d{number // _DIRECTORY_FILES}")
        os.mknod(root / _name(number), 0o644)


def _name(number: int) -> str:
    return f"d{number // _DIRECTORY_FILES}/f{number}"


def _import(mounted: systems.Mounted, vectors: Collection) -> None:
    paths = mounted.place / "paths.txt"
    paths.write_text("\n".join(map(_name, range(vectors.count))))
    command = [sys.executable, "-m", "vexfs_fuse", "import", str(vectors.path), str(paths)]
    subprocess.run([*command, "--directory", str(mounted.directory)], check=True)


def _space(mounted: systems.Mounted) -> dict[str, Any]:
    status = json.loads((mounted.directory / ".vexfs/status.json").read_text())
    return next(space for space in status["volume"]["spaces"] if space["name"] == "default")


def _is_indexed(space: dict[str, Any]) -> bool:
    return not (space["waiting"] or space["building"] or space["loading"])


def _wait_for(
    mounted: systems.Mounted, is_so: Callable[[dict[str, Any]], bool], patience_s: float
) -> None:
    """Look now and then, until it is so or patience ends; indexes are built when nobody asks."""
    end_s = time.monotonic() + patience_s
    while not is_so(space := _space(mounted)) and time.monotonic() < end_s:
        progress(f"{space['waiting']:,} wait, {space['building'] or 'nothing'} built")
        time.sleep(1.0)


def _watched(mounted: systems.Mounted, patience_s: float) -> list[tuple[float, int]]:
    """Wait for graphs; return after how many seconds, once a minute, how many vectors had one."""
    start = time.monotonic()
    seen = [(0.0, _in_graphs(_space(mounted)))]
    while (left_s := start + patience_s - time.monotonic()) > 0:
        _wait_for(mounted, _is_indexed, min(_REPORT_S, left_s))
        space = _space(mounted)
        seen.append((time.monotonic() - start, _in_graphs(space)))
        if _is_indexed(space):
            break
    return seen


def _in_graphs(space: dict[str, Any]) -> int:
    return int(space["vectors"] - space["tail"])


def _remount(
    mounted: systems.Mounted,
    resident: Resident,
    vectors: Collection,
    figures: dict[str, Any],
    name: str,
) -> None:
    """Mount with cold caches, and ask at once."""
    mounted.end()
    drop_everything()
    start = time.perf_counter()
    figures[f"{name}_mount_seconds"] = mounted.start([])
    with resident.phase(figures, name):
        figures[f"{name}_first_answer_seconds"] = _first_answer(mounted, vectors, start)
        _wait_for(mounted, lambda space: not space["loading"], _LOADED_WITHIN_S)


def _first_answer(mounted: systems.Mounted, vectors: Collection, start: float) -> float:
    """Return after how long a search was answered; one that runs into its deadline is asked again."""
    while True:
        try:
            assert _ask(mounted, vectors.queries[0])
        except TimeoutError:
            continue
        return time.perf_counter() - start


def _ask(mounted: systems.Mounted, query: Any) -> list[int]:
    descriptor = os.open(mounted.directory / ".search/.new", os.O_RDWR)
    try:
        os.write(descriptor, query.astype("<f4").tobytes())
        answer = os.read(descriptor, 1 << 20)
    finally:
        os.close(descriptor)
    _, *hits = map(json.loads, answer.splitlines())
    return [int(hit["path"].rpartition("/f")[2]) for hit in hits]


def _searched(mounted: systems.Mounted, vectors: Collection) -> dict[str, float]:
    taken, found = [], 0
    for query, nearest in zip(vectors.queries, vectors.nearest, strict=True):
        start = time.perf_counter()
        hits = _ask(mounted, query)
        taken.append(time.perf_counter() - start)
        found += len(set(hits[:K]) & set(nearest.tolist()))
    return {
        "recall": found / K / len(taken),
        "median_us": 1e6 * float(np.median(taken)),
        "p99_us": 1e6 * float(np.percentile(taken, 99)),
    }


def _sizes(store: Path) -> dict[str, float]:
    """Return what the parts of a store take, in GiB."""
    sizes: dict[str, float] = {}
    for path in store.rglob("*"):
        if path.is_file():
            part = path.relative_to(store).parts[0].partition("-")[0]
            sizes[part] = sizes.get(part, 0.0) + path.stat().st_blocks * 512 / 2**30
    return sizes


def readable(found: dict[str, Any]) -> str:
    """Return the tables."""
    count = found["vectors"]
    phases = [
        (name, found[f"{name}_seconds"], found[f"{name}_resident_gib"])
        for name in ("create", "import", "index", "save", "remount", "without_indexes", "rebuild")
        if f"{name}_seconds" in found
    ]
    rows = [
        [name, f"{seconds:,.1f}", report.rate(count / max(seconds, 1e-9)), f"{gib:.2f}"]
        for name, seconds, gib in phases
    ]
    searches = [
        [
            name,
            *(f"{found[name][key]:,.0f}" for key in ("median_us", "p99_us")),
            f"{found[name]['recall']:.3f}",
        ]
        for name in ("indexed", "remounted", "rebuilt")
        if name in found
    ]
    most_gib = max(gib for _, _, gib in phases)
    least = min(
        found[name]["recall"] for name in ("indexed", "remounted", "rebuilt") if name in found
    )
    first_s = found["remount_first_answer_seconds"]
    lines = [
        f"{count:,} vectors of {found['dimensions']} dimensions, {found['shards']} graphs"
        f" ({found['waiting']:,} waited for one when patience ended)",
        "",
        report.table(["phase", "seconds", "vectors a second", "GiB resident"], rows),
        "",
        report.table(
            ["seconds after the import", "vectors in graphs"],
            [[f"{seconds:,.0f}", f"{rows:,}"] for seconds, rows in found["graphs"]],
        ),
        "",
        report.table(["searches", "median us", "p99 us", "recall@10"], searches),
        "",
        f"resident at most {most_gib:.2f} GiB (target {RESIDENT_GIB_MAX:g}: {_met(most_gib <= RESIDENT_GIB_MAX)})",
        f"recall@10 at least {least:.3f} (target {RECALL_MIN:g}: {_met(least >= RECALL_MIN)})",
        f"mounted in {found['remount_mount_seconds']:.2f} s, first answer after {first_s:.2f} s"
        f" (target {FIRST_ANSWER_S_MAX:g}: {_met(first_s <= FIRST_ANSWER_S_MAX)}),"
        f" unmounted before in {found['unmount_seconds']:.2f} s",
        "store, GiB: "
        + ", ".join(f"{part} {gib:.2f}" for part, gib in sorted(found["store_gib"].items())),
    ]
    seconds = found["without_indexes_first_answer_seconds"]
    lines.append(
        f"first answer after {seconds:.2f} s where the graphs had been removed"
        f" (target {FIRST_ANSWER_S_MAX:g}: {_met(seconds <= FIRST_ANSWER_S_MAX)})"
    )
    return "\n".join(lines)


def _met(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


if __name__ == "__main__":
    main()
