"""One frozen answer to a query, and the texts that show it."""

import json
from typing import Any, NamedTuple

from vexfs_fuse.units import Inode
from vexfs_fuse.volume.hits import Hit, Outcome
from vexfs_fuse.volume.query import Query


class Shown(NamedTuple):
    """A hit under the name that the directory of results gives it."""

    name: bytes
    hit: Hit


class ResultSet:
    """What one search found, as of one moment; nothing in it changes any more."""

    def __init__(
        self, query: Query, segments: tuple[bytes, ...], scope: Inode, outcome: Outcome
    ) -> None:
        self.query = query
        self.segments = segments
        self.scope = scope
        self.outcome = outcome
        self.shown = [
            Shown(_entry_name(rank, hit.path), hit) for rank, hit in enumerate(outcome.hits, 1)
        ]
        self.ranks = {shown.name: rank for rank, shown in enumerate(self.shown, 1)}

    def jsonl(self) -> bytes:
        """Return a header line and one line a hit, as JSON."""
        return b"".join(
            json.dumps(line).encode() + b"\n" for line in (self._header(), *self._lines())
        )

    def text(self) -> bytes:
        """Return the hits for people: rank, score, path."""
        lines = [f"# {self._described()}"]
        for line in self._lines():
            stale = "  (stale)" if line["stale"] else ""
            lines.append(f"{line['rank']:>4}  {line['score']:8.4f}  {line['path']}{stale}")
        return "\n".join(lines).encode() + b"\n"

    def _header(self) -> dict[str, Any]:
        outcome = self.outcome
        return {
            "query": [segment.decode("utf-8", "replace") for segment in self.segments],
            "k": self.query.k,
            "hits": len(self.shown),
            "plan": outcome.plan,
            "exact": outcome.plan in {"exact", "names"},
            "space": outcome.space,
            "model": outcome.model,
            "ef": outcome.ef,
            "candidates": outcome.candidates,
            "recall": outcome.recall,
        }

    def _lines(self) -> list[dict[str, Any]]:
        return [
            {
                "rank": rank,
                "score": shown.hit.score,
                "distance": shown.hit.distance,
                "path": shown.hit.path.decode("utf-8", "surrogateescape"),
                "name": shown.name.decode("utf-8", "surrogateescape"),
                "stale": shown.hit.stale,
            }
            for rank, shown in enumerate(self.shown, 1)
        ]

    def _described(self) -> str:
        header = self._header()
        told = ", ".join(
            f"{key}={header[key]}" for key in ("plan", "space", "k", "candidates", "recall")
        )
        return f"{' / '.join(header['query'])}: {len(self.shown)} hits ({told})"


def _entry_name(rank: int, path: bytes) -> bytes:
    """Return `NNN-BASENAME`, cut to what a name may have."""
    return (b"%03d-" % rank + path.rpartition(b"/")[2])[:255]
