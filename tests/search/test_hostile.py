"""Names and questions that nobody means well, and many who search and write at once."""

import contextlib
import errno
import json
import os
import random
import threading
import time
from pathlib import Path

import pytest

from tests.support.persons import ALICE, BOB, acting_as
from tests.support.searching import NEAREST, asked, found, listed, make_files, results
from tests.support.syscalls import refused
from tests.support.vectors import VECTOR, ask, raw

ODD_NAMES = [
    b"new\nline", b"tab\there", b"quote\"'`$()", b"\xff\xfe not text", b"-rf", b"%2F", b"a=b",
    b"k=5", b"001-looks-like-a-hit", "\u202egnp.exe".encode(), "e\u0301".encode(), b"\\", b"#", b"*",
    b"[", b" ", b"x" * 255, b"\xcc" * 255, "\U0001f600".encode() * 63,
]  # fmt: skip


@pytest.fixture
def odd(mount: Path) -> Path:
    """A directory with a file of each odd name, all near to `query`."""
    make_files(mount, {"query": (1, 0, 0, 0)})
    for position, name in enumerate(ODD_NAMES):
        path = os.fsencode(mount) + b"/" + name
        with open(path, "wb") as file:
            file.write(name)
        os.setxattr(path, VECTOR, raw(1, position / 100, 0, 0))
    return mount


def test_files_of_any_name_are_hits_that_can_be_read(odd: Path) -> None:
    directory = os.fsencode(asked(odd, NEAREST, "k=50"))
    names = os.listdir(directory)
    assert len(names) == len(ODD_NAMES)
    for name, wanted in zip(names, ODD_NAMES, strict=True):
        assert len(name) <= 255
        assert name[4:] == wanted[:251]
        with open(directory + b"/" + name, "rb") as file:
            assert file.read() == wanted
        assert os.getxattr(directory + b"/" + name, "user.vexfs.path") == wanted


def test_results_of_odd_names_are_lines_of_json(odd: Path) -> None:
    header, lines = results(odd, NEAREST, "k=50")
    assert header["hits"] == len(lines) == len(ODD_NAMES)
    assert [line["path"].encode("utf-8", "surrogateescape") for line in lines] == ODD_NAMES


def test_links_to_odd_names_lead_there(odd: Path) -> None:
    links = os.fsencode(asked(odd, NEAREST, "k=50", ".links"))
    for name in os.listdir(links):
        with open(links + b"/" + name, "rb") as file:
            assert file.read() in ODD_NAMES


@pytest.mark.parametrize(
    ("segment", "number"),
    [
        (b"\xff", errno.EINVAL), (b"\xcc" * 255, errno.EINVAL), (b"x" * 256, errno.ENAMETOOLONG),
        (b"%", errno.EINVAL), (b"%ff", errno.EINVAL), (b"text=%C0%80", errno.EINVAL),
        (b"k=99999999999999999999999999", errno.EINVAL), (b"k=-0", errno.EINVAL),
        ("k=\u0665".encode(), errno.EINVAL), (b"k=1_0", errno.EINVAL), (b"k=\xb2", errno.EINVAL),
        (b"min=nan", errno.EINVAL), (b"min=-inf", errno.EINVAL), (b"min=1e999", errno.EINVAL),
        (b"size=9999999999999999999", errno.EINVAL), (b"since=9999999999y", errno.EINVAL),
        (b"since=0000-01-01", errno.EINVAL), (b"until=9999-12-31T23:59:60", errno.EINVAL),
        (b"type=" + b"a%2F" * 60, errno.EINVAL), (b"xattr=" + b":" * 200, errno.EINVAL),
        (b"mode=\xff", errno.EINVAL), (b"like=" + b"%2F" * 80, errno.ENOENT),
        (b"like=..", errno.ENOENT), (b"like=..%2F..%2Fetc%2Fpasswd", errno.ENOENT),
        (b"like=%00", errno.ENOENT), (b"vec=..%2Fx", errno.ENOENT), (b"vec=%00", errno.ENOENT),
    ],
)  # fmt: skip
def test_a_hostile_segment_is_refused(notes: Path, segment: bytes, number: int) -> None:
    for call in (os.stat, os.listdir):
        with refused(number) if call is os.listdir else contextlib.suppress(OSError):
            call(os.fsencode(asked(notes)) + b"/" + segment)


