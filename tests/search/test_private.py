"""What belongs to one caller: vectors under a name, and questions asked through one descriptor."""

import errno
import json
import os
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from tests.support.persons import ALICE, BOB, acting_as
from tests.support.searching import asked, found, listed
from tests.support.syscalls import refused
from tests.support.vectors import ask, new, paths, raw

NEAR_QUERY = [
    "query",
    "logs/rotate.md",
    "logs/syslog.txt",
    "recipes/bread.md",
    "recipes/deep/soup.txt",
]
VECTOR = (1.0, 0.0, 0.0, 0.0)


def npy(*numbers: float) -> bytes:
    buffer = BytesIO()
    np.save(buffer, np.array(numbers, np.float32))
    return buffer.getvalue()


@pytest.fixture
def vectors(notes: Path) -> Path:
    place = asked(notes, ".vec")
    for name in os.listdir(place):
        (place / name).unlink()
    return place


@pytest.mark.parametrize(
    "written",
    [raw(*VECTOR), npy(*VECTOR), json.dumps(VECTOR).encode(), b"1 0 0 0\n"],
    ids=["raw", "npy", "json", "numbers"],
)
def test_a_vector_that_is_put_there_can_be_asked_for(
    notes: Path, vectors: Path, written: bytes
) -> None:
    (vectors / "mine").write_bytes(written)
    assert found(notes, "vec=mine") == NEAR_QUERY
    assert found(notes / "logs", "vec=mine", "k=1") == ["rotate.md"]
    assert (vectors / "mine").read_bytes() == written
    assert (vectors / "mine").stat().st_size == len(written)
    assert os.listdir(vectors) == ["mine"]


def test_cp_puts_it_there_and_rm_takes_it_away(notes: Path, vectors: Path, tmp_path: Path) -> None:
    (tmp_path / "query.npy").write_bytes(npy(*VECTOR))
    for _ in range(2):
        subprocess.run(["cp", "-p", tmp_path / "query.npy", vectors / "q"], check=True)
    assert found(notes, "vec=q") == NEAR_QUERY
    subprocess.run(["rm", vectors / "q"], check=True)
    with refused(errno.ENOENT):
        listed(notes, "vec=q")
    with refused(errno.ENOENT):
        (vectors / "q").read_bytes()


def test_a_vector_that_is_written_anew_is_asked_for_at_once(notes: Path, vectors: Path) -> None:
    (vectors / "v").write_bytes(raw(*VECTOR))
    assert found(notes, "vec=v", "k=1") == ["query"]
    (vectors / "v").write_bytes(raw(0, 1, 0.1, 0))
    assert found(notes, "vec=v", "k=1") == ["recipes/bread.md"]


def test_it_is_nobody_elses(notes: Path, vectors: Path) -> None:
    (vectors / "v").write_bytes(raw(*VECTOR))
    for action in (lambda: (vectors / "v").read_bytes(), lambda: listed(notes, "vec=v")):
        with refused(errno.ENOENT, errno.EACCES):
            acting_as(BOB, action)
    assert acting_as(BOB, lambda: os.listdir(vectors)) == []
    acting_as(BOB, lambda: (vectors / "v").write_bytes(raw(0, 1, 0.1, 0)))
    assert acting_as(BOB, lambda: found(notes, "vec=v", "k=1")) == ["recipes/bread.md"]
    assert found(notes, "vec=v", "k=1") == ["query"]
    assert (vectors / "v").read_bytes() == raw(*VECTOR)
    with refused(errno.ENOENT, errno.EACCES):
        acting_as(ALICE, (vectors / "v").unlink)
    acting_as(BOB, (vectors / "v").unlink)


@pytest.mark.parametrize("written", [b"", b"abc", raw(1, 2, 3), b"nan 0 0 0", raw(0, 0, 0, 0)])
def test_what_is_no_vector_of_the_space_is_refused(
    notes: Path, vectors: Path, written: bytes
) -> None:
    (vectors / "v").write_bytes(written)
    with refused(errno.EINVAL):
        listed(notes, "vec=v")


