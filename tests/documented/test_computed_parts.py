"""The computed parts of the pages that people write are those that the code makes."""

from pathlib import Path

import pytest

from docs import blocks

OF_OTHER_PAGES = ["loop_costs", "quality", "ranking_choices"]
"""Results that have a part of their own on a page."""

PAGES = list(blocks.pages())
USED = [(page, name) for page in PAGES for name in blocks.names_in(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_the_computed_parts_are_current(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert blocks.fill(text) == text, "run: python docs/generate.py"


def test_every_part_that_can_be_computed_is_on_one_page() -> None:
    assert sorted(name for _, name in USED) == sorted(blocks.BLOCKS)


def test_every_kept_result_is_shown_somewhere() -> None:
    shown = {each.module for each in blocks.MEASURED} | set(OF_OTHER_PAGES)
    kept = {path.stem for path in blocks.RESULTS.glob("*.txt")}
    assert kept <= shown


@pytest.mark.parametrize("module", [each.module for each in blocks.MEASURED] + OF_OTHER_PAGES)
def test_every_figure_has_a_script(module: str) -> None:
    assert (blocks.ROOT / "benchmarks" / f"{module}.py").exists()


@pytest.mark.parametrize("name", ["kinds", "bounds", "failures", "packages"])
def test_every_line_of_a_table_says_something(name: str) -> None:
    for line in blocks.BLOCKS[name]().splitlines():
        assert "|  |  |" not in line, line
