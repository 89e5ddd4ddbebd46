"""Documents made by hand, as small as their formats allow, so that tests can break them as they like."""

import gzip
import io
import zipfile
from collections.abc import Mapping
from typing import Final

OFFICE: Final = "http://schemas.openxmlformats.org/"
WORD: Final = f"{OFFICE}wordprocessingml/2006/main"
TEXT: Final = "urn:oasis:names:tc:opendocument:xmlns:"


def zipped(entries: Mapping[str, str | bytes]) -> bytes:
    """Return a zip archive of these entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def core(title: str) -> str:
    """Return the properties of an Office document."""
    return (
        '<cp:coreProperties xmlns:cp="urn:c" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>{title}</dc:title></cp:coreProperties>"
    )


def docx(body: str, title: str = "", **more: str) -> bytes:
    """Return a Word document with this body; `more` are further parts below word/."""
    parts: dict[str, str | bytes] = {
        "word/document.xml": f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>',
        "docProps/core.xml": core(title),
    }
    for name, notes in more.items():
        parts[f"word/{name}.xml"] = f'<w:{name} xmlns:w="{WORD}">{notes}</w:{name}>'
    return zipped(parts)


def paragraph(text: str, style: str = "") -> str:
    """Return a paragraph of a Word document."""
    styled = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{styled}<w:r><w:t>{text}</w:t></w:r></w:p>"


def pptx(*slides: str, notes: dict[int, str] | None = None) -> bytes:
    """Return a presentation whose slides each have this text."""
    drawing = f'xmlns:p="{OFFICE}presentationml/2006/main" xmlns:a="{OFFICE}drawingml/2006/main"'
    parts: dict[str, str | bytes] = {"ppt/presentation.xml": f"<p:presentation {drawing}/>"}
    for number, text in enumerate(slides, start=1):
        content = (
            f'<p:sld {drawing}><p:sp><p:nvPr><p:ph type="title"/></p:nvPr>'
            f"<a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sp></p:sld>"
        )
        parts[f"ppt/slides/slide{number}.xml"] = content
    for number, text in (notes or {}).items():
        content = f"<p:notes {drawing}><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:notes>"
        parts[f"ppt/notesSlides/notesSlide{number}.xml"] = content
    return zipped(parts)


def xlsx(rows: str, strings: str = "", sheet: str = "Animals") -> bytes:
    """Return a workbook of one sheet."""
    main = f'xmlns="{OFFICE}spreadsheetml/2006/main"'
    related = f'xmlns:r="{OFFICE}officeDocument/2006/relationships"'
    return zipped(
        {
            "xl/workbook.xml": f'<workbook {main} {related}><sheets><sheet name="{sheet}" r:id="k1"/>'
            "</sheets></workbook>",
            "xl/_rels/workbook.xml.rels": '<Relationships><Relationship Id="k1"'
            ' Target="worksheets/sheet1.xml"/></Relationships>',
            "xl/sharedStrings.xml": f"<sst {main}>{strings}</sst>",
            "xl/worksheets/sheet1.xml": f"<worksheet {main}><sheetData>{rows}</sheetData></worksheet>",
        }
    )


def odt(body: str, title: str = "", manifest: str = "<manifest/>") -> bytes:
    """Return a text document of OpenDocument."""
    names = (
        f'xmlns:office="{TEXT}office:1.0" xmlns:text="{TEXT}text:1.0" xmlns:table="{TEXT}table:1.0"'
    )
    return zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": f"<office:document-content {names}><office:body><office:text>{body}"
            "</office:text></office:body></office:document-content>",
            "meta.xml": f'<m xmlns:dc="urn:dc"><dc:title>{title}</dc:title></m>',
            "META-INF/manifest.xml": manifest,
        }
    )


def epub(*chapters: str, title: str = "") -> bytes:
    """Return a book; its parts stand in the archive in the opposite order of the chapters."""
    numbers = range(1, len(chapters) + 1)
    items = "".join(f'<item id="c{n}" href="text/chapter%20{n}.xhtml"/>' for n in numbers)
    spine = "".join(f'<itemref idref="c{n}"/>' for n in numbers)
    parts: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OPS/book.opf"/>'
        "</rootfiles></container>",
        "OPS/book.opf": f'<package xmlns:dc="urn:dc"><metadata><dc:title>{title}</dc:title></metadata>'
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>",
    }
    for number in reversed(numbers):
        page = f"<html><body><p>{chapters[number - 1]}</p></body></html>"
        parts[f"OPS/text/chapter {number}.xhtml"] = page
    return zipped(parts)


def pdf(*pages: str, title: str = "", extra: str = "") -> bytes:
    """Return a PDF file with a line of text on each page; `extra` are further entries of its catalogue."""
    kids = " ".join(f"{5 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {extra} >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Title ({title}) >>",
    ]
    for number, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {6 + 2 * number} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1")
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    return body + (
        f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n"
        f"<< /Size {len(objects) + 1} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    ).encode("latin-1")


MAIL: Final = b"""\
Return-Path: <ann@example.org>
From: =?utf-8?q?Ann_=C3=89?= <ann@example.org>
To: Bob <bob@example.org>
Date: Mon, 3 Feb 2025 10:00:00 +0100
Message-ID: <1@example.org>
Subject: =?iso-8859-1?q?Rotation_of_l=F6gs?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b1"

