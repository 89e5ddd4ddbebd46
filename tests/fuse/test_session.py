"""Mounting and unmounting, as root and as an ordinary user."""

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.memory_mount import MemoryMount
from tests.support.persons import ALICE, acting_as
from vexfs_fuse.errors import MountFailed
from vexfs_fuse.fuse import init_flags, mounting
from vexfs_fuse.fuse.mounting import MountOptions

pytestmark = pytest.mark.mount
NOBODY = 65534


@pytest.fixture
def fuse_for_all() -> Iterator[None]:
    """/dev/fuse as distributions have it, so that an ordinary user's helper may open it."""
    before = stat.S_IMODE(os.stat(mounting.DEVICE).st_mode)
    os.chmod(mounting.DEVICE, 0o666)
    yield
    os.chmod(mounting.DEVICE, before)


def found(path: Path) -> dict[str, str]:
    """What findmnt shows of the mount at `path`."""
    columns = ["FSTYPE", "SOURCE", "OPTIONS"]
    listed = subprocess.run(
        ["findmnt", "-n", "-r", "-t", "fuse.vexfs", "-o", ",".join(columns), path],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(columns, listed.stdout.split(), strict=True))


def test_root_mounts_with_all_flags() -> None:
    with MemoryMount() as mount:
        shown = found(mount.path)
        mount.wait_for_log(r"'mounted_by': 'mount\(2\)', 'reader': 'direct'")
        mount.wait_for_log(
            "'DONT_MASK', 'READDIRPLUS_AUTO', 'PARALLEL_DIROPS', 'EXPLICIT_INVAL_DATA', 'HANDLE_KILLPRIV_V2'"
        )
        mount.wait_for_log("'readahead_kib': 1024")
    assert shown["FSTYPE"] == "fuse.vexfs"
    assert shown["SOURCE"] == "vexfs"
    assert {"rw", "nosuid", "nodev", "default_permissions"} <= set(shown["OPTIONS"].split(","))


def test_an_ordinary_user_mounts_through_the_helper_with_the_same_flags(
    fuse_for_all: None,
) -> None:
    with MemoryMount(uid=NOBODY) as mount:
        shown = found(mount.path)
        mount.wait_for_log("'mounted_by': 'fusermount3', 'reader': 'direct'")
        mount.wait_for_log(
            "'DONT_MASK', 'READDIRPLUS_AUTO', 'PARALLEL_DIROPS', 'EXPLICIT_INVAL_DATA', 'HANDLE_KILLPRIV_V2'"
        )
        mount.wait_for_log("'readahead_kib': None")
        mount.send(signal.SIGTERM)
        assert mount.wait() == 0
    assert shown["FSTYPE"] == "fuse.vexfs"
    assert f"user_id={NOBODY}" in shown["OPTIONS"]


def test_an_ordinary_user_s_open_files_are_served_after_a_signal(fuse_for_all: None) -> None:
    with MemoryMount(uid=NOBODY, allow_other=False) as mount:
        inside = os.open(mount.path, os.O_RDONLY) if os.access(mount.path, os.R_OK) else None
        assert inside is None  # not even root's, without allow_other
        mount.send(signal.SIGTERM)
        assert mount.wait() == 0


def test_libfuse_can_mount_by_itself() -> None:
    with MemoryMount(init_relay=False) as mount:
        (mount.path / "file").write_bytes(b"contents")
        assert found(mount.path)["FSTYPE"] == "fuse.vexfs"
        mount.wait_for_log("'mounted_by': 'libfuse', 'reader': 'hybrid'.*'init_flags': \\[\\]")


def test_a_read_only_mount_says_so_to_the_kernel() -> None:
    with MemoryMount(ro=True) as mount:
        assert "ro" in found(mount.path)["OPTIONS"].split(",")
        with pytest.raises(OSError, match="Read-only file system"):
            (mount.path / "file").touch()


def test_others_are_kept_out_unless_allowed() -> None:
    with MemoryMount() as mount, pytest.raises(PermissionError):
        acting_as(ALICE, lambda: os.listdir(mount.path))
    with MemoryMount(allow_other=True) as mount:
        assert acting_as(ALICE, lambda: os.listdir(mount.path)) == []


def test_a_living_mount_is_not_covered() -> None:
    with MemoryMount() as mount, pytest.raises(MountFailed, match="is a mounted vexfs already"):
        mounting.prepare(mount.path)


def test_a_killed_daemon_leaves_its_mount_and_the_next_one_takes_its_place(tmp_path: Path) -> None:
    with MemoryMount(path=tmp_path) as mount:
        mount.send(signal.SIGKILL)
        mount.wait()
        with pytest.raises(OSError, match="not connected"):
            os.listdir(tmp_path)
        with MemoryMount(path=tmp_path) as again:
            assert os.listdir(again.path) == []
        mount.expect_dead_mount()


def test_a_daemon_that_fails_leaves_its_mount(tmp_path: Path) -> None:
    with MemoryMount(path=tmp_path, crashes="later", loud="(?s)Traceback.*") as mount:
        (tmp_path / "file").touch()
        assert mount.wait() != 0
        with pytest.raises(OSError, match="not connected"):
            os.listdir(tmp_path)
        mount.expect_dead_mount()


def test_a_daemon_that_fails_before_it_answers_does_not_wait_for_itself(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="maintenance fails as no maintenance should"):
        MemoryMount(path=tmp_path, crashes="at once").__enter__()


def test_a_mount_point_must_be_a_directory(tmp_path: Path) -> None:
    with pytest.raises(MountFailed, match="No such file or directory"):
        mounting.prepare(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(MountFailed, match="is not a directory"):
        mounting.prepare(tmp_path / "file")


def test_unmounting_what_is_not_mounted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MountFailed, match="Invalid argument"):
        mounting.unmount(tmp_path)


def test_a_file_in_use_keeps_the_volume_from_being_unmounted() -> None:
    with MemoryMount() as mount, (mount.path / "file").open("wb"):
        with pytest.raises(MountFailed, match="busy"):
            mounting.unmount(mount.path)
        mounting.unmount(mount.path, lazy=True)


def test_a_source_with_a_comma_reaches_the_helper_whole() -> None:
    words = MountOptions(source="a,b\\c").helper_words
    assert words[0] == "fsname=a\\,b\\\\c"


def test_mountinfo_s_escapes_are_undone(tmp_path: Path) -> None:
    odd = tmp_path / "a b\tc"
    odd.mkdir()
    with MemoryMount(path=odd):
        there = mounting.mount_at(odd)
        assert there is not None
        assert there.kind == mounting.FILE_SYSTEM_TYPE
    odd.rmdir()


def test_flags_are_named_for_people() -> None:
    flags = init_flags.PARALLEL_DIROPS | init_flags.HANDLE_KILLPRIV_V2
    assert init_flags.names(flags) == ["PARALLEL_DIROPS", "HANDLE_KILLPRIV_V2"]
