"""`vexfs bench`: what it measures, and that it leaves nothing behind."""

import json
from pathlib import Path

import pytest

from tests.support.commands import Home
from tests.support.persons import BOB

pytestmark = pytest.mark.mount

CALLS = {"create + close", "stat", "create + write 1 KiB + fsync", "unlink"}
VECTORS = {"set a vector", "search, k=10"}


def operations(told: str) -> dict[str, int]:
    return {row["operation"]: row["calls"] for row in json.loads(told)}


def test_a_volume_is_measured_with_its_vectors_and_left_as_it_was(home: Home) -> None:
    with home.mounted() as volume:
        counts = operations(home.succeed("bench", volume, "--files", "20", "--json"))
        assert counts.keys() >= CALLS | VECTORS
        assert counts["unlink"] == counts["set a vector"] == 20
        assert list(volume.iterdir()) == []
        assert json.loads(home.succeed("space", "list", "--json", "--mount-point", volume)) == []


def test_who_may_not_drop_spaces_makes_none(home: Home) -> None:
    with home.mounted("-o", "allow_other") as volume:
        theirs = volume / "theirs"
        theirs.mkdir()
        theirs.chmod(0o777)
        counts = operations(home.succeed("bench", theirs, "--files", "5", "--json", uid=BOB.uid))
        assert counts.keys() >= CALLS
        assert not counts.keys() & VECTORS
        assert json.loads(home.succeed("space", "list", "--json", "--mount-point", volume)) == []


def test_any_other_directory_is_measured_to_compare(home: Home, tmp_path: Path) -> None:
    counts = operations(home.succeed("bench", tmp_path, "--files", "5", "--json"))
    assert counts.keys() >= CALLS
    assert not counts.keys() & VECTORS
    assert not [path for path in tmp_path.iterdir() if "bench" in path.name]


def test_people_get_a_table(home: Home, tmp_path: Path) -> None:
    title, columns, *rows = home.succeed("bench", tmp_path, "--files", "3").splitlines()
    assert title == "operations"
    assert columns.split() == ["calls", "per", "second", "median", "us", "p99", "us"]
    assert rows[0].split()[:4] == ["create", "+", "close", "3"]


def test_what_cannot_be_measured_is_told(home: Home, tmp_path: Path) -> None:
    assert "0 files, not 1 to 1,000,000" in home.fail("bench", tmp_path, "--files", "0")
    assert "No such file" in home.fail("bench", tmp_path / "none")


def test_a_volume_that_takes_no_changes_is_not_measured(home: Home) -> None:
    with home.mounted():
        pass
    with home.mounted("-o", "ro") as volume:
        assert "Read-only file system" in home.fail("bench", volume)
