"""What lies in a volume never says which program runs, nor which server is told what files say."""

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.embedders import COMMAND, FINGERPRINT
from tests.support.mounting import OPTIONS, MountedVolume
from tests.support.searching import listed, results

SOURCE = Path(__file__).parents[2] / "src/vexfs_fuse"
WAIT_S = 60.0


def status(mount: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((mount / ".vexfs/status.json").read_text())
    return told


def wait_until_indexed(mount: Path, files: int) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        indexing = status(mount)["indexing"]
        if indexing["indexed"] >= files and not indexing["pending"]:
            return
        time.sleep(0.1)
    raise AssertionError(status(mount)["indexing"])


@pytest.mark.mount
def test_no_name_content_or_model_in_a_volume_is_taken_for_a_setting(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    setting = f"command:{program}"
    volume = MountedVolume(options=OPTIONS.replace("index=off", "index=on")).start()
    try:
        specification = f"dim=384 metric=cosine model={setting}".encode()
        os.setxattr(volume.path, "user.vexfs.space.text", specification)
        for name in (
            "config.toml",
            ".vexignore",
            "vexfs.toml",
            "embedder",
            setting.replace("/", "_"),
        ):
            (volume.path / name).write_text(f'embedder = "{setting}"\n[tool]\nembedder = 1\n')
        (volume.path / ".config/vexfs").mkdir(parents=True)
        (volume.path / ".config/vexfs/config.toml").write_text(f'embedder = "{setting}"\n')
        with pytest.raises(PermissionError):
            os.setxattr(volume.path / "embedder", "user.vexfs.embedder", setting.encode())
        wait_until_indexed(volume.path, files=4)
        header, _ = results(volume.path, "embedder tool")
        assert "embedder" in "".join(listed(volume.path, "embedder tool"))
        assert header["mode"] == "text"  # the model of the space is another one: never mixed
        volume.stop()
        volume.start()
        assert "embedder" in "".join(listed(volume.path, "embedder tool"))
        volume.stop()
        assert volume.problems() == []
    finally:
        volume.discard()
    assert not mark.exists()


@pytest.mark.mount
def test_who_mounts_may_name_a_command(tmp_path: Path) -> None:
    """The counterpart: the same words, from the configuration file, do run."""
    configuration = tmp_path / "config.toml"
    configuration.write_text(f'embedder = "command:{COMMAND}"\n')
    volume = MountedVolume(
        options=OPTIONS.replace("index=off", "index=on"), arguments=["--config", str(configuration)]
    ).start()
    try:
        (volume.path / "note").write_text("the quick brown fox\n")
        wait_until_indexed(volume.path, files=1)
        assert listed(volume.path, "quick fox") == ["001-note"]
        header, _ = results(volume.path, "quick fox")
        assert header["mode"] == "hybrid"
        (space,) = status(volume.path)["volume"]["spaces"]
        assert space["model"] == FINGERPRINT
        volume.stop()
        assert volume.problems() == []
    finally:
        volume.discard()


def test_settings_come_from_the_options_alone() -> None:
    """Embedders are opened in four places, each with the option of its command or passed on by its daemon."""
    opening = re.compile(
        r"\b(open_embedder|QueryEmbedder|check_setting|known_identity)\((?!self, )"
    )
    places = {
        str(path.relative_to(SOURCE)): line.strip()
        for path in sorted(SOURCE.rglob("*.py"))
        for line in path.read_text().splitlines()
        if opening.search(line) and not line.startswith(("def ", "class "))
    }
    assert places == {
        "cli/at_rest.py": "questions = QueryEmbedder(volume.config.embedder)",
        "runtime/daemon.py": (
            "self.questions = QueryEmbedder(config.embedder) if config.index else None"
        ),
        "runtime/indexer_process.py": 'return open_embedder(setting), ""',
        "text/providers.py": "kind, _ = check_setting(setting)",
        "text/query_client.py": "self._identity = known_identity(self._setting)",
        "text/query_process.py": "embedder = open_embedder(setting)",
    }
