"""A search makes the kernel send few requests: what never changes of `.search` it may keep."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.request_counts import Counting, CountingUnavailable
from tests.support.mounting import MountedVolume
from tests.support.searching import asked, make_files
from tests.support.vectors import new, raw

pytestmark = pytest.mark.mount


@pytest.fixture(scope="module")
def scope() -> Iterator[Path]:
    volume = MountedVolume()
    try:
        volume.start()
        make_files(volume.path, {f"file{i}": (1, i, 0, 0) for i in range(4)})
        yield volume.path
        volume.stop()
    finally:
        volume.discard()


@pytest.fixture
def counting(scope: Path) -> Iterator[Counting]:
    try:
        with Counting(scope) as counting:
            yield counting
    except CountingUnavailable as error:
        pytest.skip(str(error))


def test_a_question_through_new_is_open_write_read_and_close(
    scope: Path, counting: Counting
) -> None:
    new(scope, raw(1, 0, 0, 0))
    seen = counting.requests(lambda: new(scope, raw(0, 1, 0, 0)))
    assert seen == Counter(OPEN=1, WRITE=1, READ=1, RELEASE=1)


def test_a_question_never_asked_is_looked_up_and_listed(scope: Path, counting: Counting) -> None:
    os.listdir(asked(scope, "like=file0"))
    seen = counting.requests(lambda: os.listdir(asked(scope, "like=file1")))
    assert seen == Counter(LOOKUP=1, OPENDIR=1, READDIRPLUS=1, READDIR=1, RELEASEDIR=1)


def test_each_further_segment_is_looked_up_once(scope: Path, counting: Counting) -> None:
    seen = counting.requests(lambda: os.listdir(asked(scope, "like=file2", "k=2", "ext=md")))
    assert seen - Counter(GETATTR=1) <= Counter(
        LOOKUP=4, OPENDIR=1, READDIRPLUS=1, READDIR=1, RELEASEDIR=1
    )
    assert seen["LOOKUP"] >= 3
    again = counting.requests(lambda: os.path.isdir(asked(scope, "like=file2", "k=2", "ext=md")))
    assert again["LOOKUP"] == 0
