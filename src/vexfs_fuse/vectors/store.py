"""Shards on disk, so that a mount need not build them again; all of it can be lost.

    manifest.json   one line with the XXH3-64 of the rest, then JSON: which shard files count
    N.shard         see `shard_file`; written aside, synced, renamed

A file that the manifest does not name is garbage of a crash.  What does not match its checksum is
reported and left out: the vectors are in the volume's state as well.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
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
    def remove_directory(self, name: str) -> None: ...  # noqa: D102
    def sync_directory(self, directory: str) -> None: ...  # noqa: D102


class Entry(NamedTuple):
    """A shard file that counts; `newest` is the highest Lsn of a vector in it."""

    file: str
    size: int
    checksum: str
    vectors: int
    newest: int


class Manifest(NamedTuple):
    """Which shards count, and the effort (`ef`) that searches had come to."""

    entries: tuple[Entry, ...] = ()
    effort: int | None = None


class ShardStore:
    """The directory of one space; `description` is what must agree for its shards to be used.

    Everything here is for a thread, one call at a time.
    """

    def __init__(self, disk: Disk, directory: str, description: dict[str, Any]) -> None:
        self._disk = disk
        self._directory = directory
        self._description = {"revision": REVISION, **description}
        self._next = 1

    def manifest(self) -> Manifest:
        """Return the manifest; an empty one where there is none, or one of another revision.

        To be called before anything is written: no file that is there may be written over.

        Raises
        ------
        CorruptData, StoreFailed
        """
        path = self.path(MANIFEST)
        if not self._disk.exists(self._directory):
            return Manifest()
        self._next = 1 + max(map(_number, self._disk.names(self._directory)), default=0)
        if not self._disk.exists(path):
            return Manifest()
        body = _parsed(self._disk, path)
        if body.get("revision") != REVISION:
            return Manifest()
        entries = tuple(Entry(**entry) for entry in body.pop("shards"))
        effort = body.pop("effort")
        if body != self._description:
            raise CorruptData(f"describes {body}, not {self._description}")
        return Manifest(entries, effort)

    def read(self, entry: Entry) -> SavedShard:
        """Return a shard that the manifest names.

        Raises
        ------
        CorruptData, NotFound, StoreFailed
        """
        data = _read(self._disk, self.path(entry.file))
        if len(data) != entry.size or _checksum([data]) != entry.checksum:
            raise CorruptData("does not match its checksum")
        return decoded(data, int(self._description["dimensions"]))

    def write(self, keys: Keys, shard: Shard) -> Entry:
        """Write a shard; it counts once `commit` has named it.  Raises `NoSpace`."""
        self._make_directory()
        name, self._next = f"{self._next}{_SUFFIX}", self._next + 1
        size, checksum = self._replace(name, encoded(keys, shard))
        return Entry(name, size, checksum, shard.count, int(keys.lsns.max(initial=0)))

    def commit(self, manifest: Manifest) -> None:
        """Name all shards that count, at once, and remove the others."""
        shards = [entry._asdict() for entry in manifest.entries]
        body = {**self._description, "effort": manifest.effort, "shards": shards}
        text = json.dumps(body, indent=1).encode()
        self._make_directory()
        self._replace(MANIFEST, [xxhash.xxh3_64_hexdigest(text).encode() + b"\n", text])
        self.sweep(manifest.entries)

    def sweep(self, entries: Iterable[Entry]) -> None:
        """Remove the files that no entry names."""
        if not self._disk.exists(self._directory):
            return
        kept = {MANIFEST, *(entry.file for entry in entries)}
        for name in self._disk.names(self._directory):
            if name not in kept:
                self._disk.remove(self.path(name))

    def path(self, name: str) -> str:
        """Return a file's name in the store."""
        return f"{self._directory}/{name}"

    def _replace(self, name: str, pieces: Sequence[Buffer]) -> tuple[int, str]:
        """Write aside, sync, rename, sync: whoever looks finds the whole file or none."""
        aside = self.path(name + _ASIDE)
        if self._disk.exists(aside):
            self._disk.remove(aside)
        with _Closing(self._disk.create(aside)) as file:
            size = _write(file, pieces)
            file.datasync()
        self._disk.rename(aside, self.path(name))
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


def damage(disk: Disk, directory: str) -> Iterator[str]:
    """Yield a sentence for each file of a space that is not what it was; reads all of them."""
    path = f"{directory}/{MANIFEST}"
    if not disk.exists(path):
        return
    try:
        body = _parsed(disk, path)
    except (CorruptData, StoreFailed) as error:
        yield f"{path}: {error}"
        return
    if body.get("revision") != REVISION:
        return
    for entry in (Entry(**each) for each in body["shards"]):
        path = f"{directory}/{entry.file}"
        try:
            if _summed(disk, path) != (entry.size, entry.checksum):
                yield f"{path}: does not match its checksum"
        except (NotFound, StoreFailed) as error:
            yield f"{path}: {error}"


def remove(disk: Disk, directory: str) -> None:
    """Remove a space's directory with all that is in it; the manifest first."""
    if not disk.exists(directory):
        return
    for name in sorted(disk.names(directory), key=lambda name: name != MANIFEST):
        disk.remove(f"{directory}/{name}")
    disk.remove_directory(directory)


class _Closing:
    """Closes a file whatever happens."""

    def __init__(self, file: File) -> None:
        self._file = file

    def __enter__(self) -> File:
        return self._file

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _parsed(disk: Disk, path: str) -> dict[str, Any]:
    checksum, _, text = bytes(_read(disk, path)).partition(b"\n")
    if xxhash.xxh3_64_hexdigest(text).encode() != checksum:
        raise CorruptData("does not match its checksum")
    body: dict[str, Any] = json.loads(text)
    return body


def _read(disk: Disk, path: str) -> memoryview:
    with _Closing(disk.open(path)) as file:
        data = np.empty(file.size(), np.uint8).data
        for start in range(0, len(data), _STEP_BYTES):
            file.read_into(data[start : start + _STEP_BYTES], start)
        return data


def _summed(disk: Disk, path: str) -> tuple[int, str]:
    """Return size and checksum of a file, without all of it in memory."""
    digest, step = xxhash.xxh3_64(), np.empty(_STEP_BYTES, np.uint8).data
    with _Closing(disk.open(path)) as file:
        size = file.size()
        for start in range(0, size, _STEP_BYTES):
            digest.update(step[: file.read_into(step, start)])
    return size, digest.hexdigest()


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
