"""A search in a volume that is open and not mounted: all of its slow work is done at once."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vexfs_fuse.errors import NotFound
from vexfs_fuse.pending import Pending
from vexfs_fuse.runtime.searching import text_search
from vexfs_fuse.text import schema
from vexfs_fuse.text.lookup import TextLookup
from vexfs_fuse.text.query_client import QueryEmbedder
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import ROOT
from vexfs_fuse.vectors.codec import parse as parse_vector
from vexfs_fuse.vfs.search import grammar
from vexfs_fuse.vfs.search.asking import Asker, Asking
from vexfs_fuse.volume.catalogue import Identity
from vexfs_fuse.volume.volume import Volume
from vexfs_fuse.volume.writer import Actor


def search(
    volume: Volume, segments: tuple[bytes, ...], directory: str, value: bytes | None
) -> list[dict[str, Any]]:
    """Return the header and the hits of a search below a directory of the volume.

    Raises
    ------
    InvalidArgument, NoAttribute, NotFound
    """
    scope = _directory(volume, directory)
    asking = Asking(volume, _no_private_vector, lambda plan, space, took_ns: None)
    query = grammar.parse(segments, volume.clock.now_ns())
    raw = None if value is None else parse_vector(value, None)
    with _with_texts(volume):
        answer = asking.answer(query, segments, scope.ino, _asker(), raw)
        while isinstance(answer, Pending):
            answer = answer.resume(answer.work())
        if answer.plan == "names" and (query.words or query.has):
            answer = answer._replace(fallback="there is no index of what files say")
        results = asking.results(query, segments, scope.ino, answer)
    return [json.loads(line) for line in results.jsonl().splitlines()]


@contextmanager
def _with_texts(volume: Volume) -> Iterator[None]:
    """Let the volume be searched by what files say, as far as they were indexed."""
    if not volume.config.index:
        yield
        return
    lookup = TextLookup(volume.config.store / schema.FILE)
    questions = QueryEmbedder(volume.config.embedder)
    try:
        counts = lookup.counts()
        pending = 0 if counts is None else counts.pending
        told = {"state": "at rest", "pending": pending, "lag_s": 0.0}
        volume.text = text_search(volume, lookup, questions, lambda: told)
        yield
    finally:
        questions.close()
        lookup.close()


def _asker() -> Asker:
    groups = frozenset({os.getgid(), *os.getgroups()}) if os.getuid() else frozenset()
    return Asker(Identity(os.getuid(), groups), Actor(os.getuid(), os.getgid(), os.getpid()))


def _directory(volume: Volume, path: str) -> Node:
    node = volume.tree.node(ROOT)
    for name in os.fsencode(path).split(b"/"):
        if name not in {b"", b"."}:
            node = volume.names.find(node.ino, name)
    return volume.names.directory(node.ino)


def _no_private_vector(uid: int, name: str) -> bytes:
    raise NotFound(f"vec={name}")
