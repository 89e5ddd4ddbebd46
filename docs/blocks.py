"""Fills the computed parts of the pages that people write: `python docs/blocks.py`.

A page marks such a part with `<!-- NAME: made by docs/blocks.py -->` and `<!-- end of NAME -->`.
`tests/documented` fails while a part differs from what this makes.
"""

import ast
import errno
import inspect
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

import vexfs_fuse
from vexfs_fuse import errors
from vexfs_fuse.storage import frames, rows, schema
from vexfs_fuse.storage.disk import LocalDisk
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.journal import Journal
from vexfs_fuse.storage.records import pack_record
from vexfs_fuse.storage.segments import Segments
from vexfs_fuse.storage.state import State
from vexfs_fuse.text import schema as text_schema
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import CHECKSUM_BYTES, GIB, KIB, MIB, Inode, Lsn, Segment
from vexfs_fuse.units import ROOT as ROOT_INODE
from vexfs_fuse.vectors.metric import Metric
from vexfs_fuse.vectors.schedule import shard_rows_max
from vexfs_fuse.vectors.shard import ShardBuilder
from vexfs_fuse.vectors.shard_file import Keys, encoded
from vexfs_fuse.volume import changes
from vexfs_fuse.volume.changes import Change, Kinds, body

DOCS: Final = Path(__file__).parent
ROOT: Final = DOCS.parent
SOURCE: Final = Path(vexfs_fuse.__file__).parent
RESULTS: Final = ROOT / "benchmarks" / "results"

VOLUME: Final = "6a0f6d3e-8f6c-4c0e-9c53-0f1e2d3c4b5a"
VOLUME_BYTES: Final = bytes.fromhex(VOLUME.replace("-", ""))
TIME_NS: Final = 1_767_225_600_000_000_000
"""The first second of 2026."""
ACTOR: Final = (1000, 1000, 4242)
LSN: Final = 1_000_000
INODE: Final = Inode(1_000_000)
DIRECTORY: Final = Inode(1_000)
"""Numbers of a volume that has seen some use: msgpack writes each number at its shortest."""

_MARKED: Final = re.compile(
    r"(<!-- (?P<name>[a-z-]+): made by docs/blocks\.py -->\n).*?(<!-- end of (?P=name) -->)",
    re.DOTALL,
)


@cache
def part_named(name: str) -> str:
    """Return a computed part."""
    return BLOCKS[name]()


def fill(text: str) -> str:
    """Return a page with all its computed parts as they should be."""
    return _MARKED.sub(lambda part: f"{part[1]}\n{part_named(part['name'])}\n\n{part[3]}", text)


def names_in(text: str) -> list[str]:
    """Return the names of a page's computed parts."""
    return [part["name"] for part in _MARKED.finditer(text)]


def pages() -> Iterator[Path]:
    """Yield the pages that have computed parts."""
    for page in sorted(DOCS.rglob("*.md")):
        if _MARKED.search(page.read_text(encoding="utf-8")):
            yield page


