"""What it costs to have text out of files, format by format, in the sandbox that the indexer uses.

A note has 1 KiB of English, a book 256 KiB; each is written in every format, and read many times by one process.
Rates are of time that passes, on one CPU at a time; CPU time counts ours and the processes', without their start.

usage: python -m benchmarks.extraction [--quick] [--json FILE]
"""

import gzip
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks import report
from benchmarks.commandline import parser, progress
from benchmarks.machine import BusinessMeter, machine
from tests.support.documents import docx, epub, odt, paragraph, pdf, pptx, xlsx
from vexfs_fuse.text.document import Document
from vexfs_fuse.text.passages import passages
from vexfs_fuse.text.sandbox import Extractor
from vexfs_fuse.units import KIB, MIB

TEXTS: Final = Path("/usr/share/common-licenses")
NOTE_BYTES: Final = KIB
BOOK_BYTES: Final = 256 * KIB
ROUNDS: Final = 5
LINE_WORDS: Final = 12
PAGE_LINES: Final = 45

_PLAIN: Final = str.maketrans("&<>()\\\"'", "        ")


def main() -> None:
    """Measure, print the table, write the JSON."""
    arguments = parser(__doc__, quick="fewer files").parse_args()
    meter = BusinessMeter()
    with tempfile.TemporaryDirectory(prefix="vexfs-extraction-", dir=arguments.work) as work:
        described = machine(Path(work))
    notes, books = (50, 3) if arguments.quick else (500, 20)
    found = {
        name: {
            "note": _measure(name, write(_lines(NOTE_BYTES)), notes),
            "book": _measure(name, write(_lines(BOOK_BYTES)), books),
        }
        for name, write in FORMATS.items()
    }
    settings = {"notes": notes, "books": books, "note": NOTE_BYTES, "book": BOOK_BYTES}
    results = report.document("extraction", described, meter.end(), settings)
    whole = {"formats": found, "start": _start(), "passages": _passages()}
    report.tell(results, whole, readable(whole), arguments.json)


def _lines(size_bytes: int) -> list[str]:
    """Return about so much English in lines of a page's width."""
    everything = " ".join(path.read_text() for path in sorted(TEXTS.iterdir()))
    words = everything.encode("ascii", "ignore").decode().translate(_PLAIN).split()
    lines = [" ".join(words[at : at + LINE_WORDS]) for at in range(0, len(words), LINE_WORDS)]
    taken: list[str] = []
    size = 0
    while size < size_bytes:
        taken.append(lines[len(taken) % len(lines)])
        size += len(taken[-1]) + 1
    return taken


def _pages(lines: list[str]) -> list[list[str]]:
    return [lines[at : at + PAGE_LINES] for at in range(0, len(lines), PAGE_LINES)]


def _text(lines: list[str]) -> bytes:
    return "\n".join(lines).encode()


def _html(lines: list[str]) -> bytes:
    return (
        "<!DOCTYPE html><title>T</title>\n" + "\n".join(f"<p>{each}</p>" for each in lines)
    ).encode()


def _mail(lines: list[str]) -> bytes:
    return b"From: a@b\nMIME-Version: 1.0\nSubject: s\n\n" + _text(lines)


def _manual(lines: list[str]) -> bytes:
    return b".TH A 1\n.SH NAME\na \\- b\n.SH TEXT\n" + _text([f"\\fB{each}\\fR" for each in lines])


