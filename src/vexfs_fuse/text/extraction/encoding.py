"""From bytes to characters: which encoding a text is in, and whether it is a text at all."""

import codecs
import re
from typing import Final

from charset_normalizer import from_bytes

from vexfs_fuse.text.extraction.textual import is_binary, unicode_encoding

SAMPLE_BYTES: Final = 64 * 1024
"""What an encoding is judged by."""

LEGACY: Final = (
    *(
        "cp1252",
        "cp1250",
        "cp1251",
        "cp1253",
        "cp1254",
        "cp1255",
        "cp1256",
        "koi8_r",
        "koi8_u",
        "cp866",
    ),
    *("iso8859_2", "iso8859_5", "iso8859_7", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"),
)
"""What texts were written in before UTF-8; all that a detector could think of makes it err more often."""

_DECLARABLE: Final = frozenset(
    codecs.lookup(name).name
    for name in (
        *(*LEGACY, "iso8859_1", "iso8859_3", "iso8859_4", "iso8859_6", "iso8859_8", "iso8859_9"),
        *(
            "iso8859_10",
            "iso8859_13",
            "iso8859_14",
            "iso8859_15",
            "cp437",
            "cp850",
            "cp874",
            "cp932",
        ),
        *("cp949", "cp950", "cp1257", "cp1258", "mac_roman", "gb2312", "gbk", "tis_620"),
    )
)
"""What a document may say of itself: encodings of text, all of them loaded here."""

_PUNCTUATION: Final = (
    "\u20ac\xa3\xb0\xa7\u2019\u2018\u201c\u201d\u201e\u2013\u2014\u2026\u2022\xab\xbb\xa0"
)
_WESTERN: Final = (
    *("àâæçèéêëîïñôùûüÿœ", "äöüß", "áàâãçéêíóôõúüñ¿¡ºª", "åäöæøéü", "àèéìòù", "áâéêëïôöûüó"),
)
_CENTRAL: Final = ("ąćęłńóśźż", "áäčďéěíĺľňóôŕřšťúůýž", "áéíóöőúüű", "čćđšž", "ăâîşţ")
_LATIN: Final = {
    "cp1252": _WESTERN,
    "cp1250": _CENTRAL,
    "iso8859_2": _CENTRAL,
    "cp1254": ("âçğıîöşûü",),
}
"""What letters beside the English ones each language of an encoding has.

The detector confuses these encodings; but hardly a text misread is within the letters of *one* language.
"""

_NOT_TEXT: Final = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffe\uffff]")
_TERMINAL: Final = re.compile("\x1b\\[[0-9;?]*[A-Za-z]|.\b")
"""Colours, and letters that are struck over for bold type."""

_SEQUENCE: Final = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{1,3}")


def decode(data: bytes, chars_max: int, declared: str = "") -> str | None:
    """Return the beginning of a text, at most `chars_max` characters; None for what is no text.

    `declared` is the encoding that it is said to have, which counts unless it is UTF-8 without doubt.
    Lines are separated by line feeds, whatever they were separated by.
    """
    data = data[: 4 * chars_max]
    encoding = detect(data[:SAMPLE_BYTES], is_whole=len(data) <= SAMPLE_BYTES, declared=declared)
    if encoding is None:
        return None
    return normalize(data.decode(encoding, "replace"))[:chars_max]


def normalize(text: str) -> str:
    """Return the text with line feeds only, and without characters that nobody sees."""
    if "\x1b" in text or "\b" in text:
        text = _TERMINAL.sub("", text)
    text = text.replace("\r\n", "\n")
    if "\r" in text:
        text = text.replace("\r", " " if "\n" in text else "\n")
    return _NOT_TEXT.sub(" ", text.replace("\ufeff", ""))


def detect(sample: bytes, *, is_whole: bool = True, declared: str = "") -> str | None:
    """Return the encoding of a text by its beginning; None when it is no text."""
    if encoding := unicode_encoding(sample):
        return encoding
    if is_binary(sample):
        return None
    if b"\x1b$B" in sample or b"\x1b$@" in sample:
        return "iso2022_jp"
    if _is_utf_8(sample, is_whole):
        return "utf-8"
    return declared if _is_text_encoding(declared) else _legacy(sample)


def _is_text_encoding(name: str) -> bool:
    try:
        return codecs.lookup(name).name in _DECLARABLE
    except (LookupError, ValueError):  # a name with a zero in it
        return False


def _is_utf_8(sample: bytes, is_whole: bool) -> bool:
    """Say whether UTF-8 is meant: a few bytes of something else do not make a log another encoding."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=is_whole)
    except UnicodeDecodeError:
        good = sum(len(sequence) for sequence in _SEQUENCE.findall(sample))
        high = len(sample) - len(sample.translate(None, bytes(range(0x80, 0x100))))
        return good > 0.9 * high
    return True


def _legacy(sample: bytes) -> str:
    best = from_bytes(sample, cp_isolation=list(LEGACY)).best()
    guess = best.encoding if best is not None else "cp1252"
    if guess not in _LATIN:
        return guess
    return max(_LATIN, key=lambda encoding: (_usual(sample, encoding), encoding == guess))


def _usual(sample: bytes, encoding: str) -> int:
    """Return how many characters of the sample belong to the language that has most of them."""
    text = sample.translate(None, bytes(range(0x80))).decode(encoding, "replace").lower()
    counts = {character: text.count(character) for character in set(text)}
    return max(
        sum(count for character, count in counts.items() if character in letters + _PUNCTUATION)
        for letters in _LATIN[encoding]
    )
