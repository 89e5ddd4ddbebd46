"""What `vexfs status` shows of requests."""

from vexfs_fuse.observe.recorder import TOTAL, Recorder
from vexfs_fuse.observe.summary import requests_summary


def test_operations_that_were_asked_for_are_shown_with_failures_and_times() -> None:
    recorder = Recorder()
    recorder.row("unlink")
    row = recorder.row("lookup")
    for elapsed_ns in [5_000] * 99 + [900_000]:
        row[elapsed_ns.bit_length()] += 1
        row[TOTAL] += elapsed_ns
    recorder.fail("lookup", "ENOENT")
    recorder.fail("lookup", "EACCES")
    assert requests_summary(recorder) == {
        "lookup": {"count": 100, "failed": 2, "median_us": 8, "p99_us": 8}
    }
