"""Journal records as bytes, and a stream of them read back; no idea of what is durable.

A record is the msgpack array `[lsn, time_ns, kind, inode, actor, body, crc]`: all packed at its
shortest, `crc` the CRC-32 (zlib's) over the array's bytes before it.  There is no length before a
record: the stream can be read by any msgpack library.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias
from zlib import crc32

import msgpack
from msgspec import Struct
from msgspec.msgpack import Encoder

from vexfs_fuse.storage.disk import File
from vexfs_fuse.units import KIB, MIB, Inode, Lsn

RECORD_BYTES_MAX: Final = 16 * MIB
"""The longest record; more is a bug of the writer and damage to the reader."""

FILE_HEADER: Final = "JournalFile"
"""Kind of the mark that opens a file; body: `format`, `volume`, `first_lsn`, `salt`."""
SYNCED: Final = "Synced"
"""Kind of the mark written once all records through its lsn had been synced; body: `salt`."""
MARKS: Final = frozenset((FILE_HEADER, SYNCED))
"""Kinds that structure the stream: they carry the lsn of the record before them and use up none."""

SYNCED_BYTES_MAX: Final = 64
"""A `Synced` mark is no longer than this."""

_READ_BYTES: Final = 256 * KIB
_ELEMENTS_MAX: Final = MIB  # so that damaged lengths do not allocate gigabytes
# The array's head, lsn and time_ns stand before the kind: 1 byte and twice up to 9.
_KIND_POSITION_MAX: Final = 19
_SYNCED_NEEDLE: Final = bytes(msgpack.packb(SYNCED))
_ARRAY_OF_7: Final = 0x97


class Entry(NamedTuple):
    """One record, as `replay` tells it.

    `time_ns` counts from 1970-01-01 UTC; `actor` is uid, gid and pid of who asked.
    """

    lsn: Lsn
    time_ns: int
    kind: str
    inode: Inode
    actor: tuple[int, int, int]
    body: dict[str, Any]


Body: TypeAlias = dict[str, Any] | Struct
"""What is packed as a map with str keys."""

Fields: TypeAlias = tuple[int, int, str, int, tuple[int, int, int], Body, int]
"""A record's fields, with 0 in the place of the crc."""


_encode: Final = Encoder().encode  # the same bytes as msgpack's Packer, in two fifths of the time


def pack_record(fields: Fields) -> bytes:
    """Return a record's bytes; 0.5 us for a typical one."""
    # The 0 packs to one byte, in whose place the crc goes; packing that is faster than struct.
    data = _encode(fields)[:-1]
    return data + _encode(crc32(data))


class RecordReader:
    """Reads records until the stream ends or stops making sense.

    `position` is where the last good record ends, `lsn` is its number: numbers that do not follow
    each other do not make sense.
    """

    def __init__(self, file: File, position: int, lsn: Lsn, end: int | None = None) -> None:
        self._file = file
        self._end = file.size() if end is None else end
        self.position = position
        self.lsn = lsn

    @property
    def is_at_end(self) -> bool:
        """Whether everything was read."""
        return self.position == self._end

    def __iter__(self) -> Iterator[Entry]:
        """Read on, marks included."""
        unpacker = _unpacker()
        origin = base = loaded = self.position
        data = b""
        while True:
            try:
                fields = unpacker.unpack()
            except msgpack.OutOfData:
                more = self._read_on(loaded)
                if not more:
                    return
                unpacker.feed(more)
                loaded += len(more)
                data = data[self.position - base :] + more
                base = self.position
                continue
            except (ValueError, msgpack.UnpackException):
                return
            end = origin + unpacker.tell()
            entry = _entry(fields, memoryview(data)[self.position - base : end - base])
            if entry is None or entry.lsn != self.lsn + (entry.kind not in MARKS):
                return
            self.position = end
            self.lsn = entry.lsn
            yield entry

    def _read_on(self, loaded: int) -> bytes:
        if loaded - self.position > RECORD_BYTES_MAX:
            return b""
        return self._file.pread(min(_READ_BYTES, self._end - loaded), loaded)


def record_at(data: bytes, start: int) -> tuple[Entry, int] | None:
    """Return the sound record that starts there and where it ends; None when there is none."""
    unpacker = _unpacker()
    unpacker.feed(memoryview(data)[start:])
    try:
        fields = unpacker.unpack()
    except (ValueError, msgpack.UnpackException):
        return None
    end = start + unpacker.tell()
    entry = _entry(fields, memoryview(data)[start:end])
    return entry and (entry, end)


def last_synced(file: File, salt: bytes | None) -> tuple[Entry, int] | None:
    """Return a file's last sound `Synced` mark and the position behind it, None without one.

    Looks from the end, past anything damaged.  Only marks with the journal's salt count, lest a
    user plant one in a small file's contents; None takes any.
    """
    end = file.size()
    while end > 0:
        start = max(0, end - _READ_BYTES)
        data = file.pread(end - start + SYNCED_BYTES_MAX, start)
        found = len(data)
        while (found := data.rfind(_SYNCED_NEEDLE, 0, found)) >= 0:
            mark = _synced_around(data, found, salt)
            if mark is not None:
                return mark[0], start + mark[1]
        # A mark may lie across the border; it is then whole in the next piece, which reads further.
        end = start
    return None


def next_synced(file: File, start: int, salt: bytes) -> tuple[Entry, int] | None:
    """Return the first sound `Synced` mark with the salt that begins at `start` or behind.

    With the position behind it, as `last_synced`.
    """
    while data := file.pread(_READ_BYTES + SYNCED_BYTES_MAX, start):
        found = -1
        while (found := data.find(_SYNCED_NEEDLE, found + 1)) >= 0:
            mark = _synced_around(data, found, salt)
            if mark is not None:
                return mark[0], start + mark[1]
        # A mark that lies across the border is whole in the next piece, which begins before it.
        start += max(1, len(data) - SYNCED_BYTES_MAX)
    return None


def _synced_around(data: bytes, needle: int, salt: bytes | None) -> tuple[Entry, int] | None:
    for start in range(max(0, needle - _KIND_POSITION_MAX), needle):
        if data[start] == _ARRAY_OF_7:
            piece = data[start : start + SYNCED_BYTES_MAX]
            found = record_at(piece, 0)
            if found and found[0].kind == SYNCED and salt in (None, found[0].body["salt"]):
                return found[0], start + found[1]
    return None


def _unpacker() -> msgpack.Unpacker:
    return msgpack.Unpacker(
        raw=False,
        use_list=False,
        max_buffer_size=RECORD_BYTES_MAX + 2 * _READ_BYTES,
        max_array_len=_ELEMENTS_MAX,
        max_map_len=_ELEMENTS_MAX,
    )


def _entry(fields: object, raw: memoryview) -> Entry | None:
    """Return the record, if its crc says that `raw` is what was written."""
    if type(fields) is not tuple or len(fields) != 7:
        return None
    crc = fields[6]
    if type(crc) is not int or crc32(raw[: len(raw) - _packed_bytes(crc)]) != crc:
        return None
    return Entry._make(fields[:6])


def _packed_bytes(crc: int) -> int:
    """Return how many bytes msgpack needs for an unsigned number below 2**32."""
    if crc > 0xFFFF:
        return 5
    if crc > 0xFF:
        return 3
    return 2 if crc > 0x7F else 1
