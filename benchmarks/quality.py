"""How well searches rank: judged questions asked of real files through a mount, by words, by meaning, by both.

Each collection is a folder below --data (or $VEXFS_COLLECTIONS) with `docs.jsonl` (id, title, text),
`queries.jsonl` (id, text) and `qrels.tsv` (query, document, grade).  Documents become text files, the title
their first line, under numbers as names; the indexer reads them; then every question is looked into as a
directory.  nDCG@10 with the grade as gain; recall@10; both as means over the questions with a relevant document.

usage: python -m benchmarks.quality [--quick] [--data DIR] [--collections adi,cranfield] [--json FILE]
"""

import argparse
import itertools
import json
import math
import os
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from benchmarks import report, systems
from benchmarks.commandline import INDEXED, end_on_sigterm, parser, progress, words
from benchmarks.machine import BusinessMeter, machine

K: Final = 10
MODES: Final = ("hybrid", "vector", "text")
TARGETS: Final = {
    ("cranfield", "hybrid"): 0.39,
    ("cranfield", "vector"): 0.36,
    ("man-tldr", "hybrid"): 0.78,
    ("adi", "hybrid"): 0.52,
}
"""The least nDCG@10."""

BELOW_PARTS_MAX: Final = 0.01
"""So much may the hybrid be below the better of its parts."""

LINE_CHARACTERS: Final = 100
SEGMENT_BYTES: Final = 200
"""Of one name in a path; a longer question takes several."""

INDEXING_TIMEOUT_S: Final = 3600.0


class Collection(NamedTuple):
    """Documents, questions, and which grade a document has for a question; by position and by id."""

    titles: list[str]
    texts: list[str]
    questions: dict[str, str]
    grades: dict[str, dict[int, float]]


def main() -> None:
    """Measure, print the table, write the JSON."""
    arguments = arguments_of(__doc__)
    end_on_sigterm()
    meter = BusinessMeter()
    with tempfile.TemporaryDirectory(prefix="vexfs-quality-", dir=arguments.work) as work:
        described = machine(Path(work))
        found = {
            name: measured(read(arguments.data / name, arguments.quick), Path(work), arguments)
            for name in arguments.collections
        }
    settings = {"k": K, "quick": arguments.quick, "options": arguments.options}
    results = report.document("quality", described, meter.end(), settings)
    report.tell(results, found, readable(found), arguments.json)


def arguments_of(description: str | None) -> argparse.Namespace:
    """Read the command line of a benchmark with judged collections."""
    made = parser(
        description, "the first tenth of the documents, for which nothing can be said", INDEXED
    )
    made.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("VEXFS_COLLECTIONS"),
        help="where the collections lie; $VEXFS_COLLECTIONS",
    )
    made.add_argument("--collections", type=words, default=["adi", "cranfield", "man-tldr"])
    arguments = made.parse_args()
    if arguments.data is None:
        made.error("--data or VEXFS_COLLECTIONS says where the collections lie")
    return arguments


