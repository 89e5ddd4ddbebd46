"""`vexfs umount`: it returns when everything is on disk."""

import fcntl
import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.commands import Home
from vexfs_fuse.cli import mounted
from vexfs_fuse.errors import InvalidArgument, NotFound

pytestmark = pytest.mark.mount


def test_the_store_is_free_when_the_command_returns(home: Home) -> None:
    home.succeed("mount", "--store", home.store, home.mount_point)
    (home.mount_point / "a").write_bytes(bytes(8 << 20))
    home.succeed("umount", home.mount_point)
    with (home.store / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_volume_in_use_is_not_unmounted(home: Home) -> None:
    with home.mounted() as volume, (volume / "a").open("w"):
        assert "busy" in home.fail("umount", volume)
        assert os.path.ismount(volume)


def test_lazy_takes_the_name_away_at_once(home: Home) -> None:
    with home.mounted() as volume, (volume / "a").open("w") as file:
        home.succeed("umount", "--lazy", volume)
        assert not os.path.ismount(volume)
        file.write("still taken")


def test_a_dead_mount_is_cleared_away(home: Home) -> None:
    home.succeed("mount", "--store", home.store, home.mount_point)
    pid = json.loads(home.succeed("status", "--json", home.mount_point))["daemon"]["pid"]
    os.kill(pid, signal.SIGKILL)
    home.succeed("umount", home.mount_point)
    assert not os.path.ismount(home.mount_point)


def test_what_is_not_mounted_is_told(home: Home) -> None:
    assert "is not in a mounted vexfs volume" in home.fail("umount", home.mount_point)


def test_without_a_name_there_must_be_one_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    for points, problem in (([], NotFound), ([Path("/a"), Path("/b")], InvalidArgument)):
        monkeypatch.setattr(mounted, "mount_points", lambda points=points: points)
        with pytest.raises(problem):
            mounted.only_volume(None)
    monkeypatch.setattr(mounted, "mount_points", lambda: [Path("/a")])
    assert mounted.only_volume(None) == Path("/a")
