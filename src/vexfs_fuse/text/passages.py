"""Cuts a document into passages that fit what a model reads at once; knows no model and no file format.

Sizes are counted in *pieces*: about the tokens that a WordPiece vocabulary makes of a text.  Words would
not do: a word of prose is 1.2 tokens, a word of source code 2.5, and all of a Chinese sentence is one.
"""

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, NamedTuple

from vexfs_fuse.text.document import Document, Passage

PASSAGE_PIECES_MAX: Final = 210
"""About 170 words of English prose; with a title they stay below the 256 tokens that MiniLM reads."""

OVERLAP_PIECES_MAX: Final = 40
"""What a passage repeats of the one before, so that a sentence on the border is whole in one of them."""

WORD_PIECES_MAX: Final = 100
"""A longer run without a space is cut anywhere: an encoded picture, a script that has no spaces."""

PARAGRAPH_SHARE: Final = 0.6
"""A passage ends early, with a paragraph, if it then has this part of the size that it could have."""

_CHUNK_PIECES_MAX: Final = 20
_SENTENCE_PIECES_MIN: Final = 6

_IDEOGRAPH: Final = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_LINE: Final = re.compile(r"\S[^\n]*")
_WORD: Final = re.compile(rf"[{_IDEOGRAPH}]|[^\s{_IDEOGRAPH}]+")
_PIECE: Final = re.compile(r"[A-Za-z\u00c0-\u024f]{1,8}|\d{1,3}|\S")
_SENTENCE_ENDS: Final = ".!?:;\u3002\uff01\uff1f"


class _Chunk(NamedTuple):
    """The least that is moved as a whole: a short line, or a sentence or a few words of a long one."""

    start: int
    end: int
    line: int
    pieces: int
    opens: bool  # a paragraph


def passages(document: Document) -> list[Passage]:
    """Return the document's passages in the order of its text, none for a text without words.

    Each is a slice of the text of at most `PASSAGE_PIECES_MAX` pieces.  Every word is in one of them as
    a whole, unless it is longer than `WORD_PIECES_MAX`.
    """
    text = document.text
    return [
        Passage(number, chunks[0].line, chunks[-1].line, text[chunks[0].start : chunks[-1].end])
        for number, chunks in enumerate(_runs(_chunks(text)), start=1)
    ]


def embedded_text(title: str, passage: Passage) -> str:
    """Return what is embedded for a passage: its text, after the title unless it begins with that."""
    if not title or title in passage.text[: 2 * len(title)]:
        return passage.text
    return f"{title}\n{passage.text}"


def count_pieces(text: str) -> int:
    """Return the size of a text in pieces."""
    return sum(1 for _ in _PIECE.finditer(text))


def _runs(chunks: Iterator[_Chunk]) -> Iterator[list[_Chunk]]:
    """Yield the chunks of each passage; the last two share evenly what is left for them."""
    window: list[_Chunk] = []
    repeated = size = 0
    for chunk in chunks:
        window.append(chunk)
        size += chunk.pieces
        if size > 2 * PASSAGE_PIECES_MAX:
            yield (run := window[: _end(window, repeated, PASSAGE_PIECES_MAX)])
            repeated = _overlap(run)
            window = window[len(run) - repeated :]
            size = sum(chunk.pieces for chunk in window)
    while size > PASSAGE_PIECES_MAX:
        aim = min(PASSAGE_PIECES_MAX, (size + OVERLAP_PIECES_MAX) // 2)
        yield (run := window[: _end(window, repeated, aim)])
        repeated = _overlap(run)
        window = window[len(run) - repeated :]
        size = sum(chunk.pieces for chunk in window)
    if len(window) > repeated:
        yield window


def _end(window: list[_Chunk], repeated: int, aim: int) -> int:
    """Return how many chunks make the next passage: at least one that is not `repeated`."""
    count, paragraph = repeated + 1, 0
    for fitting, size in enumerate(accumulate(chunk.pieces for chunk in window), start=1):
        if size > aim:
            break
        count = max(count, fitting)
        follower = window[fitting : fitting + 1]
        if size >= aim * PARAGRAPH_SHARE and follower and follower[0].opens:
            paragraph = fitting
    return max(paragraph, repeated + 1) if paragraph else count


def _overlap(run: list[_Chunk]) -> int:
    """Return how many chunks at the end of a passage the next one repeats; never all of them."""
    count = size = 0
    for chunk in reversed(run[1:]):
        size += chunk.pieces
        if size > OVERLAP_PIECES_MAX:
            break
        count += 1
    return count


def _chunks(text: str) -> Iterator[_Chunk]:
    line, seen, opens = 1, 0, True
    for match in _LINE.finditer(text):
        start = match.start()
        gap = text.count("\n", seen, start)
        line += gap
        seen = start
        opens = opens or gap > 1 or text[start] == "#"
        for begin, end, pieces in _split(match[0].rstrip()):
            yield _Chunk(start + begin, start + end, line, pieces, opens)
            opens = False


def _split(line: str) -> Iterator[tuple[int, int, int]]:
    """Yield begin, end and pieces of a line's chunks, which together hold all that is not space."""
    pieces = count_pieces(line)
    if pieces <= _CHUNK_PIECES_MAX:
        yield 0, len(line), pieces
        return
    begin = end = pieces = 0
    for start, stop, size in _words(line):
        if pieces and (
            pieces + size > _CHUNK_PIECES_MAX
            or (pieces >= _SENTENCE_PIECES_MIN and line[end - 1] in _SENTENCE_ENDS)
        ):
            yield begin, end, pieces
            begin, pieces = start, 0
        end = stop
        pieces += size
    yield begin, end, pieces


def _words(line: str) -> Iterator[tuple[int, int, int]]:
    """Yield begin, end and pieces of each word; of the pieces of one that is too long."""
    for match in _WORD.finditer(line):
        start, stop = match.span()
        size = 1 if stop - start == 1 else count_pieces(match[0])
        if size <= WORD_PIECES_MAX:
            yield start, stop, size
        else:
            for piece in _PIECE.finditer(line, start, stop):
                yield *piece.span(), 1
