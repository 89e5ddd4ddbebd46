"""The pages that are made from the code are those that lie in docs/."""

import pytest

from docs.generate import DOCS, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_current(name: str) -> None:
    made = PAGES[name]()
    assert (DOCS / name).read_text(encoding="utf-8") == made, "run: python docs/generate.py"


@pytest.mark.parametrize("name", PAGES)
def test_no_trailing_blanks(name: str) -> None:
    assert not [line for line in PAGES[name]().splitlines() if line != line.rstrip()]
