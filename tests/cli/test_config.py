"""`vexfs config`: what would be used, what is used, and what set it."""

import tomllib

import pytest

from tests.support.commands import Home
from vexfs_fuse.config import OPTIONS


def test_all_options_are_shown_with_what_set_them(home: Home) -> None:
    shown = home.succeed("config", "-o", "pool_bytes=1G,noatime", "--commit-interval", "2s")
    assert tomllib.loads(shown).keys() == OPTIONS.keys()
    assert 'pool_bytes = "1G"  # -o pool_bytes=1G\n' in shown
    assert 'atime = "noatime"  # -o noatime\n' in shown
    assert 'commit_interval = "2s"  # --commit-interval\n' in shown
    assert f'metrics = "none"  # {home.path}/.config/vexfs/config.toml\n' in shown
    assert f'store = "{home.path}/.local/share/vexfs/default"  # default\n' in shown


def test_a_file_of_choice_is_read_instead(home: Home) -> None:
    (home.path / "other.toml").write_text("allow_other = true\n")
    shown = tomllib.loads(home.succeed("config", "--config", home.path / "other.toml"))
    assert shown["allow_other"]
    assert shown["metrics"] == "127.0.0.1:9464"


def test_a_switch_needs_no_value(home: Home) -> None:
    assert tomllib.loads(home.succeed("config", "--allow-other"))["allow_other"]


def test_a_mistake_is_told_in_one_line(home: Home) -> None:
    told = home.fail("config", "-o", "pool_bytes=lots")
    assert told == (
        "vexfs: invalid argument: -o pool_bytes=lots: pool_bytes: 'lots' is not a size;"
        " write for example 64K, 256M or 1G\n"
    )


@pytest.mark.mount
def test_a_mounted_volume_tells_what_it_runs_with(home: Home) -> None:
    with home.mounted("-o", "pool_bytes=64M") as volume:
        shown = home.succeed("config", volume)
        assert 'pool_bytes = "64M"  # -o pool_bytes=64M\n' in shown
        assert tomllib.loads(shown)["store"] == str(home.store)
