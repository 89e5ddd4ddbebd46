"""Manual pages: roff without its requests, line by line as in the file."""

import re
from typing import Final

from vexfs_fuse.text.document import Document

_HEAD_CHARS: Final = 20_000
_SIGN: Final = re.compile(r"^\.(?:TH|Dd)[ \t]", re.MULTILINE)
_SECTIONED: Final = re.compile(r"^\.S[Hh][ \t]", re.MULTILINE)

_REQUEST: Final = re.compile(r"[.'][ \t]*([A-Za-z]{1,3})(?![A-Za-z])[ \t]*(.*)")
_MAN: Final = "SH SS B I R BR BI RB RI IB IR SM SB TP IP HP UR MT"
_MDOC: Final = (
    "Sh Ss Nm Nd Fl Ar Op Xr It Pa Cm Ic Dq Sq Ql Em Sy Li Ev Va Dv Er Fn Fa Ft Bx At Ux St Pq Bq Brq Aq Qq Ns No"
    " Pf Lk Mt An Cd Vt Tn"
)
_SPOKEN: Final = frozenset(f"{_MAN} {_MDOC}".split())
"""Macros of man(7) and mdoc(7) whose arguments are read; of others they are numbers and names."""
_ALTERNATING: Final = frozenset({"BR", "BI", "RB", "RI", "IB", "IR"})
"""Their arguments are one word in two fonts."""

_ARGUMENT: Final = re.compile(r'"((?:[^"]|"")*)"?|(\S+)')

_ESCAPES: Final = re.compile(
    r"\\(?:"
    r"(?P<drop>f(?:\[[^\]]*\]|\(..|.)|s(?:[+-]?\d{1,2}|\[[^\]]*\])|[&|^%:/,)c]|[mFkY](?:\[[^\]]*\]|\(..|.)"
    r"|[hvwlLbDoNXZ]'[^']*')|(?P<comment>[\"#].*)|\*?(?:\((?P<two>..)|\[(?P<long>[^\]]*)\])|\*(?P<string>.)|(?P<one>.)|$)"
)
_GLYPHS: Final = {
    "aq": "'",
    "dq": '"',
    "lq": '"',
    "rq": '"',
    "oq": "'",
    "cq": "'",
    "em": "-",
    "en": "-",
    "bu": "*",
    "ha": "^",
    "ti": "~",
    "rs": "\\",
    "hy": "-",
    "mi": "-",
    "co": "(c)",
    "R": "(R)",
    "Tm": "(tm)",
    "ga": "`",
    "ul": "_",
    "ba": "|",
    "sl": "/",
    "at": "@",
    "sh": "#",
    "Do": "$",
}
_CHARACTERS: Final = {
    "e": "\\",
    "-": "-",
    " ": " ",
    "0": " ",
    "~": " ",
    "'": "'",
    "`": "`",
    ".": ".",
}


def is_this(kind: bytes, text: str) -> bool:
    """Say whether a text is a manual page, by the requests that each begins with."""
    head = text[:_HEAD_CHARS]
    return bool(_SIGN.search(head) and _SECTIONED.search(head))


def rendered(document: Document) -> Document:
    """Return a manual page as it is read; its title is the line under NAME."""
    lines = document.text.split("\n")
    shown = [_line(line) for line in lines]
    return document._replace(title=_title(lines, shown), text="\n".join(shown))


def _line(line: str) -> str:
    if line.startswith((".", "'")):
        request = _REQUEST.match(line)
        if request is None or request[1] not in _SPOKEN:
            return ""
        words = [quoted or bare for quoted, bare in _ARGUMENT.findall(request[2])]
        line = ("" if request[1] in _ALTERNATING else " ").join(words)
        if request[1] == "Nd":
            line = "- " + line
    return _ESCAPES.sub(_escape, line).strip()


def _escape(match: re.Match[str]) -> str:
    if name := match["two"] or match["long"]:
        return _GLYPHS.get(name, "")
    return _CHARACTERS.get(match["one"] or "", "")


def _title(lines: list[str], shown: list[str]) -> str:
    """Return what stands between the heading NAME and the next, as one line."""
    for number, line in enumerate(shown):
        if line.upper() == "NAME" and lines[number].startswith((".SH", ".Sh")):
            below = []
            for source, text in zip(lines[number + 1 :], shown[number + 1 :], strict=True):
                if source.startswith((".SH", ".Sh")):
                    break
                below.append(text)
            return " ".join(" ".join(below).split())
    return ""
