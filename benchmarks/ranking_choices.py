"""What ranks best: the choices of text search on judged collections, in one process, without a mount.

Passages are cut, embedded and indexed as the indexer does it; then each choice is tried while the others are
as in the product.  Vectors are kept in --work, because making them takes most of the time.

usage: python -m benchmarks.ranking_choices [--data DIR] [--collections adi,cranfield] [--work DIR] [--json FILE]
"""

import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks import report
from benchmarks.commandline import end_on_sigterm, progress
from benchmarks.machine import BusinessMeter, machine
from benchmarks.quality import Collection, arguments_of, ndcg, read
from vexfs_fuse.text import words
from vexfs_fuse.text.document import Document
from vexfs_fuse.text.embedder import Embedder
from vexfs_fuse.text.index import TextIndex
from vexfs_fuse.text.lookup import TITLE_WEIGHT, Matches
from vexfs_fuse.text.passages import embedded_text, passages
from vexfs_fuse.text.providers import open_embedder
from vexfs_fuse.text.schema import NUMBER_BITS
from vexfs_fuse.units import Inode
from vexfs_fuse.volume.fusion import VECTOR_WEIGHT, fused
from vexfs_fuse.volume.text_search import DEPTH, PASSAGES

FIRST_INODE: Final = 2

Scores = np.ndarray[Any, np.dtype[np.float64]]
"""By file."""


class Prepared(NamedTuple):
    """A collection, embedded and indexed."""

    collection: Collection
    files: Any  # which file each passage is of
    passages: Any  # their vectors
    wholes: Any  # the mean of those of each file, of unit length
    questions: Any  # the vectors of the questions, in order
    connection: sqlite3.Connection


class Choice(NamedTuple):
    """One way to rank."""

    of_file: str = (
        "mean"  # what stands for a file: mean or max of its passages, or the mean of both
    )
    title: float = TITLE_WEIGHT
    stopwords: bool = True  # left out
    all_words: bool = False  # AND instead of OR
    weight: float = VECTOR_WEIGHT
    depth: int = DEPTH
    fusion: str = "min-max"


CHOICES: Final = {
    "words alone": Choice(weight=0.0),
    "words alone, stopwords too": Choice(weight=0.0, stopwords=False),
    "words alone, all of them": Choice(weight=0.0, all_words=True),
    "words alone, title 1": Choice(weight=0.0, title=1.0),
    "words alone, title 2": Choice(weight=0.0, title=2.0),
    "words alone, title 5": Choice(weight=0.0, title=5.0),
    "meaning alone": Choice(weight=1.0),
    "meaning alone, best passage": Choice(weight=1.0, of_file="max"),
    "meaning alone, mean of both": Choice(weight=1.0, of_file="both"),
    "both": Choice(),
    "both, best passage": Choice(of_file="max"),
    "both, mean of both": Choice(of_file="both"),
    "both, meaning .3": Choice(weight=0.3),
    "both, meaning .4": Choice(weight=0.4),
    "both, meaning .6": Choice(weight=0.6),
    "both, meaning .7": Choice(weight=0.7),
    "both, depth 30": Choice(depth=30),
    "both, depth 100": Choice(depth=100),
    "both, depth 1,000": Choice(depth=1000),
    "both, title 1": Choice(title=1.0),
    "both, stopwords too": Choice(stopwords=False),
    "both, reciprocal ranks": Choice(fusion="ranks"),
}


def main() -> None:
    """Measure, print the table, write the JSON."""
    arguments = arguments_of(__doc__)
    end_on_sigterm()
    meter = BusinessMeter()
    found: dict[str, dict[str, float]] = {name: {} for name in CHOICES}
    with tempfile.TemporaryDirectory(prefix="vexfs-ranking-") as scratch:
        work = arguments.work or Path(scratch)
        described = machine(Path(work))
        embedder = open_embedder("minilm")
        for name in arguments.collections:
            collection = read(arguments.data / name, arguments.quick)
            prepared = prepare(name, collection, embedder, work, Path(scratch))
            for title, choice in CHOICES.items():
                progress(f"{name}: {title}")
                found[title][name] = quality(prepared, choice)
            prepared.connection.close()
    results = report.document("ranking_choices", described, meter.end(), {})
    rows = [[title, *(f"{value:.3f}" for value in by.values())] for title, by in found.items()]
    text = report.table(["nDCG@10", *arguments.collections], rows)
    report.tell(results, found, text, arguments.json)


