"""`vexfs search`: asks for files, by words or by a vector, and prints rank, score and path, and why."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from vexfs_fuse.cli import mounted
from vexfs_fuse.cli.command import Command
from vexfs_fuse.cli.options import add_store
from vexfs_fuse.errors import InvalidArgument, NoAttribute, ReadOnly

FILTERS: Final = (
    ("ext", "EXT", "extensions: md or md,txt"),
    ("type", "TYPE", "a MIME type: text/markdown or image/*"),
    ("name", "GLOB", "names that match: report-*.pdf"),
    ("since", "WHEN", "changed since: 7d or 2026-01-31"),
    ("until", "WHEN", "changed until"),
    ("size", "SIZE", "sizes: >1M, <=64K"),
    ("has", "WORD", "what must be there"),
    ("not", "WORD", "what must not be there"),
    ("xattr", "NAME:VALUE", "an extended attribute"),
    ("min", "SCORE", "the least score"),
    ("mode", "MODE", "hybrid, vector, text or exact"),
)
"""Options of the path grammar that are flags here, and may be there several times."""


class Verdict(IntEnum):
    """Exit codes, as those of grep(1)."""

    HIT = 0
    NONE = 1
    FAILED = 2


class Wanted(NamedTuple):
    """What is asked, of which directory."""

    fields: dict[str, Any]
    directory: str


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        metavar="TEXT",
        nargs="*",
        help="words to search for, one argument, unless --like or --vector asks; then DIR, where to"
        " search: the current directory",
    )
    vector = parser.add_mutually_exclusive_group()
    vector.add_argument("--like", metavar="FILE", help="files whose vectors are near this file's")
    vector.add_argument(
        "--vector",
        metavar="FILE",
        help="near this vector: .npy, raw float32 or JSON; - is standard input",
    )
    parser.add_argument("--space", metavar="NAME", help="which vector space")
    parser.add_argument(
        "-k", "--k", dest="k", metavar="N", type=int, default=10, help="so many hits"
    )
    parser.add_argument(
        "-e", "--excerpts", action="store_true", help="print the line that answers below each hit"
    )
    parser.add_argument(
        "--json", action="store_true", help="print a header and the hits as JSON lines"
    )
    group = parser.add_argument_group("filters")
    for name, metavar, text in FILTERS:
        group.add_argument(f"--{name}", metavar=metavar, action="append", help=text)
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Search, and print what is found."""
    wanted = _wanted(arguments)
    if arguments.option_store is None:
        header, *hits = _through_mount(wanted, arguments)
    else:
        header, *hits = _beside_mount(wanted, arguments)
    if arguments.json:
        found = _json_lines(header, hits)
    else:
        _tell_of(header)
        found = _lines(hits, wanted.directory, excerpts=arguments.excerpts)
    for line in found:
        sys.stdout.buffer.write(os.fsencode(line) + b"\n")
    sys.stdout.buffer.flush()
    return Verdict.HIT if hits else Verdict.NONE


def _wanted(arguments: argparse.Namespace) -> Wanted:
    """Return what the arguments ask.

    Raises
    ------
    InvalidArgument
    """
    from vexfs_fuse.vfs.search.grammar import parse

    by_vector = arguments.like is not None or arguments.vector is not None
    words = list(arguments.words)
    fields: dict[str, Any] = {
        name: getattr(arguments, name) for name, _, _ in FILTERS if getattr(arguments, name)
    }
    if words and (not by_vector or len(words) == 2):
        fields["text"] = words.pop(0)
    if len(words) > 1:
        raise InvalidArgument("quote the words, so that they are one argument")
    fields["k"] = arguments.k
    if arguments.space is not None:
        fields["space"] = arguments.space
    if not by_vector and "text" not in fields and len(fields) == 1:
        raise InvalidArgument("search for what?")
    parse(tuple(_segments(fields)), 0)  # which says in words what a mount can tell by a number only
    return Wanted(fields, words[0] if words else ".")


def _segments(fields: dict[str, Any]) -> Iterator[bytes]:
    for key, value in fields.items():
        for each in value if isinstance(value, list) else [value]:
            segment = os.fsencode(f"{key}={each}").replace(b"%", b"%25")
            yield segment.replace(b"@", b"%40") if key == "like" else segment


