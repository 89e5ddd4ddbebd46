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


def test_a_table_and_a_list_that_differ_are_refused(
    home: Home, table: Path, tmp_path: Path
) -> None:
    (tmp_path / "paths").write_text("one\n")
    assert "10 vectors and 1 paths" in home.fail("import", table, tmp_path / "paths")
    np.save(tmp_path / "flat.npy", ROWS[0])
    assert "one vector a row" in home.fail("import", tmp_path / "flat.npy", tmp_path / "paths")
    assert "paths" in home.fail("import", tmp_path / "paths", tmp_path / "paths")
