"""Patterns leave out what git would leave out."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vexfs_fuse.text.ignore import BYTES_MAX, DEFAULT, LINES_MAX, Ignore, is_ignored

NAMES = [
    *(
        b"a",
        b"b",
        b"ab",
        b"abc",
        b".a",
        b"a b",
        b"a.o",
        b"!a",
        b"#a",
        b"a ",
        b"[a]",
        b"a\\b",
        b"-",
        b"]",
    ),
    "\u00e9".encode(),
]
TOKENS = [
    *(
        b"*",
        b"**",
        b"?",
        b"/",
        b"/",
        b"/",
        b"a",
        b"b",
        b"ab",
        b".",
        b"o",
        b"**/",
        b"/**",
        b" ",
        b"\\ ",
        b"#",
    ),
    *(
        b"[ab]",
        b"[!a]",
        b"[^a-b]",
        b"[b-a]",
        b"[]a]",
        b"[[:alpha:]]",
        b"[!]",
        b"[:x:]",
        b"[a",
        b"[",
        b"]",
    ),
    *(b"\\", b"-", b"!", b":", b"\t", b"\r", "\u00e9".encode()),
]
GIT = shutil.which("git")
LITERAL_BEFORE_STARS = re.compile(rb"[^/]\*\*")
"""git cuts off what stands before the first wildcard and takes `**/` in the rest for one at the beginning,
against its manual."""

components = st.sampled_from(NAMES)
paths = st.lists(components, min_size=1, max_size=4).map(b"/".join)
lines = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=6).map(b"".join)
patterns = st.tuples(st.sampled_from([b"", b"", b"!", b"/"]), lines).map(b"".join)
files = st.lists(
    patterns.filter(lambda line: not LITERAL_BEFORE_STARS.search(line)), max_size=4
).map(b"\n".join)


class Repository:
    """A work tree that real git judges."""

    def __init__(self, directory: Path) -> None:
        self.directory = os.fsencode(directory)
        subprocess.run(["git", "init", "-q", self.directory], check=True)

    def ignored(self, tree: list[tuple[bytes, bool]], ignores: dict[bytes, bytes]) -> set[bytes]:
        """Return the paths that git ignores; `tree` says which of them are directories."""
        work = os.path.join(self.directory, b"work")
        os.makedirs(work)
        for path, is_directory in tree:
            if is_directory:
                os.makedirs(os.path.join(work, path), exist_ok=True)
            else:
                Path(os.fsdecode(os.path.join(work, path))).touch()
        for directory, content in ignores.items():
            name = os.path.join(work, directory, b".gitignore")
            Path(os.fsdecode(name)).write_bytes(content)
        command = [b"git", b"-C", work, b"check-ignore", b"--no-index", b"-z", b"--stdin"]
        asked = b"".join(path + b"\0" for path, _ in tree)
        answer = subprocess.run(command, input=asked, capture_output=True, check=False)
        assert answer.returncode in (0, 1), answer.stderr
        shutil.rmtree(work)
        return set(answer.stdout.split(b"\0")) - {b""}


@pytest.fixture(scope="module")
def repository() -> Iterator[Repository]:
    with tempfile.TemporaryDirectory() as directory:
        yield Repository(Path(directory))


@st.composite
def trees(draw: st.DrawFn) -> list[tuple[bytes, bool]]:
    """Paths without a file where another path has a directory; parents first."""
    tree: dict[bytes, bool] = {}
    for path in draw(st.lists(paths, min_size=1, max_size=12)):
        parents = [path[: place.start()] for place in re.finditer(b"/", path)]
        if all(tree.get(parent, True) for parent in parents) and path not in tree:
            tree.update(dict.fromkeys(parents, True))
            tree[path] = False
    return sorted(tree.items())


@pytest.mark.skipif(GIT is None, reason="git is not installed: there is nothing to compare with")
@settings(suppress_health_check=[])
@given(trees(), files, files)
@example([(b"a", True), (b"a/b", False)], b"*\n!a/", b"")
@example([(b"a", True), (b"a/b", False)], b"a/\n!a/b", b"!b")
@example([(b"a", True), (b"a/ab", False)], b"a*", b"!ab")
@example([(b"a ", False), (b"a", False)], b"a\\ ", b"")
@example([(b"#a", False), (b"!a", False)], b"\\#a\n\\!a", b"")
@example([(b"a", True), (b"a/b", True), (b"a/b/a.o", False)], b"a/**/a.o\n!/**/b", b"/*.o")
@example([(b"a", True), (b"a/b", False)], b"\xef\xbb\xbfa/**\r\n", b"")
@example([(b"a", True), (b"a/b", False)], b"a/", b"")
def test_what_git_ignores_is_left_out_and_nothing_else(
    repository: Repository, tree: list[tuple[bytes, bool]], at_root: bytes, below: bytes
) -> None:
    ignores = {b"": at_root}
    if (b"a", True) in tree:
        ignores[b"a"] = below
    stack = [(directory, Ignore(content)) for directory, content in ignores.items()]
    ours = {path for path, is_directory in tree if is_ignored(path, is_directory, stack)}
    assert ours == repository.ignored(tree, ignores)


def test_nothing_is_said_of_what_no_pattern_matches() -> None:
    assert Ignore(b"*.o\n").matches(b"a.c", is_directory=False) is None
    assert Ignore(b"").matches(b"a.c", is_directory=False) is None


def test_a_negated_pattern_says_no() -> None:
    ignore = Ignore(b"*.o\n!keep.o\n")
    assert ignore.matches(b"keep.o", is_directory=False) is False
    assert ignore.matches(b"a.o", is_directory=False) is True


def test_a_file_in_a_directory_speaks_before_those_above() -> None:
    files = [(b"", Ignore(b"*.log")), (b"notes", Ignore(b"!today.log"))]
    assert not is_ignored(b"notes/today.log", False, files)
    assert is_ignored(b"notes/old.log", False, files)
    assert is_ignored(b"today.log", False, files)
    assert is_ignored(b"notesX/today.log", False, files)


def test_a_file_of_patterns_can_take_back_a_default() -> None:
    files = [(b"", DEFAULT), (b"", Ignore(b"!node_modules/\n"))]
    assert is_ignored(b"node_modules/a.js", False, files[:1])
    assert not is_ignored(b"node_modules/a.js", False, files)


@pytest.mark.parametrize(
    "path",
    [
        *(
            b".git/HEAD",
            b"x/.git/config",
            b"x/node_modules/y/index.js",
            b"x/__pycache__/y.py",
            b"a.o",
        ),
        *(b"a.pyc", b"notes.txt~", b".notes.txt.swp", b"#notes#", b".ssh/id_rsa", b"cert.pem"),
        *(b".vexignore", b"lost+found/#17", b".#lock", b"~$letter.docx", b".~lock.letter.odt#"),
    ],
)
def test_what_is_left_out_by_default(path: bytes) -> None:
    assert is_ignored(path, False, [(b"", DEFAULT)])


@pytest.mark.parametrize(
    "path",
    [
        b"notes.txt",
        b".config/x.toml",
        b"src/a.py",
        b"git/HEAD",
        b"a.odt",
        b".gitignore",
        b".bashrc",
        b"a.md",
    ],
)
def test_what_is_kept_by_default(path: bytes) -> None:
    assert not is_ignored(path, False, [(b"", DEFAULT)])


def test_a_pattern_of_many_asterisks_does_not_try_all_ways() -> None:
    hostile = Ignore(b"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b\n" + b"**/" * 2_000 + b"b\n")
    assert hostile.matches(b"a" * 255, is_directory=False) is None
    assert hostile.matches(b"/".join([b"a"] * 500), is_directory=False) is None


def test_lines_beyond_the_bound_do_not_count() -> None:
    at_bound = b"a\n" * (LINES_MAX - 1) + b"b\n"
    assert Ignore(at_bound).matches(b"b", is_directory=False)
    assert Ignore(b"a\n" + at_bound).matches(b"b", is_directory=False) is None


def test_bytes_beyond_the_bound_do_not_count() -> None:
    assert Ignore(b"#" * (BYTES_MAX - 2) + b"\nb").matches(b"b", is_directory=False)
    assert Ignore(b"#" * BYTES_MAX + b"\nb").matches(b"b", is_directory=False) is None


@given(st.binary(max_size=200), paths, st.booleans())
def test_any_bytes_are_patterns(content: bytes, path: bytes, is_directory: bool) -> None:
    assert Ignore(content).matches(path, is_directory) in (True, False, None)
