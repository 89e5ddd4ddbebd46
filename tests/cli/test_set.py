"""`vexfs set`: gives a file a vector, from a file or from the line."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import Home
from tests.support.vectors import VECTOR, raw

pytestmark = pytest.mark.mount


def test_a_vector_is_taken_from_a_file_or_the_line(home: Home, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([1.0, 2.0, 3.0]))
    (tmp_path / "v.raw").write_bytes(raw(4, 5, 6))
    (tmp_path / "v.json").write_text(json.dumps([7, 8, 9]))
    with home.mounted() as volume:
        (volume / "a").write_text("")
        for name, value in (("v.npy", (1, 2, 3)), ("v.raw", (4, 5, 6)), ("v.json", (7, 8, 9))):
            home.succeed("set", volume / "a", "--vector-file", tmp_path / name)
            assert os.getxattr(volume / "a", VECTOR) == raw(*value)
        home.succeed("set", volume / "a", "--json", "[1, 0, 1]")
        assert os.getxattr(volume / "a", VECTOR) == raw(1, 0, 1)
        home.succeed("set", volume / "a", "--space", "other", "--json", "[1]")
        assert os.getxattr(volume / "a", f"{VECTOR}.other") == raw(1)


def test_standard_input_is_a_file_too(home: Home) -> None:
    with home.mounted() as volume:
        (volume / "a").write_text("")
        subprocess.run(
            home.command("set", volume / "a", "--vector-file", "-"),
            env=home.environment, input=b"1 2 3", check=True,
        )  # fmt: skip
        assert os.getxattr(volume / "a", VECTOR) == raw(1, 2, 3)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("[1, 2]", "the vector has 2 dimensions, the space 3"),
        ("[0, 0, 0]", "no direction"),
        ("[1, 2, NaN]", "component 2 of the vector is nan"),
        ("one", "bytes are no vector"),
    ],
)
def test_what_is_no_vector_is_told_in_words(home: Home, given: str, complaint: str) -> None:
    with home.mounted() as volume:
        (volume / "a").write_text("")
        home.succeed("set", volume / "a", "--json", "[1, 2, 3]")
        assert complaint in home.fail("set", volume / "a", "--json", given)
        assert os.getxattr(volume / "a", VECTOR) == raw(1, 2, 3)


def test_a_name_that_no_space_can_have_is_told_in_words(home: Home) -> None:
    with home.mounted() as volume:
        (volume / "a").write_text("")
        complaint = home.fail("set", volume / "a", "--space", "a/b", "--json", "[1]")
        assert "a space's name has up to 64 letters, digits, - and _" in complaint


def test_only_files_in_a_volume_have_vectors(home: Home, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("")
    assert "not in a mounted" in home.fail("set", tmp_path / "outside", "--json", "[1]")
    with home.mounted() as volume:
        assert "vectors belong to files" in home.fail("set", volume, "--json", "[1]")
        assert "No such file" in home.fail("set", volume / "none", "--json", "[1]")
