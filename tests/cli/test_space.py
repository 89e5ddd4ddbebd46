"""`vexfs space`: spaces of a mounted volume and of a store at rest."""

import json
import os

import pytest

from tests.support.commands import Home
from tests.support.vectors import VECTOR

pytestmark = pytest.mark.mount

MAKE = ("space", "create", "clip", "--dim", "3", "--metric", "l2", "--model", "clip-b32")


def test_a_space_is_made_shown_and_dropped(home: Home) -> None:
    with home.mounted() as volume:
        here = ("--mount-point", volume)
        home.succeed(*MAKE, *here)
        assert os.getxattr(volume, "user.vexfs.space.clip") == b"dim=3 metric=l2 model=clip-b32"
        told = json.loads(home.succeed("space", "show", "clip", "--json", *here))
        assert (told["dimensions"], told["metric"], told["model"]) == (3, "l2", "clip-b32")
        assert "clip-b32" in home.succeed("space", "show", "clip", *here)
        listed = home.succeed("space", "list", *here).splitlines()[-1]
        assert listed.split()[:5] == ["clip", "3", "l2", "clip-b32", "0"]
        home.succeed("space", "drop", "clip", *here)
        assert json.loads(home.succeed("space", "list", "--json", *here)) == []


def test_a_store_at_rest_has_the_same_spaces(home: Home) -> None:
    at_rest = ("--store", home.store)
    with home.mounted():
        assert "held by process" in home.fail("space", "list", *at_rest)
    home.succeed(*MAKE, *at_rest)
    listed = json.loads(home.succeed("space", "list", "--json", *at_rest))
    assert [space["name"] for space in listed] == ["clip"]
    with home.mounted() as volume:
        assert "clip" in home.succeed("space", "list", "--mount-point", volume)
    home.succeed("space", "drop", "clip", *at_rest)
    assert home.succeed("space", "list", *at_rest) == ""
    assert "holds no volume" in home.fail("space", "list", "--store", home.path / "none")


def test_a_space_with_vectors_is_dropped_by_force_only(home: Home) -> None:
    with home.mounted() as volume:
        (volume / "a").write_text("")
        os.setxattr(volume / "a", VECTOR, b"1 2")
        here = ("--mount-point", volume)
        assert "--force drops them" in home.fail("space", "drop", "default", *here)
        home.succeed("space", "drop", "default", "--force", *here)
        assert os.listxattr(volume / "a") == []


def test_what_cannot_be_done_is_told(home: Home) -> None:
    with home.mounted() as volume:
        here = ("--mount-point", volume)
        home.succeed("space", "create", "there", "--dim", "2", *here)
        for arguments, complaint in {
            ("create", "clip"): "needs its dimension",
            ("create", "clip", "--dim", "0"): "1 to 16384 dimensions, not 0",
            ("create", "a b", "--dim", "2"): "64 letters",
            ("create", "clip", "--dim", "2", "--model", "a b"): "no blanks",
            ("create", "clip", "--dim", "2", "--model", "\udcff"): "UTF-8",
            ("create", "there", "--dim", "2"): "the name is taken: space there",
            ("create",): "which space to create?",
            ("list", "clip"): "list takes no name",
            ("show", "clip"): "there is no space clip",
            ("drop", "clip"): "there is no space clip",
        }.items():
            assert complaint in home.fail("space", *arguments, *here)