def _table(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    rows_made = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    rows_made += [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    ]
    return "\n".join(rows_made)


def _first_sentence(text: str | None) -> str:
    paragraph = " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())
    return re.split(r"(?<=[.])\s", paragraph)[0]


# --- architecture -----------------------------------------------------------------------------------


def packages() -> str:
    """Return the packages from the top to the bottom, with what each says of itself."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    lines = []
    for layer in layers:
        for name in re.findall(r"\w+", layer):
            if (SOURCE / name).is_dir() or (SOURCE / f"{name}.py").exists():
                module = import_module(f"vexfs_fuse.{name}")
                lines.append([f"`{name}`", _first_sentence(module.__doc__), _outsiders(name)])
    return _table(["package", "what it is", "imports from outside"], lines)


def _outsiders(name: str) -> str:
    ours = re.compile(
        r"^(?:from|import) (trio|pyfuse3|numpy|msgpack|msgspec|xxhash|hnswlib|sqlite3)\b",
        re.MULTILINE,
    )
    place = SOURCE / name
    files = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    found = {match for file in files for match in ours.findall(file.read_text())}
    return ", ".join(sorted(found))


# --- the format -------------------------------------------------------------------------------------


def sql() -> str:
    """Return the tables of the state view as SQLite is told of them."""
    return f"```sql\n{schema.TABLES.strip()}\n```"


def text_sql() -> str:
    """Return the tables of the text index as SQLite is told of them."""
    return f"```sql\n{text_schema.TABLES.strip()}\n```"


def kinds() -> str:
    """Return the kinds of records with their fields."""
    groups = {
        "file system": Kinds.FILESYSTEM,
        "vectors": Kinds.VECTOR,
        "search": Kinds.SEARCH,
        "system": Kinds.SYSTEM,
    }
    lines = [
        [f"`{kind.__name__}`", group, _fields(kind), _first_sentence(kind.__doc__)]
        for group, members in groups.items()
        for kind in members
    ]
    return _table(["kind", "group", "body", "what happened"], lines)


def _fields(kind: Any) -> str:
    return ", ".join(f"`{name}`" for name in kind._fields)


def journal_bytes() -> str:
    """Return a whole small journal, byte by byte."""
    with tempfile.TemporaryDirectory() as directory:
        journal = Journal.open(
            LocalDisk(Path(directory)),
            volume=VOLUME,
            entropy=lambda size: bytes(range(0xA0, 0xA0 + size)),
            time_ns=TIME_NS,
        )
        change = changes.Created(ROOT_INODE, b"hello.txt", 0o100644, 1000, 1000, 0, None, None)
        journal.append("Created", Inode(2), ACTOR, body(change), TIME_NS)
        batch = journal.seal()
        assert batch is not None
        batch.write()
        journal.close()
        data = Path(directory, batch.file.name).read_bytes()
    header_bytes = batch.position
    record_bytes = len(batch.records[0])
    parts = [
        ("the file's header", data[:header_bytes]),
        ("record 1", data[header_bytes : header_bytes + record_bytes]),
        ("the mark that follows the sync", data[header_bytes + record_bytes : batch.end]),
    ]
    return "```text\n" + "\n\n".join(_dump(*part) for part in parts) + "\n```"


def segment_bytes() -> str:
    """Return the first bytes of a segment with one small frame."""
    segment = Segment(1)
    header = frames.segment_header(VOLUME_BYTES, segment)
    data = b"hello, world\n"
    sums = frames.sums_of([data])
    seed = frames.seed_of(VOLUME_BYTES, segment)
    prefix = frames.frame_prefix(Inode(2), 0, len(data), sums, seed, len(header))
    padding = bytes(frames.padding_bytes(len(prefix) + len(data)))
    at = frames.FRAME_HEADER_BYTES
    parts = [
        ("the segment's header: magic, revision, size, volume, segment, check", header),
        ("a frame's header: magic, length, check, inode, offset", prefix[:at]),
        ("one checksum for each 64 KiB of data", prefix[at:]),
        ("the data, and zeros up to a multiple of 8", data + padding),
    ]
    return "```text\n" + "\n\n".join(_dump(*part) for part in parts) + "\n```"


def _dump(title: str, data: bytes) -> str:
    lines = [f"{title} ({len(data)} bytes)"]
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"  {start:04x}  {row.hex(' '):<47}  {shown}")
    return "\n".join(lines)


def _frame_extent(length: int, offset: int = 0) -> Extent:
    sums = bytes(range(8)) * -(-length // CHECKSUM_BYTES)
    return Extent(offset, length, Segment(100), 100_000_000, 0, length, sums)


def _written(*extents: Extent) -> Change:
    return changes.ExtentWritten(2**40, TIME_NS, TIME_NS, [list(extent) for extent in extents])


def record_sizes() -> str:
    """Return how many bytes records take."""
    inline = Extent(0, 1000, Segment(0), 0, 0, 1000, b"", bytes(1000))
    name = b"name.of.16.bytes"
    listed: list[tuple[str, Change]] = [
        (
            "a file is made, name of 16 bytes",
            changes.Created(DIRECTORY, name, 0o100644, 1000, 1000, 0, None, None),
        ),
        ("a name is removed", changes.Unlinked(DIRECTORY, name)),
        ("a file is renamed", changes.Renamed(DIRECTORY, name, DIRECTORY, name, Inode(0))),
        ("chmod", changes.AttributesSet(0o644, None, None, None, None, None, False)),
        ("a read moves atime", changes.Accessed(TIME_NS)),
        ("an attribute of 100 bytes is set", changes.XattrSet(b"user.comment", bytes(100), None)),
        ("contents: one frame of 64 KiB", _written(_frame_extent(64 * KIB))),
        ("contents: one frame of 1 MiB", _written(_frame_extent(MIB))),
        ("contents: 1,000 bytes inline", _written(inline)),
        ("64 unused inodes are let go of", changes.Purged(list(range(LSN, LSN + 64)))),
        ("a vector of 384 dimensions is set", changes.VectorSet(1, 0, bytes(4 * 384))),
        (
            "an embedder gives a file 9 passages of 384 dimensions",
            changes.PassagesSet(1, 2**63, [bytes(4 * 384)] * 10),
        ),
    ]
    lines = []
    for title, change in listed:
        kind = type(change).__name__
        record = pack_record((LSN, TIME_NS, kind, INODE, ACTOR, body(change), 2**32 - 1))
        lines.append([title, f"`{kind}`", f"{len(record) + _crc_slack(record):,}"])
    return _table(["what happens", "kind", "bytes at most"], lines)


def _crc_slack(record: bytes) -> int:
    """Return how many bytes longer a record would be with a crc of five bytes, the usual case."""
    return next(
        5 - size for size, mark in ((5, 0xCE), (3, 0xCD), (2, 0xCC)) if record[-size] == mark
    )


def frame_sizes() -> str:
    """Return how many bytes contents take in a segment."""
    lines = []
    for length in (1, 100, 4 * KIB, 64 * KIB, 100_000, MIB):
        prefix = frames.prefix_bytes(length)
        padding = frames.padding_bytes(prefix + length)
        whole = prefix + length + padding
        share = (whole - length) / whole
        lines.append([f"{length:,}", prefix, padding, f"{whole:,}", f"{share:.2%}"])
    return _table(
        ["bytes of contents", "header and checksums", "padding", "in the segment", "overhead"],
        lines,
    )


def state_sizes() -> str:
    """Return how many bytes the state view takes for what it holds."""
    empty = _view_bytes(lambda state, number: None)
    listed: list[tuple[str, Callable[[State, int], None]]] = [
        ("an inode with one name of 16 bytes", _put_file),
        ("an extended attribute of 100 bytes", _put_attribute),
        ("an extent of one checksum", lambda state, n: _put_extent(state, n, 64 * KIB)),
        (
            "an extent of 16 checksums (a frame of 1 MiB)",
            lambda state, n: _put_extent(state, n, MIB),
        ),
        ("1,000 bytes inline", _put_inline),
        ("a vector of 384 dimensions", _put_vector),
    ]
    lines = [
        [title, f"{round((_view_bytes(put) - empty) / _ROWS, -1):,.0f}"] for title, put in listed
    ]
    return _table(["what is held", "bytes of `state.sqlite3`, about"], lines)


_ROWS: Final = 5_000


def _view_bytes(put: Callable[[State, int], None]) -> int:
    """Return the size of a view with rows for that many inodes."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "state.sqlite3")
        state = State.open(path)
        for number in range(2, _ROWS + 2):
            put(state, number)
        commit = state.freeze(Lsn(_ROWS + 2))
        while not commit.step():
            pass
        commit.finish()
        state.settle(commit)
        state.checkpoint()
        state.close()
        return path.stat().st_size


def _put_file(state: State, number: int) -> None:
    mode, times = 0o100644, (TIME_NS,) * 4
    state.touch(Node(Inode(number), mode, 1000, 1000, 1, 100, 0, 0, *times, 0, Inode(0), None, 0))
    name = b"name-%011d" % (number * 7_919 % 10**11)
    state.put_dentry(Inode(number // 100 + 1), name, (number, number, 0o100000))


def _put_attribute(state: State, number: int) -> None:
    state.put_xattr(Inode(number), b"user.comment", bytes(100))


def _put_extent(state: State, number: int, length: int) -> None:
    state.put_extents(Inode(number), (), [_frame_extent(length)])


def _put_inline(state: State, number: int) -> None:
    state.put_extents(
        Inode(number), (), [Extent(0, 1000, Segment(0), 0, 0, 1000, b"", bytes(1000))]
    )


def _put_vector(state: State, number: int) -> None:
    state.put_vector(Inode(number), 1, 0, rows.VectorRow(number, 0, 0, bytes(4 * 384)))


def shard_sizes() -> str:
    """Return how many bytes graphs of vectors take on disk."""
    lines = []
    for dimensions in (50, 384, 1_536):
        shard_bytes = _shard_bytes(dimensions) / _VECTORS
        raw_bytes = 4 * dimensions
        lines.append(
            [
                f"{dimensions:,}",
                f"{raw_bytes:,}",
                f"{shard_bytes:,.0f}",
                f"{shard_rows_max(dimensions):,}",
                f"{shard_bytes * 1_000_000 / GIB:.2f} GiB",
            ]
        )
    header = ["dimensions", "bytes of a vector", "bytes in a shard", "vectors of a shard at most"]
    return _table([*header, "a million vectors"], lines)


_VECTORS: Final = 1_000


def _shard_bytes(dimensions: int) -> int:
    vectors = np.random.default_rng(0).normal(size=(_VECTORS, dimensions)).astype(np.float32)
    builder = ShardBuilder(vectors, Metric.L2)
    while not builder.finished:
        builder.add_some()
    numbers = np.arange(_VECTORS)
    keys = Keys(numbers, numbers.astype(np.int32), numbers)
    return sum(memoryview(piece).nbytes for piece in encoded(keys, builder.shard()))


def whole_sizes() -> str:
    """Return what whole files cost in each part of the store."""
    examples = {
        "a file of 1,000 bytes, synced (inline)": 1_000,
        "a file of 100,000 bytes": 100_000,
        "a file of 64 MiB, written in order": 64 * MIB,
    }
    lines = []
    for title, size in examples.items():
        if size <= 4 * KIB:
            extents = [Extent(0, size, Segment(0), 0, 0, size, b"", bytes(size))]
            in_segments = 0
        else:
            extents = [
                _frame_extent(min(MIB, size - start), start) for start in range(0, size, MIB)
            ]
            in_segments = _in_segments([extent.length for extent in extents])
        record = pack_record(
            (LSN, TIME_NS, "ExtentWritten", INODE, ACTOR, body(_written(*extents)), 0)
        )
        lines.append([title, len(extents), f"{in_segments:,}", f"{len(record):,}"])
    return _table(["contents", "extents", "bytes in segments", "bytes of journal"], lines)


def _in_segments(lengths: list[int]) -> int:
    """Return how many bytes of a segment frames take that follow each other."""
    data = memoryview(bytes(max(lengths)))
    with tempfile.TemporaryDirectory() as directory:
        segments = Segments.open(LocalDisk(Path(directory)), VOLUME_BYTES)
        for length in lengths:
            staged = segments.stage(INODE, 0, [data[:length]], lambda: None)
        segments.close()
    end = staged.position + staged.frame_bytes
    return end + frames.padding_bytes(end) - frames.SEGMENT_HEADER_BYTES


# --- what a program sees ------------------------------------------------------------------------------


def failures() -> str:
    """Return every expected failure with its errno."""
    found = [
        each
        for each in vars(errors).values()
        if inspect.isclass(each) and issubclass(each, errors.VexfsError)
    ]
    return _table(
        ["errno", "class", "when"],
        [
            [f"`{_errno(each.errno)}`", f"`{each.__name__}`", _first_sentence(each.__doc__)]
            for each in found
        ],
    )


def _errno(number: int) -> str:
    """Return the name that is used here; ENOTSUP is another name of the same number."""
    return "EOPNOTSUPP" if number == errno.EOPNOTSUPP else errno.errorcode[number]


# --- bounds -------------------------------------------------------------------------------------------

BOUNDS: Final = (
    ("fuse.direct", "SUSPENDED_MAX"),
    ("fuse.direct", "WRITES_WAITING_MAX"),
    ("fuse.session", "READAHEAD_KIB"),
    ("fuse.init_flags", "BACKGROUND_REQUESTS_MAX"),
    ("fuse.reader", "FAIR_REQUESTS"),
    ("runtime.workers", "THREADS_MAX"),
    ("runtime.syncer", "FLUSH_SLICE_S"),
    ("runtime.syncer", "INLINE_SYNC_S_MAX"),
    ("runtime.syncer", "INLINE_RECORDS_MAX"),
    ("runtime.tasks", "MAINTENANCE_PAUSE_S"),
    ("runtime.tasks", "BUSY_SHARE"),
    ("runtime.tasks", "IDLE_SHARE"),
    ("runtime.tasks", "PATIENCE_S"),
    ("runtime.tasks", "QUIET_S"),
    ("runtime.tasks", "QUIET_AWAITED_S_MAX"),
    ("runtime.tasks", "HEARTBEAT_S"),
    ("volume.volume", "CHECKPOINT_ROWS"),
    ("volume.volume", "CHECKPOINT_S"),
    ("volume.volume", "OVERLAY_ROWS_MAX"),
    ("volume.volume", "UNUSED_INODES_MAX"),
    ("volume.namespace", "PURGE_SLICE"),
    ("vfs.forgetting", "FORGET_SLICE"),
    ("vfs.forgetting", "FORGETS_WAITING_MAX"),
    ("volume.contents", "PRESSURE_SHARE"),
    ("volume.compaction", "LIVE_SHARE_MAX"),
    ("volume.loading", "FILL_ROWS"),
    ("volume.search", "UNKNOWN_ROWS_MIN"),
    ("volume.search", "LOOKED_AT_MAX"),
    ("volume.vector_indexes", "LOAD_STEPS"),
    ("volume.vector_indexes", "INDEX_STEPS"),
    ("volume.vector_indexes", "INDEX_STEPS_QUIET"),
    ("volume.vector_indexes", "CLOSING_S"),
    ("vectors.schedule", "SHARDS_MAX"),
    ("storage.commit", "STEP_ROWS"),
    ("storage.commit", "RELEASE_ROWS"),
    ("storage.database", "READING_BYTES"),
    ("storage.segment_queue", "COPIED_BYTES"),
    ("storage.segment_queue", "CHUNKS_MAX"),
    ("storage.journal", "RESERVE_BYTES"),
    ("storage.journal", "FREEING_BYTES"),
    ("storage.segment_tail", "RESERVED_BYTES"),
    ("storage.records", "RECORD_BYTES_MAX"),
)
"""Module and name of what docs/concurrency.md lists."""


def bounds() -> str:
    """Return bounds and rhythms, with the sentences that stand beside them in the code."""
    lines = []
    for module_name, name in BOUNDS:
        module = import_module(f"vexfs_fuse.{module_name}")
        lines.append(
            [
                f"`{module_name}.{name}`",
                _quantity(name, getattr(module, name)),
                _comment(module, name),
            ]
        )
    return _table(["name", "value", "what it bounds"], lines)


def _comment(module: Any, name: str) -> str:
    """Return the first sentence of the string that follows an assignment; empty without one."""
    statements = ast.parse(inspect.getsource(module)).body
    for statement, following in pairwise(statements):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and statement.target.id == name
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            return _first_sentence(str(following.value.value))
    return ""


def _quantity(name: str, value: float) -> str:
    if "_BYTES" in name and value >= KIB:
        return f"{value // MIB} MiB" if value >= MIB else f"{value // KIB} KiB"
    if name.endswith("_S") or "_S_" in name:
        return f"{value:g} s" if value >= 0.1 else f"{value * 1000:g} ms"
    return f"{value:,}"


# --- measured -----------------------------------------------------------------------------------------


class Measured(NamedTuple):
    """One benchmark and what it answers."""

    module: str  # of benchmarks; what it printed is in benchmarks/results under the same name
    command: str
    question: str


MEASURED: Final = (
    Measured("fuse_operations", "scripts/bench operations", "Operations a second"),
    Measured("request_counts", "scripts/bench counts", "FUSE requests for each call"),
    Measured("beside_slow", "scripts/bench beside", "Fast requests beside slow ones"),
    Measured("journal_append", "scripts/bench journal", "Records a second"),
    Measured("scale", "scripts/bench scale", "From a thousand files to a million"),
    Measured("vectors_scale", "scripts/bench vectors-scale", "A million vectors"),
    Measured("everyday", "scripts/bench everyday", "A source tree"),
    Measured("search", "scripts/bench search", "Searching through the mount"),
    Measured("search_peers", "scripts/bench search-peers", "Vector databases, asked the same"),
    Measured("freshness", "scripts/bench freshness", "From closing a file to finding it"),
    Measured(
        "indexing_scale", "scripts/bench indexing-scale", "Many files, indexed beside others' work"
    ),
    Measured("embedding", "scripts/bench embedding", "Vectors of text"),
    Measured("extraction", "scripts/bench extraction", "Text of files"),
    Measured("contents", "python -m benchmarks.contents", "Contents, without the kernel"),
    Measured("state_commit", "python -m benchmarks.state_commit", "The state view"),
    Measured("pool", "python -m benchmarks.pool", "Pages of the pool"),
)


def measured() -> str:
    """Return what the benchmarks printed, as far as it is in benchmarks/results."""
    return "\n\n".join(f"### {each.question}\n\n{_printed(*each[:2])}" for each in MEASURED)


def loop_costs() -> str:
    """Return what benchmarks/loop_costs.py printed."""
    return _printed("loop_costs", "python -m benchmarks.loop_costs")


def quality() -> str:
    """Return what benchmarks/quality.py printed."""
    return _printed("quality", "python -m benchmarks.quality --data DIR")


def ranking_choices() -> str:
    """Return what benchmarks/ranking_choices.py printed."""
    return _printed("ranking_choices", "python -m benchmarks.ranking_choices --data DIR")


def _printed(module: str, command: str) -> str:
    place = RESULTS / f"{module}.txt"
    shown = f"`{command} > benchmarks/results/{module}.txt`"
    if not place.exists():
        return f"{shown}: **not measured yet.**"
    return f"{shown}\n\n```text\n{place.read_text(encoding='utf-8').strip()}\n```"


BLOCKS: Final[dict[str, Callable[[], str]]] = {
    "packages": packages,
    "sql": sql,
    "text-sql": text_sql,
    "kinds": kinds,
    "journal-bytes": journal_bytes,
    "segment-bytes": segment_bytes,
    "record-sizes": record_sizes,
    "frame-sizes": frame_sizes,
    "state-sizes": state_sizes,
    "whole-sizes": whole_sizes,
    "shard-sizes": shard_sizes,
    "failures": failures,
    "bounds": bounds,
    "measured": measured,
    "loop-costs": loop_costs,
    "quality": quality,
    "ranking-choices": ranking_choices,
}


def main() -> None:
    """Fill all pages; those that are current are not written."""
    for name in BLOCKS:
        part_named(name)  # which takes seconds, in which somebody may edit a page
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = fill(before)
        if after != before:
            page.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
