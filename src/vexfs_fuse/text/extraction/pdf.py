"""PDF, by PDFium: the text in the order in which it stands in the file's pages."""

import re
from typing import Final

import pypdfium2

from vexfs_fuse.errors import ExtractionFailed
from vexfs_fuse.text.document import Document
from vexfs_fuse.text.extraction.encoding import normalize

FORKS: Final = True

PAGES_MAX: Final = 10_000
"""What a page tree claims beyond that is not looked at."""

_HYPHEN: Final = re.compile("[\ufffe\x02]\\s*")
"""PDFium's mark for a hyphen at the end of a line, within a word."""


def extract(name: bytes, data: bytes, chars_max: int) -> Document | None:
    """Return the text of all pages; a scanned document has none.

    Raises
    ------
    ExtractionFailed
        The file is broken or encrypted.
    """
    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise ExtractionFailed(_reason(error)) from None
    title = _title(pdf)
    count = len(pdf)
    pages: list[str] = []
    failed = size = 0
    for index in range(min(count, PAGES_MAX)):
        try:
            text = pdf[index].get_textpage().get_text_range()
        except pypdfium2.PdfiumError:  # the others may be whole
            failed += 1
            continue
        pages.append(normalize(_HYPHEN.sub("", text)))
        size += len(pages[-1]) + 2
        if size > chars_max + 2:
            break
    if failed and not pages:
        raise ExtractionFailed("not one of its pages can be read")
    text = "\n\n".join(pages)
    return Document(title, text[:chars_max], is_cut=len(text) > chars_max or count > PAGES_MAX)


def _title(pdf: pypdfium2.PdfDocument) -> str:
    try:
        return normalize(pdf.get_metadata_value("Title"))
    except UnicodeDecodeError:  # half a surrogate pair
        return ""


def _reason(error: pypdfium2.PdfiumError) -> str:
    """Return what PDFium says, without its function names."""
    said = str(error).lower()
    if "password" in said or "security" in said:
        return "the document is encrypted"
    return "the document is broken"
