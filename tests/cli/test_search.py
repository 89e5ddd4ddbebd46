"""`vexfs search`: rank, score and path, through a mount and beside it."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support import embedding_command
from tests.support.commands import Home, lines
from tests.support.syscalls import refused
from tests.support.vectors import VECTOR, make_space

pytestmark = pytest.mark.mount

VECTORS = {
    "notes/rotate logs.md": "1 0 0",
    "notes/syslog.txt": "4 3 0",
    "notes/old/cats.md": "0 1 0",
    "photo@2x.jpg": "-1 0 0",
}


def fill(volume: Path) -> None:
    (volume / "notes/old").mkdir(parents=True)
    for name, vector in VECTORS.items():
        (volume / name).write_text(name)
        os.setxattr(volume / name, VECTOR, vector.encode())


@pytest.fixture
def volume(home: Home) -> Iterator[Path]:
    with home.mounted() as root:
        fill(root)
        yield root


@pytest.fixture
def query(tmp_path: Path) -> Path:
    np.save(tmp_path / "q.npy", np.array([1.0, 0.0, 0.0]))
    return tmp_path / "q.npy"


def test_rank_score_and_path_are_printed(home: Home, volume: Path, query: Path) -> None:
    shown = lines(home.succeed("search", "--vector", query, volume))
    assert [line.split(None, 2) for line in shown] == [
        ["1", "1.0000", f"{volume}/notes/rotate logs.md"],
        ["2", "0.8000", f"{volume}/notes/syslog.txt"],
        ["3", "0.0000", f"{volume}/notes/old/cats.md"],
        ["4", "-1.0000", f"{volume}/photo@2x.jpg"],
    ]


def test_json_lines_have_a_header(home: Home, volume: Path, query: Path) -> None:
    header, *hits = map(
        json.loads, lines(home.succeed("search", "--vector", query, "-k", "2", "--json", volume))
    )
    assert (header["k"], header["plan"], header["space"]) == (2, "exact", "default")
    assert [hit["path"] for hit in hits] == ["notes/rotate logs.md", "notes/syslog.txt"]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--ext", "md"), ["rotate logs.md", "cats.md"]),
        (("--ext", "md", "--name", "c*"), ["cats.md"]),
        (("--ext", "md,txt", "--not", "log"), ["cats.md"]),
        (("--min", "0.5"), ["rotate logs.md", "syslog.txt"]),
        (("--size", ">17"), ["rotate logs.md"]),
        (("--since", "1h", "--type", "image/*"), ["photo@2x.jpg"]),
        (("--has", "log", "--has", "sys"), ["syslog.txt"]),
        (("--mode", "exact", "-k", "1"), ["rotate logs.md"]),
    ],
)
def test_filters_are_those_of_the_path_grammar(
    home: Home, volume: Path, query: Path, arguments: tuple[str, ...], found: list[str]
) -> None:
    shown = lines(home.succeed("search", "--vector", query, *arguments, volume))
    assert [Path(line.split(None, 2)[2]).name for line in shown] == found


def test_words_are_searched_in_names(home: Home, volume: Path) -> None:
    shown = lines(home.succeed("search", "log", volume / "notes"))
    assert sorted(Path(line.split(None, 2)[2]).name for line in shown) == [
        "rotate logs.md", "syslog.txt",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "order",
    [
        ("WORDS", "--k", "1", "DIR"),
        ("WORDS", "DIR", "--k", "1"),
        ("--k", "1", "WORDS", "DIR"),
        ("WORDS", "--k", "1", "DIR", "--ext", "md"),
        ("--ext", "md", "WORDS", "-k", "1", "DIR"),
        ("--k", "1", "--", "WORDS", "DIR"),
    ],
)
def test_options_may_stand_anywhere(home: Home, volume: Path, order: tuple[str, ...]) -> None:
    places = {"WORDS": "rotate", "DIR": str(volume / "notes")}
    found = home.succeed("search", *(places.get(each, each) for each in order))
    assert found.rstrip().endswith("notes/rotate logs.md")


def test_a_vector_can_be_asked_for_on_a_read_only_mount(home: Home, query: Path) -> None:
    with home.mounted() as root:
        fill(root)
        make_space(root, "wide", 1_000, "l2")
        os.setxattr(root / "photo@2x.jpg", f"{VECTOR}.wide", bytes(4_000))
    np.save(query.parent / "wide.npy", np.ones(1_000))
    with home.mounted("-o", "ro") as root:
        found = home.succeed("search", "--vector", query, "-k", "1", root)
        assert found.rstrip().endswith("notes/rotate logs.md")
        found = home.succeed("search", "sys", "--vector", query, "--ext", "txt", root)
        assert found.rstrip().endswith("notes/syslog.txt")
        found = home.succeed("search", "--like", root / "photo@2x.jpg", "-k", "1", root / "notes")
        assert found.rstrip().endswith("notes/old/cats.md")
        wide = ("--space", "wide", "--vector", query.parent / "wide.npy")
        assert "photo@2x.jpg" in home.succeed("search", *wide, root)
        assert home.fail("search", "--like", root / "none", root, code=2)
        with refused(errno.EROFS):
            os.open(root / ".search/.new", os.O_RDWR)


def test_what_is_no_option_is_refused_wherever_it_stands(home: Home, volume: Path) -> None:
    for arguments in (("log", "--deep", volume), ("log", volume, "--deep"), ("--deep", "log")):
        complaint = home.fail("search", *map(str, arguments), code=2)
        assert "unrecognized arguments: --deep" in complaint


def test_like_a_file_leaves_the_file_out(home: Home, volume: Path) -> None:
    found = home.succeed("search", "--like", volume / "photo@2x.jpg", "-k", "1", volume)
    assert found.rstrip().endswith("notes/old/cats.md")


def test_like_takes_a_file_from_elsewhere(home: Home, volume: Path) -> None:
    found = home.succeed("search", "--like", volume / "photo@2x.jpg", "-k", "1", volume / "notes")
    assert found.rstrip().endswith("notes/old/cats.md")


def test_words_and_a_vector_are_joined(home: Home, volume: Path, query: Path) -> None:
    found = home.succeed("search", "--vector", query, "sys", volume)
    assert found.rstrip().endswith("notes/syslog.txt")


def test_another_space_is_searched_when_named(home: Home, volume: Path, query: Path) -> None:
    make_space(volume, "flat", 2, "l2")
    os.setxattr(volume / "photo@2x.jpg", f"{VECTOR}.flat", b"3 4")
    (query.parent / "flat.json").write_text("[0, 0]")
    found = home.succeed(
        "search", "--space", "flat", "--vector", query.parent / "flat.json", volume
    )
    assert found.split() == ["1", "-5.0000", f"{volume}/photo@2x.jpg"]


def test_nothing_found_is_1_and_failures_are_2(home: Home, volume: Path, query: Path) -> None:
    assert home.fail("search", "no such name", volume, code=1) == ""
    assert home.fail("search", "--vector", query, "--ext", "pdf", volume, code=1) == ""
    for arguments, complaint in (
        ((volume.parent, "x"), "quote the words"),
        (("--space", "none", "--vector", query, volume), "no vectors in space none"),
        (("--vector", query.parent / "none.npy", volume), "none.npy: No such file"),
        (("--size", "big", "log", volume), "size= takes a bound"),
        (("-k", "0", "log", volume), "k= takes a number"),
        (("--like", volume / "notes/none", volume), "none"),
        ((), "search for what?"),
        (("log", "/"), "not in a mounted vexfs volume"),
    ):
        if complaint == "quote the words":
            arguments = (*arguments, volume)
        assert complaint in home.fail("search", *map(str, arguments), code=2)
    full = f"{' '.join(home.command('search', 'log', volume))} > /dev/full"
    assert subprocess.run(["sh", "-c", full], env=home.environment).returncode == 2
    (query.parent / "short.json").write_text("[1]")
    complaint = home.fail("search", "--vector", query.parent / "short.json", volume, code=2)
    assert "the vector has 1 dimensions, the space 3" in complaint


def test_a_store_at_rest_answers_the_same(home: Home, query: Path) -> None:
    with home.mounted() as volume:
        fill(volume)
        through = home.succeed("search", "--vector", query, "--json", volume / "notes")
        assert "held by process" in home.fail("search", "log", "--store", home.store, code=2)
    beside = home.succeed("search", "--vector", query, "--json", "--store", home.store, "notes")
    assert lines(beside)[1:] == lines(through)[1:]
    found = home.succeed("search", "--like", "photo@2x.jpg", "-k", "1", "--store", home.store, "/")
    assert found.rstrip().endswith("notes/old/cats.md")
    assert "sys" in home.succeed("search", "sys", "--store", home.store)
    assert "by names only" in home.fail("search", "nothing", "--store", home.store, code=1)
    assert "no index of what files say" in home.fail(
        "search", "nothing", "--store", home.store, code=1
    )
    assert "holds no volume" in home.fail("search", "x", "--store", home.path / "no", code=2)


def test_words_find_the_same_in_a_store_at_rest(home: Home) -> None:
    embedder = f"command:{sys.executable} {embedding_command.__file__}"
    configuration = home.path / ".config/vexfs/config.toml"
    configuration.write_text(f'metrics = "none"\nembedder = "{embedder}"\n')
    questions = [("rotated logs",), ("roses", "--has", "sun"), ("logs", "--mode", "vector")]
    with home.mounted() as volume:
        (volume / "logs.txt").write_text("The logs are rotated every night.\n")
        (volume / "roses.txt").write_text("Roses want sun, and a cut before spring.\n")
        home.succeed("index", "wait", volume)
        through = [
            home.succeed("search", each[0], volume, *each[1:], "--json") for each in questions
        ]
    for question, answer in zip(questions, through, strict=True):
        beside = home.succeed("search", *question, "--store", home.store, "--json")
        header, *hits = map(json.loads, answer.splitlines())
        header_beside, *hits_beside = map(json.loads, beside.splitlines())
        assert hits_beside == hits
        assert header_beside["mode"] == header["mode"]
        assert hits
    (home.store / "text.sqlite3").unlink()
    told = home.run("search", "roses", "--store", home.store)
    assert "no index of what files say" in told.stderr
    assert "roses.txt" in told.stdout
