"""What segments say: every option at its good and bad values, and text that survives any disguise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.units import NS_PER_S
from vexfs_fuse.vfs.search.grammar import (
    K_MAX,
    OPTION_NAMES,
    SEGMENTS_MAX,
    add,
    decode,
    encode,
    is_hit,
    is_temporary,
    of_vector,
    parse,
    vector_of,
)
from vexfs_fuse.volume.query import Query

NOW_NS = 1_767_225_600 * NS_PER_S
"""2026-01-01."""

DAY_NS = 86_400 * NS_PER_S
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def asked(*segments: str) -> Query:
    return parse(tuple(segment.encode() for segment in segments), NOW_NS)


@given(TEXTS)
def test_any_text_can_be_asked_for(text: str) -> None:
    segment = encode(text.encode())
    assert b"/" not in segment
    assert b"\0" not in segment
    assert not segment.startswith(b".")
    assert not is_hit(segment)
    assert not is_temporary(segment)
    assert parse((segment,), NOW_NS) == Query(words=(text,))


@given(st.sampled_from(OPTION_NAMES), TEXTS)
def test_text_that_looks_like_an_option_can_be_asked_for(option: str, text: str) -> None:
    looks = f"{option}={text}"
    assert parse((encode(looks.encode()),), NOW_NS) == Query(words=(looks,))


@given(st.binary(min_size=1))
def test_bytes_that_are_encoded_are_decoded(data: bytes) -> None:
    assert decode(encode(data).removeprefix(b"text=")) in (data, data.removeprefix(b"text="))


@given(st.binary(max_size=40))
def test_no_segment_is_worse_than_invalid(segment: bytes) -> None:
    try:
        parse((segment,), NOW_NS)
    except InvalidArgument:
        pass


VALUES = st.text(max_size=12) | st.sampled_from("0123456789-+.ed_*[:").map(
    lambda each: each * 9_000
)


@given(st.sampled_from(OPTION_NAMES), VALUES)
def test_no_value_is_worse_than_invalid(option: str, value: str) -> None:
    try:
        parse((f"{option}={value}".encode(),), NOW_NS)
    except InvalidArgument:
        pass


GOOD = {
    "log rotation": Query(words=("log rotation",)),
    "text=k=5": Query(words=("k=5",)),
    "a%2Fb%25": Query(words=("a/b%",)),
    "tag=x": Query(words=("tag=x",)),
    "k=1": Query(k=1),
    f"k={K_MAX}": Query(k=K_MAX),
    "k=007": Query(k=7),
    "min=0.35": Query(min_score=0.35),
    "min=-1": Query(min_score=-1.0),
    "min=1e-3": Query(min_score=0.001),
    "ext=md": Query(extensions=(frozenset({b"md"}),)),
    "ext=.MD,txt": Query(extensions=(frozenset({b"md", b"txt"}),)),
    "type=text%2Fmarkdown": Query(types=("text/markdown",)),
    "type=Text%2FHTML": Query(types=("text/html",)),
    "type=image%2F*": Query(types=("image/*",)),
    "name=*.m?": Query(names=(b"*.m?",)),
    "since=7d": Query(since_ns=NOW_NS - 7 * DAY_NS),
    "since=90m": Query(since_ns=NOW_NS - 5_400 * NS_PER_S),
    "since=2026-01-01": Query(since_ns=NOW_NS),
    "since=2026-01-01T01:00:00+01:00": Query(since_ns=NOW_NS),
    "until=2025-12-31": Query(until_ns=NOW_NS - 1_000),
    "until=20251231": Query(until_ns=NOW_NS - 1_000),
    "until=2026-01-01T00:00:00": Query(until_ns=NOW_NS),
    "until=1w": Query(until_ns=NOW_NS - 7 * DAY_NS),
    "size=>1M": Query(size_min=(1 << 20) + 1),
    "size=>=1k": Query(size_min=1 << 10),
    "size=<64K": Query(size_max=(64 << 10) - 1),
    "size=<=1G": Query(size_max=1 << 30),
    "size=4096": Query(size_min=4096, size_max=4096),
    "has=word": Query(has=("word",)),
    "not=draft": Query(without=("draft",)),
    "vec=mine": Query(vec="mine"),
    "like=photo.jpg": Query(like=b"photo.jpg"),
    "like=a@b": Query(like=b"a/b"),
    "like=a%2Fb": Query(like=b"a/b"),
    "like=a%40b": Query(like=b"a@b"),
    "vector=AACAPw==": Query(vector="AACAPw=="),
    "vector=__+-": Query(vector="__+-"),
    "space=clip": Query(space="clip"),
    "mode=exact": Query(mode="exact"),
    "mode=vector": Query(mode="vector"),
    "mode=text": Query(mode="text"),
    "mode=hybrid": Query(mode="hybrid"),
    "xattr=tag:x": Query(xattrs=((b"user.tag", b"x"),)),
    "xattr=user.tag:": Query(xattrs=((b"user.tag", b""),)),
    "xattr=trusted.a:b:c": Query(xattrs=((b"trusted.a", b"b:c"),)),
}  # fmt: skip

BAD = [
    "k=0", "k=-1", "k=ten", "k=1.5", f"k={K_MAX + 1}", "k=", "k=5 ",
    "min=", "min=high", "min=nan", "min=inf", "min=1_0", "min= 1", "min=1e999",
    "ext=", "ext=,", "ext=md,",
    "type=", "type=text", "type=%2Fx", "type=text%2F", "type=a b%2Fc",
    "name=", "has=", "not=", "text=", "vec=", "like=", "space=",
    "vector=", "vector=a%2Fb", "vector=[1]", "vector==", "vector=a=b",
    "since=", "since=yesterday", "since=7", "since=7x", "since=2026-13-01", "until=-1d",
    "size=", "size=>", "size=big", "size=1MB", "size==>1", "size=-1",
    "mode=", "mode=fast", "xattr=", "xattr=tag", "xattr=:x",
    "100%", "%2", "%zz", "k=%", "%ff", "text=%ff",
]  # fmt: skip


@pytest.mark.parametrize("segment", GOOD)
def test_a_good_segment_asks(segment: str) -> None:
    assert asked(segment) == GOOD[segment]


@pytest.mark.parametrize("segment", BAD)
def test_a_bad_value_is_invalid(segment: str) -> None:
    with pytest.raises(InvalidArgument):
        asked(segment)


def test_every_option_has_a_good_and_a_bad_value() -> None:
    assert {segment.partition("=")[0] for segment in GOOD} >= set(OPTION_NAMES)
    assert {segment.partition("=")[0] for segment in BAD} >= set(OPTION_NAMES)


@given(st.binary(min_size=4, max_size=6_000))
def test_a_vector_comes_back_from_the_segments_that_say_it(raw: bytes) -> None:
    raw = raw[: len(raw) // 4 * 4]
    segments = of_vector(raw)
    assert all(len(segment) <= 255 for segment in segments)
    query = Query()
    for segment in segments:
        query = add(query, segment, NOW_NS)
    assert vector_of(query.vector) == raw


@pytest.mark.parametrize("text", ["A", "AA", "AACAPwA", "AACA", "==", "AACAPw==AA"])
def test_what_is_no_vector_in_base64_is_invalid(text: str) -> None:
    with pytest.raises(InvalidArgument):
        vector_of(text)


def test_segments_are_joined_by_and() -> None:
    query = asked("log", "ext=md,txt", "rotate", "ext=md", "size=>1K", "size=>2K", "size=<9K")
    assert query.words == ("log", "rotate")
    assert query.text == "log rotate"
    assert query.extensions == (frozenset({b"md", b"txt"}), frozenset({b"md"}))
    assert (query.size_min, query.size_max) == (2049, 9215)


def test_the_narrower_of_two_times_counts() -> None:
    query = asked("since=7d", "since=2d", "until=1d", "until=1h")
    assert query.since_ns == NOW_NS - 2 * DAY_NS
    assert query.until_ns == NOW_NS - DAY_NS


@pytest.mark.parametrize("option", ["vec=a", "like=a", "space=a", "mode=exact"])
def test_what_there_can_be_one_of_is_not_said_twice(option: str) -> None:
    with pytest.raises(InvalidArgument):
        asked(option, option)


def test_the_last_number_of_hits_counts() -> None:
    assert asked("k=3", "k=7").k == 7


def test_a_path_of_many_segments_is_a_loop() -> None:
    assert asked(*["a"] * SEGMENTS_MAX).words == ("a",) * SEGMENTS_MAX
    with pytest.raises(InvalidArgument):
        asked(*["a"] * (SEGMENTS_MAX + 1))
