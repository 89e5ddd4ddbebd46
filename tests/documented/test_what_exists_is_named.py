"""What exists is on its page: tables and columns, kinds, tasks, threads, attributes, virtual files."""

import re
from itertools import chain
from pathlib import Path

import pytest

from vexfs_fuse.cli.main import COMMANDS
from vexfs_fuse.config import OPTIONS
from vexfs_fuse.observe.table import COUNTER, METRICS, Metric
from vexfs_fuse.storage import schema
from vexfs_fuse.vfs import control
from vexfs_fuse.volume.changes import Kinds
from vexfs_fuse.volume.vector_changes import COMPANIONS, PREFIX, VECTOR

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/vexfs_fuse"
SOURCES = {path: path.read_text() for path in sorted(SOURCE.rglob("*.py"))}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize("kind", Kinds.BY_NAME)
def test_every_kind_of_record_is_on_the_format_page(kind: str) -> None:
    assert f"| `{kind}` |" in page("on-disk-format.md")


def test_every_table_of_the_view_is_on_the_format_page_with_its_columns_explained() -> None:
    assert schema.TABLES.strip() in page("on-disk-format.md")
    columns = re.findall(r"^    (\w+) (?:INTEGER|BLOB|TEXT|NOT)[^\n]*", schema.TABLES, re.MULTILINE)
    lines = re.findall(r"^    \w+ (?:INTEGER|BLOB|TEXT|NOT)[^\n]*", schema.TABLES, re.MULTILINE)
    plain = {"sum", "ino", "uid", "gid", "atime", "mtime", "ctime", "dim"}
    unexplained = {
        column for column, line in zip(columns, lines, strict=True) if "--" not in line
    } - plain
    assert unexplained == set()


@pytest.mark.parametrize(
    "name", ["volume.json", "lock", "journal/N.vxj", "segments/N.seg", "state.sqlite3"]
)
def test_every_file_of_a_store_has_its_section(name: str) -> None:
    assert f"## {name}\n" in page("on-disk-format.md")


def test_every_task_of_the_daemon_is_on_the_concurrency_page() -> None:
    daemon = SOURCES[SOURCE / "runtime/daemon.py"]
    tasks = set(re.findall(r"nursery\.start_soon\(\s*(?:self\.)?_?([\w.]+)", daemon)) - {"stop"}
    shown = page("concurrency.md")
    assert [task for task in tasks if task not in shown] == []
    assert tasks >= {"syncer.run", "maintenance.run"}


def test_every_thread_is_on_the_concurrency_page() -> None:
    threads = set(
        chain.from_iterable(
            re.findall(r"""f?"(vexfs-[a-z]+)(?:-\{[^"]*)?\"""", text)
            for text in SOURCES.values()
            if "threading.Thread" in text
        )
    )
    assert threads >= {"vexfs-writer", "vexfs-worker"}
    shown = page("concurrency.md")
    assert [thread for thread in threads if thread not in shown] == []


def test_every_package_is_on_the_architecture_page() -> None:
    packages = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    modules = {path.stem for path in SOURCE.glob("*.py")} - {"__init__", "__main__"}
    shown = page("architecture.md")
    assert [name for name in packages | modules if f"| `{name}` |" not in shown] == []


def test_every_attribute_of_vectors_is_on_the_semantics_page() -> None:
    names = [(PREFIX + name).decode() for name in (VECTOR, *COMPANIONS)]
    shown = page("semantics.md")
    assert [name for name in names if f"`{name}`" not in shown] == []


def test_every_attribute_on_the_semantics_page_is_known_to_the_code() -> None:
    known = {VECTOR.decode(), *(name.decode() for name in COMPANIONS)}
    everything = "\n".join(SOURCES.values())
    named = set(re.findall(r"`user\.vexfs\.([a-z]+)", page("semantics.md")))
    unknown = [
        name for name in named if name not in known and f"user.vexfs.{name}" not in everything
    ]
    assert unknown == []


def test_every_virtual_file_is_on_the_semantics_page() -> None:
    names = set(re.findall(r'add\(b"([\w.]+)"', SOURCES[SOURCE / "vfs/control.py"]))
    shown = page("semantics.md")
    assert names >= {"status.json", "journal"}
    assert [name for name in names if f"| `{name}` |" not in shown] == []
    assert [name for name in names if name.encode() not in control.README] == ["README"]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_has_a_line(option: str) -> None:
    assert f"| `{option}` |" in page("configuration.md")


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_command_has_a_section(command: str) -> None:
    assert f"## vexfs {command}\n" in page("commands.md")


@pytest.mark.parametrize("metric", METRICS, ids=[metric.name for metric in METRICS])
def test_every_metric_has_a_line(metric: Metric) -> None:
    name = f"{metric.name}_total" if metric.kind == COUNTER else metric.name
    assert f"| `{name}` |" in page("metrics.md")


def test_options_named_in_prose_exist() -> None:
    """A page may name an option only as it is spelt."""
    for path in (ROOT / "docs").rglob("*.md"):
        named = re.findall(r"[Oo]ption `(\w+)`", path.read_text())
        assert [option for option in named if option not in OPTIONS] == [], path.name
