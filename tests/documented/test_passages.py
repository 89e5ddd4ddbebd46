"""What the pages point at is there: the tests that prove a passage, sources, sections, scripts."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

SECTIONS_THAT_PROVE_NOTHING = {
    "In short",
    "Suites that nobody here wrote",
}
"""Of docs/semantics.md: what repeats other sections, and what is proved outside."""


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def proofs_in(text: str) -> list[tuple[str, str]]:
    """Return what is pointed at as (file, test); an empty test stands for the whole file."""
    return re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_test_that_is_pointed_at_exists(page: Path) -> None:
    for file, test in proofs_in(page.read_text()):
        assert (ROOT / file).exists(), file
        assert not test or test in functions_of(ROOT / file), f"{file}::{test}"


def test_every_section_of_the_semantics_points_at_a_proof() -> None:
    text = (ROOT / "docs/semantics.md").read_text()
    sections = re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:]
    unproved = [
        title
        for title, body in zip(sections[::2], sections[1::2], strict=True)
        if not proofs_in(body)
    ]
    assert set(unproved) == SECTIONS_THAT_PROVE_NOTHING


def test_every_decision_is_a_question_with_an_answer_and_a_price() -> None:
    for page in (ROOT / "docs/decisions").glob("*.md"):
        text = page.read_text()
        missing = [
            word
            for word in ("Question", "Answer", "Cost", "What would change it")
            if f"**{word}.**" not in text
        ]
        assert missing == [], page.name


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_source_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`((?:\w+/)*\w+\.py)(?:`|::)", page.read_text())
    places = (ROOT, ROOT / "src/vexfs_fuse", ROOT / "src/vexfs_fuse/volume")
    missing = [name for name in named if not any((place / name).exists() for place in places)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_script_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    modules = re.findall(r"python -m benchmarks\.(\w+)", text)
    scripts = re.findall(r"(?<![\w/])scripts/(\w[\w-]*)", text)
    assert [m for m in modules if not (ROOT / f"benchmarks/{m}.py").exists()] == []
    assert [s for s in scripts if not (ROOT / f"scripts/{s}").exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_link_to_a_section_leads_to_it(page: Path) -> None:
    for file, section in re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", page.read_text()):
        target = (page.parent / file) if file else page
        assert section in sections_of(target), f"{target.name}#{section}"


def sections_of(page: Path) -> set[str]:
    """Return the anchors that Markdown makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_nothing_of_the_machine_it_was_written_on_is_named(page: Path) -> None:
    found = re.findall(r"/(?:tmp|work|root)/\S*", page.read_text())
    assert found == []