FORMATS: Final[dict[str, Callable[[list[str]], bytes]]] = {
    "text": _text,
    "text in ISO 8859-1": lambda lines: _text(lines) + b"\nd\xe9j\xe0 vu\n",
    "HTML": _html,
    "mail": _mail,
    "manual page, gzip": lambda lines: gzip.compress(_manual(lines)),
    "DOCX": lambda lines: docx("".join(map(paragraph, lines))),
    "PPTX": lambda lines: pptx(*[" ".join(page) for page in _pages(lines)]),
    "XLSX": lambda lines: xlsx(
        "".join(
            f'<row><c t="s"><v>{row}</v></c><c><v>{row}</v></c></row>' for row in range(len(lines))
        ),
        "".join(f"<si><t>{each}</t></si>" for each in lines),
    ),
    "ODT": lambda lines: odt("".join(f"<text:p>{each}</text:p>" for each in lines)),
    "EPUB": lambda lines: epub(*["</p>\n<p>".join(page) for page in _pages(lines)]),
    "PDF": lambda lines: pdf(*[") Tj T* (".join(page) for page in _pages(lines)]),
}


def _measure(name: str, data: bytes, files: int) -> dict[str, Any]:
    """Read one file many times; rates are the medians of rounds."""
    progress(name)
    extractor = Extractor()
    document = extractor.extract(b"a", data)
    assert document is not None
    rates = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(files):
            extractor.extract(b"a", data)
        rates.append(files / (time.perf_counter() - start))
    extractor.close()
    cpu_s = _cpu_s(data, files * ROUNDS) - _cpu_s(data, 0)
    progress("")
    return {
        "file_bytes": len(data),
        "text_chars": len(document.text),
        "files_per_second": statistics.median(rates),
        "range": [min(rates), max(rates)],
        "text_mib_per_second": statistics.median(rates) * len(document.text) / MIB,
        "cpu_ms_per_file": cpu_s / (files * ROUNDS) * 1e3,
    }


def _cpu_s(data: bytes, files: int) -> float:
    """Return the CPU time of reading a file once and so many times more, that of the process included."""
    before = _spent_s()
    extractor = Extractor()
    for _ in range(files + 1):
        extractor.extract(b"a", data)
    extractor.close()
    return _spent_s() - before


def _spent_s() -> float:
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _start() -> dict[str, float]:
    """Return the milliseconds until a new process has read its first file."""
    found = {}
    for name, data in (("documents", b"words\n"), ("PDF", pdf("words"))):
        samples = []
        for _ in range(ROUNDS):
            extractor = Extractor()
            start = time.perf_counter()
            extractor.extract(b"a", data)
            samples.append((time.perf_counter() - start) * 1e3)
            extractor.close()
        found[name] = statistics.median(samples)
    return found


def _passages() -> dict[str, float]:
    """Return what cutting a book costs, and what it becomes."""
    document = Document("", "\n".join(_lines(BOOK_BYTES)))
    start = time.process_time()
    for _ in range(ROUNDS):
        cut = passages(document)
    took_s = (time.process_time() - start) / ROUNDS
    words = statistics.mean(len(each.text.split()) for each in cut)
    return {"mib_per_cpu_s": len(document.text) / MIB / took_s, "count": len(cut), "words": words}


def readable(found: dict[str, Any]) -> str:
    """Return the tables."""
    rows = []
    for name, sizes in found["formats"].items():
        note, book = sizes["note"], sizes["book"]
        rows.append(
            [
                name,
                f"{note['files_per_second']:,.0f}",
                f"{note['cpu_ms_per_file']:.2f}",
                f"{book['files_per_second']:,.0f}",
                f"{book['cpu_ms_per_file']:.1f}",
                f"{book['text_mib_per_second']:.1f}",
            ]
        )
    header = ["format", "notes/s", "CPU ms", "books/s", "CPU ms", "MiB of text/s"]
    cut = found["passages"]
    return "\n\n".join(
        [
            report.table(header, rows),
            f"A new process has read its first file after {found['start']['documents']:.0f} ms, its first PDF"
            f" after {found['start']['PDF']:.0f} ms.\n"
            f"Cutting passages: {cut['mib_per_cpu_s']:.1f} MiB a CPU second;"
            f" {cut['count']} of {cut['words']:.0f} words on average in a book.",
        ]
    )


if __name__ == "__main__":
    main()