def prepare(
    name: str, collection: Collection, embedder: Embedder, work: Path, scratch: Path
) -> Prepared:
    """Cut, embed and index a collection."""
    index = TextIndex(scratch / f"{name}.sqlite3")
    files, texts = [], []
    for file, (title, text) in enumerate(zip(collection.titles, collection.texts, strict=True)):
        cut = passages(Document(title, text))
        index.put(Inode(file + FIRST_INODE), b"", file.to_bytes(16), title, cut)
        files += [file] * len(cut)
        texts += [embedded_text(title, passage) for passage in cut]
    index.commit()
    index.close()
    kept = work / f"{name}-{embedder.fingerprint}.npz"
    if not kept.exists():
        vectors = []
        for at, text in enumerate(texts):
            progress(f"{name}: embedding {at} of {len(texts)}")
            vectors.append(embedder.embed_documents([text])[0])
        questions = [embedder.embed_query(text) for text in collection.questions.values()]
        np.savez(kept, vectors=np.stack(vectors), questions=np.stack(questions))
    with np.load(kept) as made:
        vectors, questions = made["vectors"], made["questions"]
    assert len(vectors) == len(texts), f"{kept} is of other passages; remove it"
    wholes = np.zeros((len(collection.texts), vectors.shape[1]))
    np.add.at(wholes, np.array(files), vectors)
    wholes /= np.maximum(np.linalg.norm(wholes, axis=1, keepdims=True), 1e-9)
    connection = sqlite3.connect(scratch / f"{name}.sqlite3")
    return Prepared(collection, np.array(files), vectors, wholes, questions, connection)


def quality(prepared: Prepared, choice: Choice) -> float:
    """Return the mean nDCG@10."""
    gains = []
    for at, (question, text) in enumerate(prepared.collection.questions.items()):
        near = _meaning(prepared, prepared.questions[at], choice)
        matches = _matches(prepared, text, choice)
        nearest = np.argsort(-near, kind="stable")[: choice.depth] if choice.weight else _NONE
        if choice.fusion == "ranks":
            ranking = _by_ranks(nearest, matches.inos)
        else:
            fusion = fused(matches, nearest, near[nearest], choice.weight)
            ranking = fusion.inos[fusion.scores > 0].tolist()
        gains.append(ndcg(ranking, prepared.collection.grades[question]))
    return float(np.mean(gains))


_NONE: Final = np.zeros(0, np.int64)


def _meaning(prepared: Prepared, question: Any, choice: Choice) -> Scores:
    """Return how near each file is to a question."""
    whole = prepared.wholes @ question
    best = np.full(len(whole), -1.0)
    np.maximum.at(best, prepared.files, prepared.passages @ question)
    of_file: dict[str, Callable[[], Scores]] = {
        "mean": lambda: whole,
        "max": lambda: best,
        "both": lambda: (whole + best) / 2,
    }
    return of_file[choice.of_file]()


def _matches(prepared: Prepared, question: str, choice: Choice) -> Matches:
    asked = words.read(question)
    terms = asked.terms if choice.stopwords else tuple(dict.fromkeys(words.terms(question)))
    expression = (" AND " if choice.all_words else " OR ").join(f'"{term}"' for term in terms)
    rows = prepared.connection.execute(
        f"SELECT ino, max(score) FROM (SELECT rowid >> {NUMBER_BITS} AS content,"
        f" -bm25(words, {choice.title}, 1.0) AS score FROM words WHERE words MATCH ?"
        f" ORDER BY score DESC LIMIT {PASSAGES}) JOIN files USING (content) GROUP BY ino"
        " ORDER BY max(score) DESC",
        (expression,),
    ).fetchall()
    inos = np.array([ino - FIRST_INODE for ino, _ in rows], np.int64)
    scores = np.array([score for _, score in rows], np.float64)
    ones = np.ones(len(rows), np.int64)
    return Matches(inos, ones, scores, np.zeros(len(rows)), all_there=True)


def _by_ranks(nearest: Any, matching: Any) -> list[int]:
    """Fuse two rankings by their ranks: the sum of 1 / (60 + rank)."""
    scores: dict[int, float] = {}
    for ranking in (nearest.tolist(), matching.tolist()):
        for rank, file in enumerate(ranking, 1):
            scores[file] = scores.get(file, 0.0) + 1 / (60 + rank)
    return sorted(scores, key=lambda file: -scores[file])


if __name__ == "__main__":
    main()
