"""No file does harm: it is read, or is no text, or has failed, within its limits, and the next one is read."""

import gzip
import io
import os
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.documents import DOCUMENTS, docx, epub, odt, paragraph, pdf, xlsx, zipped
from tests.text.test_formats import SAMPLES
from vexfs_fuse.errors import ExtractionFailed
from vexfs_fuse.text.document import Document
from vexfs_fuse.text.extraction import archive, documents
from vexfs_fuse.text.sandbox import Extractor, Limits, limits_for
from vexfs_fuse.units import KIB, MIB

CHARS = 100_000
LIMITS = Limits(text_chars=CHARS, memory_bytes=384 * MIB, cpu_s=10.0, wall_s=60.0)
EXTENSIONS = [
    *(
        b"txt",
        b"py",
        b"md",
        b"html",
        b"eml",
        b"1",
        b"gz",
        b"docx",
        b"pptx",
        b"xlsx",
        b"odt",
        b"epub",
        b"pdf",
    ),
    *(b"rst", b"org", b"tex"),
]
MAGIC = [
    b"",
    b"PK\3\4",
    b"%PDF-1.7\n",
    b"\x1f\x8b\x08",
    b"<html>",
    b"From: a\nMIME-Version: 1\n",
    b".TH a 1\n",
]
FILES = {**DOCUMENTS, **{path.name: path.read_bytes() for path in SAMPLES}}
PURE = {name: data for name, data in FILES.items() if not name.endswith(".pdf")}
PDFS = {name: data for name, data in FILES.items() if name.endswith(".pdf")}

XML = "<?xml version='1.0'?>"
LAUGHS = (
    XML
    + "<!DOCTYPE x [<!ENTITY a 'ha'>"
    + "".join(f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(10))
    + "]>"
)


@pytest.fixture(scope="module")
def extractor() -> Iterator[Extractor]:
    extractor = Extractor(LIMITS)
    yield extractor
    assert extractor.extract(b"a.txt", b"next\n") == Document("", "next\n")
    extractor.close()


def parsed(name: bytes, data: bytes) -> Document | None:
    """Read a file in this process, where any exception but ExtractionFailed fails the test."""
    try:
        document = documents.extract(name, data, CHARS)
    except ExtractionFailed:
        return None
    assert document is None or len(document.text) <= CHARS
    return document


def failure(extractor: Extractor, name: bytes, data: bytes) -> str:
    """Return why a file has failed, which it must, and see that the next one is read."""
    with pytest.raises(ExtractionFailed) as failed:
        extractor.extract(name, data)
    assert extractor.extract(b"a.txt", b"next\n") == Document("", "next\n")
    return str(*failed.value.args)


def outcome(extractor: Extractor, name: bytes, data: bytes) -> str:
    """Return why a file has failed; empty when it has not."""
    try:
        extractor.extract(name, data)
    except ExtractionFailed as failed:
        return str(*failed.args)
    return ""


@pytest.mark.parametrize("name", PURE)
def test_a_file_that_ends_anywhere_breaks_no_parser(name: str) -> None:
    data = PURE[name]
    for end in range(0, len(data), 100 if len(data) > 2_000 else 7):
        parsed(name.encode(), data[:end])


@pytest.mark.parametrize("name", PDFS)
def test_a_pdf_that_ends_anywhere_breaks_nothing(extractor: Extractor, name: str) -> None:
    for end in range(0, len(PDFS[name]), 100):
        reason = outcome(extractor, b"a.pdf", PDFS[name][:end])
        assert "parser" not in reason, end


