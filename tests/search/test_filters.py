"""Each segment through a mount: what it finds, and what is refused."""

import errno
import os
import time
from functools import partial
from pathlib import Path

import pytest

from tests.support.persons import ALICE, acting_as
from tests.support.searching import NEAREST, asked, found, listed, make_files, results
from tests.support.syscalls import refused
from tests.support.vectors import attribute, make_space, raw

VECTORS = {
    "query": (1.0, 0.0, 0.0, 0.0),
    "notes/log rotation.md": (0.9, 0.1, 0.0, 0.0),
    "notes/rotating.TXT": (0.8, 0.2, 0.0, 0.0),
    "pictures/log@home.png": (0.7, 0.3, 0.0, 0.0),
    "pictures/100%.jpg": (0.6, 0.4, 0.0, 0.0),
    "README": (0.5, 0.5, 0.0, 0.0),
}
LOG, ROTATING, HOME, PERCENT, README = list(VECTORS)[1:]


@pytest.fixture
def files(mount: Path) -> Path:
    make_files(mount, VECTORS)
    os.truncate(mount / LOG, 5_000)
    os.truncate(mount / PERCENT, 2_000_000)
    os.utime(mount / README, (0, 0))
    os.setxattr(mount / HOME, "user.place", b"home")
    return mount


FOUND = {
    "k=2": [LOG, ROTATING],
    "ext=md": [LOG],
    "ext=txt": [ROTATING],
    "ext=md,png": [LOG, HOME],
    "type=text%2Fmarkdown": [LOG],
    "type=image%2F*": [HOME, PERCENT],
    "type=image%2Fpng": [HOME],
    "name=*g*": [LOG, ROTATING, HOME, PERCENT],
    "name=README": [README],
    "name=[lr]og*": [LOG, HOME],
    "since=1d": [LOG, ROTATING, HOME, PERCENT],
    "until=1970-01-01": [README],
    "since=1971-01-01": [LOG, ROTATING, HOME, PERCENT],
    "until=7d": [README],
    "size=>1M": [PERCENT],
    "size=>=5000": [LOG, PERCENT],
    "size=5000": [LOG],
    "size=<1K": [ROTATING, HOME, README],
    "size=>999999999T": [],
    "since=999999999y": [LOG, ROTATING, HOME, PERCENT, README],
    "has=log": [LOG, HOME],
    "not=log": [ROTATING, PERCENT, README],
    "xattr=place:home": [HOME],
    "xattr=user.place:home": [HOME],
    "xattr=place:away": [],
    "mode=exact": [LOG, ROTATING, HOME, PERCENT, README],
    "mode=vector": [LOG, ROTATING, HOME, PERCENT, README],
    "min=0.9": [LOG, ROTATING, HOME],
    "log rotation": [LOG],
    "ROTAT": [LOG, ROTATING],
    "nothing like it": [],
}


@pytest.mark.parametrize("segment", FOUND)
def test_a_segment_filters_the_nearest(files: Path, segment: str) -> None:
    assert found(files, NEAREST, segment) == FOUND[segment]


def test_what_root_alone_may_know_of_a_file_is_no_answer_to_others(files: Path) -> None:
    os.setxattr(files / HOME, "trusted.secret", b"1234")
    for near in ([NEAREST], []):
        assert found(files, *near, "xattr=trusted.secret:1234") == [HOME]
        guess = partial(found, files, *near)
        assert acting_as(ALICE, partial(guess, "xattr=place:home")) == [HOME]
        assert acting_as(ALICE, partial(guess, "xattr=trusted.secret:1234")) == []


@pytest.mark.parametrize("segment", [s for s in FOUND if not s.startswith(("min=", "mode=", "k="))])
def test_a_segment_filters_what_names_find_just_so(files: Path, segment: str) -> None:
    everything = set(found(files, segment))
    assert everything - {"query"} == set(FOUND[segment])


def test_segments_are_joined_by_and_in_any_order(files: Path) -> None:
    assert found(files, NEAREST, "has=log", "ext=md") == [LOG]
    assert found(files, "ext=png", NEAREST, "log") == [HOME]
    assert found(files, "ext=md", "ext=png") == []


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        ("like=pictures%2Flog%40home.png", HOME),
        ("like=pictures@log%40home.png", HOME),
        ("like=pictures@100%25.jpg", PERCENT),
        ("like=notes@log rotation.md", LOG),
    ],
)
def test_like_names_a_file_by_its_path(files: Path, segment: str, name: str) -> None:
    hits = found(files, segment)
    assert len(hits) == 5
    assert name not in hits, "a file is not like itself"


def test_names_are_ranked_by_how_much_of_them_was_asked_for(files: Path) -> None:
    assert found(files, "log") == [LOG, HOME] or found(files, "log") == [HOME, LOG]
    header, lines = results(files, "readme")
    assert (header["plan"], header["exact"], header["space"]) == ("names", True, None)
    assert (lines[0]["path"], lines[0]["score"]) == (README, 1.0)
    assert found(files, "text=log rotation", "ext=md") == [LOG]