def _through_mount(wanted: Wanted, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    directory = Path(wanted.directory)
    mounted.volume_at(directory)
    fields = dict(wanted.fields)
    if arguments.vector is not None:
        fields["vector"] = _vector(arguments, directory)
    elif arguments.like is not None:
        fields |= _like(Path(arguments.like), directory, arguments.space or "default")
    try:
        return _asked(directory, fields)
    except OSError as error:
        if error.errno == NoAttribute.errno:
            if "text" in fields and "vector" not in fields and "like" not in fields:
                missing = mounted.read_status(mounted.volume_at(directory))["indexing"][
                    "model_missing"
                ]
                raise NoAttribute(missing or "nothing is embedded yet") from None
            raise NoAttribute(f"no vectors in space {arguments.space or 'default'}") from None
        raise


def _asked(directory: Path, fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Write a query into `.search/.new`, and read the answer; where nothing can be written, look it up."""
    try:
        descriptor = os.open(directory / ".search/.new", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != ReadOnly.errno:
            raise
        return _looked_up(directory, fields)
    try:
        with open(descriptor, "r+b", buffering=0, closefd=False) as query:
            data = memoryview(json.dumps(fields).encode())
            while data:
                data = data[query.write(data) :]
            return [json.loads(line) for line in query.readall().splitlines()]
    finally:
        os.close(descriptor)


def _looked_up(directory: Path, fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the answer to a query as a path, which has room for 255 bytes a field.

    It is walked name by name: a vector makes it longer than a path may be.
    """
    import numpy as np

    from vexfs_fuse.vfs.search import grammar

    vector = np.array(fields.pop("vector", []), "<f4").tobytes()
    names = [segment.replace(b"/", b"%2F") for segment in _segments(fields)]
    names += grammar.of_vector(vector)
    if len(names) > grammar.SEGMENTS_MAX:
        raise InvalidArgument("a vector too long for a path, and a read-only mount takes no other")
    descriptor = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    for name in (b".search", *names):
        above, descriptor = descriptor, os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=descriptor)
        os.close(above)
    answer = os.open(b".results.jsonl", os.O_RDONLY | os.O_CLOEXEC, dir_fd=descriptor)
    os.close(descriptor)
    with open(answer, "rb") as results:
        return [json.loads(line) for line in results]


def _vector(arguments: argparse.Namespace, directory: Path) -> list[float]:
    from vexfs_fuse.cli import vectors

    known = vectors.space_at(directory, arguments.space or "default")
    value = vectors.read_value(arguments.vector)
    numbers: list[float] = vectors.checked(value, known).tolist()
    return numbers


def _like(file: Path, directory: Path, space: str) -> dict[str, Any]:
    """Return the field that asks for what is like a file: its path, or from elsewhere its vector."""
    from vexfs_fuse.cli import vectors

    vector = vectors.vector_at(file, space)
    whole, scope = file.resolve(), directory.resolve()
    if whole.is_relative_to(scope):
        return {"like": str(whole.relative_to(scope))}
    return {"vector": vector.tolist()}


def _beside_mount(wanted: Wanted, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Search a store that is not mounted; paths are those within the volume."""
    from vexfs_fuse.cli.at_rest import search
    from vexfs_fuse.cli.space import opened

    segments = [*_segments(wanted.fields)]
    if arguments.like is not None:
        segments.append(
            b"like=" + os.fsencode(arguments.like).replace(b"%", b"%25").replace(b"@", b"%40")
        )
    value = None
    if arguments.vector is not None:
        from vexfs_fuse.cli import vectors

        value = vectors.read_value(arguments.vector)
    with opened(arguments, read_only=True) as volume:
        return search(volume, tuple(segments), wanted.directory, value)


def _tell_of(header: dict[str, Any]) -> None:
    """Say on standard error what the answer lacks."""
    if header["fallback"] is not None:
        how = {"vector": "meaning", "text": "words"}.get(header["mode"], "names")
        print(f"vexfs: searched by {how} only: {header['fallback']}", file=sys.stderr)
    pending = (header["indexing"] or {}).get("pending")
    if pending:
        print(f"vexfs: {pending} files are still to be indexed", file=sys.stderr)


def _lines(hits: list[dict[str, Any]], directory: str, *, excerpts: bool) -> Iterator[str]:
    from vexfs_fuse.vfs.search.results import one_line

    for hit in hits:
        stale = "  (stale)" if hit["stale"] else ""
        path = one_line(os.path.normpath(os.path.join(directory, hit["path"])))
        yield f"{hit['rank']:>4}  {hit['score']:8.4f}  {path}{stale}"
        if excerpts and hit.get("excerpt"):
            yield f"{hit['line']:>14}  {hit['excerpt']}"


def _json_lines(header: dict[str, Any], hits: list[dict[str, Any]]) -> Iterator[str]:
    for each in (header, *hits):
        yield json.dumps(each)


COMMAND = Command(
    "search",
    "Search for files, by words, by meaning or by vectors.",
    """
    vexfs search --excerpts "how do I rotate the logs" /mnt/vex
    vexfs search "log rotation" --ext md -k 5 /mnt/vex/notes
    vexfs search --like photo.jpg -k 20 /mnt/vex/photos
    vexfs search --vector query.npy --space clip --ext jpg,png --since 30d /mnt/vex
    vexfs search --vector query.npy --json --store /srv/notes
    """,
    _add_arguments,
    run,
    "0 something was found, 1 nothing was, 2 wrong usage or failed (standard error says why)",
    failed=Verdict.FAILED,
    scattered="words",
)
