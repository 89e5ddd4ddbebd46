"""Shards on disk, so that a mount need not build them again; all of it can be lost.

    manifest.json   one line with the XXH3-64 of the rest, then JSON: which shard files count
    N.shard         see `shard_file`; written aside, synced, renamed

A file that the manifest does not name is garbage of a crash.  What does not match its checksum is
reported and left out: the vectors are in the volume's state as well.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import xxhash

from vexfs_fuse.errors import CorruptData, NotFound, StoreFailed
from vexfs_fuse.units import MIB
from vexfs_fuse.vectors.shard import Shard
from vexfs_fuse.vectors.shard_file import Buffer, Keys, SavedShard, decoded, encoded

REVISION: Final = 1
MANIFEST: Final = "manifest.json"

_STEP_BYTES: Final = 4 * MIB
_SUFFIX: Final = ".shard"
_ASIDE: Final = ".aside"


class File(Protocol):
    """What of the store's files is used here: see `storage.disk.File`."""

    def read_into(self, buffer: Buffer, offset: int) -> int: ...  # noqa: D102
    def pwritev(self, buffers: Sequence[Buffer], offset: int) -> None: ...  # noqa: D102
    def datasync(self) -> None: ...  # noqa: D102
    def size(self) -> int: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Disk(Protocol):
    """What of the store's disk is used here: see `storage.disk.Disk`."""

    def create(self, name: str) -> File: ...  # noqa: D102
    def open(self, name: str) -> File: ...  # noqa: D102
    def names(self, directory: str) -> list[str]: ...  # noqa: D102
    def exists(self, name: str) -> bool: ...  # noqa: D102
    def rename(self, name: str, target: str) -> None: ...  # noqa: D102
    def remove(self, name: str) -> None: ...  # noqa: D102
    def make_directory(self, name: str) -> None: ...  # noqa: D102
    def sync_directory(self, directory: str) -> None: ...  # noqa: D102


class Entry(NamedTuple):
    """A shard file that counts."""

    file: str
    size: int
    checksum: str
    vectors: int


class Loaded(NamedTuple):
    """What was found, and sentences on what was damaged."""

    shards: list[tuple[Entry, SavedShard]]
    problems: list[str]


class ShardStore:
    """The directory of one space; `description` is what must agree for its shards to be used."""

    def __init__(self, disk: Disk, directory: str, description: dict[str, Any]) -> None:
        self._disk = disk
        self._directory = directory
        self._description = {"revision": REVISION, **description}
        self._next = 1

    def load(self) -> Loaded:
        """Return the shards that the manifest names and that are whole, and remove all others."""
        loaded = Loaded([], [])
        try:
            for entry in self._manifest():
                self._load(entry, loaded)
            self.sweep([entry for entry, _ in loaded.shards])
        except (CorruptData, StoreFailed) as error:
            loaded.problems.append(f"{self._path(MANIFEST)}: {error}")
        return loaded

    def write(self, keys: Keys, shard: Shard) -> Entry:
        """Write a shard, for a thread; it counts once `commit` has named it.  Raises `NoSpace`."""
        self._make_directory()
        name, self._next = f"{self._next}{_SUFFIX}", self._next + 1
        size, checksum = self._replace(name, encoded(keys, shard))
        return Entry(name, size, checksum, shard.count)

    def commit(self, entries: Sequence[Entry]) -> None:
        """Name all shards that count, at once, and remove the others; for a thread."""
        body = {**self._description, "shards": [entry._asdict() for entry in entries]}
        text = json.dumps(body, indent=1).encode()
        self._make_directory()
        self._replace(MANIFEST, [xxhash.xxh3_64_hexdigest(text).encode() + b"\n", text])
        self.sweep(entries)

    def sweep(self, entries: Iterable[Entry]) -> None:
        """Remove the files that no entry names."""
        if not self._disk.exists(self._directory):
            return
        kept = {MANIFEST, *(entry.file for entry in entries)}
        for name in self._disk.names(self._directory):
            self._next = max(self._next, _number(name) + 1)
            if name not in kept:
                self._disk.remove(self._path(name))

    def _manifest(self) -> list[Entry]:
        path = self._path(MANIFEST)
        if not self._disk.exists(path):
            return []
        checksum, _, text = bytes(self._read(path)).partition(b"\n")
        if xxhash.xxh3_64_hexdigest(text).encode() != checksum:
            raise CorruptData("does not match its checksum")
        body = json.loads(text)
        entries = body.pop("shards")
        if body != self._description:
            raise CorruptData(f"describes {body}, not {self._description}")
        return [Entry(**entry) for entry in entries]

    def _load(self, entry: Entry, loaded: Loaded) -> None:
        try:
            loaded.shards.append((entry, self._shard(entry)))
        except (CorruptData, NotFound, StoreFailed) as error:
            loaded.problems.append(f"{self._path(entry.file)}: {error}")

    def _shard(self, entry: Entry) -> SavedShard:
        data = self._read(self._path(entry.file))
        if len(data) != entry.size or _checksum([data]) != entry.checksum:
            raise CorruptData("does not match its checksum")
        return decoded(data, int(self._description["dimensions"]))

    def _read(self, path: str) -> memoryview:
        with _Closing(self._disk.open(path)) as file:
            data = np.empty(file.size(), np.uint8).data
            for start in range(0, len(data), _STEP_BYTES):
                file.read_into(data[start : start + _STEP_BYTES], start)
            return data

    def _replace(self, name: str, pieces: Sequence[Buffer]) -> tuple[int, str]:
        """Write aside, sync, rename, sync: whoever looks finds the whole file or none."""
        aside = self._path(name + _ASIDE)
        if self._disk.exists(aside):
            self._disk.remove(aside)
        with _Closing(self._disk.create(aside)) as file:
            size = _write(file, pieces)
            file.datasync()
        self._disk.rename(aside, self._path(name))
        self._disk.sync_directory(self._directory)
        return size, _checksum(pieces)

    def _make_directory(self) -> None:
        above = ""
        for step in self._directory.split("/"):
            path = f"{above}/{step}" if above else step
            if not self._disk.exists(path):
                self._disk.make_directory(path)
                self._disk.sync_directory(above)
            above = path

    def _path(self, name: str) -> str:
        return f"{self._directory}/{name}"


class _Closing:
    """Closes a file whatever happens."""

    def __init__(self, file: File) -> None:
        self._file = file

    def __enter__(self) -> File:
        return self._file

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _write(file: File, pieces: Sequence[Buffer]) -> int:
    """Write in steps, so that one call does not keep the disk from others for seconds."""
    offset = 0
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), _STEP_BYTES):
            step = view[start : start + _STEP_BYTES]
            file.pwritev([step], offset)
            offset += len(step)
    return offset


def _checksum(pieces: Iterable[Buffer]) -> str:
    digest = xxhash.xxh3_64()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _number(name: str) -> int:
    stem = name.partition(".")[0]
    return int(stem) if stem.isdecimal() else 0
