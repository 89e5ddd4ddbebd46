"""docs/vectors.md, done line by line; models that no test can download have stand-ins."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import Home

PAGE = Path(__file__).parents[2] / "docs/vectors.md"

SENTENCE_TRANSFORMERS = """
import zlib
import numpy as np
class SentenceTransformer:
    def __init__(self, name): pass
    def get_sentence_embedding_dimension(self): return 8
    def encode(self, what):
        return np.random.default_rng(zlib.crc32(str(what).encode())).standard_normal(8)
"""
PIL = """
class Image:
    open = str
"""

TOOLS = f"""
set -euo pipefail
cd
mkdir vex
vexfs() {{ {sys.executable} -m vexfs_fuse "$@"; }}
"""


def script() -> str:
    """Return the page's commands, and its Python as here-documents, in their order."""
    parts = [TOOLS]
    for shell, python in re.findall(
        r"^((?:    [^\n]*\n)+)|^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE
    ):
        if python:
            parts.append(f"{sys.executable} - <<'PYTHON'\n{python}PYTHON\n")
        else:
            parts.append(re.sub("^    ", "", shell, flags=re.MULTILINE))
    return "\n".join(parts)


@pytest.mark.mount
def test_every_line_does_what_it_says(tmp_path: Path) -> None:
    home = Home(tmp_path)
    stand_ins = tmp_path / "stand-ins"
    stand_ins.mkdir()
    (stand_ins / "sentence_transformers.py").write_text(SENTENCE_TRANSFORMERS)
    (stand_ins / "PIL.py").write_text(PIL)
    environment = home.environment
    environment["PYTHONPATH"] += f":{stand_ins}"
    try:
        result = subprocess.run(
            ["bash", "-c", script()], env=environment, capture_output=True, text=True, check=False
        )
    finally:
        if os.path.ismount(tmp_path / "vex"):
            home.run("umount", tmp_path / "vex")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "001-dune.jpg" in result.stdout
    assert "100 vectors set" in result.stderr
    assert "vex.store is sound" in result.stdout
