"""What vectors of text cost: pages a CPU second, a question's milliseconds, memory.

A page is 200 words of English, about a full window of the model.  Pages are embedded one by one on one
thread, as the indexer does, by onnxruntime and by numpy.  Questions have ten words and are all different;
through the client they go to the query process and back, as the daemon's do.

usage: python -m benchmarks.embedding [--quick] [--json FILE] [--wheel FILE]
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import report
from benchmarks.commandline import parser, progress
from benchmarks.machine import BusinessMeter, machine
from vexfs_fuse.pending import Pending
from vexfs_fuse.text.embedders import model_store, safetensors
from vexfs_fuse.text.embedders.minilm import Engine
from vexfs_fuse.text.embedders.model_install import read_published
from vexfs_fuse.text.embedders.numpy_engine import NumpyEngine
from vexfs_fuse.text.embedders.onnx_engine import OnnxEngine
from vexfs_fuse.text.embedders.weights import TOKENS_MAX, folded
from vexfs_fuse.text.embedders.wordpiece import WordPiece
from vexfs_fuse.text.query_client import QueryEmbedder

TEXTS: Final = Path("/usr/share/common-licenses")
PAGE_WORDS: Final = 200
QUESTION_WORDS: Final = 10
PAGES_PER_CPU_S: Final = 44
QUESTION_MS: Final = 3.0


def main() -> None:
    """Measure, print the table, write the JSON."""
    made = parser(__doc__, quick="fewer pages and questions")
    made.add_argument("--wheel", type=Path, help="the published weights, to compare vectors with")
    arguments = made.parse_args()
    meter = BusinessMeter()
    pages, questions = (30, 100) if arguments.quick else (150, 1_000)
    with tempfile.TemporaryDirectory(prefix="vexfs-embedding-", dir=arguments.work) as work:
        described = machine(Path(work))
    found = _measure(pages, questions, arguments.wheel)
    settings = {"pages": pages, "page_words": PAGE_WORDS, "questions": questions}
    results = report.document("embedding", described, meter.end(), settings)
    report.tell(results, found, readable(found), arguments.json)


def _measure(pages: int, questions: int, wheel: Path | None) -> dict[str, Any]:
    model = model_store.find_minilm()
    weights = safetensors.read((model.directory / model_store.WEIGHTS).read_bytes())
    tokenizer = WordPiece((model.directory / model_store.VOCABULARY).read_bytes())
    texts = _cut(PAGE_WORDS, pages)
    engines: dict[str, Engine] = {"onnxruntime": OnnxEngine(weights), "numpy": NumpyEngine(weights)}
    tokens = [tokenizer.encode(text, TOKENS_MAX) for text in texts]
    found: dict[str, Any] = {
        "tokens_a_page": statistics.mean(map(len, tokens)),
        "tokenizer_us_a_page": 1e6 / _per_cpu_s(lambda text: tokenizer.encode(text, 256), texts),
        "pages_per_cpu_s": {
            name: _per_cpu_s(engine.vector, tokens) for name, engine in engines.items()
        },
    }
    asked = _cut(QUESTION_WORDS, questions)
    embedder = model_store.open_minilm()
    found["question_ms"] = {"in process": _milliseconds(embedder.embed_query, asked)}
    found |= _through_the_client(asked, found["question_ms"])
    vectors = {
        name: np.stack([engine.vector(each) for each in tokens[:30]])
        for name, engine in engines.items()
    }
    if wheel is not None:
        exact = OnnxEngine(folded(safetensors.read(read_published(wheel).weights)))
        vectors["published float32"] = np.stack([exact.vector(each) for each in tokens[:30]])
    found["cosine_to_onnxruntime"] = {
        name: _cosines(rows, vectors["onnxruntime"])
        for name, rows in vectors.items()
        if name != "onnxruntime"
    }
    return found


def _cut(words: int, count: int) -> list[str]:
    """Return so many runs of words from the texts, all different."""
    everything = " ".join(path.read_text() for path in sorted(TEXTS.iterdir())).split()
    step = (len(everything) - words) // count
    return [" ".join(everything[step * k : step * k + words]) for k in range(count)]


def _per_cpu_s(work: Callable[[Any], object], items: list[Any]) -> float:
    """Return how many are done in a second of CPU time; the best of three rounds."""
    work(items[0])
    rates = []
    for number in range(3):
        progress(f"round {number + 1}")
        start = time.process_time()
        for item in items:
            work(item)
        rates.append(len(items) / (time.process_time() - start))
    progress("")
    return max(rates)


def _milliseconds(work: Callable[[str], object], texts: list[str]) -> list[float]:
    """Return the quartiles of what one takes."""
    work("to begin with")
    samples = []
    for text in texts:
        start = time.perf_counter()
        work(text)
        samples.append((time.perf_counter() - start) * 1e3)
    return statistics.quantiles(samples, n=4)


def _through_the_client(asked: list[str], question_ms: dict[str, list[float]]) -> dict[str, Any]:
    client = QueryEmbedder("minilm")
    try:
        start = time.perf_counter()
        _ask(client, "the first question")
        first_ms = (time.perf_counter() - start) * 1e3
        question_ms["through the client"] = _milliseconds(lambda text: _ask(client, text), asked)
        question_ms["asked before"] = _milliseconds(lambda text: _ask(client, text), asked[-100:])
        memory = _memory_mib(client.pid)
    finally:
        client.close()
    return {"first_question_ms": first_ms, "query_process_mib": memory}


def _ask(client: QueryEmbedder, text: str) -> None:
    answer = client.embed(text)
    if isinstance(answer, Pending):
        answer.resume(answer.work())


def _memory_mib(pid: int | None) -> dict[str, float]:
    """Return the resident memory of a process, and the most that it was."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    return {
        name: int(told[field].split()[0]) / 1024
        for name, field in (("resident", "VmRSS"), ("at most", "VmHWM"))
    }


