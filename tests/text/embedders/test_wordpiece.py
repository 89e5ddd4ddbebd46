"""WordPiece: what becomes of text, character by character and word by word."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vexfs_fuse.errors import CorruptData
from vexfs_fuse.text.embedders.wordpiece import CHARACTERS_MAX, WORD_CHARACTERS_MAX, WordPiece

PIECES = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "log", "##s", "##rot", "##ate", "rotate"),
    *("un", "##aff", "##able", "cafe", "zoe", ",", ".", "日", "本", "a", "##a", "$", "["),
    *("]", "mask", "i", "strasse", "##😀", "😀", "ß", "1", "##2"),
]
TOKENIZER = WordPiece("\n".join([*PIECES, ""]).encode())


def pieces(text: str, tokens_max: int = 256) -> list[str]:
    first, *inner, last = (PIECES[token] for token in TOKENIZER.encode(text, tokens_max))
    assert (first, last) == ("[CLS]", "[SEP]")
    return inner


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n\r\v\f\u00a0\u2003\u3000\u2028", []),
        ("log logs", ["log", "log", "##s"]),
        ("LogRotate", ["log", "##rot", "##ate"]),
        ("unaffable", ["un", "##aff", "##able"]),
        ("log,rotate.", ["log", ",", "rotate", "."]),
        ("a$a", ["a", "$", "a"]),
        ("Café CAFE\u0301", ["cafe", "cafe"]),
        ("Zoë", ["zoe"]),
        ("İ", ["i"]),
        ("ß", ["ß"]),
        ("日本log", ["日", "本", "log"]),
        ("lo\u200bg lo\xadg l\0og lo\ufffdg", ["log", "log", "log", "log"]),
        ("log\u2009log", ["log", "log"]),
        ("😀log", ["[UNK]"]),
        ("😀😀", ["😀", "##😀"]),
        ("12", ["1", "##2"]),
        ("unknown", ["[UNK]"]),
        ("logx", ["[UNK]"]),
        ("[MASK]", ["[", "mask", "]"]),
        ("\ud800log", ["log"]),
    ],
)
def test_words_are_cut_as_published(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


def test_a_word_beyond_the_limit_is_one_unknown_piece() -> None:
    assert pieces("a" * WORD_CHARACTERS_MAX) == ["a"] + ["##a"] * (WORD_CHARACTERS_MAX - 1)
    assert pieces("a" * (WORD_CHARACTERS_MAX + 1)) == ["[UNK]"]
    assert pieces("a" * 10_000) == ["[UNK]"]


def test_what_has_no_place_is_cut_off() -> None:
    assert pieces("log " * 10_000, 256) == ["log"] * 254
    assert pieces("logs " * 10, 7) == ["log", "##s", "log", "##s", "log"]
    assert pieces("logs", 3) == ["log"]
    assert pieces("logs", 2) == []


def test_what_lies_beyond_the_looked_at_characters_is_not_there() -> None:
    assert pieces(" " * CHARACTERS_MAX + "log") == []


def test_a_vocabulary_without_the_special_pieces_is_damaged() -> None:
    with pytest.raises(CorruptData, match=r"lacks \[CLS\], \[SEP\]"):
        WordPiece(b"[UNK]\nlog\n")
    with pytest.raises(CorruptData, match="the vocabulary"):
        WordPiece(b"\xff\xfe")


texts = st.text(st.characters(), max_size=400)


@given(texts, st.integers(2, 64))
@example("ab" * 60, 5)
def test_tokens_are_of_the_vocabulary_and_no_more_than_asked(text: str, tokens_max: int) -> None:
    tokens = TOKENIZER.encode(text, tokens_max)
    assert 2 <= len(tokens) <= tokens_max
    assert all(0 <= token < len(PIECES) for token in tokens)
    inner = tokens[1:-1]
    assert not {PIECES.index("[CLS]"), PIECES.index("[SEP]"), PIECES.index("[MASK]")} & set(inner)


@given(texts)
def test_a_shorter_limit_cuts_the_same_tokens(text: str) -> None:
    assert TOKENIZER.encode(text, 20)[:-1] == TOKENIZER.encode(text, 64)[:-1][:19]


@given(st.lists(st.sampled_from(["log", "rotate", "unaffable", "日", "xyz", "a,a"]), max_size=20))
def test_words_do_not_depend_on_the_space_between_them(words: list[str]) -> None:
    assert pieces(" ".join(words)) == pieces("\n \t".join(words))
    assert pieces(" ".join(words)) == [piece for word in words for piece in pieces(word)]
