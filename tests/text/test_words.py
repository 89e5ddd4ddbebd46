"""What a question asks of the full text, and that no question is a syntax error."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vexfs_fuse.text import words

HOSTILE = st.sampled_from(
    ['"', '""', "NEAR(a b, 3)", "a AND", "NOT b", "title:x", "{a b} : c", "^a", "a*", "+", "-", "(", ")",
     "a OR OR b", "'", ";--", "\\", "a:b", "col : ", "naïve", "\0", "\ud800", "日本", "_", "a\u0300"]
)  # fmt: skip
QUESTIONS = st.lists(HOSTILE | st.text(max_size=20), max_size=6).map(" ".join)


@pytest.fixture(scope="module")
def full_text() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE VIRTUAL TABLE t USING fts5 (title, text, tokenize='porter unicode61')"
    )
    connection.execute("INSERT INTO t VALUES ('a', 'b naïve')")
    return connection


@given(question=QUESTIONS)
def test_no_question_is_a_syntax_error(full_text: sqlite3.Connection, question: str) -> None:
    asked = words.read(question)
    expressions = [asked.any_of, words.phrase(question), *map(words.phrase, asked.phrases)]
    for expression in expressions:
        if expression:
            full_text.execute("SELECT rowid FROM t WHERE t MATCH ?", (expression,)).fetchall()


def test_words_that_say_nothing_do_not_count() -> None:
    assert words.read("how do I rotate the logs").terms == ("rotate", "logs")


def test_a_question_of_such_words_alone_asks_for_them() -> None:
    assert words.read("To be, or not to be").terms == ("to", "be", "or", "not")


def test_what_stands_in_quotes_must_be_there() -> None:
    assert words.read('the "log rotation" of "syslog"').phrases == ("log rotation", "syslog")


def test_a_quote_that_is_not_closed_is_none() -> None:
    assert words.read('6" pipes').phrases == ()


def test_so_many_words_count() -> None:
    question = " ".join(f"word{number}" for number in range(words.TERMS_MAX + 9))
    assert len(words.read(question).terms) == words.TERMS_MAX
