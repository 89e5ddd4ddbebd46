"""Word, PowerPoint and Excel: the parts of Office Open XML (ECMA-376) that hold what people wrote."""

import re
from collections.abc import Iterator
from typing import Final

from vexfs_fuse.text.document import Document
from vexfs_fuse.text.extraction import markup
from vexfs_fuse.text.extraction.archive import Archive
from vexfs_fuse.text.extraction.lines import Lines
from vexfs_fuse.text.extraction.markup import Enough
from vexfs_fuse.text.extraction.properties import title
from vexfs_fuse.text.extraction.sheets import read_sheets

_WORD: Final = "word/document.xml"
_SLIDES: Final = "ppt/presentation.xml"
_SHEETS: Final = "xl/workbook.xml"
_NOTES: Final = ("word/footnotes.xml", "word/endnotes.xml", "word/comments.xml")
_SLIDE: Final = re.compile(r"ppt/slides/slide(\d+)\.xml")

_TITLE_STYLES: Final = re.compile("title|heading ?1", re.IGNORECASE)
_BREAKS: Final = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


def is_this(archive: Archive) -> bool:
    """Say whether an archive is one of the three."""
    return any(part in archive for part in (_WORD, _SLIDES, _SHEETS))


def extract(archive: Archive, chars_max: int) -> Document:
    """Return the text of a document, of the slides with their notes, or of the sheets row by row.

    Raises
    ------
    ExtractionFailed
    """
    lines = Lines(chars_max)
    paragraphs = _Paragraphs(lines)
    try:
        if _SHEETS in archive:
            read_sheets(archive, lines, chars_max)
        for part in _parts(archive):
            markup.read(archive.chunks(part), paragraphs)
            lines.end_part()
    except Enough:
        pass
    return lines.document(title(archive, "docProps/core.xml") or paragraphs.heading)


def _parts(archive: Archive) -> Iterator[str]:
    if _WORD in archive:
        yield _WORD
        yield from (part for part in _NOTES if part in archive)
        return
    slides = [match for match in map(_SLIDE.fullmatch, archive.names) if match]
    for slide in sorted(slides, key=lambda match: int(match[1])):
        yield slide[0]
        notes = f"ppt/notesSlides/notesSlide{slide[1]}.xml"
        if notes in archive:
            yield notes


class _Paragraphs(markup.Handler):
    """Makes a line of each paragraph: runs (`t`) between the ends of `p`."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._is_text = False
        self._is_title = False
        self._skipped = 0  # elements within an alternative for old programs, which says all again
        self.heading = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Fallback" or self._skipped:
            self._skipped += 1
        elif name == "t":
            self._is_text = True
        elif name in _BREAKS:
            self._lines.add(_BREAKS[name])
        elif name == "pStyle":
            self._is_title = bool(_TITLE_STYLES.fullmatch(attributes.get("val", "")))
        elif name == "ph":
            self._is_title = attributes.get("type") in ("title", "ctrTitle")

    def end(self, name: str) -> None:
        if self._skipped:
            self._skipped -= 1
        elif name == "t":
            self._is_text = False
        elif name == "p":
            line = self._lines.end_line()
            if self._is_title and line:
                self.heading = self.heading or line
                self._is_title = False

    def text(self, text: str) -> None:
        if self._is_text and not self._skipped:
            self._lines.add(text)
