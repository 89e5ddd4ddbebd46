"""Zip archives whose makers may mean harm: what is unpacked has bounds, whatever the archive says of itself."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final

from vexfs_fuse.errors import ExtractionFailed
from vexfs_fuse.units import KIB, MIB

ENTRIES_MAX: Final = 20_000

UNPACKED_BYTES_MAX: Final = 256 * MIB
"""What is unpacked of one archive, all its entries together."""

RATIO_MAX: Final = 250
"""How many times its size an entry may become; repetitive spreadsheets reach 60, a bomb 1,000."""

_RATIO_FROM_BYTES: Final = MIB
_CHUNK_BYTES: Final = 64 * KIB
_ENTRY_BYTES: Final = 46  # of the directory, at the least: APPNOTE.TXT 4.3.12
_END: Final = b"PK\5\6"
_END_64: Final = b"PK\6\6"
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN: Final = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, KeyError, IndexError),
    *(OSError, NotImplementedError, RuntimeError),
)
"""All that `zipfile` raises over bytes that are no archive."""


class Archive:
    """One archive in memory, and how much was unpacked of it."""

    def __init__(self, data: bytes) -> None:
        if _directory_bytes(data) > ENTRIES_MAX * 10 * _ENTRY_BYTES:
            raise ExtractionFailed("the archive has too many entries")
        try:
            self._file = zipfile.ZipFile(io.BytesIO(data))
        except _BROKEN:
            raise ExtractionFailed("the archive is broken") from None
        self._entries = {entry.filename: entry for entry in self._file.infolist()}
        if len(self._entries) > ENTRIES_MAX:
            raise ExtractionFailed("the archive has too many entries")
        self._unpacked_bytes = 0

    @property
    def names(self) -> list[str]:
        """The entries' names, in the order of the archive."""
        return list(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def read(self, name: str) -> bytes:
        """Return an entry; nothing for one that there is not.

        Raises
        ------
        ExtractionFailed
            It is broken or encrypted, or a bomb.
        """
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield an entry piece by piece, so that who has read enough can stop."""
        entry = self._entries.get(name)
        if entry is None:
            return
        if entry.flag_bits & 1:
            raise ExtractionFailed("the document is encrypted")
        if entry.compress_type not in _METHODS:
            raise ExtractionFailed("the archive is packed in a way that no document is")
        size = 0
        try:
            with self._file.open(entry) as file:
                while chunk := file.read(_CHUNK_BYTES):
                    size += len(chunk)
                    self._count(len(chunk), size, entry.compress_size)
                    yield chunk
        except _BROKEN:
            raise ExtractionFailed("the archive is broken") from None

    def _count(self, chunk_bytes: int, entry_bytes: int, packed_bytes: int) -> None:
        self._unpacked_bytes += chunk_bytes
        if entry_bytes > _RATIO_FROM_BYTES and entry_bytes > RATIO_MAX * packed_bytes:
            raise ExtractionFailed(f"the archive unpacks to more than {RATIO_MAX} times its size")
        if self._unpacked_bytes > UNPACKED_BYTES_MAX:
            raise ExtractionFailed(
                f"the archive unpacks to more than {UNPACKED_BYTES_MAX // MIB} MiB"
            )


def _directory_bytes(data: bytes) -> int:
    """Return how large an archive says that its directory is, before `zipfile` makes objects of it."""
    end = data.rfind(_END)
    if end < 0 or end + 22 > len(data):
        return 0
    size = int.from_bytes(data[end + 12 : end + 16], "little")
    end_64 = data.rfind(_END_64, 0, end)
    if end_64 >= 0:
        size = max(size % (1 << 32 - 1), int.from_bytes(data[end_64 + 40 : end_64 + 48], "little"))
    return size
