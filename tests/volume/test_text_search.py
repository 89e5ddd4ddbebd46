"""Questions in words, answered in one process: what is found, by whom, and what has changed meanwhile."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stores import ROOT_USER
from tests.support.texts import NOBODY, Texts
from vexfs_fuse.errors import (
    CorruptData,
    EmbedderFailed,
    InvalidArgument,
    ModelMissing,
    NoAttribute,
)
from vexfs_fuse.pending import Pending
from vexfs_fuse.units import ROOT
from vexfs_fuse.volume import text_search
from vexfs_fuse.volume.attributes import Attributes
from vexfs_fuse.volume.check import check


@pytest.fixture
def texts(tmp_path: Path) -> Iterator[Texts]:
    texts = Texts(tmp_path)
    yield texts
    assert check(texts.volume) == []
    texts.close()


@pytest.fixture
def wordy(tmp_path: Path) -> Iterator[Texts]:
    """Without a model."""
    texts = Texts(tmp_path, model=False)
    yield texts
    assert check(texts.volume) == []
    texts.close()


def test_words_and_meaning_find_together(texts: Texts) -> None:
    texts.add(b"a", "the kitten sleeps")
    texts.add(b"b", "a sleeping automobile")
    texts.add(b"c", "bread")
    outcome = texts.ask("cat sleeps")
    assert [hit.path for hit in outcome.hits[:2]] == [b"a", b"b"]
    assert (outcome.mode, outcome.fallback, outcome.model) == ("hybrid", None, "a-model")


def test_meaning_alone_finds_what_has_none_of_the_words(texts: Texts) -> None:
    texts.add(b"a", "feline")
    texts.add(b"b", "the cat")
    texts.add(b"c", "a loaf")
    outcome = texts.ask("kitten", "mode=vector")
    assert {hit.path for hit in outcome.hits[:2]} == {b"a", b"b"}
    assert outcome.hits[0].score == pytest.approx(1.0)
    assert outcome.mode == "vector"


def test_words_alone_find_only_what_has_them(texts: Texts) -> None:
    texts.add(b"a", "feline")
    texts.add(b"b", "the cats")
    assert texts.found("cat", "mode=text") == ["b"]


def test_has_and_not_are_about_texts_and_names(wordy: Texts) -> None:
    wordy.add(b"a", "rotate the logs", "keep four weeks")
    wordy.add(b"b", "rotate the tyres")
    wordy.add(b"weeks.txt", "rotate")
    assert wordy.found("rotate", "has=weeks") == ["weeks.txt", "a"]
    assert wordy.found("rotate", "not=weeks") == ["b"]
    assert wordy.found("has=the tyres") == ["b"]
    assert wordy.found("not=rotate") == []
    assert wordy.found("has=rotate", "has=keep") == ["a"]


def test_what_is_quoted_must_be_there_in_this_order(wordy: Texts) -> None:
    wordy.add(b"a", "the log rotation of today")
    wordy.add(b"b", "rotation log")
    assert wordy.found('"log rotation" today') == ["a"]


def test_words_beside_a_vector_must_all_be_there(texts: Texts) -> None:
    texts.add(b"like", "cat")
    texts.add(b"a", "feline with whiskers")
    texts.add(b"b", "kitten")
    assert texts.found("like=like", "space=text") == ["a", "b"]
    assert texts.found("like=like", "space=text", "whiskers feline") == ["a"]
    assert texts.found("like=like", "space=text", "not=whiskers") == ["b"]


def test_filters_apply(wordy: Texts) -> None:
    wordy.add(b"a.md", "log")
    wordy.add(b"b.txt", "log")
    assert wordy.found("log", "ext=md") == ["a.md"]
    assert wordy.found("log", "name=b*") == ["b.txt"]


def test_only_what_is_below_is_found(wordy: Texts) -> None:
    below = wordy.directory(b"d")
    wordy.add(b"a", "log")
    wordy.add(b"b", "log", parent=below)
    assert wordy.found("log") == ["a", "d/b"]
    assert wordy.found("log", scope=below) == ["b"]


@pytest.mark.parametrize("mode", ["text", "hybrid", "vector"])
def test_k_files_are_found_that_the_caller_may_see_behind_others(
    texts: Texts, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(text_search, "PASSAGES", 2)
    closed = texts.directory(b"closed", 0o700)
    for number in range(20):
        texts.add(b"secret%d" % number, "cat cat cat", parent=closed)
        texts.add(b"private%d" % number, "cat cat", mode=0o600)
    texts.add(b"one", "a cat among many other things that are said here")
    texts.add(b"two", "and yet another cat")
    found = texts.found("cat", f"mode={mode}", "k=2", who=NOBODY)
    assert sorted(found) == ["one", "two"]


def test_hidden_files_do_not_scale_scores(texts: Texts) -> None:
    texts.add(b"one", "a cat among many")
    alone = texts.ask("cat", who=NOBODY).hits
    texts.add(b"secret", "cat", mode=0o600)
    assert texts.ask("cat", who=NOBODY).hits[0].score == alone[0].score


def test_without_a_model_words_decide_and_the_answer_says_so(wordy: Texts) -> None:
    wordy.add(b"a", "the cat")
    outcome = wordy.ask("cat")
    assert [hit.path for hit in outcome.hits] == [b"a"]
    assert (outcome.mode, outcome.fallback) == ("text", "no model for text is installed")
    with pytest.raises(ModelMissing):
        wordy.ask("cat", "mode=vector")


def test_when_the_embedder_fails_words_decide(texts: Texts) -> None:
    texts.add(b"a", "the cat")
    assert texts.questions is not None
    texts.questions.failure = EmbedderFailed("it is still starting")
    outcome = texts.ask("cat")
    assert [hit.path for hit in outcome.hits] == [b"a"]
    assert (outcome.mode, outcome.fallback) == (
        "text",
        "the embedder failed: it is still starting",
    )
    with pytest.raises(EmbedderFailed):
        texts.ask("cat", "mode=vector")


def test_models_are_never_mixed(texts: Texts) -> None:
    texts.add(b"a", "the cat")
    assert texts.questions is not None
    texts.questions.fingerprint = "another"
    assert "not of another" in str(texts.ask("cat").fallback)
    with pytest.raises(NoAttribute):
        texts.ask("cat", "mode=exact")


def test_words_are_not_searched_for_in_other_spaces(texts: Texts) -> None:
    with pytest.raises(InvalidArgument):
        texts.ask("cat", "space=default")


def test_a_passage_tells_its_lines(texts: Texts) -> None:
    texts.add(b"a", "nothing here\nat all", "first\nthen the kitten\nend")
    (hit,) = texts.ask("kitten").hits
    assert hit.part is not None
    assert (hit.part.line, hit.part.first_line, hit.part.last_line) == (21, 20, 29)
    assert hit.part.excerpt == "then the kitten end"
    (hit,) = texts.ask("feline").hits  # which is not there by word
    assert hit.part is not None
    assert hit.part.first_line == 20


def test_names_are_found_by_words_and_parts_of_them(wordy: Texts) -> None:
    wordy.add(b"logrotate.conf", "weekly")
    wordy.add(b"ls.1", "list")
    wordy.add(b"MyReport2026.pdf")
    assert wordy.found("rotate") == ["logrotate.conf"]
    assert wordy.found("ls") == ["ls.1"]
    assert wordy.found("report") == ["MyReport2026.pdf"]


def test_a_name_with_all_the_words_beats_a_text_with_few(wordy: Texts) -> None:
    wordy.add(b"log-rotation.md", "log rotation")
    wordy.add(b"x", "log rotation")
    assert wordy.found("log rotation") == ["log-rotation.md", "x"]


@pytest.mark.parametrize("steps", range(2))
def test_what_happens_while_a_search_runs_counts_at_once(texts: Texts, steps: int) -> None:
    removed, renamed = texts.add(b"removed", "cat cat"), texts.add(b"renamed", "cat")
    closed, stays = texts.add(b"closed", "cat cat"), texts.add(b"stays", "cat")
    answer = texts.begin("cat", who=NOBODY)
    for _ in range(steps):
        answer = answer.resume(answer.work())
    assert isinstance(answer, Pending)
    texts.vfs.unlink(ROOT, b"removed", ROOT_USER)
    texts.vfs.rename(ROOT, b"renamed", ROOT, b"elsewhere", 0, ROOT_USER)
    texts.volume.attributes.set(texts.volume.tree.node(closed), Attributes(mode=0o600), ROOT_USER)
    hits = texts.mounted.finish(answer).hits
    assert {(hit.ino, hit.path) for hit in hits} == {(renamed, b"elsewhere"), (stays, b"stays")}
    assert removed


def test_a_question_of_no_words_finds_nothing_by_text(wordy: Texts) -> None:
    wordy.add(b"a", "log")
    assert wordy.found("???") == []
    assert wordy.found("has=???") == []


def test_a_damaged_index_is_an_error_without_a_model_and_a_word_with_one(
    texts: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts.add(b"a", "cat")

    def match(*_: object) -> None:
        raise CorruptData("text index: torn")

    monkeypatch.setattr(texts.lookup, "match", match)
    outcome = texts.ask("kitten")
    assert [hit.path for hit in outcome.hits] == [b"a"]
    assert (outcome.mode, outcome.fallback) == (
        "vector",
        "stored data are damaged: text index: torn",
    )
    with pytest.raises(CorruptData):
        texts.ask("cat", "mode=text")


def test_many_files_that_match_are_ranked_as_their_counts_of_words_say(wordy: Texts) -> None:
    order = list(range(1, 30))
    random.Random(5).shuffle(order)
    for count in order:
        wordy.add(b"%02d" % count, " ".join(["log"] * count + ["other"] * (40 - count)))
    assert wordy.found("log", "k=5") == ["29", "28", "27", "26", "25"]
