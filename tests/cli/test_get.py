"""`vexfs get`: what vectors a file has."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import Home
from tests.support.vectors import VECTOR, make_space, raw

pytestmark = pytest.mark.mount


def test_vectors_are_shown_for_people_and_programs(home: Home, tmp_path: Path) -> None:
    with home.mounted() as volume:
        make_space(volume, "clip", 2, model="b32")
        file = volume / "a"
        file.write_text("")
        os.setxattr(file, VECTOR, raw(1, 2, 3))
        os.setxattr(file, f"{VECTOR}.clip", raw(4, 5))
        shown = [line.split() for line in home.succeed("get", file).splitlines()]
        assert ["default", "3", "-", "user", "no"] in shown
        assert ["clip", "2", "b32", "user", "no"] in shown
        told = json.loads(home.succeed("get", file, "--space", "clip", "--json"))
        assert told == {
            "space": "clip", "dimensions": 2, "model": "b32", "origin": "user", "stale": False,
            "vector": [4, 5],
        }  # fmt: skip
        every = json.loads(home.succeed("get", file, "--json"))
        assert {each["space"] for each in every} == {"default", "clip"}
        home.succeed("get", file, "--npy", tmp_path / "v.npy")
        assert np.load(tmp_path / "v.npy").tolist() == [1, 2, 3]


def test_a_file_without_is_told_of(home: Home, tmp_path: Path) -> None:
    with home.mounted() as volume:
        (volume / "a").write_text("")
        assert "has no vector" in home.fail("get", volume / "a")
        for more in (("--json",), ("--npy", tmp_path / "v.npy")):
            complaint = home.fail("get", volume / "a", "--space", "clip", *more)
            assert "has no vector in space clip" in complaint
        assert not (tmp_path / "v.npy").exists()
