"""One frozen answer to a query, and the texts that show it."""

import json
import re
from json.encoder import encode_basestring_ascii
from typing import Any, Final, NamedTuple

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
        self,
        query: Query,
        segments: tuple[bytes, ...],
        scope: Inode,
        outcome: Outcome,
        indexing: dict[str, Any],
    ) -> None:
        self.query = query
        self.segments = segments
        self.scope = scope
        self.outcome = outcome
        self.indexing = indexing
        self.shown = [
            Shown(_entry_name(rank, hit.path), hit) for rank, hit in enumerate(outcome.hits, 1)
        ]
        self.ranks = {shown.name: rank for rank, shown in enumerate(self.shown, 1)}

    def jsonl(self) -> bytes:
        """Return a header line and one line a hit, as JSON."""
        header = json.dumps(self._header())
        lines = [_line(rank, *shown) for rank, shown in enumerate(self.shown, 1)]
        return "\n".join([header, *lines, ""]).encode()

    def text(self) -> bytes:
        """Return the hits for people: rank, score, path; then line and excerpt, where there is a text."""
        lines = [f"# {self._described()}"]
        for line in self._lines():
            stale = "  (stale)" if line["stale"] else ""
            path = one_line(line["path"])
            lines.append(f"{line['rank']:>4}  {line['score']:8.4f}  {path}{stale}")
            if line.get("excerpt"):
                lines.append(f"{line['line']:>10}: {line['excerpt']}")
        return "\n".join(lines).encode(errors="surrogateescape") + b"\n"

    def _header(self) -> dict[str, Any]:
        outcome = self.outcome
        return {
            "query": [segment.decode("utf-8", "replace") for segment in self.segments],
            "k": self.query.k,
            "hits": len(self.shown),
            "plan": outcome.plan,
            "exact": outcome.plan in {"exact", "names", "text"},
            "mode": outcome.mode,
            "fallback": outcome.fallback,
            "space": outcome.space,
            "model": outcome.model,
            "ef": outcome.ef,
            "candidates": outcome.candidates,
            "recall": outcome.recall,
            "indexing": self.indexing or None,
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
                **_said(shown.hit),
            }
            for rank, shown in enumerate(self.shown, 1)
        ]

    def _described(self) -> str:
        header = self._header()
        told = ", ".join(
            f"{key}={header[key]}"
            for key in ("mode", "plan", "space", "k", "candidates", "recall")
            if header[key] is not None
        )
        if header["fallback"] is not None:
            told += f"; no meaning: {header['fallback']}"
        pending = self.indexing.get("pending")
        if pending:
            told += f"; {pending} files wait for indexing"
        return f"{' / '.join(header['query'])}: {len(self.shown)} hits ({told})"


def _line(rank: int, name: bytes, hit: Hit) -> str:
    """Return what `json.dumps` makes of a line, in a fifth of the time."""
    distance = "null" if hit.distance is None else repr(hit.distance)
    path = encode_basestring_ascii(hit.path.decode("utf-8", "surrogateescape"))
    shown = encode_basestring_ascii(name.decode("utf-8", "surrogateescape"))
    stale = "true" if hit.stale else "false"
    said = _said(hit)
    rest = f", {json.dumps(said)[1:]}" if said else "}"
    return (
        f'{{"rank": {rank}, "score": {hit.score!r}, "distance": {distance}, "path": {path},'
        f' "name": {shown}, "stale": {stale}{rest}'
    )


_CONTROLS: Final = re.compile(r"[\0-\x1f\x7f]")


def one_line(path: str) -> str:
    """Return a path that stays on its line on a screen: control characters as question marks, as by ls(1)."""
    return _CONTROLS.sub("?", path)


def _said(hit: Hit) -> dict[str, Any]:
    """Return what a hit says of its text, if a text was searched for."""
    if hit.scores is None:
        return {}
    part = hit.part
    return {
        "vector_score": hit.scores.vector,
        "text_score": hit.scores.text,
        "line": None if part is None else part.line,
        "lines": None if part is None else [part.first_line, part.last_line],
        "excerpt": None if part is None else part.excerpt,
    }


def _entry_name(rank: int, path: bytes) -> bytes:
    """Return `NNN-BASENAME`, cut to what a name may have."""
    return (b"%03d-" % rank + path.rpartition(b"/")[2])[:255]
