"""Commands, options, metrics and pages: what the documents name exists, what exists is used."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from vexfs_fuse.cli.main import COMMANDS, parse
from vexfs_fuse.config import OPTIONS
from vexfs_fuse.observe.recorder import EVENTS
from vexfs_fuse.observe.table import COUNTER, METRICS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = {path: path.read_text() for path in sorted((ROOT / "src").rglob("*.py"))}


def commands_in(page: Path) -> Iterator[str]:
    """Yield what a page shows as a `vexfs` command line, without comments and pipes."""
    for line in page.read_text().splitlines():
        match = re.match(r"    (?:[^|]*\| )?(?:source <\()?(vexfs [^#|<>)]*)", line)
        if match:
            yield re.split(r"  +", match[1])[0].strip()
        yield from re.findall(r"`(vexfs [a-z]+)", line)


def page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_command_shown_is_understood(page: Path) -> None:
    known = {command.name for command in COMMANDS}
    for shown in commands_in(page):
        _, name, *arguments = shlex.split(shown)
        assert name in known, shown
        if arguments:
            parse([name, *arguments])


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_metric_named_exists(page: Path) -> None:
    names = {
        f"{metric.name}_total" if metric.kind == COUNTER else metric.name for metric in METRICS
    }
    named = set(re.findall(r"\bvexfs_[a-z_]+\b", page.read_text())) - {"vexfs_fuse"}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in named} <= names


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_link_to_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    here = [link for link in links if "://" not in link]
    assert [link for link in here if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_command_has_tests(command: str) -> None:
    file = "backup" if command == "restore" else command
    assert f'"{command}"' in (ROOT / f"tests/cli/test_{file}.py").read_text()


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_read_by_something(option: str) -> None:
    """An option that does nothing does not exist."""
    read = re.compile(rf"\bconfig\.{option}\b")
    readers = [path for path, text in SOURCES.items() if read.search(text)]
    assert [path for path in readers if path.parent.name != "config"]


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_is_counted_by_something(event: str) -> None:
    counted = re.compile(rf"""events\["{event}"\] \+= """)
    assert any(counted.search(text) for text in SOURCES.values())
