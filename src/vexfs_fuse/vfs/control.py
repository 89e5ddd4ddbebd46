"""The control tree `/.vexfs`: what the volume tells of itself, as files.

It is not listed in the root directory, only answered by look-up, so that no copy and no walk falls in.
Journal views are readable by the owner of the mount alone: they name other people's files.
"""

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final

from xxhash import xxh3_64_intdigest

from vexfs_fuse.clock import Clock
from vexfs_fuse.storage.journal import Entry, Journal
from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.vfs.virtual import (
    VIRTUAL_FROM,
    Opened,
    Text,
    VirtualDirectory,
    VirtualFile,
    VirtualNode,
    VirtualTree,
)
from vexfs_fuse.volume.changes import PassagesSet, VectorSet
from vexfs_fuse.volume.writer import Caller

NAME: Final = b".vexfs"

JSONL_RECORDS_MAX: Final = 500
"""`journal.jsonl` shows so many of the latest records; `vexfs journal` shows all.

Rendering them takes some 10 ms, in which no request is answered.
"""

FRESH_S: Final = 1.0
"""A rendering serves for so long, so that a look at the size and the reading agree."""

README: Final = b"""This directory tells about the mounted vexfs volume. It is not listed in the root directory.

status.json    the volume's state, as `vexfs status --json`
metrics        the same for Prometheus, as text
config.toml    the configuration in effect, with where each value comes from
journal        the semantic journal as a msgpack stream (owner of the mount only; follow it with tail -f)
journal.jsonl  its latest records as JSON lines (owner of the mount only)
spaces/        a file NAME.json for each vector space: what it is, how many vectors, how searches go
"""


class Rendered:
    """Text that is made on demand and serves for `FRESH_S`."""

    def __init__(self, render: Callable[[], bytes], clock: Clock) -> None:
        self._render = render
        self._clock = clock
        self._text = b""
        self._made_s = -FRESH_S

    def text(self) -> bytes:
        """Return the text, made anew when the last one is too old."""
        now = self._clock.monotonic_s()
        if now - self._made_s >= FRESH_S:
            self._text, self._made_s = self._render(), now
        return self._text

    def start(self) -> Opened:
        """Begin a reading, of what is true now."""
        self._made_s = -FRESH_S
        return Text(self.text())

    def measure(self) -> int:
        """Return the size in bytes."""
        return len(self.text())


class Costly(Rendered):
    """Text that takes too long to make for a look at its size: that is the one of the last reading."""

    def measure(self) -> int:
        """Return the size in bytes of what was last read; 0 before."""
        return len(self._text)


class Raw:
    """The journal's records as they are on disk, oldest first; the stream grows at its end."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def start(self) -> Opened:
        """Begin a reading."""
        return self._journal.stream()

    def measure(self) -> int:
        """Return the size of what can be read now."""
        return self._journal.statistics.file_bytes


class SpacesDirectory(VirtualDirectory):
    """`spaces`: a file for each vector space there is now."""

    __slots__ = ("_clock", "_numbers", "_spaces")

    def __init__(
        self,
        numbers: Iterator[Inode],
        root: VirtualDirectory,
        spaces: Callable[[], list[dict[str, Any]]],
        clock: Clock,
    ) -> None:
        super().__init__(next(numbers), 0o555, root.uid, root.gid, root.ino)
        self._numbers = numbers
        self._spaces = spaces
        self._clock = clock

    def renew(self) -> None:
        """Have the entries that the spaces make."""
        names = [f"{space['name']}.json".encode() for space in self._spaces()]
        if names != list(self.entries):
            before = self.entries
            self.entries = {name: before.get(name) or self._file(name) for name in names}

    def _file(self, name: bytes) -> VirtualFile:
        shown = Rendered(lambda: self._render(name), self._clock)
        number = next(self._numbers)
        return VirtualFile(
            number, 0o444, self.uid, self.gid, start=shown.start, measure=shown.measure
        )

    def _render(self, name: bytes) -> bytes:
        return next(
            (_json(space) for space in self._spaces() if f"{space['name']}.json".encode() == name),
            b"",
        )


class ControlTree(VirtualTree):
    """The control tree of one volume."""

    def __init__(self, root: VirtualDirectory, now_ns: Callable[[], int]) -> None:
        super().__init__(now_ns)
        self._root = root
        self.register(root)

    def directory(self, ino: Inode) -> VirtualDirectory:
        """Return a directory's node with the entries that it has now."""
        found = super().directory(ino)
        if isinstance(found, SpacesDirectory):
            found.renew()
            self.register(found)
        return found

    def reserves(self, parent: Inode, name: bytes) -> bool:
        """Whether a name is the control tree's."""
        return parent == ROOT and name == NAME

    def entry_into(self, parent: Inode, name: bytes, who: Caller) -> VirtualNode | None:
        """Return the tree's root for its name."""
        return self.fresh(self._root) if parent == ROOT and name == NAME else None


def control_tree(
    *,
    owner: tuple[int, int],
    clock: Clock,
    journal: Journal,
    status: Callable[[], dict[str, Any]],
    spaces: Callable[[], list[dict[str, Any]]],
    metrics: Callable[[], bytes],
    config_toml: Callable[[], bytes],
) -> ControlTree:
    """Return the control tree of a volume; `owner` is (uid, gid) of who mounts."""
    numbers = (Inode(VIRTUAL_FROM + n) for n in count(0))
    root = VirtualDirectory(next(numbers), 0o555, *owner, ROOT)

    def add(name: bytes, mode: int, source: Rendered | Raw) -> None:
        root.entries[name] = VirtualFile(
            next(numbers), mode, *owner, start=source.start, measure=source.measure
        )

    add(b"README", 0o444, Rendered(lambda: README, clock))
    add(b"status.json", 0o444, Rendered(lambda: _json(status()), clock))
    add(b"metrics", 0o444, Rendered(metrics, clock))
    add(b"config.toml", 0o444, Rendered(config_toml, clock))
    add(b"journal", 0o400, Raw(journal))
    add(b"journal.jsonl", 0o400, Costly(lambda: b"".join(_latest_lines(journal)), clock))
    root.entries[b"spaces"] = SpacesDirectory(numbers, root, spaces, clock)
    return ControlTree(root, clock.now_ns)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def _latest_lines(journal: Journal) -> Iterator[bytes]:
    first = max(journal.durable_lsn - JSONL_RECORDS_MAX, journal.first_lsn - 1)
    for entry in journal.replay(first):
        yield json_line(entry)


def json_line(entry: Entry) -> bytes:
    """Return a record as one line of JSON: bytes that are UTF-8 as text, others as `{"hex": ...}`.

    A vector is shown as its dimension and its XXH3.
    """
    shown = entry._replace(body=readable_body(entry))
    return json.dumps(_plain(shown._asdict()), ensure_ascii=False).encode() + b"\n"


def readable_body(entry: Entry) -> dict[str, Any]:
    """Return a record's body for people and log readers: with a vector's dimension in its place."""
    body = entry.body
    if entry.kind == VectorSet.__name__:
        return {**body, "value": _shown_vector(body["value"])}
    if entry.kind == PassagesSet.__name__:
        return {**body, "values": [_shown_vector(value) for value in body["values"]]}
    return body


def _shown_vector(value: bytes) -> dict[str, Any]:
    return {"dim": len(value) // 4, "xxh3": f"{xxh3_64_intdigest(value):016x}"}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(below) for below in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"hex": value.hex()}
    return value
