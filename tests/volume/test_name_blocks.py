"""A pattern is looked for in joined names and finds what it would find name by name."""

import fnmatch
import re

from hypothesis import given
from hypothesis import strategies as st

from vexfs_fuse.volume.change_log import ChangeLog
from vexfs_fuse.volume.name_blocks import BLOCK_NAMES, NameBlocks, longest_literal

NAMES = st.binary(max_size=6).map(lambda name: name.replace(b"/", b"."))
NEAR = st.text("ab.\n[]*?", max_size=5).map(str.encode)
PATTERNS = st.text("ab.*?[]!-\n", min_size=1, max_size=6).map(str.encode)


def regular(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(fnmatch.translate(pattern.decode("latin-1")).encode("latin-1"))


def found(blocks: NameBlocks, pattern: bytes) -> list[int]:
    steps = blocks.matching(pattern, regular(pattern))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return [int(position) for position in end.value.nonzero()[0]]


def expected(names: list[bytes], pattern: bytes) -> list[int]:
    match = regular(pattern).match
    return [position for position, name in enumerate(names) if match(name)]


@given(names=st.lists(NAMES | NEAR, max_size=30), pattern=PATTERNS)
def test_what_matches_is_found(names: list[bytes], pattern: bytes) -> None:
    assert found(NameBlocks(names, ChangeLog()), pattern) == expected(names, pattern)


@given(
    names=st.lists(NEAR, min_size=1, max_size=10),
    changes=st.lists(st.tuples(st.integers(0, 12), NEAR, PATTERNS), max_size=8),
)
def test_what_changes_is_found_as_it_is_now(
    names: list[bytes], changes: list[tuple[int, bytes, bytes]]
) -> None:
    changed = ChangeLog()
    blocks = NameBlocks(names, changed)
    for position, name, pattern in changes:
        if position < len(names):
            names[position] = name
            changed.append(position)
        else:
            names.append(name)
        assert found(blocks, pattern) == expected(names, pattern)


def test_names_of_several_blocks_are_found() -> None:
    names = [b"%d.txt" % number for number in range(2 * BLOCK_NAMES + 10)]
    blocks = NameBlocks(names, ChangeLog())
    for pattern in (b"81*", b"*9.txt", b"4096.txt", b"*", b"????.txt", b"*.md", b"[7]*5.txt"):
        assert found(blocks, pattern) == expected(names, pattern)


def test_what_is_looked_for_is_the_longest_literal() -> None:
    literals = {
        b"abc": b"/abc/",
        b"abc*": b"/abc",
        b"*.md": b".md/",
        b"*log*": b"log",
        b"a*report*.md": b"report",
        b"*": b"/",
        b"x[ab]longer": b"/x",
        b"[ab]c": b"/",
    }
    assert {pattern: longest_literal(pattern) for pattern in literals} == literals
