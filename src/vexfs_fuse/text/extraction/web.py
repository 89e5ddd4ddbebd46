"""HTML: what a reader sees of it, each word on the line that it has in the file."""

import html
import re
from html.parser import HTMLParser
from typing import Final

from vexfs_fuse.text.document import Document
from vexfs_fuse.text.extraction.encoding import decode

_EXTENSIONS: Final = (b"html", b"htm", b"xhtml")
_SIGN: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html)\b",
    re.IGNORECASE | re.DOTALL,
)
_CHARSET: Final = re.compile(
    rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w-]{1,40})", re.IGNORECASE
)
_CHARSET_WITHIN: Final = 4_096

_UNSEEN: Final = frozenset({"script", "style", "template", "noscript", "svg", "iframe", "object"})
_PHRASING: Final = (
    *(
        "a abbr b bdi cite code del dfn em font i ins kbd",
        "mark q s samp small span strong sub sup tt u var",
    ),
)
_INLINE: Final = frozenset(" ".join(_PHRASING).split())
"""What does not part the words on its two sides."""

_SOURCE_FACTOR: Final = 8
_SOURCE_CHARS: Final = 64 * 1024
"""Characters of tags and all that are read for each that is kept, and beside that."""

_SPACES: Final = re.compile("[ \t\xa0\f]+")
_TITLE_CHARS_MAX: Final = 1_000


def is_this(kind: bytes, head: bytes) -> bool:
    """Say whether a text that begins with `head` is HTML."""
    return bool(_SIGN.match(head)) or (kind in _EXTENSIONS and b"<" in head)


def extract(data: bytes, chars_max: int) -> Document | None:
    """Return what HTML says; None if it is no text.

    Raises
    ------
    ExtractionFailed
    """
    source_max = _SOURCE_FACTOR * chars_max + _SOURCE_CHARS
    source = decode(data, source_max, declared=_declared(data))
    if source is None:
        return None
    page = _Page(chars_max)
    try:
        page.feed(source)
        page.close()
    except _Enough:
        pass
    document = page.document()
    return document._replace(is_cut=document.is_cut or len(source) == source_max)


class _Enough(Exception):
    """There are more characters than wanted."""


class _Page(HTMLParser):
    """Keeps what is seen, and ends a line where the file does."""

    def __init__(self, chars_max: int) -> None:
        super().__init__(convert_charrefs=False)  # a reference to a line feed is none of the file's
        self._chars_max = chars_max
        self._parts: list[str] = []
        self._chars = 0
        self._line = 1
        self._unseen: list[str] = []
        self._inside = ""  # title or h1
        self._titles = {"title": "", "h1": ""}

    def document(self) -> Document:
        """Return what was seen."""
        lines = "".join(self._parts).split("\n")
        text = "\n".join(_SPACES.sub(" ", line).strip() for line in lines)
        title = " ".join((self._titles["title"].strip() or self._titles["h1"]).split())
        return Document(title, text[: self._chars_max], is_cut=len(text) > self._chars_max)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._unseen.append(tag)
        elif tag in self._titles and not self._titles[tag] and not self._unseen:
            self._inside = tag
        if tag not in _INLINE:
            self._see(" ")
        if tag in ("img", "area", "meta"):
            self._see_attributes(tag, dict(attrs))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _UNSEEN:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._unseen:
            while self._unseen.pop() != tag:
                pass
        if tag == self._inside:
            self._inside = ""
        if tag not in _INLINE:
            self._see(" ")

    def handle_data(self, data: str) -> None:
        if self._unseen:
            return
        if self._inside and len(self._titles[self._inside]) < _TITLE_CHARS_MAX:
            self._titles[self._inside] += data
        if self._inside != "title":
            self._see(data)

    def handle_entityref(self, name: str) -> None:
        self.handle_data(_one_line(html.unescape(f"&{name};")))

    def handle_charref(self, name: str) -> None:
        self.handle_data(_one_line(html.unescape(f"&#{name};")))

    def _see_attributes(self, tag: str, attributes: dict[str, str | None]) -> None:
        """Take what stands for a picture, and what the page says of itself."""
        if tag != "meta":
            self._see(_one_line(attributes.get("alt") or "") + " ")
        elif (attributes.get("name") or "").lower() == "description":
            self._see(_one_line(attributes.get("content") or "") + " ")

    def _see(self, text: str) -> None:
        if self._unseen:
            return
        behind = self.getpos()[0] - self._line
        if behind > 0:
            self._parts.append("\n" * behind)
            self._line += behind
        self._parts.append(text)
        self._line += text.count("\n")
        self._chars += len(text.strip())
        if self._chars > self._chars_max:
            raise _Enough


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\r", " ")


def _declared(data: bytes) -> str:
    """Return the encoding that the page says it has, if anything."""
    found = _CHARSET.search(data[:_CHARSET_WITHIN])
    return found[1].decode("ascii", "replace") if found else ""
