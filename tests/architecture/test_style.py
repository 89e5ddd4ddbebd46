"""What the house style says of modules and what a machine can see."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "src").rglob("*.py"))

MODULE_LINES_MAX = 480
MEDIAN_MODULE_LINES_MAX = 200
FUNCTION_LINES_MAX = 60
MEDIAN_FUNCTION_LINES_MAX = 13

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name(path: Path) -> str:
    return str(path.relative_to(ROOT / "src/vexfs_fuse"))


def functions(path: Path) -> list[Function]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, Function)]


def lines(function: Function) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_opens_with_a_sentence(path: Path) -> None:
    opening = ast.get_docstring(ast.parse(path.read_text()))
    assert opening
    assert len(opening.split("\n")[0]) > 10


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_can_be_read_at_a_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MODULE_LINES_MAX


def test_the_median_module_is_short() -> None:
    lengths = sorted(len(path.read_text().splitlines()) for path in MODULES)
    assert lengths[len(lengths) // 2] <= MEDIAN_MODULE_LINES_MAX


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_function_outgrows_a_screen(path: Path) -> None:
    assert not [
        f"{function.name}: {lines(function)}"
        for function in functions(path)
        if lines(function) > FUNCTION_LINES_MAX
    ]


def test_the_median_function_is_short() -> None:
    lengths = sorted(lines(function) for path in MODULES for function in functions(path))
    assert lengths[len(lengths) // 2] <= MEDIAN_FUNCTION_LINES_MAX


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_errno_is_named_in_errors_and_fuse_only(path: Path) -> None:
    if name(path) != "errors.py" and path.parent.name != "fuse":
        assert not re.search(r"^(import errno|from errno)", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_names_say_what_a_thing_is(path: Path) -> None:
    forbidden = re.compile(r"(^|_)(utils?|manager|misc|common|new|v2|optimized)(_|$)")
    names = [path.stem, *(function.name for function in functions(path))]
    assert [found for found in names if forbidden.search(found)] == []


def test_package_versions_agree() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    package = (ROOT / "src/vexfs_fuse/__init__.py").read_text()
    version = re.search(r'^version = "(.+)"', project, re.MULTILINE)
    assert version
    assert f'__version__ = "{version[1]}"' in package
