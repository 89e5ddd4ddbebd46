"""The arithmetic of ranking quality."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import quality
from vexfs_fuse.vfs.search.grammar import parse


def test_the_gain_of_a_rank_is_discounted_by_its_logarithm() -> None:
    grades = {7: 3.0, 8: 1.0}
    ideal = 3 + 1 / math.log2(3)
    assert quality.ndcg([7, 8], grades) == pytest.approx(1)
    assert quality.ndcg([1, 7], grades) == pytest.approx(3 / math.log2(3) / ideal)
    assert quality.ndcg([], grades) == 0


def test_recall_counts_what_is_relevant_at_all() -> None:
    assert quality.recall([1, 2, 3], {2: 1.0, 9: 2.0, 3: 0.0}) == 0.5


@given(text=st.text(st.characters(codec="utf-8", exclude_characters='"\0'), min_size=1))
def test_a_question_of_any_text_is_a_path(text: str) -> None:
    if not text.split():
        return
    names = quality.segments(text)
    assert all(len(name) <= 255 and "/" not in name for name in names if " " in text)
    words = [
        word for part in parse(tuple(map(str.encode, names[:32])), 0).words for word in part.split()
    ]
    assert words == text.split()[: len(words)]


def test_a_collection_is_read(tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl").write_text(
        '{"id": "a", "title": "T", "text": "x y"}\n{"id": "b", "title": "U", "text": "z"}\n'
    )
    (tmp_path / "queries.jsonl").write_text('{"id": "1", "text": "q"}\n{"id": "2", "text": "r"}\n')
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\tb\t2\n2\ta\t0\n")
    found = quality.read(tmp_path)
    assert found.texts == ["T\n\nx y\n", "U\n\nz\n"]
    assert (found.questions, found.grades["1"]) == ({"1": "q"}, {1: 2.0})
