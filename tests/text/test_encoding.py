"""Texts are read whatever they were written in, and what is no text is told from them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.text.languages import ARTICLES
from vexfs_fuse.text.extraction.encoding import decode, detect, normalize
from vexfs_fuse.text.extraction.textual import is_binary

CHARS = 100_000
UNICODE = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]
LEGACY = [
    (language, encoding) for language, (_, encodings) in ARTICLES.items() for encoding in encodings
]


@pytest.mark.parametrize("encoding", UNICODE)
@pytest.mark.parametrize("language", ARTICLES)
def test_unicode_is_read_in_every_form(language: str, encoding: str) -> None:
    text = ARTICLES[language][0]
    assert decode(text.encode(encoding), CHARS) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "tr"])
def test_utf_16_without_a_mark_is_read_where_letters_are_latin(
    language: str, encoding: str
) -> None:
    text = ARTICLES[language][0]
    assert decode(text.encode(encoding), CHARS) == text


@pytest.mark.parametrize(("language", "encoding"), LEGACY)
@pytest.mark.parametrize("times", [1, 5])
def test_what_was_written_before_unicode_is_read(language: str, encoding: str, times: int) -> None:
    text = "\n".join([ARTICLES[language][0]] * times)
    assert decode(text.encode(encoding), CHARS) == text


def test_a_log_with_a_few_foreign_bytes_is_still_utf_8() -> None:
    line = "grüße aus köln\n".encode()
    text = decode(line * 100 + b"stra\xdfe\n", CHARS)
    assert text == "grüße aus köln\n" * 100 + "stra\ufffde\n"


def test_a_character_on_the_border_of_the_sample_is_whole() -> None:
    text = "x" * 65_535 + "ü" + "x" * 10
    assert decode(text.encode(), CHARS) == text


@pytest.mark.parametrize("size", [64, 1_000, 100_000])
def test_random_bytes_are_no_text(size: int) -> None:
    assert decode(random.Random(size).randbytes(size), CHARS) is None


@pytest.mark.parametrize(
    "head",
    [
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"\xff\xd8\xff\xe0\0\x10JFIF",
        b"GIF89a\x01\0\x01\0\x80\0\0",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16),
        b"SQLite format 3\0",
    ],
    ids=["elf", "png", "jpeg", "gif", "ole", "sqlite"],
)
def test_files_that_programs_read_are_no_text(head: bytes) -> None:
    assert is_binary(head)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=300))
def test_every_text_without_control_characters_is_one(text: str) -> None:
    assert decode(text.encode(), CHARS) == normalize(text)


@given(st.binary(max_size=500), st.integers(0, 50))
def test_any_bytes_are_decoded_within_the_bound_or_not_at_all(data: bytes, chars: int) -> None:
    text = decode(data, chars)
    assert text is None or (len(text) <= chars and not {"\r", "\0", "\x1b"} & set(text))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a\r\nb\r\n", "a\nb\n"),
        ("a\rb\r", "a\nb\n"),
        ("10%\r20%\rdone\nnext", "10% 20% done\nnext"),
        ("\x1b[1;31merror\x1b[0m: no", "error: no"),
        ("N\bNA\bAM\bME\bE", "NAME"),
        ("_\bf_\bi_\bl_\be", "file"),
        ("a\ufeffb\x01c", "ab c"),
    ],
)
def test_lines_end_alike_and_nothing_invisible_stays(raw: str, text: str) -> None:
    assert normalize(raw) == text


def test_a_guess_does_not_depend_on_what_follows_the_sample() -> None:
    assert detect(b"plain") == "utf-8"
    assert decode(b"plain " * 20_000 + b"\xff\xfe", 1_000) == ("plain " * 200)[:1_000]
