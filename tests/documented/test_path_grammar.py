"""docs/path-grammar.md: each example prints what the page says, and there is one for each element.

`python -m tests.documented.test_path_grammar` fills in what the commands print.
"""

import os
import tempfile
from pathlib import Path

import pytest

from tests.support import transcripts
from tests.support.commands import Home
from vexfs_fuse.vfs.search import grammar
from vexfs_fuse.vfs.search.asking import DEADLINE_S
from vexfs_fuse.vfs.search.private import EXPIRES_S, VECTORS_MAX
from vexfs_fuse.volume.query import K_DEFAULT

PAGE = Path(__file__).parents[2] / "docs/path-grammar.md"
TEXT = PAGE.read_text()
COMMANDS = transcripts.commands_of(PAGE)


def print_all(place: Path) -> list[str]:
    home = Home(place)
    (place / ".config/vexfs/config.toml").write_text('metrics = "none"\n')
    try:
        return transcripts.run(COMMANDS, home.environment)
    finally:
        if os.path.ismount(place / "vex"):
            home.run("umount", place / "vex")


@pytest.mark.mount
def test_every_example_prints_what_the_page_says(tmp_path: Path) -> None:
    for command, printed in zip(COMMANDS, print_all(tmp_path), strict=True):
        assert printed == command.shown, f"line {command.line}: {command.text}"


@pytest.mark.parametrize("option", grammar.OPTION_NAMES)
def test_every_key_has_a_row_and_an_example(option: str) -> None:
    assert f"| `{option}=` |" in TEXT
    assert any(f"{option}=" in command.text for command in COMMANDS)


@pytest.mark.parametrize(
    "name", [".results.txt", ".results.jsonl", ".links", ".saved", ".query", ".vec", ".new"]
)
def test_every_reserved_name_has_an_example(name: str) -> None:
    assert any(name in command.text for command in COMMANDS)


def test_numbers_are_those_of_the_code() -> None:
    for said in (
        f"`k=` | 1 to {grammar.K_MAX} | so many hits; {K_DEFAULT} unless it is said",
        f"up to {grammar.SEGMENTS_MAX} segments",
        f"when there are {VECTORS_MAX} newer ones",
        f"more than {DEADLINE_S:g} seconds",
    ):
        assert said in TEXT
    assert EXPIRES_S == 3600


def test_every_mode_and_unit_is_named() -> None:
    assert all(f"`{mode}`" in TEXT for mode in grammar.MODES)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        PAGE.write_text(transcripts.filled(PAGE, print_all(Path(directory))))