def _cosines(rows: Any, others: Any) -> dict[str, float]:
    cosines = (rows * others).sum(axis=1)
    return {"least": float(cosines.min()), "mean": float(cosines.mean())}


def readable(found: dict[str, Any]) -> str:
    """Return the tables, with the verdicts."""
    rates = found["pages_per_cpu_s"]
    rows = [
        [
            "onnxruntime",
            f"{rates['onnxruntime']:.1f}",
            *_verdict(rates["onnxruntime"] >= 44, ">= 44"),
        ],
        ["numpy", f"{rates['numpy']:.1f}", "", ""],
    ]
    parts = [report.table(["pages a CPU second", "", "target", ""], rows)]
    rows = []
    for name, (low, middle, high) in found["question_ms"].items():
        verdict = ["", ""] if name == "asked before" else _verdict(middle <= QUESTION_MS, "<= 3")
        rows.append([name, f"{middle:.3f}", f"{low:.3f}-{high:.3f}", *verdict])
    header = ["a question, ms", "median", "quartiles", "target", ""]
    parts.append(report.table(header, rows))
    rows = [
        [name, f"{each['least']:.4f}", f"{each['mean']:.4f}"]
        for name, each in found["cosine_to_onnxruntime"].items()
    ]
    parts.append(report.table(["cosine to onnxruntime's vectors", "least", "mean"], rows))
    memory = found["query_process_mib"]
    parts.append(
        f"A page has {found['tokens_a_page']:.0f} tokens; finding them takes"
        f" {found['tokenizer_us_a_page']:.0f} us.\n"
        f"The first question, with the start of the process: {found['first_question_ms']:.0f} ms.\n"
        f"The query process: {memory['resident']:.0f} MiB resident, {memory['at most']:.0f} at most."
    )
    return "\n\n".join(parts)


def _verdict(is_met: bool, target: str) -> list[str]:
    return [target, "pass" if is_met else "MISS"]


if __name__ == "__main__":
    main()