@pytest.mark.parametrize(
    "segment",
    [b"x" * 255, "e\u0301".encode() * 85, b" " * 255, b"text=" + b"." * 250, b"name=" + b"*" * 250,
     b"name=" + b"*a" * 125, b"name=" + b"[" * 250, b"name=[!" + b"\xff" * 200, b"ext=" + b"a," * 125 + b"b",
     b"since=999999999y", b"until=9999-12-31", b"size=<0", b"not=" + b"x" * 250, b"has=%22", b"a%00b"],
)  # fmt: skip
def test_an_odd_segment_is_searched_for(notes: Path, segment: bytes) -> None:
    for scope in (asked(notes), asked(notes, NEAREST)):
        assert set(os.listdir(os.fsencode(scope) + b"/" + segment)) >= set()


def test_a_pattern_cannot_be_made_slow(mount: Path) -> None:
    make_files(mount, {"query": (1, 0, 0, 0), "a" * 250: (1, 0, 0, 0)})
    began = time.process_time()
    assert listed(mount, NEAREST, "name=" + "*a" * 100 + "b") == []
    assert listed(mount, NEAREST, "name=" + "a*" * 100) == ["001-" + "a" * 250]
    assert time.process_time() - began < 5


def test_32_segments_are_a_question_and_33_are_not(notes: Path) -> None:
    assert found(notes, NEAREST, *["ext=md"] * 31) == ["logs/rotate.md", "recipes/bread.md"]
    with refused(errno.EINVAL):
        listed(notes, NEAREST, *["ext=md"] * 32)


def test_as_many_hits_as_can_be_asked_for(notes: Path) -> None:
    assert len(found(notes, NEAREST, "k=10000")) == 4
    assert len(ask(notes, vector=[1, 0, 0, 0], k=10_000)[1]) == 5


def test_a_scope_that_goes_takes_its_questions_along(notes: Path) -> None:
    (notes / "gone").mkdir()
    scope = os.open(asked(notes / "gone", "ext=md"), os.O_RDONLY)
    (notes / "gone").rmdir()
    with refused(errno.ENOENT, errno.ENODATA):
        if os.listdir(scope) == []:
            raise FileNotFoundError(errno.ENOENT, "nothing is found there")
    os.close(scope)


def test_two_users_ask_for_themselves_at_the_same_time(notes: Path) -> None:
    (notes / "logs").chmod(0o700)
    os.chown(notes / "logs", ALICE.uid, ALICE.gid)

    def see() -> list[list[str]]:
        return [found(notes, NEAREST), [hit["path"] for hit in ask(notes, like="query")[1]]]

    for _ in range(5):
        assert (
            acting_as(ALICE, see)
            == [["logs/rotate.md", "logs/syslog.txt", "recipes/bread.md", "recipes/deep/soup.txt"]]
            * 2
        )
        assert acting_as(BOB, see) == [["recipes/bread.md", "recipes/deep/soup.txt"]] * 2


def test_searches_beside_writers_are_right_throughout(mount: Path) -> None:
    """What is always there is always found first; what comes and goes is found or not, and never torn."""
    make_files(mount, {"query": (1, 0, 0, 0), "always/one": (1, 0.01, 0, 0)})
    (mount / "busy").mkdir()
    failures: list[BaseException] = []
    end = threading.Event()

    def write(seed: int) -> None:
        rng = random.Random(seed)
        try:
            while not end.is_set():
                path = mount / "busy" / f"{seed}-{rng.randrange(20)}"
                path.write_text("x")
                os.setxattr(path, VECTOR, raw(1, 1 + rng.random(), 0, 0))
                if rng.random() < 0.5:
                    path.unlink()
        except BaseException as failure:  # noqa: BLE001 - told below
            failures.append(failure)

    def search(seed: int) -> None:
        rng = random.Random(seed)
        try:
            while not end.is_set():
                names = listed(mount, NEAREST, f"k={rng.randrange(1, 30)}")
                assert names[0] == "001-one"
                assert [int(name[:3]) for name in names] == list(range(1, len(names) + 1))
                header, hits = ask(mount, like="query", k=30)
                assert header["hits"] == len(hits)
                scores = [hit["score"] for hit in hits]
                assert scores == sorted(scores, reverse=True)
                text = (asked(mount, NEAREST, "k=5") / ".results.jsonl").read_text()
                assert [json.loads(line) for line in text.splitlines()]
        except BaseException as failure:  # noqa: BLE001 - told below
            failures.append(failure)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    threads += [threading.Thread(target=search, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(4)
    end.set()
    for thread in threads:
        thread.join()
    assert failures == []
