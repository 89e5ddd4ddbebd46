"""Large buffers come and go without page faults."""

import subprocess
import sys
from pathlib import Path

import vexfs_fuse

BUFFERS = 200
PAGES_PER_BUFFER = 256

PROGRAM = f"""
import resource, sys
from vexfs_fuse.runtime.allocator import keep_buffers
if sys.argv[1] == "keep":
    assert keep_buffers()
for turn in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for n in range({BUFFERS}):
        first, second = bytes([n % 256]) * 2**20, bytes([1]) * 2**20
        del second, first
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


def faults(how: str) -> int:
    """Page faults of a process that makes and frees many pairs of buffers of 1 MiB."""
    sources = Path(vexfs_fuse.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        env={"PYTHONPATH": str(sources)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_large_buffers_are_kept() -> None:
    assert faults("keep") < BUFFERS
    assert faults("give back") > BUFFERS * PAGES_PER_BUFFER, "malloc has learnt it: drop ours"
