"""`vexfs import`: many vectors at once."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import Home
from tests.support.vectors import VECTOR

pytestmark = pytest.mark.mount

ROWS = np.arange(1, 31, dtype=np.float64).reshape(10, 3)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    np.save(tmp_path / "v.npy", ROWS)
    return tmp_path / "v.npy"


def test_each_file_gets_its_row(home: Home, table: Path, tmp_path: Path) -> None:
    with home.mounted() as volume:
        names = [f"f{number}" if number else "a name \xff" for number in range(10)]
        for name in names:
            (volume / name).write_text("")
        (tmp_path / "paths").write_text("\n".join(names))
        home.succeed("import", table, tmp_path / "paths", "--directory", volume)
        (tmp_path / "whole").write_text("\n".join(str(volume / name) for name in names))
        home.succeed("import", table, tmp_path / "whole", "--space", "other")
        for number, name in enumerate(names):
            for attribute in (VECTOR, f"{VECTOR}.other"):
                value = np.frombuffer(os.getxattr(volume / name, attribute), "<f4")
                assert value.tolist() == ROWS[number].tolist()


def test_what_fails_is_told_and_the_rest_is_set(home: Home, tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows[3] = 0
    np.save(tmp_path / "v.npy", rows)
    with home.mounted() as volume:
        for number in range(9):
            (volume / f"f{number}").write_text("")
        (tmp_path / "paths").write_text("".join(f"f{number}\n" for number in range(10)))
        complaint = home.fail(
            "import", tmp_path / "v.npy", tmp_path / "paths", "--directory", volume
        )
        assert "f3: invalid argument: a vector of zeros" in complaint
        assert "f9: No such file" in complaint
        assert "8 vectors set, 2 failed" in complaint
        assert sum(VECTOR in os.listxattr(path) for path in volume.iterdir()) == 8


def test_nothing_outside_of_the_volume_gets_a_vector(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outside").write_text("")
    np.save("v.npy", ROWS[:3])
    with home.mounted() as volume:
        (volume / "a").write_text("")
        (tmp_path / "paths").write_text(f"{volume}/a\n\n{tmp_path}/outside\n")
        complaint = home.fail("import", "v.npy", "paths")
        assert "outside: no such file or directory: not in the same volume" in complaint
        assert "a line without a path" in complaint
        assert "1 vectors set, 2 failed" in complaint
    assert not os.listxattr("outside")
    assert not os.listxattr(tmp_path)


def test_numbers_beyond_float32_are_told_in_one_line(home: Home, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.full((1, 3), 1e300))
    with home.mounted() as volume:
        (volume / "a").write_text("")
        (tmp_path / "paths").write_text(f"{volume}/a\n")
        complaint = home.fail("import", tmp_path / "v.npy", tmp_path / "paths")
        assert complaint.splitlines() == [
            f"vexfs: {volume}/a: invalid argument: component 0 of the vector is inf",
            "0 vectors set, 1 failed",
        ]


def test_a_table_and_a_list_that_differ_are_refused(
    home: Home, table: Path, tmp_path: Path
) -> None:
    (tmp_path / "paths").write_text("one\n")
    assert "10 vectors and 1 paths" in home.fail("import", table, tmp_path / "paths")
    np.save(tmp_path / "flat.npy", ROWS[0])
    assert "one vector a row" in home.fail("import", tmp_path / "flat.npy", tmp_path / "paths")
    assert "paths" in home.fail("import", tmp_path / "paths", tmp_path / "paths")
    (tmp_path / "empty").write_text("")
    assert "empty is no .npy" in home.fail("import", tmp_path / "empty", tmp_path / "paths")
