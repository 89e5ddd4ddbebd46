"""Numpy multiplies on the thread that asks for it: a second one is waited for in a busy loop."""

import os
import subprocess
import sys

from tests.support.commands import SOURCE

COUNT = "import vexfs_fuse, numpy, os; print(len(os.listdir('/proc/self/task')))"


def test_numpy_starts_no_threads_of_its_own() -> None:
    environment = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    environment["PYTHONPATH"] = str(SOURCE)
    counted = subprocess.run(
        [sys.executable, "-c", COUNT], env=environment, check=True, capture_output=True, text=True
    )
    assert counted.stdout == "1\n"
