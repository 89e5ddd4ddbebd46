"""Passages hold the whole document, within their bounds, and say where they stand in it."""

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vexfs_fuse.text.document import Document, Passage
from vexfs_fuse.text.passages import (
    OVERLAP_PIECES_MAX,
    PASSAGE_PIECES_MAX,
    WORD_PIECES_MAX,
    count_pieces,
    embedded_text,
    passages,
)

MILLION = 1_000_000

words = st.text(
    st.sampled_from("ab-_.;(é\u4eba\u751f\u3002\ud55c\u0e01\u200b\U0001f600"),
    min_size=1,
    max_size=12,
)
gaps = st.sampled_from(
    [" ", " ", " ", " ", "\n", "\n", "\n\n", " \n  ", "\t", "\x0c", "\x0b", "\x85", "\u2028"]
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Text of words and gaps, some of it repeated many times so that several passages are needed."""
    text = ""
    for _ in range(draw(st.integers(0, 12))):
        line = "".join(draw(st.lists(st.one_of(words, gaps), max_size=12)))
        text += line * draw(st.sampled_from([1, 1, 1, 2, 30])) + draw(gaps)
    return text


def cut(text: str) -> list[Passage]:
    return passages(Document("", text))


def span(text: str, passage: Passage) -> tuple[int, int]:
    """Where the passage stands, by what it says of its lines alone."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    begin = text.index(passage.text, starts[passage.first_line - 1])
    return begin, begin + len(passage.text)


@given(texts())
def test_a_passage_stands_in_the_lines_that_it_names(text: str) -> None:
    lines = text.split("\n")
    for passage in cut(text):
        named = lines[passage.first_line - 1 : passage.last_line]
        assert passage.text in "\n".join(named)
        assert passage.text.count("\n") == passage.last_line - passage.first_line
        assert passage.text == passage.text.strip()


@given(texts())
@example("a " * 2_000)
@example("a\n" * 2_000)
@example("\n\n".join(["word " * 50] * 20))
def test_passages_hold_all_that_is_not_space_in_its_order(pattern: str) -> None:
    # words are made to differ, and short enough that one is in a passage as a whole
    number = itertools.count()
    text = re.sub(r"\S+", lambda word: f"{next(number)}.{word[0][:80]}", pattern)
    reached = 0
    for passage in cut(text):
        begin, end = span(text, passage)
        assert not text[reached:begin].strip()
        assert reached < end
        reached = end
    assert not text[reached:].strip()


@given(texts())
def test_every_word_is_in_a_passage_as_a_whole(text: str) -> None:
    found = {word for passage in cut(text) for word in passage.text.split()}
    joined = "\n".join(passage.text for passage in cut(text))
    for word in text.split():
        assert word in found or count_pieces(word) > WORD_PIECES_MAX or _has_ideograph(word), word
        assert count_pieces(word) > WORD_PIECES_MAX or _has_ideograph(word) or word in joined


def _has_ideograph(word: str) -> bool:
    return bool(re.search("[\u3040-\u9fff\uac00-\ud7af]", word))


@given(texts())
@example("x" * 5_000)
@example("\u4eba" * 5_000)
@example("- " * 5_000)
def test_a_passage_is_no_longer_than_a_model_reads(text: str) -> None:
    assert all(0 < count_pieces(passage.text) <= PASSAGE_PIECES_MAX for passage in cut(text))


@given(texts())
def test_passages_are_numbered_from_one_in_the_order_of_the_lines(text: str) -> None:
    found = cut(text)
    assert [passage.number for passage in found] == list(range(1, len(found) + 1))
    for former, latter in itertools.pairwise(found):
        assert former.first_line <= latter.first_line
        assert former.last_line <= latter.last_line


@given(texts())
def test_no_more_passages_than_their_size_asks_for(text: str) -> None:
    least = PASSAGE_PIECES_MAX // 4
    assert len(cut(text)) <= 1 + count_pieces(text) // (least - OVERLAP_PIECES_MAX)


def test_a_short_text_is_one_passage() -> None:
    text = "Keep the logs.\n\nThen rotate them.\n"
    assert cut(text) == [Passage(1, 1, 3, text.strip())]


def test_prose_makes_passages_of_about_170_words() -> None:
    prose = "The old logs are kept for a week and are then removed from the server by a script.\n"
    counts = [len(passage.text.split()) for passage in cut(prose * 200)]
    assert all(150 <= count <= 210 for count in counts[:-1])


def test_neighbours_share_some_words() -> None:
    text = " ".join(f"w{number}" for number in range(500))
    found = cut(text)
    for former, latter in itertools.pairwise(found):
        shared = set(former.text.split()) & set(latter.text.split())
        assert 0 < count_pieces(" ".join(shared)) <= OVERLAP_PIECES_MAX


def test_what_is_left_for_the_last_two_is_shared_evenly() -> None:
    text = " ".join(["word"] * (PASSAGE_PIECES_MAX + 10))
    former, latter = (count_pieces(passage.text) for passage in cut(text))
    assert abs(former - latter) <= OVERLAP_PIECES_MAX


def test_a_passage_ends_with_a_paragraph_rather_than_within_one() -> None:
    first, second = "one " * 150, "two " * 150
    former, latter = cut(f"{first}\n\n{second}")
    assert former.text == first.strip()
    assert latter.text.endswith(second.strip())


def test_a_heading_begins_a_passage_rather_than_ends_one() -> None:
    text = "one " * 190 + "\n# Rotation\n" + "two " * 190
    assert cut(text)[0].text == ("one " * 190).strip()


@pytest.mark.parametrize(
    "text",
    [
        "x" * MILLION,
        "aB1-" * (MILLION // 4),
        "\u4eba\u751f" * (MILLION // 2),
        "\n" * MILLION + "end",
        " " * MILLION + "end",
        " \n" * MILLION + "end",
        "\r" * MILLION + "end",
        "- " * (MILLION // 2),
    ],
    ids=[
        "one-word",
        "symbols",
        "ideographs",
        "empty-lines",
        "spaces",
        "blank-lines",
        "returns",
        "dashes",
    ],
)
def test_a_megabyte_of_anything_is_cut_within_its_bounds(text: str) -> None:
    found = cut(text)
    assert found[-1].last_line == text.count("\n") + 1
    assert all(count_pieces(passage.text) <= PASSAGE_PIECES_MAX for passage in found)
    assert sum(len(passage.text) for passage in found) < 2 * len(text)


@pytest.mark.parametrize("text", ["", "\n", " \t\n\x0c\n", "\n" * 1_000])
def test_a_text_without_words_has_no_passages(text: str) -> None:
    assert cut(text) == []


def test_a_passage_is_embedded_after_the_title() -> None:
    assert embedded_text("Logs", Passage(2, 5, 9, "Rotate them.")) == "Logs\nRotate them."


@pytest.mark.parametrize("text", ["# Logs\n\nRotate them.", "Logs\nRotate them."])
def test_a_title_is_not_embedded_twice(text: str) -> None:
    assert embedded_text("Logs", Passage(1, 1, 3, text)) == text


def test_without_a_title_a_passage_is_embedded_as_it_is() -> None:
    assert embedded_text("", Passage(1, 1, 1, "Rotate them.")) == "Rotate them."
