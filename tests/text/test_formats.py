"""Each format gives what people wrote in it, with its title, within the sandbox and outside alike."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import documents
from tests.support.documents import DOCUMENTS, docx, epub, odt, paragraph, pdf, pptx, xlsx, zipped
from vexfs_fuse.errors import ExtractionFailed
from vexfs_fuse.text.document import Document
from vexfs_fuse.text.extraction import documents as parser
from vexfs_fuse.text.sandbox import Extractor, Limits

SAMPLES = sorted(
    path for path in (Path(__file__).parent / "samples").iterdir() if path.suffix != ".md"
)
CHARS = 100_000

TITLES = {
    "a.md": "The rotation of logs",
    "a.html": "Rotation of logs",
    "a.eml": "Rotation of l\xf6gs",
    "a.1": "zeppelin - rotate the logs",
    "a.1.gz": "zeppelin - rotate the logs",
    "a.docx": "Rotation",
    "a.pptx": "Rotation of logs",
    "a.odt": "Rotation",
    "a.epub": "Rotation",
    "a.pdf": "Rotation",
}


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    extractor = Extractor()
    yield extractor
    extractor.close()


def read(name: str, data: bytes) -> Document:
    """Read a document outside the sandbox."""
    document = parser.extract(name.encode(), data, CHARS)
    assert document is not None
    return document


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_format_is_read_with_its_title(extractor: Extractor, name: str) -> None:
    document = extractor.extract(name.encode(), DOCUMENTS[name])
    assert document is not None
    assert "zeppelin" in document.text
    assert document.title == TITLES.get(name, "")
    assert not document.is_cut


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name != "a.pdf"])
def test_the_sandbox_takes_nothing_from_a_parser(extractor: Extractor, name: str) -> None:
    assert extractor.extract(name.encode(), DOCUMENTS[name]) == read(name, DOCUMENTS[name])


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_what_an_office_wrote_is_read(extractor: Extractor, path: Path) -> None:
    document = extractor.extract(path.name.encode(), path.read_bytes())
    assert document is not None
    assert "zeppelin" in document.text
    if path.stem == "notes":
        assert document.title == "Rotation of logs"
        for words in (
            "The archivist keeps seven weeks of journals.",
            "quagga",
            "A soft end & a \u20ac sign.",
        ):
            assert words in document.text


@pytest.mark.parametrize("name", ["a.docx", "a.epub", "a.pdf", "a.html", "a.1.gz"])
def test_contents_tell_a_format_whatever_the_name_says(extractor: Extractor, name: str) -> None:
    original = extractor.extract(name.encode(), DOCUMENTS[name])
    for other in (b"a.txt", b"a.jpg", b"a", b"a.pdf", b"a.zip"):
        assert extractor.extract(other, DOCUMENTS[name]) == original


def test_a_name_does_not_make_a_format(extractor: Extractor) -> None:
    for name in (b"a.pdf", b"a.docx", b"a.epub", b"a.gz"):
        assert extractor.extract(name, b"only words\n") == Document("", "only words\n")


# --- Markdown and other light markup ---------------------------------------------------------------


def test_markdown_keeps_its_text_as_it_is() -> None:
    assert read("a.md", documents.MARKDOWN).text == documents.MARKDOWN.decode()


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        ("a.md", "# First\n\n# Second\n", "First"),
        ("a.md", "First\n=====\n", "First"),
        ("a.md", "words\n\n### Third level\n", "Third level"),
        ("a.md", "---\ntitle: 'From the front'\n---\n# Other\n", "From the front"),
        ("a.md", "    # code\n\nno heading", ""),
        ("a.md", "#hash tag\n", ""),
        ("a.md", "# snake_case and `code`\n", "snake_case and code"),
        ("a.MD", "# Large\n", "Large"),
        ("a.txt", "# A comment\n", ""),
        ("a.txt", "\n  Minutes of Monday \n\nWe met.\n", "Minutes of Monday"),
        ("a.text", "Minutes\n \t\n\n\nWe met.\n", "Minutes"),
        ("a.txt", "Minutes\n\n", ""),
        ("a.txt", "a line\nand another\n\nand more\n", ""),
        ("a.txt", f"{'long ' * 30}\n\nand more\n", ""),
        ("a.txt", "2026-11-27\n\nand more\n", ""),
        ("a.py", "import os\n\nos.fork()\n", ""),
        ("a.rst", "First\n=====\n\nwords\n", "First"),
        ("a.org", "#+TITLE: First\n* Second\n", "First"),
        ("a.tex", "\\documentclass{x}\\title{First}\n", "First"),
    ],
)
def test_the_first_heading_is_the_title(name: str, text: str, title: str) -> None:
    assert read(name, text.encode()).title == title


# --- HTML ------------------------------------------------------------------------------------------


def test_html_shows_what_a_reader_sees_on_the_lines_of_the_file() -> None:
    lines = read("a.html", documents.HTML).text.split("\n")
    source = documents.HTML.decode().split("\n")
    assert len(lines) <= len(source)
    for number, line in enumerate(lines):
        for word in line.replace("&", "").split():
            assert word in source[number].replace("<b>zep</b>pelin", "zeppelin"), (number, word)
    assert "hidden" not in "".join(lines)
    assert "color" not in "".join(lines)
    assert "remark" not in "".join(lines)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one<p>two", "one two"),
        ("one<br/>two", "one two"),
        ("<b>o</b>ne", "one"),
        ("<td>one</td><td>two</td>", "one two"),
        ("&lt;tag&gt; &#x41;&#66; &nosuch; &amp .", "<tag> AB &nosuch; & ."),
        ("<p>a&#10;b", "a b"),
        ("<script>x</script>one", "one"),
        ("<script>x", ""),
        ("<svg><text>x</text></svg>one", "one"),
        ("<template><div>x</div></template>one", "one"),
        ("<![CDATA[one]]>two", "two"),
        ("one < two", "one < two"),
        ("<", "<"),
    ],
)
def test_html_is_read_as_browsers_do(html: str, text: str) -> None:
    found = read("a.html", f"<html><body>{html}".encode()).text
    assert found.strip() == text


def test_the_encoding_that_a_page_declares_counts() -> None:
    page = '<html><meta http-equiv="Content-Type" content="text/html; charset=koi8-r">\u043b\u0435\u0441'
    assert "\u043b\u0435\u0441" in read("a.html", page.encode("koi8-r")).text


def test_a_page_without_a_title_is_called_by_its_first_heading() -> None:
    assert (
        read("a.html", b"<html><h1>First <i>thing</i></h1><h1>Second</h1>").title == "First thing"
    )


# --- mail ------------------------------------------------------------------------------------------


def test_a_mail_says_who_wrote_what_and_what_is_attached() -> None:
    document = read("a.eml", documents.MAIL)
    assert document.text.startswith(
        "From: Ann \xc9 <ann@example.org>\nTo: Bob <bob@example.org>\nDate: Mon"
    )
    assert "The zeppelin gr\xfc\xdft the quagga." in document.text
    assert "HTML" not in document.text
    assert "Subject: Within\n\nNested words." in document.text
    assert "Attachment: report.pdf" in document.text


def test_a_mail_in_html_only_is_read() -> None:
    mail = b"Subject: s\nContent-Type: text/html\n\n<html><p>One <b>wo</b>rd</p></html>\n"
    assert "One word" in read("a.eml", mail).text


def test_a_mail_is_known_by_its_fields() -> None:
    assert read("1700000000.M1P1.host", documents.MAIL).title == "Rotation of l\xf6gs"
    assert read("notes.txt", b"To: do\nFrom: today on\n").text == "To: do\nFrom: today on\n"


@pytest.mark.parametrize(
    "field",
    [
        b"=?no-such-charset?q?words?=",
        b"=?utf-8?b?!!!?=",
        b"=?utf-8?q?=FF=FE?=",
        b"\xff\xfe raw bytes",
        b"=?utf-8?x?words?=",
        b"words\n folded",
    ],
)
def test_a_subject_that_is_broken_harms_nothing(extractor: Extractor, field: bytes) -> None:
    mail = b"Message-ID: <1>\nFrom: a@b\nSubject: " + field + b"\n\nThe text\n"
    document = extractor.extract(b"a.eml", mail)
    assert document is not None
    assert "The text" in document.text


# --- manual pages ----------------------------------------------------------------------------------


def test_a_manual_page_is_read_without_its_requests_line_by_line() -> None:
    document = read("a.1", documents.MANUAL)
    assert document.text.split("\n") == [
        *("", "", "NAME", "zeppelin - rotate the logs", "SYNOPSIS", "zeppelin", "[--keep=N]"),
        *(
            "DESCRIPTION",
            "",
            'Keeps "old" journals; see',
            "logrotate(8).",
            "",
            "-k",
            "How many.",
            "",
        ),
    ]


def test_a_manual_page_in_mdoc_is_read() -> None:
    page = b".Dd May 1, 2025\n.Sh NAME\n.Nm zeppelin\n.Nd rotate logs\n.Sh SEE ALSO\n.Xr syslog 3\n"
    document = read("a.1", page)
    assert document.title == "zeppelin - rotate logs"
    assert "syslog 3" in document.text


def test_what_gzip_packed_is_read_to_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser, "UNPACKED_BYTES_MAX", 1_000)
    assert read("a.gz", gzip.compress(b"x" * 5_000)).text == "x" * 1_000


def test_other_things_that_gzip_packed_are_no_text() -> None:
    assert parser.extract(b"a.tar.gz", gzip.compress(bytes(5_000)), CHARS) is None


# --- office ----------------------------------------------------------------------------------------


def test_a_word_document_gives_paragraphs_tables_and_notes() -> None:
    table = f"<w:tbl><w:tr><w:tc>{paragraph('cell')}</w:tc></w:tr></w:tbl>"
    body = (
        "<w:p><w:r><w:t>spl</w:t></w:r><w:r><w:t>it</w:t><w:tab/><w:t>tab</w:t></w:r></w:p>"
        "<w:p><w:r><w:delText>gone</w:delText><w:instrText>FIELD</w:instrText></w:r></w:p>" + table
    )
    document = read(
        "a.docx", docx(body, "T", footnotes=paragraph("below"), comments=paragraph("beside"))
    )
    assert document == Document("T", "split\ttab\ncell\n\nbelow\n\nbeside\n\n")


def test_what_is_said_again_for_old_programs_is_read_once() -> None:
    body = (
        '<a:AlternateContent xmlns:a="urn:a"><a:Choice>' + paragraph("box") + "</a:Choice>"
        f"<a:Fallback>{paragraph('box')}</a:Fallback></a:AlternateContent>"
    )
    assert read("a.docx", docx(body)).text.split() == ["box"]


def test_slides_are_read_in_order_each_with_its_notes() -> None:
    slides = [f"slide {number}" for number in range(1, 12)]
    text = read("a.pptx", pptx(*slides, notes={2: "spoken"})).text
    assert text.split("\n\n")[:4] == ["slide 1", "slide 2", "spoken", "slide 3"]
    assert text.rstrip().endswith("slide 11")


def test_a_sheet_gives_a_line_for_each_row() -> None:
    rows = (
        '<row><c t="s"><v>0</v></c><c t="s"><v>99</v></c><c t="s"><v>x</v></c></row>'
        '<row><c><v>1.5</v></c><c t="b"><v>1</v></c><c t="str"><f>A1</f><v>made</v></c></row>'
    )
    strings = "<si><r><t>qua</t></r><r><t>gga</t></r><rPh><t>aloud</t></rPh></si>"
    assert read("a.xlsx", xlsx(rows, strings)).text == "Animals\nquagga\n1.5\t1\tmade\n\n"


def test_an_open_document_gives_paragraphs_rows_and_spaces() -> None:
    body = (
        '<text:p>a<text:s text:c="3"/>b<text:tab/>c<text:line-break/>d</text:p>'
        "<text:tracked-changes><text:p>gone</text:p></text:tracked-changes>"
        "<table:table><table:table-row><table:table-cell><text:p>x</text:p></table:table-cell>"
        '<table:table-cell table:number-columns-repeated="1000000"><text:p>y</text:p></table:table-cell>'
        "</table:table-row></table:table>"
    )
    assert read("a.odt", odt(body, "T")) == Document("T", "a b\tc d\nx \ty\n")


def test_an_encrypted_open_document_says_so() -> None:
    data = odt("", manifest="<m><encryption-data/></m>")
    with pytest.raises(ExtractionFailed, match="encrypted"):
        read("a.odt", data)


def test_an_encrypted_archive_says_so() -> None:
    data = bytearray(docx(paragraph("x")))
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 1)
    with pytest.raises(ExtractionFailed, match="encrypted"):
        read("a.docx", bytes(data))


def test_an_archive_of_other_things_is_no_text() -> None:
    assert parser.extract(b"a.zip", zipped({"a.txt": "words"}), CHARS) is None


def test_a_book_is_read_in_the_order_of_its_chapters() -> None:
    book = epub("first", "second", "third", title="Book")
    assert read("a.epub", book) == Document("Book", "first\n\nsecond\n\nthird\n")


# --- PDF -------------------------------------------------------------------------------------------


def test_a_pdf_is_read_page_by_page(extractor: Extractor) -> None:
    document = extractor.extract(b"a.pdf", pdf("first page", "second page", title="T"))
    assert document == Document("T", "first page\n\nsecond page")


def test_a_pdf_without_text_is_an_empty_document(extractor: Extractor) -> None:
    assert extractor.extract(b"a.pdf", pdf("")) == Document("", "")


@pytest.mark.parametrize(
    "name", ["a.txt", "a.html", "a.docx", "a.xlsx", "a.odt", "a.epub", "a.eml"]
)
def test_every_format_is_cut_at_the_bound(name: str) -> None:
    whole = read(name, DOCUMENTS[name])
    for bound in (1, 5, len(whole.text) - 1):
        cut = parser.extract(name.encode(), DOCUMENTS[name], bound)
        assert cut is not None
        assert len(cut.text) <= bound
        assert cut.is_cut
        assert whole.text.startswith(cut.text) or name == "a.html"
        assert cut.title in ("", whole.title)  # what is beyond the bound is not seen


def test_a_pdf_is_cut_at_the_bound() -> None:
    extractor = Extractor(Limits(text_chars=15))
    document = extractor.extract(b"a.pdf", pdf("first page", "second page"))
    extractor.close()
    assert document == Document("", "first page\n\nsec", is_cut=True)
