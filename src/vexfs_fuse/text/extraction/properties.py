"""What office documents and books say of themselves: the Dublin Core title."""

from typing import Final

from vexfs_fuse.text.extraction import markup
from vexfs_fuse.text.extraction.archive import Archive

_NO_TITLES: Final = ("PowerPoint Presentation", "Microsoft Word - ", "Slide 1", "Untitled")
"""What programs fill in where nobody has."""

_TITLE_CHARS_MAX: Final = 1_000


def title(archive: Archive, name: str) -> str:
    """Return the title in an entry of properties; empty without one."""
    handler = _Title()
    if name in archive:
        try:
            markup.read(archive.chunks(name), handler)
        except markup.Enough:
            pass
    found = " ".join("".join(handler.parts).split())
    return "" if found.startswith(_NO_TITLES) else found


class _Title(markup.Handler):
    def __init__(self) -> None:
        self.parts: list[str] = []
        self._is_inside = False
        self._chars = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._is_inside = name == "title"

    def end(self, name: str) -> None:
        self._is_inside = False
        if name == "title" and self.parts:
            raise markup.Enough

    def text(self, text: str) -> None:
        if self._is_inside and self._chars < _TITLE_CHARS_MAX:
            self.parts.append(text)
            self._chars += len(text)
