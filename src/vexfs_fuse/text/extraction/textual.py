"""Whether bytes are a text, by what every text has or lacks; loads nothing, so that anybody may ask."""

import codecs
from typing import Final

CONTROL_SHARE_MAX: Final = 0.02
"""More control characters than this are no text; terminals' escapes and backspaces do not count."""

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins like the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_CONTROL: Final = bytes({*range(0x20), 0x7F} - {*b"\b\t\n\x0b\x0c\r\x1b"})


def is_binary(sample: bytes) -> bool:
    """Say whether bytes are surely no text: NUL without being UTF-16, or many control characters."""
    return unicode_encoding(sample) is None and (
        b"\0" in sample
        or len(sample) - len(sample.translate(None, _CONTROL)) > CONTROL_SHARE_MAX * len(sample)
    )


def unicode_encoding(sample: bytes) -> str | None:
    """Return the encoding that a byte order mark tells, or the zeros of UTF-16 in Latin letters."""
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding
    if b"\0" not in sample:
        return None
    half = len(sample) // 2
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd > 0.3 * half and even < 0.01 * half:
        return "utf-16-le"
    if even > 0.3 * half and odd < 0.01 * half:
        return "utf-16-be"
    return None
