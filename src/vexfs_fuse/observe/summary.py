"""The recorder's counters as `vexfs status` shows them."""

from typing import Any

from vexfs_fuse.observe.recorder import Recorder, count, quantile_ns


def requests_summary(recorder: Recorder) -> dict[str, dict[str, Any]]:
    """Return for each operation that was asked for how often, how often in vain, and how fast.

    Times are in microseconds and right to a factor of two.
    """
    failed: dict[str, int] = {}
    for (operation, _), n in recorder.failures.items():
        failed[operation] = failed.get(operation, 0) + n
    return {
        operation: {
            "count": count(row),
            "failed": failed.get(operation, 0),
            "median_us": quantile_ns(row, 0.5) // 1000,
            "p99_us": quantile_ns(row, 0.99) // 1000,
        }
        for operation, row in sorted(recorder.latency.items())
        if count(row)
    }


def searches_summary(recorder: Recorder) -> dict[str, dict[str, Any]]:
    """Return for each plan and space how many searches there were, and how fast."""
    return {
        f"{plan} {space}".rstrip(): {
            "count": count(row),
            "median_us": quantile_ns(row, 0.5) // 1000,
            "p99_us": quantile_ns(row, 0.99) // 1000,
        }
        for (plan, space), row in sorted(recorder.searches.items())
    }
