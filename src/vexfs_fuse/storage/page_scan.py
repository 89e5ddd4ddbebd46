"""Records of an SQLite file, page by page: for when the tree above the pages is broken.

Reads https://www.sqlite.org/fileformat2.html as far as tables and their rows go, and knows none of them.
A page on the list of free ones is left out: what stands there is no longer so.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

_HEADER_BYTES: Final = 100
_PAGE_BYTES_AT: Final = 16
_FREE_LIST_AT: Final = 32
_INTERIOR_INDEX, _LEAF_INDEX, _LEAF_TABLE = 0x02, 0x0A, 0x0D
_INTEGER_BYTES: Final = (0, 1, 2, 3, 4, 6, 8)


class Record(NamedTuple):
    """One row; `rowid` is None in tables without."""

    rowid: int | None
    values: tuple[Any, ...]


class Unreadable(Exception):
    """What stands there is no record: never leaves this module."""


def records(path: Path) -> Iterator[Record]:
    """Yield every record on a page that is in use; those that make no sense are left out."""
    data = path.read_bytes()
    page_bytes = int.from_bytes(data[_PAGE_BYTES_AT : _PAGE_BYTES_AT + 2], "big")
    if page_bytes < 512 or page_bytes & (page_bytes - 1):
        return
    pages = _Pages(memoryview(data), page_bytes)
    free = pages.free()
    for number in range(1, pages.count + 1):
        if number not in free:
            yield from pages.records(number)


class _Pages:
    def __init__(self, data: memoryview, page_bytes: int) -> None:
        self._data = data
        self._bytes = page_bytes
        self.count = len(data) // page_bytes

    def _page(self, number: int) -> memoryview:
        if not 1 <= number <= self.count:
            raise Unreadable
        return self._data[(number - 1) * self._bytes : number * self._bytes]

    def free(self) -> set[int]:
        """Return the numbers of pages that are in no table."""
        found: set[int] = set()
        trunk = _u32(self._data, _FREE_LIST_AT)
        while trunk and trunk not in found:
            try:
                page = self._page(trunk)
            except Unreadable:
                break
            found.add(trunk)
            leaves = min(_u32(page, 4), self._bytes // 4 - 2)
            found.update(_u32(page, 8 + 4 * index) for index in range(leaves))
            trunk = _u32(page, 0)
        return found

    def records(self, number: int) -> Iterator[Record]:
        page = self._page(number)
        start = _HEADER_BYTES if number == 1 else 0
        kind = page[start]
        if kind not in (_INTERIOR_INDEX, _LEAF_INDEX, _LEAF_TABLE):
            return
        pointers = start + (12 if kind == _INTERIOR_INDEX else 8)
        cells = min(_u16(page, start + 3), (self._bytes - pointers) // 2)
        for cell in range(cells):
            try:
                yield self._record(page, _u16(page, pointers + 2 * cell), kind)
            except (Unreadable, IndexError):
                continue

    def _record(self, page: memoryview, at: int, kind: int) -> Record:
        if kind == _INTERIOR_INDEX:
            at += 4
        size, at = _varint(page, at)
        rowid = None
        if kind == _LEAF_TABLE:
            rowid, at = _varint(page, at)
        return Record(rowid, _values(self._payload(page, at, size, is_table=rowid is not None)))

    def _payload(self, page: memoryview, at: int, size: int, *, is_table: bool) -> bytes:
        usable = self._bytes
        largest = usable - 35 if is_table else (usable - 12) * 64 // 255 - 23
        local = size
        if size > largest:
            smallest = (usable - 12) * 32 // 255 - 23
            local = smallest + (size - smallest) % (usable - 4)
            local = local if local <= largest else smallest
        parts = [bytes(page[at : at + local])]
        left = size - local
        follower = _u32(page, at + local) if left else 0
        while left > 0:
            overflow = self._page(follower)
            parts.append(bytes(overflow[4 : 4 + left]))
            left -= len(parts[-1])
            follower = _u32(overflow, 0)
        payload = b"".join(parts)
        if len(payload) != size:
            raise Unreadable
        return payload


def _values(payload: bytes) -> tuple[Any, ...]:
    view = memoryview(payload)
    end, at = _varint(view, 0)
    place = end
    values: list[Any] = []
    while at < end:
        kind, at = _varint(view, at)
        value, place = _value(payload, place, kind)
        values.append(value)
    return tuple(values)


def _value(payload: bytes, at: int, kind: int) -> tuple[Any, int]:
    """Return the value of a serial type, and where the next one begins; text as bytes."""
    if kind >= 12:
        end = at + (kind - 12) // 2
        if end > len(payload):
            raise Unreadable
        return payload[at:end], end
    if kind < len(_INTEGER_BYTES):
        end = at + _INTEGER_BYTES[kind]
        return (int.from_bytes(payload[at:end], "big", signed=True) if kind else None), end
    if kind in (8, 9):
        return kind - 8, at
    raise Unreadable  # a float: there are none


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(at, at + 8):
        byte = data[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    value = value << 8 | data[at + 8]
    return value - (1 << 64) if value >> 63 else value, at + 9


def _u16(data: memoryview, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _u32(data: memoryview, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")
