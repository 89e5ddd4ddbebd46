"""Byte ranges against sets of integers."""

from hypothesis import given
from hypothesis import strategies as st

from vexfs_fuse.volume import runs as r

SPACE = 24
ranges = st.tuples(st.integers(0, SPACE), st.integers(1, SPACE)).map(lambda p: (p[0], p[0] + p[1]))
steps = st.lists(st.tuples(st.booleans(), ranges), max_size=12)


@given(steps, ranges)
def test_runs_answer_like_a_set_of_integers(
    steps: list[tuple[bool, tuple[int, int]]], asked: tuple[int, int]
) -> None:
    runs: r.Runs = []
    model: set[int] = set()
    for adding, (start, end) in steps:
        span = set(range(start, end))
        if adding:
            assert r.cover(runs, start, end) == len(span - model)
            model |= span
        else:
            assert r.uncover(runs, start, end) == len(span & model)
            model -= span
        assert runs == sorted(set(runs)), "runs neither touch nor are empty"
    span = set(range(*asked))
    assert r.holds(runs, *asked) == (span <= model)
    assert r.overlaps(runs, *asked) == bool(span & model)
    assert [b for part in r.parts(runs, *asked) for b in range(*part)] == sorted(span & model)
    start = asked[0]
    assert r.first_from(runs, start) == min((b for b in model if b >= start), default=None)
    assert r.end_from(runs, start) == min(set(range(start, 3 * SPACE)) - model)
    assert [b for part in r.gaps(runs, *asked) for b in range(*part)] == sorted(span - model)
