"""`vexfs mount`: it returns when the mount answers, or says in one line why it does not."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import NOBODY, Home
from vexfs_fuse.cli import mount
from vexfs_fuse.cli.background import launch
from vexfs_fuse.errors import MountFailed
from vexfs_fuse.fuse import mounting

pytestmark = pytest.mark.mount


def test_a_mount_answers_when_the_command_returns(home: Home) -> None:
    with home.mounted() as volume:
        (volume / "a").write_text("b")
        assert (volume / "a").read_text() == "b"


def test_what_was_written_is_there_after_the_next_mount(home: Home) -> None:
    with home.mounted() as volume:
        (volume / "a").write_bytes(b"x" * 100_000)
    with home.mounted() as volume:
        assert (volume / "a").read_bytes() == b"x" * 100_000


def test_findmnt_tells_type_and_source(home: Home) -> None:
    with home.mounted("-o", "fsname=notes") as volume:
        command = ["findmnt", "-n", "-t", "fuse.vexfs", "-o", "FSTYPE,SOURCE", str(volume)]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert shown.split() == ["fuse.vexfs", "notes"]


def test_a_read_only_mount_takes_no_changes(home: Home) -> None:
    with home.mounted() as volume:
        (volume / "a").touch()
    with home.mounted("-o", "ro") as volume:
        assert (volume / "a").exists()
        with pytest.raises(OSError, match="Read-only file system"):
            (volume / "b").touch()


def test_the_store_is_its_users_alone(home: Home) -> None:
    with home.mounted():
        modes = [path.stat().st_mode & 0o077 for path in (home.store, *home.store.rglob("*"))]
        assert not any(modes)


def test_a_mount_point_that_is_no_directory_is_refused(home: Home) -> None:
    (home.path / "file").touch()
    told = home.fail("mount", "--store", home.store, home.path / "file")
    assert told == f"vexfs: cannot mount or unmount: {home.path}/file is not a directory\n"


def test_a_missing_mount_point_is_refused(home: Home) -> None:
    told = home.fail("mount", "--store", home.store, home.path / "absent")
    assert "absent: No such file or directory" in told
    assert not home.store.exists()


def test_a_mount_point_with_something_in_it_is_refused(home: Home) -> None:
    (home.mount_point / "file").touch()
    assert "is not empty" in home.fail("mount", "--store", home.store, home.mount_point)


def test_a_second_daemon_on_one_store_is_refused(home: Home) -> None:
    other = home.path / "other"
    other.mkdir()
    with home.mounted() as volume:
        told = home.fail("mount", "--store", home.store, other)
        assert "the store is in use by another process" in told
        pid = json.loads(home.succeed("status", "--json", volume))["daemon"]["pid"]
        assert f"process {pid}" in told


def test_a_mounted_mount_point_is_refused(home: Home) -> None:
    with home.mounted() as volume:
        told = home.fail("mount", "--store", home.path / "another", volume)
        assert "is a mounted vexfs already" in told


def test_a_store_of_a_newer_format_is_refused(home: Home) -> None:
    with home.mounted():
        pass
    identity = json.loads((home.store / "volume.json").read_text())
    (home.store / "volume.json").write_text(json.dumps(identity | {"format": 99, "crc": None}))
    told = home.fail("mount", "--store", home.store, home.mount_point)
    assert "the store has a newer format: revision 99" in told


def test_a_directory_that_is_no_store_is_refused(home: Home) -> None:
    home.store.mkdir()
    (home.store / "letters").touch()
    told = home.fail("mount", "--store", home.store, home.mount_point)
    assert "volume.json is missing" in told


def test_a_store_that_may_not_be_written_is_refused(home: Home) -> None:
    for path in (home.path, home.mount_point):
        os.chown(path, NOBODY, NOBODY)
    told = home.fail("mount", "--store", "/usr/store", home.mount_point, uid=NOBODY)
    assert "/usr/store: Permission denied" in told


def test_without_the_fuse_device_the_reason_is_told(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounting, "DEVICE", str(home.path / "fuse"))
    with pytest.raises(MountFailed, match=r"fuse is missing; `vexfs doctor` tells more"):
        mount.checked_mount_point(home.mount_point)


def test_the_mount_point_of_a_dead_daemon_is_used_again(home: Home) -> None:
    home.succeed("mount", "--store", home.store, home.mount_point)
    (home.mount_point / "a").write_text("b")
    with (home.mount_point / "a").open("rb") as file:
        os.fsync(file.fileno())
    pid = json.loads(home.succeed("status", "--json", home.mount_point))["daemon"]["pid"]
    os.kill(pid, signal.SIGKILL)
    deadline_s = time.monotonic() + 10
    while mounting.answers(home.mount_point) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert "is gone; mount again" in home.fail("status", home.mount_point)
    with home.mounted() as volume:
        assert (volume / "a").read_text() == "b"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_mount_in_the_foreground_cleanly(
    home: Home, number: signal.Signals
) -> None:
    command = home.command("mount", "--foreground", "--store", home.store, home.mount_point)
    daemon = subprocess.Popen(command, env=home.environment, stderr=subprocess.PIPE)
    while not os.path.ismount(home.mount_point):
        assert daemon.poll() is None
        time.sleep(0.02)
    (home.mount_point / "a").write_text("b")
    daemon.send_signal(number)
    told = daemon.communicate(timeout=30)[1].decode()
    assert daemon.returncode == 0, told
    assert "WARNING" not in told
    assert not os.path.ismount(home.mount_point)
    assert home.succeed("fsck", "--store", home.store) == f"{home.store} is sound\n"


@pytest.fixture
def fuse_for_all() -> Iterator[None]:
    """Open the FUSE device to everybody, as udev does where it runs."""
    mode = os.stat(mounting.DEVICE).st_mode
    os.chmod(mounting.DEVICE, 0o666)
    yield
    os.chmod(mounting.DEVICE, mode)


@pytest.mark.usefixtures("fuse_for_all")
def test_an_unprivileged_user_mounts_through_fusermount(home: Home) -> None:
    for path in (home.path, home.mount_point):
        os.chown(path, NOBODY, NOBODY)
    for above in home.path.parents:
        if above.is_relative_to("/tmp") and above != Path("/tmp"):
            above.chmod(0o755)
    home.succeed("mount", "--store", home.store, home.mount_point, uid=NOBODY)
    # Without allow_other root itself may not look.
    told = home.succeed("status", "--json", home.mount_point, uid=NOBODY)
    assert json.loads(told)["mount"]["mounted_by"] == "fusermount3"
    home.succeed("umount", home.mount_point, uid=NOBODY)
    assert not os.path.ismount(home.mount_point)


def test_a_daemon_that_dies_at_its_start_is_told(tmp_path: Path) -> None:
    with pytest.raises(MountFailed, match="ended unexpectedly; its log is /var/log/x"):
        launch(lambda _: os._exit(3), "/var/log/x")


def test_a_daemon_that_fails_at_its_start_says_why() -> None:
    def serve(_: int) -> int:
        raise MountFailed("the moon\nis full")

    with pytest.raises(MountFailed) as caught:
        launch(serve, "")
    assert str(caught.value) == "cannot mount or unmount: the moon is full"


def test_a_daemon_keeps_no_descriptor_of_its_starter(home: Home) -> None:
    with (home.path / "kept").open("w") as kept:
        os.set_inheritable(kept.fileno(), True)
        command = home.command("mount", "--store", home.store, home.mount_point)
        subprocess.run(command, env=home.environment, pass_fds=[kept.fileno()], check=True)
    pid = json.loads(home.succeed("status", "--json", home.mount_point))["daemon"]["pid"]
    targets = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    assert str(home.path / "kept") not in targets
    home.succeed("umount", home.mount_point)
