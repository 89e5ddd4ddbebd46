"""One vector database or library, measured in a process of its own; prints JSON.

Runs with the peers' interpreter, which needs nothing of vexfs:
`peer_search.py NAME measure|reopen COLLECTION WORK`.  `measure` inserts, finds the least effort that
reaches the recall, and asks; `reopen` asks once, for the time from the start of a process to its first
answer.  Vectors are inserted `BATCH` at a time and asked for one at a time, on one thread.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

K: Final = 10
BATCH: Final = 1_000
RECALL_MIN: Final = 0.95
TUNING_QUERIES: Final = 200
EF_CONSTRUCTION: Final = 150
LINKS: Final = 16
"""As vexfs builds its graphs."""


class Peer:
    """What is measured; an effort is whatever trades time for recall there, () where nothing does."""

    efforts: tuple[int, ...] = ()

    def __init__(self, work: Path, dimensions: int) -> None:
        self.work = work
        self.dimensions = dimensions

    def begin(self) -> None:
        """Make an empty one."""

    def add(self, first: int, vectors: Any) -> None:
        """Add vectors whose numbers begin with `first`."""

    def finish(self) -> None:
        """Do what has to be done before searching is fast, and keep what there is on the disk."""

    def open(self) -> None:
        """Open what `finish` has kept."""

    def spend(self, effort: int) -> None:
        """Spend that effort in the searches to come."""

    def search(self, query: Any) -> list[int]:
        """Return the numbers of the nearest."""
        raise NotImplementedError


class Hnswlib(Peer):
    efforts = (16, 24, 32, 40, 50, 64, 80, 100, 128, 160, 200, 300, 500)

    def _index(self) -> Any:
        import hnswlib

        return hnswlib.Index("cosine", self.dimensions)

    def begin(self) -> None:
        self.index = self._index()
        self.index.init_index(100_000, M=LINKS, ef_construction=EF_CONSTRUCTION)
        self.index.set_num_threads(1)

    def add(self, first: int, vectors: Any) -> None:
        self.index.add_items(vectors, np.arange(first, first + len(vectors)), num_threads=1)

    def finish(self) -> None:
        self.index.save_index(str(self.work / "index"))

    def open(self) -> None:
        self.index = self._index()
        self.index.load_index(str(self.work / "index"))

    def spend(self, effort: int) -> None:
        self.index.set_ef(effort)

    def search(self, query: Any) -> list[int]:
        found: list[int] = self.index.knn_query(query, K, num_threads=1)[0][0].tolist()
        return found


class Faiss(Peer):
    efforts = Hnswlib.efforts

    def begin(self) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self.index = faiss.IndexHNSWFlat(self.dimensions, LINKS, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = EF_CONSTRUCTION

    def add(self, first: int, vectors: Any) -> None:
        self.index.add(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    def finish(self) -> None:
        import faiss

        faiss.write_index(self.index, str(self.work / "index"))

    def open(self) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self.index = faiss.read_index(str(self.work / "index"))

    def spend(self, effort: int) -> None:
        self.index.hnsw.efSearch = effort

    def search(self, query: Any) -> list[int]:
        found: list[int] = self.index.search(query[np.newaxis], K)[1][0].tolist()
        return found


class Usearch(Peer):
    efforts = Hnswlib.efforts

    def _index(self) -> Any:
        from usearch.index import Index

        return Index(
            ndim=self.dimensions,
            metric="cos",
            dtype="f32",
            connectivity=LINKS,
            expansion_add=EF_CONSTRUCTION,
        )

    def begin(self) -> None:
        self.index = self._index()

    def add(self, first: int, vectors: Any) -> None:
        self.index.add(np.arange(first, first + len(vectors)), vectors, threads=1)

    def finish(self) -> None:
        self.index.save(str(self.work / "index"))

    def open(self) -> None:
        self.index = self._index()
        self.index.load(str(self.work / "index"))

    def spend(self, effort: int) -> None:
        self.index.expansion_search = effort

    def search(self, query: Any) -> list[int]:
        found: list[int] = self.index.search(query, K, threads=1).keys.tolist()
        return found


class Chroma(Peer):
    efforts = (20, 40, 60, 80, 100, 150, 200, 300)

    def _client(self) -> Any:
        import chromadb

        settings = chromadb.Settings(anonymized_telemetry=False)
        return chromadb.PersistentClient(str(self.work / "chroma"), settings=settings)

    def begin(self) -> None:
        self.collection = self._client().create_collection(
            "vectors",
            embedding_function=None,
            configuration={
                "hnsw": {
                    "space": "cosine",
                    "max_neighbors": LINKS,
                    "ef_construction": EF_CONSTRUCTION,
                    "num_threads": 1,
                }
            },
        )

    def add(self, first: int, vectors: Any) -> None:
        numbers = [str(number) for number in range(first, first + len(vectors))]
        self.collection.add(ids=numbers, embeddings=vectors)

    def open(self) -> None:
        self.collection = self._client().get_collection("vectors", embedding_function=None)

    def spend(self, effort: int) -> None:
        self.collection.modify(configuration={"hnsw": {"ef_search": effort}})

    def search(self, query: Any) -> list[int]:
        found = self.collection.query(query_embeddings=[query], n_results=K, include=["distances"])
        return [int(number) for number in found["ids"][0]]


class Lance(Peer):
    efforts = (20, 40, 60, 80, 100, 150, 200, 300)

    def begin(self) -> None:
        import lancedb
        import pyarrow

        self.pyarrow = pyarrow
        self.schema = pyarrow.schema(
            [
                ("number", pyarrow.int64()),
                ("vector", pyarrow.list_(pyarrow.float32(), self.dimensions)),
            ]
        )
        self.table = lancedb.connect(self.work / "lance").create_table(
            "vectors", schema=self.schema
        )
        self.effort = 0

    def add(self, first: int, vectors: Any) -> None:
        flat = self.pyarrow.array(vectors.ravel())
        lists = self.pyarrow.FixedSizeListArray.from_arrays(flat, self.dimensions)
        numbers = self.pyarrow.array(np.arange(first, first + len(vectors)))
        self.table.add(self.pyarrow.table([numbers, lists], schema=self.schema))

    def finish(self) -> None:
        self.table.optimize()
        self.table.create_index(
            metric="cosine",
            vector_column_name="vector",
            index_type="IVF_HNSW_SQ",
            num_partitions=1,
            m=LINKS,
            ef_construction=EF_CONSTRUCTION,
        )

    def open(self) -> None:
        import lancedb

        self.table = lancedb.connect(self.work / "lance").open_table("vectors")
        self.effort = 100

    def spend(self, effort: int) -> None:
        self.effort = effort

    def search(self, query: Any) -> list[int]:
        asked = self.table.search(query).distance_type("cosine").ef(self.effort).refine_factor(2)
        found: list[int] = asked.select(["number"]).limit(K).to_arrow().column("number").to_pylist()
        return found


class SqliteVec(Peer):
    def _connect(self) -> None:
        import sqlite_vec

        try:
            import pysqlite3 as sqlite3  # Python's own is often built without extensions
        except ImportError:
            import sqlite3
        self.connection = sqlite3.connect(self.work / "vec.sqlite3")
        self.connection.enable_load_extension(True)
        sqlite_vec.load(self.connection)

    def begin(self) -> None:
        self._connect()
        self.connection.execute(
            "CREATE VIRTUAL TABLE vectors USING"
            f" vec0(vector float[{self.dimensions}] distance_metric=cosine)"
        )

    def add(self, first: int, vectors: Any) -> None:
        rows = ((first + number, vector.tobytes()) for number, vector in enumerate(vectors))
        with self.connection:
            self.connection.executemany("INSERT INTO vectors (rowid, vector) VALUES (?, ?)", rows)

    def open(self) -> None:
        self._connect()

    def search(self, query: Any) -> list[int]:
        found = self.connection.execute(
            "SELECT rowid FROM vectors WHERE vector MATCH ? AND k = ? ORDER BY distance",
            (query.tobytes(), K),
        )
        return [row[0] for row in found]


class Qdrant(Peer):
    def _connect(self) -> None:
        import qdrant_client

        self.client = qdrant_client.QdrantClient(path=str(self.work / "qdrant"))

    def begin(self) -> None:
        from qdrant_client import models

        self.models = models
        self._connect()
        size = models.VectorParams(size=self.dimensions, distance=models.Distance.COSINE)
        self.client.create_collection("vectors", vectors_config=size)

    def add(self, first: int, vectors: Any) -> None:
        numbers = list(range(first, first + len(vectors)))
        self.client.upsert("vectors", self.models.Batch(ids=numbers, vectors=vectors.tolist()))

    def open(self) -> None:
        self._connect()

    def search(self, query: Any) -> list[int]:
        found = self.client.query_points("vectors", query=query.tolist(), limit=K)
        return [int(point.id) for point in found.points]


PEERS: Final[dict[str, type[Peer]]] = {
    "hnswlib": Hnswlib,
    "faiss": Faiss,
    "usearch": Usearch,
    "chromadb": Chroma,
    "lancedb": Lance,
    "sqlite-vec": SqliteVec,
    "qdrant-client": Qdrant,
}


def measured(peer: Peer, base: Any, queries: Any, truth: Any) -> dict[str, Any]:
    """Insert, tune, ask."""
    before = _resident_bytes()
    start = time.perf_counter()
    peer.begin()
    for first in range(0, len(base), BATCH):
        peer.add(first, base[first : first + BATCH])
    inserted = time.perf_counter() - start
    peer.finish()
    finished = time.perf_counter() - start
    found: dict[str, Any] = {
        "inserts_per_second": len(base) / inserted,
        "ready_after_s": finished,
        "bytes_per_vector": (_resident_bytes() - before) / len(base),
    }
    for effort in peer.efforts:
        peer.spend(effort)
        found["effort"] = effort
        _, recall = _ask(peer, queries[:TUNING_QUERIES], truth)
        if recall >= RECALL_MIN:
            break
    seconds, found["recall"] = _ask(peer, queries, truth)
    found["median_ms"] = 1e3 * float(np.median(seconds))
    found["p99_ms"] = 1e3 * float(np.percentile(seconds, 99))
    return found


def _ask(peer: Peer, queries: Any, truth: Any) -> tuple[list[float], float]:
    seconds, right = [], 0
    for query, nearest in zip(queries, truth, strict=False):
        start = time.perf_counter()
        hits = peer.search(query)
        seconds.append(time.perf_counter() - start)
        right += len(set(hits) & set(nearest[:K].tolist()))
    return seconds, right / K / len(queries)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def main() -> None:
    """Print what was measured."""
    name, what, collection, work = sys.argv[1:5]
    with np.load(collection) as real:
        base, queries, truth = real["base"], real["queries"], real["truth"]
    peer = PEERS[name](Path(work), base.shape[1])
    if what == "reopen":
        peer.open()
        print(json.dumps(peer.search(queries[0])))
    else:
        print(json.dumps(measured(peer, base, queries, truth)))


if __name__ == "__main__":
    main()
