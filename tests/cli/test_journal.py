"""`vexfs journal`: who changed what, of a mounted volume and of a store at rest."""

import json
import subprocess
from typing import Any

import pytest

from tests.support.commands import Home, lines
from vexfs_fuse.cli.journal import line
from vexfs_fuse.cli.mounted import sync
from vexfs_fuse.storage.records import Entry
from vexfs_fuse.units import Inode, Lsn

pytestmark = pytest.mark.mount


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(text)]


def test_a_store_at_rest_tells_its_journal(home: Home) -> None:
    with home.mounted() as volume:
        (volume / "a").mkdir()
    found = records(home.succeed("journal", "--json", "--store", home.store))
    assert [record["lsn"] for record in found] == list(range(1, len(found) + 1))
    made = next(record for record in found if record["body"].get("name") == "a")
    assert made["actor"][:2] == [0, 0]


def test_a_mounted_volume_tells_the_same(home: Home) -> None:
    with home.mounted() as volume:
        (volume / "a").mkdir()
        sync(volume)
        mounted = records(home.succeed("journal", "--json", volume))
        at_rest = records(home.succeed("journal", "--json", "--store", home.store))
        assert at_rest[: len(mounted)] == mounted
        assert any(record["body"].get("name") == "a" for record in mounted)


def test_since_leaves_out_what_came_before(home: Home) -> None:
    with home.mounted():
        pass
    found = records(home.succeed("journal", "--json", "--since", "1", "--store", home.store))
    assert found[0]["lsn"] == 2


def test_follow_shows_what_comes(home: Home) -> None:
    with home.mounted() as volume:
        command = home.command("journal", "--follow", "--json", volume)
        with subprocess.Popen(command, env=home.environment, stdout=subprocess.PIPE) as follower:
            assert follower.stdout is not None
            (volume / "fresh").mkdir()
            for text in follower.stdout:
                if json.loads(text)["body"].get("name") == "fresh":
                    break
            follower.kill()
            follower.stdout.close()


def test_a_store_at_rest_cannot_be_followed(home: Home) -> None:
    told = home.fail("journal", "--follow", "--store", home.store)
    assert "--follow needs a mounted volume" in told


def test_a_directory_without_a_journal_is_told(home: Home) -> None:
    assert "holds no journal" in home.fail("journal", "--store", home.path)


def test_a_line_for_people_shows_any_name() -> None:
    body = {"name": b"caf\xc3\xa9\xff", "text": "two\nlines", "long": b"x" * 100}
    entry = Entry(Lsn(7), 0, "Created", Inode(5), (1000, 100, 42), body)
    shown = line(entry)
    assert "Created        inode 5  by 1000:100 pid 42  name=café\\xff" in shown
    assert "text='two\\nlines'" in shown
    assert f"long={'x' * 60}...\n" in shown