@pytest.mark.parametrize("name", PURE)
def test_a_file_with_flipped_bytes_breaks_no_parser(name: str) -> None:
    rng = random.Random(name)
    for _ in range(100):
        data = bytearray(PURE[name])
        for _ in range(rng.choice([1, 3, 20])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        parsed(name.encode(), bytes(data))


@given(st.sampled_from(EXTENSIONS), st.sampled_from(MAGIC), st.binary(max_size=2_000))
def test_random_bytes_break_no_parser(extension: bytes, magic: bytes, data: bytes) -> None:
    parsed(b"a." + extension, magic + data)


@given(
    st.sampled_from([b"html", b"md", b"eml", b"1", b"txt", b"rst"]),
    st.text(st.sampled_from("<>&;/!-[]#x \n\t\"'=:abTHS.\\(*fB{}?%"), max_size=300),
)
def test_random_markup_breaks_no_parser(extension: bytes, text: str) -> None:
    for head in ("", "<html>", ".TH a 1\n.SH NAME\n", "From: x\nMIME-Version: 1.0\n"):
        parsed(b"a." + extension, (head + text).encode())


@given(
    st.sampled_from(["word", "odt", "xlsx", "epub"]), st.text(max_size=200), st.binary(max_size=200)
)
def test_random_xml_breaks_no_parser(kind: str, text: str, raw: bytes) -> None:
    part = {
        "word": "word/document.xml",
        "odt": "content.xml",
        "xlsx": "xl/workbook.xml",
        "epub": "META-INF/container.xml",
    }[kind]
    for content in (text.encode("utf-8", "replace"), raw, b"<a>" + raw + b"</a>"):
        parsed(b"a", zipped({part: content, "mimetype": "application/vnd.oasis.opendocument.text"}))


# --- what people have thought of -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["docx", "odt", "epub", "xlsx"])
def test_entities_are_refused(extractor: Extractor, kind: str) -> None:
    part = {
        "docx": "word/document.xml",
        "odt": "content.xml",
        "epub": "META-INF/container.xml",
        "xlsx": "xl/workbook.xml",
    }[kind]
    entries = {"mimetype": "application/vnd.oasis.opendocument.text", part: LAUGHS + "<x>&k;</x>"}
    assert failure(extractor, b"a", zipped(entries)) == "the document declares entities"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://127.0.0.1:9/"])
def test_nothing_outside_of_a_document_is_read(extractor: Extractor, target: str) -> None:
    outside = (
        f'{XML}<!DOCTYPE x [<!ENTITY e SYSTEM "{target}">]><w:p xmlns:w="w"><w:t>&e;</w:t></w:p>'
    )
    assert (
        failure(extractor, b"a", zipped({"word/document.xml": outside}))
        == "the document declares entities"
    )
    external = f'{XML}<!DOCTYPE x SYSTEM "{target}"><w:p xmlns:w="w"><w:t>here</w:t></w:p>'
    document = extractor.extract(b"a", zipped({"word/document.xml": external}))
    assert document is not None
    assert document.text == "here\n\n"


def test_elements_without_end_are_refused(extractor: Extractor) -> None:
    deep = zipped({"word/document.xml": "<a>" * 1_000_000})
    assert failure(extractor, b"a", deep) == "the document is nested too deeply"


def test_a_zip_bomb_is_refused(extractor: Extractor) -> None:
    bomb = zipped({"word/document.xml": b"<a>" + bytes(64 * MIB)})
    assert len(bomb) < 100 * KIB
    assert "250 times" in failure(extractor, b"a.docx", bomb) or "broken" in failure(
        extractor, b"a", bomb
    )
    spaces = zipped({"word/document.xml": b"<a>" + b" " * (64 * MIB)})
    assert "250 times" in failure(extractor, b"a.docx", spaces)


def test_entries_that_share_their_bytes_are_counted_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb of the better kind: one compressed stream, named by many entries of the directory."""
    monkeypatch.setattr(archive, "UNPACKED_BYTES_MAX", 10 * MIB)
    page = random.Random(1).randbytes(MIB).hex()
    book = epub(*([page] * 20))
    with pytest.raises(ExtractionFailed, match="unpacks to more than 10 MiB"):
        documents.extract(b"a.epub", book, 100 * MIB)


def test_an_archive_in_an_archive_is_not_unpacked(extractor: Extractor) -> None:
    inner = docx(paragraph("zeppelin"))
    for _ in range(50):
        inner = zipped({"a.docx": inner})
    assert extractor.extract(b"a.zip", inner) is None


def test_gzip_within_gzip_is_unpacked_once(extractor: Extractor) -> None:
    assert extractor.extract(b"a.gz", gzip.compress(gzip.compress(b"words"))) is None


def test_a_gzip_bomb_is_unpacked_to_the_bound(extractor: Extractor) -> None:
    bomb = gzip.compress(b"words " * (50 * MIB), 1)
    document = extractor.extract(b"a.gz", bomb)
    assert document is not None
    assert document.is_cut
    assert len(document.text) == CHARS


def test_a_directory_of_too_many_entries_is_refused(extractor: Extractor) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as many:
        for number in range(archive.ENTRIES_MAX + 1):
            many.writestr(zipfile.ZipInfo(str(number)), b"")
    assert "too many entries" in failure(extractor, b"a.docx", buffer.getvalue())


def test_a_directory_that_claims_to_be_huge_is_refused(extractor: Extractor) -> None:
    data = bytearray(docx(paragraph("x")))
    end = data.rfind(b"PK\5\6")
    struct.pack_into("<I", data, end + 12, 0x7FFFFFFF)
    assert failure(extractor, b"a.docx", bytes(data))


def test_methods_that_no_document_uses_are_refused(extractor: Extractor) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("word/document.xml", "<a/>")
    assert "packed in a way" in failure(extractor, b"a.docx", buffer.getvalue())


def test_an_entry_that_lies_about_its_size_is_read_to_its_end_or_refused(
    extractor: Extractor,
) -> None:
    content = paragraph("word") * 20_000
    data = bytearray(docx(content))
    at = data.find(b"PK\1\2")
    struct.pack_into("<I", data, at + 24, 10)  # of the uncompressed size
    try:
        document = extractor.extract(b"a.docx", bytes(data))
    except ExtractionFailed:
        return
    assert document is not None
    assert len(document.text) <= CHARS


def test_an_archive_that_contains_itself_is_no_text(extractor: Extractor) -> None:
    """As a quine does: an entry whose bytes are the archive is never opened, so it needs no trick."""
    head = zipped({"r/r.zip": b""})
    assert extractor.extract(b"r.zip", zipped({"r/r.zip": head, "r/again.zip": head})) is None


def test_a_sheet_without_end_is_cut(extractor: Extractor) -> None:
    rng = random.Random(2)
    rows = "".join(f"<row><c><v>{rng.random()}</v></c></row>" for _ in range(200_000))
    document = extractor.extract(b"a.xlsx", xlsx(rows))
    assert document is not None
    assert document.is_cut
    assert len(document.text) == CHARS


def test_shared_strings_without_end_are_cut(extractor: Extractor) -> None:
    rng = random.Random(3)
    strings = "".join(f"<si><t>{rng.random()}</t></si>" for _ in range(100_000))
    rows = '<row><c t="s"><v>1</v></c><c t="s"><v>99999</v></c></row>'
    assert extractor.extract(b"a.xlsx", xlsx(rows, strings)) is not None


def test_a_paragraph_without_end_is_cut(extractor: Extractor) -> None:
    rng = random.Random(4)
    text = " ".join(str(rng.random()) for _ in range(100_000))
    for name, data in (
        (b"a.docx", docx(paragraph(text))),
        (b"a.odt", odt(f"<text:p>{text}</text:p>")),
    ):
        document = extractor.extract(name, data)
        assert document is not None
        assert (len(document.text), document.is_cut) == (CHARS, True)


@pytest.mark.parametrize(
    "html",
    [
        "<html>" + "<div>" * 200_000,
        "<html>" + "<a href=" * 50_000,
        "<html>" + "<!--" * 50_000,
        "<html>" + "&" * 200_000,
        "<html>" + "</" * 100_000,
        "<html>" + "<svg>" * 50_000 + "</svg>" * 50_000 + "end",
        "<!DOCTYPE html" + " " * 200_000,
        "<!--" + "-" * 200_000,
    ],
    ids=["nested", "attributes", "comments", "references", "ends", "unseen", "doctype", "dashes"],
)
def test_markup_without_end_takes_no_more_than_its_limits(extractor: Extractor, html: str) -> None:
    reason = outcome(extractor, b"a.html", html.encode())
    assert not reason or "of computing" in reason


def test_parts_within_parts_without_end_are_left(extractor: Extractor) -> None:
    mail = b"From: a\nMIME-Version: 1.0\n"
    nested = mail + b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(500)
    )
    reason = outcome(extractor, b"a.eml", nested)
    assert not reason or "RecursionError" in reason


def test_a_header_without_end_takes_no_time(extractor: Extractor) -> None:
    mail = b"From: a\nMIME-Version: 1.0\nSubject: " + b"=?utf-8?q?a?= " * 20_000 + b"\n\ntext\n"
    document = extractor.extract(b"a.eml", mail)
    assert document is not None
    assert len(document.title) <= 200


@pytest.mark.parametrize(
    "tree",
    [
        "/Kids [2 0 R] /Count 1",
        "/Kids [1 0 R] /Count 1",
        "/Kids [2 0 R 2 0 R 2 0 R] /Count 1000000",
        "/Kids 2 0 R /Count -1",
        "/Count 2147483647 /Kids []",
        "/Parent 2 0 R /Kids [5 0 R] /Count 99999999",
    ],
)
def test_a_pdf_whose_pages_go_round_in_a_circle_ends(extractor: Extractor, tree: str) -> None:
    data = pdf("words").replace(b"/Kids [5 0 R] /Count 1", tree.encode())
    reason = outcome(extractor, b"a.pdf", data)
    assert "died" not in reason


def test_a_pdf_whose_stream_is_a_bomb_takes_no_more_than_its_limits(extractor: Extractor) -> None:
    stream = zlib.compress(zlib.compress(bytes(256 * MIB), 9), 9)
    body = b"<< /Length %d /Filter [/FlateDecode /FlateDecode] >>\nstream\n" % len(stream)
    data = pdf("x").replace(
        b"<< /Length", body + stream + b"\nendstream\nendobj\n9 0 obj\n<< /Length", 1
    )
    try:
        extractor.extract(b"a.pdf", data)
    except ExtractionFailed:
        pass
    assert extractor.extract(b"a.pdf", pdf("words")) == Document("", "words")


def test_an_encrypted_pdf_says_so(extractor: Extractor) -> None:
    trailer = (
        b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -1 /O <"
        + b"00" * 32
        + b"> /U <"
        + b"00" * 32
        + b"> >>"
        b" /ID [<00> <00>] /Root"
    )
    data = pdf("words").replace(b"/Root", trailer)
    assert failure(extractor, b"a.pdf", data) == "the document is encrypted"


def test_a_pdf_whose_title_is_half_a_character_is_read_without(extractor: Extractor) -> None:
    data = pdf("words", title="T").replace(b"(T)", b"<FEFF0041D8000041>")
    assert extractor.extract(b"a.pdf", data) == Document("", "words")


def test_a_broken_pdf_says_so(extractor: Extractor) -> None:
    assert failure(extractor, b"a.pdf", b"%PDF-1.7\nnothing else\n") == "the document is broken"


def test_a_text_of_200_mib_is_refused_or_cut_as_configured(extractor: Extractor) -> None:
    text = b"words and words\n" * (200 * MIB // 16)
    assert "200 MiB" in failure(extractor, b"a.txt", text)
    roomy = Extractor(limits_for(256 * MIB)._replace(text_chars=CHARS))
    document = roomy.extract(b"a.txt", text)
    roomy.close()
    assert document is not None
    assert (len(document.text), document.is_cut) == (CHARS, True)


# --- longer, by night ------------------------------------------------------------------------------


@pytest.mark.night
def test_a_night_of_broken_files_breaks_nothing(extractor: Extractor) -> None:
    rng = random.Random(int(os.environ.get("VEXFS_TEST_SEED", "1")))
    names = list(FILES)
    for _ in range(20_000):
        data = bytearray(FILES[rng.choice(names)])
        for _ in range(rng.choice([1, 2, 8, 64])):
            at = rng.randrange(len(data))
            match rng.randrange(4):
                case 0:
                    data[at] = rng.randrange(256)
                case 1:
                    del data[at : at + rng.randrange(1, 64)]
                case 2:
                    data[at:at] = data[: rng.randrange(64)]
                case _:
                    other = FILES[rng.choice(names)]
                    data[at : at + 32] = other[at % len(other) : at % len(other) + 32]
            data = data or bytearray(b"x")
        reason = outcome(extractor, b"a." + rng.choice(EXTENSIONS), bytes(data))
        assert "no proper answer" not in reason
        assert "the parser failed" not in reason, (reason, bytes(data))
