"""What `.results.*` say of names that no screen shows."""

import json

from hypothesis import given
from hypothesis import strategies as st

from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.vfs.search.results import ResultSet
from vexfs_fuse.volume.hits import Hit, Outcome, Part, Scores
from vexfs_fuse.volume.query import Query


def test_a_hit_is_one_line_whatever_its_name() -> None:
    hit = Hit(Inode(7), b"a/one\ntwo\xff.txt", 0.5, None, False)
    outcome = Outcome([hit], "names", None, "", None, 1, None)
    results = ResultSet(Query(), (b"word",), ROOT, outcome, {})
    assert results.text().splitlines()[1:] == [b"   1    0.5000  a/one?two\xff.txt"]
    (line,) = results.jsonl().splitlines()[1:]
    assert json.loads(line)["path"].encode(errors="surrogateescape") == hit.path


@given(
    path=st.binary(min_size=1, max_size=40),
    score=st.floats(allow_nan=False, allow_infinity=False),
    distance=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    stale=st.booleans(),
    part=st.none() | st.builds(Part, st.just(3), st.just(1), st.just(9), st.text(max_size=20)),
    scores=st.none() | st.builds(Scores, st.none() | st.just(0.25), st.none() | st.just(-7.5)),
)
def test_a_line_is_what_a_json_encoder_makes(
    path: bytes,
    score: float,
    distance: float | None,
    stale: bool,
    part: Part | None,
    scores: Scores | None,
) -> None:
    hit = Hit(Inode(7), path, score, distance, stale, scores, part)
    outcome = Outcome([hit], "ann", "default", "", 60, 1, 0.97)
    results = ResultSet(Query(), (b"word",), ROOT, outcome, {})
    for line in results.jsonl().splitlines():
        assert json.dumps(json.loads(line)).encode() == line
    told = json.loads(results.jsonl().splitlines()[1])
    assert told["path"].encode(errors="surrogateescape") == path
    assert (told["score"], told["distance"], told["stale"]) == (score, distance, stale)
    assert (scores is not None) == ("excerpt" in told)
    if scores is not None:
        assert told["excerpt"] == (None if part is None else part.excerpt)