def read(folder: Path, quick: bool = False) -> Collection:
    """Return a collection."""
    documents = [json.loads(line) for line in _lines(folder / "docs.jsonl")]
    if quick:
        documents = documents[: len(documents) // 10]
    number = {document["id"]: at for at, document in enumerate(documents)}
    grades: dict[str, dict[int, float]] = {}
    for line in _lines(folder / "qrels.tsv"):
        question, document, grade = line.split("\t")
        if document in number:
            grades.setdefault(question, {})[number[document]] = float(grade)
    asked = [json.loads(line) for line in _lines(folder / "queries.jsonl")]
    questions = {
        each["id"]: each["text"]
        for each in asked
        if any(grade > 0 for grade in grades.get(each["id"], {}).values())
    }
    titles = [document["title"] for document in documents]
    return Collection(titles, [as_file(each) for each in documents], questions, grades)


def _lines(path: Path) -> Iterator[str]:
    lines = iter(path.read_text(encoding="utf-8").splitlines())
    first = next(lines, "")
    header = path.suffix == ".tsv" and not _is_number(first.rpartition("\t")[2])
    return lines if header else itertools.chain([first], lines)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def as_file(document: dict[str, str]) -> str:
    """Return a document as a text file."""
    return f"{document['title']}\n\n{textwrap.fill(document['text'], LINE_CHARACTERS)}\n"


def measured(collection: Collection, work: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Copy a collection into a volume, wait for the index, ask all questions."""
    cache = os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")
    prefix = ["env", f"XDG_CACHE_HOME={cache}"]  # where the model is
    system = systems.vexfs(arguments.options, arguments.vexfs)
    with system.mounted(work, prefix) as mounted:
        folder = mounted.directory / "documents"
        folder.mkdir()
        for number, text in enumerate(collection.texts):
            (folder / f"{number:05}.txt").write_text(text, encoding="utf-8")
        begin = time.perf_counter()
        _wait_for_index(mounted.directory)
        figures: dict[str, Any] = {
            "documents": len(collection.texts),
            "questions": len(collection.questions),
            "indexing_s": time.perf_counter() - begin,
        }
        for mode in MODES:
            figures[mode] = _asked(collection, folder, mode)
        return figures


def _wait_for_index(root: Path) -> None:
    deadline_s = time.monotonic() + INDEXING_TIMEOUT_S
    rests = 0
    while rests < 3:  # what was written a moment ago may not be counted yet
        indexing = json.loads((root / ".vexfs/status.json").read_text())["indexing"]
        progress(f"indexing: {indexing['pending']} pending")
        rests = rests + 1 if not indexing["pending"] and indexing["state"] == "idle" else 0
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not indexed after {INDEXING_TIMEOUT_S} s: {indexing}")
        time.sleep(1.0)


def _asked(collection: Collection, folder: Path, mode: str) -> dict[str, Any]:
    gains, recalls, times_s = [], [], []
    for at, (question, text) in enumerate(collection.questions.items()):
        progress(f"{mode}: {at}")
        path = folder.joinpath(".search", *segments(text), f"k={K}", f"mode={mode}")
        begin = time.perf_counter()
        names = os.listdir(path)
        times_s.append(time.perf_counter() - begin)
        ranking = [int(name.partition("-")[2].partition(".")[0]) for name in names]
        grades = collection.grades[question]
        gains.append(ndcg(ranking, grades))
        recalls.append(recall(ranking, grades))
    ordered = sorted(times_s)
    return {
        "ndcg": sum(gains) / len(gains),
        "recall": sum(recalls) / len(recalls),
        "median_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1e3,
        "ndcg_by_question": gains,
    }


def segments(text: str) -> list[str]:
    """Return a question as names of a path, each short enough."""
    parts: list[list[str]] = [[]]
    for word in text.replace('"', " ").split():
        if len(quote(" ".join([*parts[-1], word]), safe=" ")) > SEGMENT_BYTES:
            parts.append([])
        parts[-1].append(word)
    return ["text=" + quote(" ".join(part), safe=" ") for part in parts]


def ndcg(ranking: Sequence[int], grades: dict[int, float]) -> float:
    """Return the discounted gain of the first K, as a part of what is possible."""
    ideal = sorted(grades.values(), reverse=True)
    return _gain([grades.get(each, 0.0) for each in ranking]) / _gain(ideal)


def _gain(grades: Sequence[float]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades[:K], 1))


def recall(ranking: Sequence[int], grades: dict[int, float]) -> float:
    """Return which part of the relevant documents is among the first K."""
    relevant = {each for each, grade in grades.items() if grade > 0}
    return len(relevant & set(ranking[:K])) / len(relevant)


def readable(found: dict[str, Any]) -> str:
    """Return a table of all collections and modes, with the targets."""
    rows = []
    for (name, figures), mode in itertools.product(found.items(), MODES):
        one = figures[mode]
        rows.append(
            [
                f"{name} ({figures['documents']} files, {figures['questions']} questions), {mode}",
                f"{one['ndcg']:.3f}",
                _verdict(name, mode, figures),
                f"{one['recall']:.3f}",
                f"{one['median_ms']:.1f} ms",
                f"{one['p99_ms']:.1f} ms",
            ]
        )
    return report.table(["collection", "nDCG@10", "target", "recall@10", "median", "p99"], rows)


def _verdict(name: str, mode: str, figures: dict[str, Any]) -> str:
    target = TARGETS.get((name, mode), 0.0)
    if mode == "hybrid":
        better = max(figures["vector"]["ndcg"], figures["text"]["ndcg"])
        target = max(target, better - BELOW_PARTS_MAX)
    if not target:
        return "-"
    return f"{target:.3f} {'met' if figures[mode]['ndcg'] >= target else 'MISSED'}"


if __name__ == "__main__":
    main()
