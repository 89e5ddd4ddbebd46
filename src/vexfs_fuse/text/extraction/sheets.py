"""Excel's worksheets: a line for each row, its cells apart by tabs."""

from typing import Final

from vexfs_fuse.text.extraction import markup
from vexfs_fuse.text.extraction.archive import Archive
from vexfs_fuse.text.extraction.lines import Lines

STRINGS_MAX: Final = 500_000
"""Strings that cells share, beyond which cells are empty."""


def read_sheets(archive: Archive, lines: Lines, chars_max: int) -> None:
    """Add all sheets, each after its name."""
    strings = _Strings(chars_max)
    try:
        _read(archive, "xl/sharedStrings.xml", strings)
    except markup.Enough:
        pass
    names, targets = _Names(), _Targets()
    _read(archive, "xl/workbook.xml", names)
    _read(archive, "xl/_rels/workbook.xml.rels", targets)
    for name, key in names.sheets:
        part = targets.parts.get(key, "")
        if part in archive:
            lines.add(name)
            lines.end_line()
            _read(archive, part, _Rows(lines, strings.strings))
            lines.end_part()


def _read(archive: Archive, name: str, handler: markup.Handler) -> None:
    if name in archive:
        markup.read(archive.chunks(name), handler)


class _Strings(markup.Handler):
    """The strings that cells name by number."""

    def __init__(self, chars_max: int) -> None:
        self.strings: list[str] = []
        self._parts: list[str] = []
        self._is_text = False
        self._phonetic = 0
        self._left = 2 * chars_max

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "si":
            self._parts = []
        elif name == "rPh":
            self._phonetic += 1
        self._is_text = name == "t" and not self._phonetic

    def end(self, name: str) -> None:
        self._is_text = False
        if name == "rPh":
            self._phonetic -= 1
        elif name == "si":
            self.strings.append("".join(self._parts))
            if len(self.strings) >= STRINGS_MAX or self._left < 0:
                raise markup.Enough

    def text(self, text: str) -> None:
        if self._is_text:
            self._parts.append(text)
            self._left -= len(text)


class _Names(markup.Handler):
    """The sheets' names, and by what key each is related to its part."""

    def __init__(self) -> None:
        self.sheets: list[tuple[str, str]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "sheet":
            self.sheets.append((attributes.get("name", ""), attributes.get("id", "")))


class _Targets(markup.Handler):
    """Which part a key stands for."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        target = attributes.get("Target", "")
        if name == "Relationship":
            part = target.removeprefix("/") if target.startswith("/") else "xl/" + target
            self.parts[attributes.get("Id", "")] = part


class _Rows(markup.Handler):
    """Makes a line of each row."""

    def __init__(self, lines: Lines, strings: list[str]) -> None:
        self._lines = lines
        self._strings = strings
        self._kind = ""
        self._value: list[str] = []
        self._is_value = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._kind = attributes.get("t", "")
            self._value = []
        self._is_value = name in ("v", "t")

    def end(self, name: str) -> None:
        self._is_value = False
        if name == "c":
            self._lines.add(self._cell() + "\t")
        elif name == "row":
            self._lines.end_line()

    def text(self, text: str) -> None:
        if self._is_value:
            self._value.append(text)

    def _cell(self) -> str:
        value = "".join(self._value)
        if self._kind != "s":
            return value
        number = int(value) if value.isdecimal() and len(value) < 10 else -1
        return self._strings[number] if 0 <= number < len(self._strings) else ""
