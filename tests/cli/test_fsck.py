"""`vexfs fsck`: exit codes as fsck(8) has them."""

import json
import sqlite3
from contextlib import closing

import pytest

from tests.support.commands import Home

pytestmark = pytest.mark.mount


def make_volume(home: Home) -> None:
    with home.mounted() as volume:
        (volume / "a").write_bytes(b"meaning" * 100_000)


def test_a_sound_store_is_0(home: Home) -> None:
    make_volume(home)
    assert home.succeed("fsck", "--store", home.store) == f"{home.store} is sound\n"
    told = json.loads(home.succeed("fsck", "--json", "--store", home.store))
    assert told == {"store": str(home.store), "problems": [], "done": [], "left": []}


def test_a_flipped_bit_in_contents_is_4(home: Home) -> None:
    make_volume(home)
    segment = home.store / "segments/1.seg"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    result = home.run("fsck", "--store", home.store)
    assert result.returncode == 4
    assert "stored data are damaged" in result.stdout


def test_a_mounted_store_is_8(home: Home) -> None:
    with home.mounted():
        assert "in use by another process" in home.fail("fsck", "--store", home.store, code=8)


def test_a_directory_without_a_volume_is_8(home: Home) -> None:
    assert "holds no volume" in home.fail("fsck", "--store", home.store, code=8)
    assert not home.store.exists()


def test_a_damaged_view_is_repaired_and_1(home: Home) -> None:
    make_volume(home)
    with closing(sqlite3.connect(home.store / "state.sqlite3")) as view, view:
        view.execute("UPDATE nodes SET size = 5 WHERE ino != 1")
    assert home.run("fsck", "--store", home.store).returncode == 4
    result = home.run("fsck", "--repair", "--store", home.store)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "repair: rebuilt the state view from the journal" in result.stdout
    assert result.stdout.endswith(" is sound\n")
    with home.mounted() as volume:
        assert (volume / "a").read_bytes() == b"meaning" * 100_000


def test_a_view_beyond_opening_is_repaired(home: Home) -> None:
    make_volume(home)
    (home.store / "state.sqlite3").write_bytes(b"no database" * 1_000)
    result = home.run("fsck", "--repair", "--store", home.store)
    assert result.returncode == 1, result.stdout + result.stderr
    with home.mounted() as volume:
        assert (volume / "a").read_bytes() == b"meaning" * 100_000


def test_damaged_contents_stay_4(home: Home) -> None:
    make_volume(home)
    segment = home.store / "segments/1.seg"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    result = home.run("fsck", "--repair", "--store", home.store)
    assert result.returncode == 4
    assert "repair:" not in result.stdout