--b1
Content-Type: multipart/alternative; boundary="b2"

--b2
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

The zeppelin gr=FC=DFt the quagga.
--b2
Content-Type: text/html; charset=utf-8

<p>The zeppelin in HTML</p>
--b2--
--b1
Content-Type: message/rfc822

From: Carl <carl@example.org>
Subject: Within

Nested words.
--b1
Content-Type: application/pdf; name="report.pdf"
Content-Disposition: attachment; filename="report.pdf"
Content-Transfer-Encoding: base64

JVBERi0=
--b1--
"""

HTML: Final = b"""\
<!DOCTYPE html>
<html><head><title>Rotation
 of logs</title><style>p { color: red }</style>
<meta name="description" content="About journals"><script>var hidden = "<p>no</p>";</script></head>
<body><h1>Rotation</h1>
<p>The <b>zep</b>pelin &amp; the&nbsp;quagga<br>on
two lines</p><!-- a remark
of two lines --><img src="x.png" alt="A striped animal">
<ul><li>one<li>two</ul><pre>kept   here</pre>
</body></html>
"""

MANUAL: Final = rb""".\" A comment
.TH ZEPPELIN 1 "2025-01-01" "1.0" "User Commands"
.SH NAME
zeppelin \- rotate the \fIlogs\fR
.SH SYNOPSIS
.B zeppelin
[\fB\-\-keep\fR=\fIN\fR]
.SH DESCRIPTION
.PP
Keeps \(lqold\(rq journals; see
.BR logrotate (8).
.TP
\fB\-k\fR
How many.
"""

MARKDOWN: Final = b"""\
---
tags: [logs]
---

```sh
# not a heading
```

## The *rotation* of [logs](x.md) ##

The zeppelin keeps seven.
"""

DOCUMENTS: Final[dict[str, bytes]] = {
    "a.txt": b"The zeppelin keeps seven weeks of journals.\n",
    "a.py": b"def zeppelin():\n    return 7\n",
    "a.md": MARKDOWN,
    "a.html": HTML,
    "a.eml": MAIL,
    "a.1": MANUAL,
    "a.1.gz": gzip.compress(MANUAL, mtime=0),
    "a.docx": docx(paragraph("Rotation", "Title") + paragraph("The zeppelin keeps seven weeks.")),
    "a.pptx": pptx("Rotation of logs", "The zeppelin", notes={2: "Say quagga"}),
    "a.xlsx": xlsx(
        '<row><c t="s"><v>0</v></c><c><v>4</v></c></row>'
        '<row><c t="inlineStr"><is><t>zeppelin</t></is></c></row>',
        "<si><t>qua</t><t>gga</t></si>",
    ),
    "a.odt": odt('<text:h text:outline-level="1">Rotation</text:h><text:p>The zeppelin</text:p>'),
    "a.epub": epub("The zeppelin.", "The quagga.", title="Rotation"),
    "a.pdf": pdf("The zeppelin", "The quagga", title="Rotation"),
}
"""One of each format that is read."""
