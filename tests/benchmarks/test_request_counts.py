"""The requests that a mounted volume makes the kernel send are as few as the protocol allows."""

from collections import Counter
from collections.abc import Iterator

import pytest

from benchmarks import request_counts
from benchmarks.request_counts import CASES, Case, CountingUnavailable
from tests.support.mounting import MountedVolume

pytestmark = pytest.mark.mount

Counts = dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def counts() -> Iterator[Counts]:
    """Count all cases on one volume; only root may, and only where the kernel has the event."""
    volume = MountedVolume()
    try:
        volume.start()
        counted = request_counts.count(volume.path)
        volume.stop()
        yield counted
    except CountingUnavailable as error:
        pytest.skip(str(error))
    finally:
        volume.discard()


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_a_call_makes_no_more_requests_than_the_protocol_needs(case: Case, counts: Counts) -> None:
    assert Counter(counts[case.title]) <= case.expected()
