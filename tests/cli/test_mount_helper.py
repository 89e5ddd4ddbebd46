"""`mount.fuse.vexfs`: what an fstab line gets, by the words and exit codes of mount(8)."""

from collections.abc import Sequence
from typing import Any

import pytest

from vexfs_fuse.cli import mount_helper


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    calls: list[Sequence[str]] = []

    def main(arguments: Sequence[str]) -> int:
        calls.append(arguments)
        return 0

    monkeypatch.setattr("vexfs_fuse.cli.main.main", main)
    return calls


def test_a_source_with_a_slash_is_the_store(called: list[Any]) -> None:
    code = mount_helper.main(["/srv/notes", "/mnt/vex", "-o", "rw,allow_other", "-n", "-s"])
    assert code == 0
    options = ["-o", "fsname=/srv/notes", "-o", "rw,allow_other"]
    assert called == [["mount", "--store", "/srv/notes", *options, "/mnt/vex"]]


def test_another_source_is_a_mere_name(called: list[Any]) -> None:
    mount_helper.main(["notes,etc", "/mnt/vex"])
    assert called == [["mount", "-o", r"fsname=notes\,etc", "/mnt/vex"]]


def test_a_fake_mount_mounts_nothing(called: list[Any]) -> None:
    assert mount_helper.main(["vexfs", "/mnt/vex", "-f"]) == 0
    assert not called


def test_a_failed_mount_is_32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vexfs_fuse.cli.main.main", lambda _: 1)
    assert mount_helper.main(["vexfs", "/mnt/vex"]) == 32


def test_wrong_usage_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        mount_helper.main(["--what"])
    assert ended.value.code == 1
    assert "usage: mount.fuse.vexfs" in capsys.readouterr().err
