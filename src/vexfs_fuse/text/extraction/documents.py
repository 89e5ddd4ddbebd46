"""Every format that is read without foreign code: its contents show what a file is, its extension breaks ties.

Of a file's name nothing counts but the extension.
"""

import gzip
import io
import zlib
from typing import Final

from vexfs_fuse.errors import ExtractionFailed
from vexfs_fuse.text.document import Document
from vexfs_fuse.text.extraction import epub, mail, markdown, odf, ooxml, plain, roff, web
from vexfs_fuse.text.extraction.archive import Archive
from vexfs_fuse.text.extraction.textual import is_binary
from vexfs_fuse.units import MIB

FORKS: Final = False

UNPACKED_BYTES_MAX: Final = 64 * MIB
"""What is unpacked of a file that gzip packed."""

_HEAD_BYTES: Final = 64 * 1024
_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\3\4"


def extract(name: bytes, data: bytes, chars_max: int) -> Document | None:
    """Return what a file says; None if it is no text.

    Raises
    ------
    ExtractionFailed
    """
    if data.startswith(_GZIP):
        data = _unpack(data)
        name = b""
    if data.startswith(_ZIP):
        return _from_archive(data, chars_max)
    if is_binary(data[:_HEAD_BYTES]):
        return None
    return _from_text(extension(name), data, chars_max)


def extension(name: bytes) -> bytes:
    """Return the extension of a name in small letters, without the dot; empty without one."""
    stem, dot, last = name.rpartition(b".")
    return last.lower() if dot and stem else b""


def _from_archive(data: bytes, chars_max: int) -> Document | None:
    archive = Archive(data)
    if ooxml.is_this(archive):
        return ooxml.extract(archive, chars_max)
    if odf.is_this(archive):
        return odf.extract(archive, chars_max)
    return epub.extract(archive, chars_max) if epub.is_this(archive) else None


def _from_text(kind: bytes, data: bytes, chars_max: int) -> Document | None:
    head = data[:_HEAD_BYTES]
    if web.is_this(kind, head):
        return web.extract(data, chars_max)
    if mail.is_this(kind, head):
        return mail.extract(data, chars_max)
    document = plain.extract(data, chars_max)
    if document is None:
        return None
    if roff.is_this(kind, document.text):
        return roff.rendered(document)
    return document._replace(title=markdown.title(kind, document.text))


def _unpack(data: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            return file.read(UNPACKED_BYTES_MAX)
    except (OSError, EOFError, zlib.error):
        raise ExtractionFailed("what gzip packed is broken") from None