def test_only_so_much_is_kept(vectors: Path) -> None:
    with refused(errno.EFBIG):
        (vectors / "big").write_bytes(bytes((1 << 20) + 1))
    for number in range(70):
        (vectors / f"v{number}").write_bytes(raw(*VECTOR))
    assert os.listdir(vectors) == [f"v{number}" for number in range(6, 70)]
    with refused(errno.EPERM):
        (vectors / "directory").mkdir()
    with refused(errno.EPERM):
        (vectors / ".hidden").write_bytes(b"x")


def test_a_name_that_no_segment_can_say_is_refused(vectors: Path) -> None:
    with refused(errno.EINVAL):
        (vectors / os.fsdecode(b"v\xff")).write_bytes(raw(*VECTOR))


# --- .new -------------------------------------------------------------------------------------


def test_a_question_in_json_is_answered_in_lines_of_json(notes: Path) -> None:
    header, hits = ask(notes, vector=VECTOR, k=2)
    assert [hit["path"] for hit in hits] == NEAR_QUERY[:2]
    assert hits[0]["rank"] == 1
    assert hits[0]["score"] == pytest.approx(1.0)
    assert (header["k"], header["hits"], header["plan"]) == (2, 2, "exact")


def test_options_are_those_of_the_path(notes: Path) -> None:
    assert paths(notes, vector=VECTOR, ext="md") == ["logs/rotate.md", "recipes/bread.md"]
    assert paths(notes, vector=VECTOR, ext="md", has=["b", "read"]) == ["recipes/bread.md"]
    assert paths(notes, like="logs/rotate.md", k=1) == ["query"]
    assert paths(notes, text="syslog") == ["logs/syslog.txt"]
    assert paths(notes, name="*.txt", size="<100") == ["logs/syslog.txt", "recipes/deep/soup.txt"]
    assert paths(notes / "recipes", vector=VECTOR) == ["bread.md", "deep/soup.txt"]
    assert paths(notes, vector=VECTOR, mode="exact", min=0.9) == NEAR_QUERY[:3]


def test_values_in_msgpack_may_be_bytes(notes: Path) -> None:
    _, hit = msgpack.unpackb(new(notes, msgpack.packb({"name": b"syslog*"})))
    assert hit["path"] == "logs/syslog.txt"


def test_msgpack_is_answered_in_msgpack(notes: Path) -> None:
    for vector in (list(VECTOR), raw(*VECTOR)):
        header, *hits = msgpack.unpackb(new(notes, msgpack.packb({"vector": vector, "k": 3})))
        assert [hit["path"] for hit in hits] == NEAR_QUERY[:3]
        assert header["hits"] == 3


def test_a_bare_vector_is_a_question(notes: Path) -> None:
    for query in (raw(*VECTOR), json.dumps(VECTOR).encode(), npy(*VECTOR)):
        lines = new(notes, query).splitlines()
        assert [json.loads(line)["path"] for line in lines[1:]] == NEAR_QUERY


def test_one_descriptor_asks_again_and_again(notes: Path) -> None:
    descriptor = os.open(notes / ".search/.new", os.O_RDWR)
    try:
        for k in (1, 4, 2):
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, json.dumps({"vector": VECTOR, "k": k}).encode())
            answer = os.pread(descriptor, 1 << 16, 0)
            assert answer.count(b"\n") == k + 1
            assert os.pread(descriptor, 7, 3) == answer[3:10]
    finally:
        os.close(descriptor)


def test_a_question_may_come_in_pieces_and_an_answer_go_in_pieces(notes: Path) -> None:
    query = json.dumps({"vector": VECTOR, "k": 5}).encode()
    descriptor = os.open(notes / ".search/.new", os.O_RDWR)
    try:
        for start in range(0, len(query), 7):
            os.write(descriptor, query[start : start + 7])
        answer = b""
        while part := os.read(descriptor, 5):
            answer += part
    finally:
        os.close(descriptor)
    assert answer == new(notes, query)


