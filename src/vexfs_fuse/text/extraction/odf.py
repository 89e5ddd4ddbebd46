"""Writer, Calc and Impress: the contents of OpenDocument files (ISO 26300)."""

from typing import Final

from vexfs_fuse.errors import ExtractionFailed
from vexfs_fuse.text.document import Document
from vexfs_fuse.text.extraction import markup
from vexfs_fuse.text.extraction.archive import Archive
from vexfs_fuse.text.extraction.lines import Lines
from vexfs_fuse.text.extraction.markup import Enough
from vexfs_fuse.text.extraction.properties import title

_TYPE: Final = b"application/vnd.oasis.opendocument."
_CONTENT: Final = "content.xml"
_MANIFEST: Final = "META-INF/manifest.xml"
_ENCRYPTED: Final = b"encryption-data"
_SKIPPED: Final = ("tracked-changes", "font-face-decls", "automatic-styles", "forms")
_SPACES_MAX: Final = 100


def is_this(archive: Archive) -> bool:
    """Say whether an archive is an OpenDocument file."""
    return _CONTENT in archive and archive.read("mimetype").startswith(_TYPE)


def extract(archive: Archive, chars_max: int) -> Document:
    """Return the text paragraph by paragraph, of tables row by row.

    Raises
    ------
    ExtractionFailed
    """
    if _ENCRYPTED in archive.read(_MANIFEST):
        raise ExtractionFailed("the document is encrypted")
    lines = Lines(chars_max)
    paragraphs = _Paragraphs(lines)
    try:
        markup.read(archive.chunks(_CONTENT), paragraphs)
    except Enough:
        pass
    return lines.document(title(archive, "meta.xml") or paragraphs.heading)


class _Paragraphs(markup.Handler):
    """Makes a line of each paragraph (`p`, `h`) and of each row of a table."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._skipped = 0  # elements within one that is no contents
        self._paragraphs = 0
        self._rows = 0
        self._is_title = False
        self.heading = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name in _SKIPPED or self._skipped:
            self._skipped += 1
        elif name in ("p", "h"):
            self._paragraphs += 1
            is_first_level = name == "h" and attributes.get("outline-level", "1") == "1"
            self._is_title = is_first_level or attributes.get("style-name") == "Title"
        elif name == "table-row":
            self._rows += 1
        elif name == "s":
            count = attributes.get("c", "1")
            self._lines.add(" " * min(int(count) if count.isdecimal() else 1, _SPACES_MAX))
        elif name in ("tab", "line-break"):
            self._lines.add("\t" if name == "tab" else "\n")

    def end(self, name: str) -> None:
        if self._skipped:
            self._skipped -= 1
        elif name in ("p", "h"):
            self._paragraphs -= 1
            self._end_paragraph()
        elif name == "table-cell":
            self._lines.add("\t")
        elif name == "table-row":
            self._rows -= 1
            self._lines.end_line()

    def text(self, text: str) -> None:
        if self._paragraphs and not self._skipped:
            self._lines.add(text)

    def _end_paragraph(self) -> None:
        if self._rows:
            self._lines.add(" ")
            return
        line = self._lines.end_line()
        if self._is_title and line:
            self.heading = self.heading or line