def test_text_that_looks_like_an_option_is_text(files: Path) -> None:
    (files / "k=5.txt").touch()
    assert found(files, "text=k=5") == ["k=5.txt"]
    assert found(files, "100%25") == [PERCENT]
    assert found(files, "a=b") == []


@pytest.mark.parametrize(
    "segment",
    ["k=0", "k=x", "min=x", "ext=", "type=x", "since=x", "until=x", "size=x", "mode=x", "xattr=x",
     "100%", "name=", "like=", "vec=", "space="],
)  # fmt: skip
def test_a_bad_value_is_refused_when_it_is_looked_up(files: Path, segment: str) -> None:
    for call in (os.stat, os.listdir):
        with refused(errno.EINVAL):
            call(asked(files, segment))
        with refused(errno.EINVAL):
            call(asked(files, NEAREST, segment))


def test_what_does_not_fit_together_is_refused(files: Path) -> None:
    for segments in (
        ["space=default"],
        ["mode=exact"],
        [NEAREST, "vec=a"],
        [NEAREST, "k=1", NEAREST],
    ):
        with refused(errno.EINVAL):
            listed(files, *segments)


def test_like_a_file_that_is_not_there_is_an_error(files: Path) -> None:
    for segment in ("like=nobody", "like=notes@nobody", "like=README@x"):
        with refused(errno.ENOENT):
            listed(files, segment)
    with refused(errno.ENODATA):
        listed(files, "like=notes")
    (files / "bare").touch()
    with refused(errno.ENODATA):
        listed(files, "like=bare")


def test_a_space_without_vectors_has_no_data(files: Path) -> None:
    space = files.name
    with refused(errno.ENODATA):
        listed(files, NEAREST, f"space={space}")
    make_space(files.parent, space, 3)
    with refused(errno.ENODATA):
        listed(files, NEAREST, f"space={space}")
    for name, numbers in {"query": (1, 0, 0), README: (1, 0, 1), LOG: (0, 1, 0)}.items():
        os.setxattr(files / name, attribute(space), raw(*numbers))
    assert found(files, NEAREST, f"space={space}") == [README, LOG]
    assert results(files, NEAREST, f"space={space}")[0]["space"] == space


def test_nothing_that_matches_is_an_empty_directory(files: Path) -> None:
    assert listed(files, NEAREST, "ext=none") == []
    header, lines = results(files, NEAREST, "ext=none")
    assert (header["hits"], header["candidates"], lines) == (0, 0, [])
    assert listed(files) == []


def test_an_age_moves_with_the_clock(files: Path) -> None:
    os.utime(files / README, (time.time() - 3, time.time() - 3))
    assert README in found(files, NEAREST, "since=1m")
    assert README not in found(files, NEAREST, "since=1s")


def test_links_are_made_from_wherever_the_question_is(files: Path) -> None:
    for segments in ([NEAREST], [NEAREST, "k=9"], ["log", "ext=md", NEAREST]):
        links = asked(files, *segments, ".links")
        for name in os.listdir(links):
            assert (links / name).resolve().relative_to(files.resolve()) in map(Path, VECTORS)


@pytest.mark.parametrize("kept", [1, 3, 40, 400])
def test_k_hits_whatever_a_filter_leaves(mount: Path, kept: int) -> None:
    make_files(mount, {"query": (1, 0, 0, 0)})
    step = 400 // kept
    make_files(
        mount, {f"{i:03}.{'md' if i % step == 0 else 'txt'}": (1, i / 50, 0, 0) for i in range(400)}
    )
    wanted = [f"{i:03}.md" for i in range(0, 400, step)]
    assert found(mount, NEAREST, "ext=md", "k=5") == wanted[:5]
    assert found(mount, NEAREST, "name=*.md", f"k={len(wanted)}") == wanted


LINKS = {
    "near": "query",
    "notes/near": "../query",
    "round": "notes/./near",
    "way": "notes",
    "out": "../query",
    "whole": "/query",
    "loop": "loop",
    "nowhere": "none",
}


def test_like_follows_links_within_the_scope(files: Path) -> None:
    for link, target in LINKS.items():
        (files / link).symlink_to(target)
    for path in ("near", "notes@near", "round", "way@near", "way@..@query"):
        if ".." in path:
            with refused(errno.ENOENT):
                listed(files, f"like={path}")
        else:
            assert found(files, f"like={path}") == found(files, NEAREST)
    for path in ("out", "whole", "loop", "nowhere", "notes@near@x", "near@.", "."):
        with refused(errno.ENOENT):
            listed(files, f"like={path}")
    with refused(errno.ENOENT):
        listed(files / "notes", "like=near")


def test_as_many_links_are_followed_as_elsewhere(files: Path) -> None:
    (files / "l0").symlink_to("query")
    for number in range(1, 41):
        (files / f"l{number}").symlink_to(f"l{number - 1}")
    (files / "l39").stat()
    assert found(files, "like=l39") == found(files, NEAREST)
    for act in (lambda: (files / "l40").stat(), lambda: listed(files, "like=l40")):
        with refused(errno.ELOOP, errno.ENOENT):
            act()
