"""The title of a text that is written in a light markup, Markdown, reStructuredText, Org, LaTeX, or in none."""

import re
from typing import Final

_WITHIN: Final = 20_000
"""Characters in which a title stands, or there is none."""

PLAIN_TITLE_CHARS_MAX: Final = 120
"""A first line that is longer is no title."""

_PLAIN: Final = (b"txt", b"text")
_FIRST_LINE: Final = re.compile(r"\s*^[ \t]*(\S.*?)[ \t]*\n[ \t]*\n(?=\s*\S)", re.MULTILINE)
_MARKDOWN: Final = (b"md", b"markdown", b"mdown", b"mkd", b"mdx", b"qmd", b"rmd")
_FRONT_MATTER: Final = re.compile(r"---\n(.*?)\n(?:---|\.\.\.)(?:\n|$)", re.DOTALL)
_FRONT_TITLE: Final = re.compile(r"^title:[ \t]*([\"']?)(.+?)\1[ \t]*$", re.MULTILINE)
_FENCED: Final = re.compile(r"^ {0,3}(`{3,}|~{3,}).*?(?:^ {0,3}\1|\Z)", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(
    r"^ {0,3}(?:#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*|(\S.*)\n {0,3}(?:=+|-+)[ \t]*)$", re.MULTILINE
)
_MARKS: Final = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|[*`]+|(?<!\w)_+|_+(?!\w)")
_OTHERS: Final = {
    b"rst": re.compile(r"^([^\s].*)\n([=\-~^\"'#*+])\2{2,}[ \t]*$", re.MULTILINE),
    b"org": re.compile(r"^(?:#\+title:[ \t]*|\*[ \t]+)(.+)$", re.MULTILINE | re.IGNORECASE),
    b"tex": re.compile(r"\\title(?:\[[^\]]*\])?\{([^{}\n]+)\}"),
}


def title(kind: bytes, text: str) -> str:
    """Return what a text of this extension has as its heading; empty when it has none.

    That of a plain text is its first line, if it is short, has letters, and stands alone.
    """
    text = text[:_WITHIN]
    if kind in _MARKDOWN:
        return _of_markdown(text)
    if kind in _PLAIN:
        return _first_line(text)
    pattern = _OTHERS.get(kind)
    found = pattern.search(text) if pattern else None
    return found[1].strip() if found else ""


def _of_markdown(text: str) -> str:
    front = _FRONT_MATTER.match(text)
    if front:
        if named := _FRONT_TITLE.search(front[1]):
            return named[2].strip()
        text = text[front.end() :]
    found = _HEADING.search(_FENCED.sub("", text))
    if found is None:
        return ""
    return _MARKS.sub(lambda mark: mark[1] or "", found[1] or found[2]).strip()


def _first_line(text: str) -> str:
    found = _FIRST_LINE.match(text)
    if (
        found is None
        or len(found[1]) > PLAIN_TITLE_CHARS_MAX
        or not re.search(r"[^\W\d_]", found[1])
    ):
        return ""
    return found[1]
