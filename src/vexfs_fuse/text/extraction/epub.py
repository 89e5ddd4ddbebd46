"""Books: the chapters of an EPUB (ISO 23761) in the order in which they are read."""

import posixpath
from typing import Final
from urllib.parse import unquote

from vexfs_fuse.errors import ExtractionFailed
from vexfs_fuse.text.document import Document
from vexfs_fuse.text.extraction import markup, web
from vexfs_fuse.text.extraction.archive import Archive
from vexfs_fuse.text.extraction.properties import title

CHAPTERS_MAX: Final = 5_000

_CONTAINER: Final = "META-INF/container.xml"


def is_this(archive: Archive) -> bool:
    """Say whether an archive is a book."""
    return _CONTAINER in archive


def extract(archive: Archive, chars_max: int) -> Document:
    """Return the chapters' text.

    Raises
    ------
    ExtractionFailed
    """
    container = _Container()
    markup.read(archive.chunks(_CONTAINER), container)
    if container.package not in archive:
        raise ExtractionFailed("the book has no list of its chapters")
    package = _Package()
    markup.read(archive.chunks(container.package), package)
    folder = posixpath.dirname(container.package)
    chapters: list[str] = []
    size = 0
    is_cut = len(package.spine) > CHAPTERS_MAX
    for key in package.spine[:CHAPTERS_MAX]:
        part = posixpath.normpath(posixpath.join(folder, unquote(package.parts.get(key, ""))))
        if part not in archive:
            continue
        chapter = web.extract(archive.read(part), chars_max)
        if chapter is not None and chapter.text.strip():
            chapters.append(chapter.text.strip() + "\n")
            is_cut = is_cut or chapter.is_cut
            size += len(chapters[-1]) + 1
            if size > chars_max + 1:
                break
    text = "\n".join(chapters)
    heading = title(archive, container.package)
    return Document(heading, text[:chars_max], is_cut or len(text) > chars_max)


class _Container(markup.Handler):
    """Where the package is: the first root file."""

    def __init__(self) -> None:
        self.package = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "rootfile" and not self.package:
            self.package = attributes.get("full-path", "")


class _Package(markup.Handler):
    """Which parts a book has, and which of them are read one after the other."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.spine: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "item":
            self.parts[attributes.get("id", "")] = attributes.get("href", "")
        elif name == "itemref":
            self.spine.append(attributes.get("idref", ""))
