"""What the journal tells an auditor of vectors and searches, and what it keeps to itself."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.persons import ALICE, acting_as
from tests.support.syscalls import refused
from tests.support.vectors import VECTOR, ask, raw
from tests.vectors_on_files.test_carried import write_aside
from vexfs_fuse.cli.mounted import sync

SECRET = "quarterly-secret"


def records(root: Path, kind: str) -> list[dict[str, Any]]:
    sync(root)
    lines = (root / ".vexfs/journal.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def test_a_vector_is_told_with_who_and_of_which_contents(own_volume: Path) -> None:
    own_volume.chmod(0o777)
    file = own_volume / "a"

    def write_and_set() -> int:
        file.write_text("contents")
        os.setxattr(file, VECTOR, raw(1, 2, 3))
        return os.getpid()

    pid = acting_as(ALICE, write_and_set)
    (made,) = records(own_volume, "SpaceCreated")
    assert made["body"] == {
        "space": 1,
        "name": "default",
        "dim": 3,
        "metric": "cosine",
        "model": "",
    }
    (record,) = records(own_volume, "VectorSet")
    assert record["actor"] == [ALICE.uid, ALICE.gid, pid]
    assert record["inode"] == file.stat().st_ino
    assert record["body"]["origin"] == 0
    assert record["body"]["value"]["dim"] == 3
    assert len(record["body"]["value"]["xxh3"]) == 16


def test_the_sum_of_contents_moves_with_them_alone(own_volume: Path) -> None:
    file = own_volume / "a"
    file.write_text("contents")
    for vector in ("1 2", "3 4"):
        os.setxattr(file, VECTOR, vector.encode())
    file.write_text("other")
    os.setxattr(file, VECTOR, b"5 6")
    first, again, other = (each["body"]["content"] for each in records(own_volume, "VectorSet"))
    assert first == again
    assert first != other


def test_removals_and_moves_are_told(own_volume: Path) -> None:
    file = own_volume / "a"
    file.write_text("contents")
    os.setxattr(file, VECTOR, raw(1, 2))
    before = file.stat().st_ino
    write_aside(file)
    os.removexattr(file, VECTOR)
    os.removexattr(own_volume, "user.vexfs.space.default")
    os.setxattr(file, VECTOR, raw(1, 2))
    (moved,) = records(own_volume, "VectorsMoved")
    assert (moved["inode"], moved["body"]["source"]) == (file.stat().st_ino, before)
    assert moved["actor"][2] == os.getpid()
    (removed,) = records(own_volume, "VectorRemoved")
    assert removed["body"] == {"space": 1}
    assert records(own_volume, "SpaceDropped")[0]["body"] == {"space": 1}
    assert [made["body"]["space"] for made in records(own_volume, "SpaceCreated")] == [1, 2]


def test_a_search_is_told_without_its_words(own_volume: Path) -> None:
    own_volume.chmod(0o777)
    (own_volume / "a").write_text("")
    os.setxattr(own_volume / "a", VECTOR, raw(1, 2))
    os.listdir(own_volume / f".search/{SECRET}")
    acting_as(ALICE, lambda: os.listdir(own_volume / f".search/{SECRET}/k=3"))
    ask(own_volume, vector=[1, 2], k=7)
    words, others, vector = records(own_volume, "Searched")
    assert words["body"]["plan"] == others["body"]["plan"] == "names"
    assert words["body"]["query"] != others["body"]["query"]
    assert others["actor"][:2] == [ALICE.uid, ALICE.gid]
    assert (vector["body"]["k"], vector["body"]["hits"]) == (7, 1)
    assert (vector["body"]["space"], vector["body"]["plan"]) == ("default", "exact")
    for name in ("journal", "journal.jsonl", "status.json", "metrics"):
        assert SECRET.encode() not in (own_volume / ".vexfs" / name).read_bytes()


def test_nobody_else_reads_the_journal(own_volume: Path) -> None:
    with refused(13):
        acting_as(ALICE, lambda: (own_volume / ".vexfs/journal").read_bytes())


@pytest.mark.parametrize("options", ["search_journal=none", "search_journal=sampled"])
def test_the_journal_tells_of_as_many_searches_as_configured(
    own_volume: Path, options: str
) -> None:
    for number in range(150):
        os.listdir(own_volume / f".search/word{number}")
    assert len(records(own_volume, "Searched")) == (0 if options.endswith("none") else 2)


def test_searches_are_counted(own_volume: Path) -> None:
    (own_volume / "a").write_text("")
    os.setxattr(own_volume / "a", VECTOR, raw(1, 2))
    for _ in range(3):
        ask(own_volume, vector=[1, 2])
    os.listdir(own_volume / ".search/a")
    metrics = (own_volume / ".vexfs/metrics").read_text()
    assert 'vexfs_searches_total{plan="exact",space="default"} 3' in metrics
    assert 'vexfs_searches_total{plan="names",space=""} 1' in metrics
    assert 'vexfs_vectors{space="default"} 1' in metrics
    assert 'vexfs_vectors_tail{space="default"} 1' in metrics
    status = json.loads((own_volume / ".vexfs/status.json").read_text())
    assert status["searches"]["exact default"]["count"] == 3
    assert status["volume"]["spaces"][0]["vectors"] == 1
