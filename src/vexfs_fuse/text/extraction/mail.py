"""Mail as it is sent: what it is about, between whom, and what it says, attachments by their names."""

import re
from collections.abc import Iterator
from email import errors, message, parser, policy
from email.header import decode_header
from typing import Final

from vexfs_fuse.text.document import Document
from vexfs_fuse.text.extraction import web
from vexfs_fuse.text.extraction.encoding import decode, normalize

DEPTH_MAX: Final = 20
"""Messages and parts within each other."""

_FIELD: Final = re.compile(rb"([!-9;-~]{1,76}):[ \t]?[^\n]*\n(?:[ \t][^\n]*\n)*")
_SURE: Final = frozenset(
    (b"return-path", b"received", b"delivered-to", b"message-id", b"mime-version")
)
_FIELDS_MAX: Final = 100
_SHOWN: Final = ("From", "To", "Cc", "Date")


def is_this(kind: bytes, head: bytes) -> bool:
    """Say whether a text begins like a mail: with a field, and among the first ones one of every mail's."""
    names = list(_field_names(head.replace(b"\r\n", b"\n")))
    return bool(names) and (kind == b"eml" or (b"from" in names and not _SURE.isdisjoint(names)))


def extract(data: bytes, chars_max: int) -> Document:
    """Return a mail's text after who wrote to whom and when; its subject is the title."""
    mail = parser.BytesParser(policy=policy.compat32).parsebytes(data)
    head = [f"{name}: {_field(mail, name)}" for name in _SHOWN if mail[name]]
    parts = ["\n".join(head), *_bodies(mail, chars_max, 0)]
    text = "\n\n".join(filter(None, (part.strip("\n") for part in parts))) + "\n"
    return Document(_field(mail, "Subject"), text[:chars_max], is_cut=len(text) > chars_max)


def _field_names(head: bytes) -> Iterator[bytes]:
    at = 0
    for _ in range(_FIELDS_MAX):
        field = _FIELD.match(head, at)
        if field is None:
            return
        yield field[1].lower()
        at = field.end()


def _bodies(part: message.Message, chars_max: int, depth: int) -> Iterator[str]:
    """Yield the texts of a part and of those within it; of alternatives, the plainest."""
    if depth > DEPTH_MAX:
        return
    if part.is_multipart():
        within = [each for each in part.get_payload() if isinstance(each, message.Message)]
        if part.get_content_subtype() == "alternative":
            plain = [each for each in within if each.get_content_type() == "text/plain"]
            within = plain or within
        if part.get_content_type() == "message/rfc822":
            yield from (f"Subject: {_field(each, 'Subject')}" for each in within)
        for each in within:
            yield from _bodies(each, chars_max, depth + 1)
        return
    if name := part.get_filename():
        yield f"Attachment: {_decoded(name)}"
    if part.get_content_maintype() == "text":
        yield _text(part, chars_max)


def _text(part: message.Message, chars_max: int) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    if part.get_content_subtype() == "html":
        page = web.extract(payload, chars_max)
        return "" if page is None else re.sub("\n{3,}", "\n\n", page.text)
    return decode(payload, chars_max, declared=part.get_content_charset() or "") or ""


def _field(mail: message.Message, name: str) -> str:
    return _decoded(str(mail.get(name, "")))


def _decoded(value: str) -> str:
    """Return a header field as one line, its encoded words decoded as far as they can be."""
    try:
        parts = decode_header(value)
    except errors.HeaderParseError:
        parts = [(value, None)]
    words = [
        part if isinstance(part, str) else decode(part, len(part), declared=charset or "") or ""
        for part, charset in parts
    ]
    return " ".join(normalize("".join(words)).split())
