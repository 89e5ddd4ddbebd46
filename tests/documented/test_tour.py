"""README's tour, done line by line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import Home

ROOT = Path(__file__).parents[2]
PORT = 19_466

TOOLS = f"""
set -euo pipefail
cd
vexfs() {{ {sys.executable} -m vexfs_fuse "$@"; }}
curl() {{ {sys.executable} -c 'import sys, urllib.request as r
print(r.urlopen(sys.argv[-1]).read().decode())' "$@"; }}
"""


def tour() -> str:
    """Return the commands of the tour; the line for /etc/fstab is none."""
    section = (ROOT / "README.md").read_text().split("## A tour")[1].split("\n## ")[0]
    commands = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    return "\n".join(line for line in commands if "fuse.vexfs" not in line)


@pytest.mark.mount
def test_every_line_of_the_tour_does_what_it_says(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (tmp_path / ".config/vexfs/config.toml").write_text(f'metrics = "127.0.0.1:{PORT}"\n')
    script = TOOLS + re.sub(r"127\.0\.0\.1:9464", f"127.0.0.1:{PORT}", tour())
    try:
        result = subprocess.run(
            ["bash", "-c", script],
            env=home.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        if os.path.ismount(tmp_path / "notes"):
            home.run("umount", tmp_path / "notes")
    assert result.returncode == 0, result.stderr
    assert "notes/common-licenses/GPL-3" in result.stdout
    assert "copies" in result.stdout
    assert "vexfs_requests_total" in result.stdout
    assert f"{tmp_path}/notes.store is sound" in result.stdout
