"""Where option values come from, who wins, and how a mistake is told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vexfs_fuse.config import Config, load
from vexfs_fuse.config.sources import MOUNT_WORDS, split_mount_options
from vexfs_fuse.config.table import OPTIONS
from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.quantities import Address
from vexfs_fuse.units import GIB, MIB

WriteToml = Callable[[str], Path]


@pytest.fixture
def write_toml(tmp_path: Path) -> WriteToml:
    def write(text: str) -> Path:
        place = tmp_path / "config.toml"
        place.write_text(text)
        return place

    return write


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))


def test_defaults_hold_where_nobody_speaks(tmp_path: Path) -> None:
    effective = load()
    assert effective.config == Config()
    assert not effective.origins
    assert effective.config.store == tmp_path / "XDG_DATA_HOME/vexfs/default"


def test_flags_win_over_mount_options_over_the_file(write_toml: WriteToml) -> None:
    file = write_toml('pool_bytes = "32M"\nsegment_bytes = "32M"\ncache_inodes = 5000\n')
    config, origins = load({"pool_bytes": "64M"}, ["pool_bytes=48M,segment_bytes=48M"], file)
    assert (config.pool_bytes, config.segment_bytes, config.cache_inodes) == (
        64 * MIB,
        48 * MIB,
        5000,
    )
    assert origins == {
        "pool_bytes": "--pool-bytes",
        "segment_bytes": "-o segment_bytes=48M",
        "cache_inodes": str(file),
    }


def test_the_file_of_the_xdg_directory_is_read(tmp_path: Path) -> None:
    place = tmp_path / "XDG_CONFIG_HOME/vexfs/config.toml"
    place.parent.mkdir(parents=True)
    place.write_text("ro = true\n")
    assert load().config.ro


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("ro", "ro", True),
        ("ro,rw", "ro", False),
        ("noatime", "atime", "noatime"),
        ("suid", "suid", True),
        ("suid,nosuid", "suid", False),
        ("noexec", "exec", False),
        ("metrics=none", "metrics", None),
        ("metrics=[::1]:9000", "metrics", Address("::1", 9000)),
        ("pool_bytes=1GiB", "pool_bytes", GIB),
        ("commit_interval=250ms", "commit_interval", 0.25),
        (r"fsname=a\,b", "fsname", "a,b"),
        ("defaults,_netdev,x-systemd.automount,comment=home", "ro", False),
    ],
)
def test_mount_options_mean_what_fstab_writers_expect(text: str, name: str, value: object) -> None:
    assert getattr(load(mount_options=[text]).config, name) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "pol_bytes=1G",
            "-o pol_bytes=1G: there is no option 'pol_bytes'; did you mean pool_bytes?",
        ),
        ("pool_bytes=12Q", "pool_bytes: '12Q' is not a size; write for example 64K, 256M or 1G"),
        ("pool_bytes=1K", "pool_bytes: '1K' is below the least value, 16M"),
        ("commit_interval=2h", "commit_interval: '2h' is above the largest value, 1h"),
        ("commit_interval=soon", "commit_interval: 'soon' is not a duration"),
        ("durability=maybe", "durability: 'maybe' is none of none, interval, always"),
        ("metrics=here", "metrics: 'here' is not an address"),
        ("ro=perhaps", "ro: 'perhaps' is neither true nor false"),
        ("cache_inodes=many", "cache_inodes: 'many' is not a whole number"),
        ("store", "store: an empty path"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        load(mount_options=[text])
    assert told in str(caught.value)
    assert f"-o {text}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pool_bytes = ", "Invalid value"),
        ("pool_bytes = [1]", "pool_bytes: a single value is needed"),
        ("[pool]\nbytes = 1", "pool: a single value is needed"),
        ("poool = 1", "there is no option 'poool'"),
    ],
)
def test_a_mistake_in_the_file_names_the_file(write_toml: WriteToml, text: str, told: str) -> None:
    file = write_toml(text)
    with pytest.raises(InvalidArgument) as caught:
        load(file=file)
    assert told in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="no such file"):
        load(file=tmp_path / "absent.toml")


def test_what_is_rendered_loads_back_to_the_same(write_toml: WriteToml) -> None:
    effective = load(
        {"store": '/srv/a "b"\n\\c', "metrics": "none", "commit_interval": "1500ms", "ro": "yes"}
    )
    assert load(file=write_toml(effective.toml())).config == effective.config


def test_rendered_options_tell_their_origin() -> None:
    lines = load(mount_options=["pool_bytes=1G"]).toml().splitlines()
    assert 'pool_bytes = "1G"  # -o pool_bytes=1G' in lines
    assert 'durability = "interval"  # default' in lines


def test_every_default_is_within_its_bounds() -> None:
    for option in OPTIONS.values():
        if option.default is not None:
            assert option.parse(str(option.kind.render(option.default))) == option.default


def test_generic_mount_words_stand_for_real_options() -> None:
    for name, text in MOUNT_WORDS.values():
        OPTIONS[name].parse(text)


def test_a_backslash_keeps_a_comma_in_its_word() -> None:
    assert split_mount_options(r"a,b\,c,,d\\e") == ["a", "b,c", r"d\e"]
