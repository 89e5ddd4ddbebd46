"""WordPiece, the tokenizer of BERT without case: text to the numbers of pieces of words.

Knows the vocabulary and the rules for cutting; nothing of models.  The rules are those of the published
tokenizer: control characters are dropped, case and accents folded, punctuation and ideographs stand
alone, and each word is cut into the longest pieces that the vocabulary has, from its beginning.
"""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Final

from vexfs_fuse.errors import CorruptData

REVISION: Final = "wordpiece-1"
"""Changes with anything here that changes the pieces of a text."""
WORD_CHARACTERS_MAX: Final = 100
"""A longer word is one unknown piece, as published."""
CHARACTERS_MAX: Final = 64 * 1024
"""Of a text that are looked at; far more than the pieces that any model takes."""
WORDS_KEPT: Final = 20_000
"""Words whose pieces are kept in memory."""

_FIRST, _LAST, _UNKNOWN = "[CLS]", "[SEP]", "[UNK]"
_INSIDE: Final = "##"
_IDEOGRAPHS: Final = (
    range(0x3400, 0x4DC0),
    range(0x4E00, 0xA000),
    range(0xF900, 0xFB00),
    range(0x20000, 0x2A6E0),
    range(0x2A700, 0x2B740),
    range(0x2B740, 0x2B820),
    range(0x2B820, 0x2CEB0),
    range(0x2F800, 0x2FA20),
)
_DROPPED: Final = frozenset({"Mn", "Cc", "Cf", "Co", "Cs"})
"""Accents that have been taken off their letters, and control characters."""
_ASCII_PUNCTUATION: Final = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
"""With `$`, `+`, `<` and others that Unicode calls symbols."""


class WordPiece:
    """A tokenizer with the vocabulary of a model.

    `vocabulary` is the file that was published with the model: a piece a line, its number the line's,
    from 0.  Raises `CorruptData` if it lacks what no text can do without.
    """

    def __init__(self, vocabulary: bytes) -> None:
        try:
            pieces = vocabulary.decode().split("\n")
        except UnicodeDecodeError as error:
            raise CorruptData(f"the vocabulary: {error}") from None
        self._numbers = {piece: number for number, piece in enumerate(pieces) if piece}
        missing = {_FIRST, _LAST, _UNKNOWN} - self._numbers.keys()
        if missing:
            raise CorruptData(f"the vocabulary lacks {', '.join(sorted(missing))}")
        self._longest = max(map(len, self._numbers))
        self._characters = _Characters()
        self._pieces = lru_cache(WORDS_KEPT)(self._cut)

    def encode(self, text: str, tokens_max: int) -> list[int]:
        """Return the numbers of a text's pieces between those of its begin and end.

        What has no place in `tokens_max`, which is at least 2, is cut off.
        """
        room = tokens_max - 2
        tokens = [self._numbers[_FIRST]]
        # Each word is a piece at least, so that words beyond the room change nothing.
        for word in islice(self.words(text), room):
            tokens += self._pieces(word)
            if len(tokens) > room:
                break
        return [*tokens[: room + 1], self._numbers[_LAST]]

    def words(self, text: str) -> Iterator[str]:
        """Yield the words of a text, in lower case and without accents."""
        plain = unicodedata.normalize("NFD", text[:CHARACTERS_MAX].lower())
        yield from plain.translate(self._characters).split()

    def _cut(self, word: str) -> tuple[int, ...]:
        """Return the pieces of a word: the longest that fits, again and again."""
        unknown = (self._numbers[_UNKNOWN],)
        if len(word) > WORD_CHARACTERS_MAX:
            return unknown
        pieces: list[int] = []
        start = 0
        while start < len(word):
            prefix = _INSIDE if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                number = self._numbers.get(prefix + word[start:end])
                if number is not None:
                    break
            else:
                return unknown
            pieces.append(number)
            start = end
        return tuple(pieces)


class _Characters(dict[int, str]):
    """What becomes of each character, for `str.translate`; found out when one is first met."""

    def __missing__(self, code: int) -> str:
        self[code] = made = _replacement(chr(code))
        return made


def _replacement(character: str) -> str:
    category = unicodedata.category(character)
    if character in "\t\n\r" or category[0] == "Z":
        return " "
    if category in _DROPPED or character == "\ufffd":
        return ""
    if category[0] == "P" or character in _ASCII_PUNCTUATION or _is_ideograph(character):
        return f" {character} "
    return character


def _is_ideograph(character: str) -> bool:
    return any(ord(character) in block for block in _IDEOGRAPHS)
