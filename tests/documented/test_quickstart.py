"""scripts/quickstart, from the mount to the hits; the commands are installed already."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import Home

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300.0


@pytest.mark.mount
def test_it_ends_with_files_found_by_what_they_say(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (tmp_path / ".config/vexfs/config.toml").write_text('metrics = "none"\n')  # and an index
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin/vexfs"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m vexfs_fuse "$@"\n')
    command.chmod(0o755)
    paths = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    mount_point = tmp_path / "vexfs"
    try:
        result = subprocess.run(
            [ROOT / "scripts/quickstart", mount_point],
            env=home.environment | {"PATH": paths},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    finally:
        if os.path.ismount(mount_point):
            home.succeed("umount", mount_point)
    assert result.returncode == 0, result.stderr + home.log
    assert result.stderr == ""
    by_words, *by_vectors = result.stdout.split("$ vexfs search --like ")
    licences, manual = by_words.split("$ ls ")[1:]
    assert "001-GPL" in licences
    assert "mode=hybrid" in licences
    assert "operations.md" in manual
    assert "mode=hybrid" in manual
    assert [part.splitlines()[1].split()[0] for part in by_vectors] == ["1", "1"]
    assert "GPL" in by_vectors[0]
    assert "ERROR" not in home.log
    assert "WARNING" not in home.log