def test_a_shell_asks_too(notes: Path) -> None:
    script = f"""exec 3<>{notes}/.search/.new; echo '{{"text": "soup"}}' >&3; cat <&3"""
    shown = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True)
    assert json.loads(shown.stdout.splitlines()[1])["path"] == "recipes/deep/soup.txt"


def test_two_descriptors_do_not_mix(notes: Path) -> None:
    descriptors = [os.open(notes / ".search/.new", os.O_RDWR) for _ in range(3)]
    try:
        for k, descriptor in enumerate(descriptors, 1):
            os.write(descriptor, json.dumps({"vector": VECTOR, "k": k}).encode())
        for k, descriptor in enumerate(descriptors, 1):
            assert os.read(descriptor, 1 << 16).count(b"\n") == k + 1
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@pytest.mark.parametrize(
    "query",
    [
        b"{not json", b"{}", b'{"k": 5, "vector": "x"}', b'{"vector": [1, 2]}', b'{"what": 1}',
        b'{"ext": [["md"]]}', b'{"ext": {"md": 1}}', b'{"ext": null}', b'{"text": true}',
        b'{"text": "x", "k": "' + b"9" * 5_000 + b'"}',
        b'{"k": 0, "text": "x"}', b'{"vector": [1, 0, 0, NaN]}', b'{"vector": [1e999, 0, 0, 0]}',
        b'{"vector": [1' + b"0" * 400 + b', 0, 0, 0]}', b'{"text": "\\ud800"}', b"[" * 50_000,
        b'{"a":' * 50_000, b"abc", b"\x81", b'{"like": "query", "vector": [1, 0, 0, 0]}',
        b'{"mode": "exact"}', msgpack.packb({"vector": b"abc"}), msgpack.packb({"k": {}}),
    ],
)  # fmt: skip
def test_a_bad_question_is_refused_when_the_answer_is_read(notes: Path, query: bytes) -> None:
    with refused(errno.EINVAL):
        new(notes, query)


@pytest.mark.parametrize("rest", [b"\x00\x80\x3f", b"\xff\x80\x3f", b"aa\x3f"])
def test_a_raw_vector_may_begin_with_any_byte(notes: Path, rest: bytes) -> None:
    for first in range(256):
        components = (bytes([first]) + rest) + raw(0, 0, 0)
        assert new(notes, components).count(b"\n") == len(NEAR_QUERY) + 1


def test_nothing_asked_is_refused(notes: Path) -> None:
    descriptor = os.open(notes / ".search/.new", os.O_RDWR)
    with refused(errno.EINVAL):
        os.read(descriptor, 100)
    os.close(descriptor)


def test_what_cannot_be_found_is_an_error(notes: Path) -> None:
    answers: list[tuple[Any, int]] = [
        ({"like": "nobody"}, errno.ENOENT),
        ({"vector": VECTOR, "space": "nowhere"}, errno.ENODATA),
        ({"vec": "nobody"}, errno.ENOENT),
    ]
    for query, number in answers:
        with refused(number):
            ask(notes, **query)


def test_a_question_has_a_bound(notes: Path) -> None:
    descriptor = os.open(notes / ".search/.new", os.O_RDWR)
    try:
        assert os.write(descriptor, bytes(1 << 19)) == 1 << 19
        with refused(errno.EFBIG):
            os.write(descriptor, bytes((1 << 19) + 1))
    finally:
        os.close(descriptor)


def test_each_asks_for_himself(notes: Path) -> None:
    (notes / "logs").chmod(0o700)
    seen: Callable[[], list[str]] = lambda: paths(notes, vector=VECTOR)  # noqa: E731
    assert acting_as(BOB, seen) == ["query", "recipes/bread.md", "recipes/deep/soup.txt"]
    assert seen() == NEAR_QUERY
