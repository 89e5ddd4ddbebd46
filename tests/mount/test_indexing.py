"""Files find themselves: copied in, they are searched by their words and their meaning, whatever happens."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support import embedding_command
from tests.support.mounting import OPTIONS, PROGRAM, SOURCE, MountedVolume
from tests.support.persons import BOB, acting_as
from tests.support.searching import eventually
from tests.support.vectors import paths, told
from vexfs_fuse.cli.index import wait
from vexfs_fuse.errors import NotSupported
from vexfs_fuse.runtime import indexer_process

EMBEDDER: Final = f"command:{sys.executable} {embedding_command.__file__}"
INDEXED: Final = OPTIONS.replace("index=off", f"index=on,embedder={EMBEDDER}")
ENDED: Final = re.compile("the indexer ended")
PATIENCE_S: Final = 60.0

NOTES: Final = {
    "garden/tomatoes.md": "# Tomatoes\n\nWater them in the morning, never on the leaves.\n",
    "garden/roses.txt": "Roses want sun, and a cut before spring.\n",
    "admin/logs.txt": "The logs are rotated every night by a timer.\n",
}


def indexing(root: Path) -> dict[str, Any]:
    """Return what the status says of indexing."""
    status: dict[str, Any] = json.loads((root / ".vexfs/status.json").read_text())["indexing"]
    return status


def until(root: Path, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until the status of indexing is as it shall be."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition(status := indexing(root)):
        assert time.monotonic() < deadline, status
        time.sleep(0.05)
    return status


def settle(root: Path) -> None:
    wait(root, root, time.monotonic() + PATIENCE_S)


def write_notes(root: Path) -> None:
    for name, text in NOTES.items():
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_text(text)


def found(root: Path, text: str, **query: Any) -> list[str]:
    return paths(root, text=[text], **query)


@pytest.fixture
def options() -> str:
    return INDEXED


@pytest.fixture
def volume(options: str) -> Iterator[MountedVolume]:
    """A mounted and indexed volume; at the end its log is quiet and its store sound."""
    mounted = MountedVolume(options=options)
    try:
        mounted.start()
        yield mounted
        mounted.stop()
        assert mounted.problems() == []
    finally:
        mounted.discard()


def test_copied_files_are_found_by_words_and_by_meaning(
    volume: MountedVolume, tmp_path: Path
) -> None:
    write_notes(tmp_path)
    subprocess.run(["cp", "-r", *tmp_path.iterdir(), volume.path], check=True)
    settle(volume.path)
    assert found(volume.path, "rotated logs", mode="text")[0] == "admin/logs.txt"
    assert found(volume.path, "rotated logs", mode="vector")
    assert found(volume.path, "rotated logs")[0] == "admin/logs.txt"
    listed = os.listdir(volume.path / ".search/rotated logs")
    assert any(name.startswith("001-logs.txt") for name in listed)
    status = indexing(volume.path)
    assert (status["state"], status["pending"], status["indexed"]) == ("idle", 0, 3)


def test_a_faithful_copy_has_its_own_vectors_and_costs_none(volume: MountedVolume) -> None:
    write_notes(volume.path)
    settle(volume.path)
    before = indexing(volume.path)["embedded"]
    source, copy = volume.path / "garden/roses.txt", volume.path / "copy.txt"
    subprocess.run(["cp", "-a", source, copy], check=True)
    settle(volume.path)
    assert told(copy, "origin", "text") == "auto"
    vectors = [os.getxattr(path, "user.vexfs.vector.text") for path in (source, copy)]
    assert vectors[0] == vectors[1]
    assert os.listxattr(copy) == []
    assert indexing(volume.path)["embedded"] == before


def test_names_count_at_once_while_the_indexer_stands_still(volume: MountedVolume) -> None:
    write_notes(volume.path)
    settle(volume.path)
    os.kill(indexing(volume.path)["pid"], signal.SIGSTOP)
    (volume.path / "admin/logs.txt").rename(volume.path / "garden/winter-plan.txt")
    (volume.path / "spring plan.md").write_text("nothing that is indexed yet")
    assert found(volume.path, "winter")[0] == "garden/winter-plan.txt"
    assert found(volume.path, "winter", mode="text") == ["garden/winter-plan.txt"]
    assert sorted(found(volume.path, "plan", mode="text")) == [
        "garden/winter-plan.txt",
        "spring plan.md",
    ]
    assert found(volume.path, "rotated", mode="text", **{"not": "logs.txt"}) == [
        "garden/winter-plan.txt"
    ]
    assert "logs.txt" not in os.listdir(volume.path / "garden/.search/name=logs*")
    volume.unmount()
    volume.ended()
    volume.start()
    assert found(volume.path, "winter plan", mode="text")[0] == "garden/winter-plan.txt"
    settle(volume.path)
    assert sorted(found(volume.path, "plan", mode="text")) == [
        "garden/winter-plan.txt",
        "spring plan.md",
    ]


def test_what_cannot_be_read_says_why(volume: MountedVolume) -> None:
    (volume.path / "bad.pdf").write_bytes(b"%PDF-1.4\nnothing of the kind")
    (volume.path / "good.txt").write_text("all is well")
    settle(volume.path)
    assert b"broken" in os.getxattr(volume.path / "bad.pdf", "user.vexfs.index_error")
    with pytest.raises(OSError, match="No data"):
        os.getxattr(volume.path / "good.txt", "user.vexfs.index_error")
    assert os.listxattr(volume.path / "bad.pdf") == []
    assert indexing(volume.path)["failed"] == 1


def test_a_file_whose_text_is_cut_says_so(volume: MountedVolume) -> None:
    line = "0123456789abcdef " * 64 + "\n"
    (volume.path / "long.txt").write_text(line * 2_000 + "thelastword\n")
    (volume.path / "short.txt").write_text("thelastword\n")
    until(volume.path, lambda status: status["cut"] == 1)
    settle(volume.path)
    assert found(volume.path, "thelastword", mode="text") == ["short.txt"]
    cut = os.getxattr(volume.path / "long.txt", "user.vexfs.index_cut")
    assert b"more text than is indexed" in cut
    with pytest.raises(OSError, match="No data"):
        os.getxattr(volume.path / "short.txt", "user.vexfs.index_cut")
    assert indexing(volume.path)["failed"] == 0


def test_an_indexer_that_was_killed_is_started_again_and_misses_nothing(
    volume: MountedVolume,
) -> None:
    volume.tolerated = ENDED
    first = until(volume.path, lambda status: status["state"] == "idle")["pid"]
    for number in range(100):
        (volume.path / f"{number}.txt").write_text(f"text number {number}")
    os.kill(first, signal.SIGKILL)
    status = until(volume.path, lambda status: status["pid"] not in {None, first})
    assert status["restarts"] == 1
    settle(volume.path)
    for number in range(100):
        assert told(volume.path / f"{number}.txt", "origin", "text") == "auto"


def test_an_indexer_that_was_killed_while_it_waited_is_missed_at_once(
    volume: MountedVolume,
) -> None:
    volume.tolerated = ENDED
    first = until(volume.path, lambda status: status["state"] == "idle")["pid"]
    os.kill(first, signal.SIGKILL)
    assert eventually(
        lambda: indexing(volume.path)["restarts"] == 1, within_s=indexer_process.WAIT_S_MAX / 2
    )


def test_a_daemon_that_was_killed_goes_on_where_it_was(volume: MountedVolume) -> None:
    for number in range(100):
        (volume.path / f"{number}.txt").write_text(f"text number {number}")
    os.sync()
    until(volume.path, lambda status: status["embedded"] > 0)
    volume.kill9()
    volume.start()
    settle(volume.path)
    again = indexing(volume.path)["embedded"]
    for number in range(100):
        file = volume.path / f"{number}.txt"
        assert not file.exists() or told(file, "origin", "text") == "auto"
    volume.remount()
    settle(volume.path)
    assert again <= 100
    assert indexing(volume.path)["embedded"] == 0


def test_a_space_that_was_dropped_is_filled_again(volume: MountedVolume) -> None:
    volume.tolerated = ENDED
    write_notes(volume.path)
    settle(volume.path)
    os.removexattr(volume.path, "user.vexfs.space.text")
    until(volume.path, lambda status: status["restarts"] > 0)
    until(volume.path, lambda status: status["state"] == "idle")
    settle(volume.path)
    for name in NOTES:
        assert told(volume.path / name, "origin", "text") == "auto"


def test_removing_renaming_and_forbidding_are_seen_at_once(volume: MountedVolume) -> None:
    write_notes(volume.path)
    settle(volume.path)
    before = indexing(volume.path)["embedded"]
    (volume.path / "admin/logs.txt").rename(volume.path / "garden/night.txt")
    assert "garden/night.txt" in found(volume.path, "rotated every night")
    (volume.path / "garden/night.txt").unlink()
    assert "garden/night.txt" not in found(volume.path, "rotated every night")
    roses = volume.path / "garden/roses.txt"
    ask = partial(found, volume.path, "roses want sun")
    assert "garden/roses.txt" in acting_as(BOB, ask)
    roses.chmod(0o600)
    assert "garden/roses.txt" not in acting_as(BOB, ask)
    assert "garden/roses.txt" in ask()
    settle(volume.path)
    assert indexing(volume.path)["embedded"] == before


def test_unmounting_does_not_wait_for_the_indexer(volume: MountedVolume) -> None:
    (volume.path / "book.txt").write_text("a long line of a book\n" * 20_000)
    pid = until(volume.path, lambda status: status["embedded"] > 0 or status["pending"])["pid"]
    volume.stop()
    assert not Path(f"/proc/{pid}").exists()
    volume.start()
    settle(volume.path)
    assert told(volume.path / "book.txt", "stale", "text") == "0"


def test_an_index_that_was_deleted_is_made_anew(volume: MountedVolume) -> None:
    write_notes(volume.path)
    settle(volume.path)
    volume.stop()
    for path in volume.store.glob("text.sqlite3*"):
        path.unlink()
    volume.start()
    settle(volume.path)
    assert found(volume.path, "rotated logs", mode="text")[0] == "admin/logs.txt"


def test_a_volume_for_reading_only_is_searched(volume: MountedVolume) -> None:
    write_notes(volume.path)
    settle(volume.path)
    volume.stop()
    reading = MountedVolume(options=f"{INDEXED},ro")
    shutil.rmtree(reading.directory)
    reading.store, reading.path, reading.log = volume.store, volume.path, volume.log
    try:
        reading.start()
        assert indexing(volume.path)["state"] == "off"
        (first, *_) = sorted(os.listdir(volume.path / ".search/rotated logs"))
        assert first == "001-logs.txt"
        reading.stop()
    finally:
        if reading.is_running:
            reading.kill9()
    volume.start()


@pytest.mark.parametrize("options", [OPTIONS.replace("index=off", "index=on,embedder=none")])
def test_without_a_model_words_are_found(volume: MountedVolume) -> None:
    write_notes(volume.path)
    settle(volume.path)
    assert found(volume.path, "rotated logs")[0] == "admin/logs.txt"
    status = indexing(volume.path)
    assert status["model"] is None
    assert "embedder=none" in status["model_missing"]


def test_another_model_is_refused_and_words_are_found(volume: MountedVolume) -> None:
    write_notes(volume.path)
    settle(volume.path)
    volume.stop()
    volume._options = INDEXED + """ 'greets with' '{"fingerprint": "another"}'"""
    volume.start()
    missing = until(volume.path, lambda status: status["state"] == "idle")["model_missing"]
    assert "not of another" in missing
    (volume.path / "new.txt").write_text("a paragraph about rhubarb")
    settle(volume.path)
    assert found(volume.path, "rhubarb")[0] == "new.txt"
    assert "user.vexfs.vector.text" not in os.listxattr(volume.path / "new.txt")


@pytest.mark.parametrize("options", [OPTIONS])
def test_a_volume_that_is_not_indexed_says_so(volume: MountedVolume) -> None:
    write_notes(volume.path)
    assert indexing(volume.path)["state"] == "off"
    with pytest.raises(NotSupported, match="index=off"):
        settle(volume.path)
    assert not list(volume.store.glob("text.sqlite3*"))


def greeting(directory: Path, fingerprint: str) -> str:
    """Return mount options with an embedder that says who it is; options have no place for its JSON."""
    program = directory / f"embedder-{fingerprint}"
    hello = json.dumps({"fingerprint": fingerprint})
    command = f"exec {sys.executable} {embedding_command.__file__} 'greets with' '{hello}'"
    program.write_text(f"#!/bin/sh\n{command}\n")
    program.chmod(0o755)
    return INDEXED.replace(EMBEDDER, f"command:{program}")


def space_of_texts(root: Path) -> tuple[str, int]:
    """Return the model of the space of texts, and how many vectors it has."""
    spaces = json.loads((root / ".vexfs/status.json").read_text())["volume"]["spaces"]
    (space,) = [space for space in spaces if space["name"] == "text"]
    return space["model"], space["vectors"]


def reindexed(*arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, "reindex", "--text", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_texts_are_embedded_anew_by_another_model_on_request(tmp_path: Path) -> None:
    volume = MountedVolume(options=greeting(tmp_path, "first"))
    other = MountedVolume(options=greeting(tmp_path, "second"))
    shutil.rmtree(other.directory)
    other.store, other.path, other.log = volume.store, volume.path, volume.log
    try:
        volume.start()
        write_notes(volume.path)
        settle(volume.path)
        assert space_of_texts(volume.path) == ("first", 3)
        volume.stop()

        other.start()
        settle(other.path)
        missing = indexing(other.path)["model_missing"]
        assert "of first with" in missing
        assert "vexfs reindex --text" in missing
        assert "vexfs reindex --text" in other.log.read_text()
        assert space_of_texts(other.path) == ("first", 3)
        with pytest.raises(OSError, match="No data"):
            found(other.path, "rotated logs", mode="vector")
        assert found(other.path, "rotated logs") == ["admin/logs.txt"]

        done = reindexed(other.path)
        assert (done.returncode, done.stdout) == (
            0,
            "3 files are indexed, 0 of them by their names only\n",
        )
        assert space_of_texts(other.path) == ("second", 3)
        assert len(found(other.path, "rotated logs", mode="vector")) == 3
        assert indexing(other.path)["restarts"] == 0
        other.stop()
        assert other.problems() == []

        assert reindexed("--store", other.store).returncode == 0
        assert not list(other.store.glob("text.sqlite3*"))
        volume.start()
        settle(volume.path)
        assert space_of_texts(volume.path) == ("first", 3)

        roses = volume.path / "garden/roses.txt"
        os.setxattr(roses, "user.vexfs.vector.text", os.getxattr(roses, "user.vexfs.vector.text"))
        volume.stop()
        other.start()
        refused = reindexed(other.path)
        assert refused.returncode == 1
        assert "1 files have vectors in space text that users have set" in refused.stderr
        assert space_of_texts(other.path) == ("first", 3)
        other.stop()
        refused = reindexed("--store", other.store)
        assert refused.returncode == 1
        assert "users have set" in refused.stderr
    finally:
        volume.discard()


def test_what_is_not_indexed_is_not_indexed_anew(tmp_path: Path) -> None:
    volume = MountedVolume(options=OPTIONS)
    try:
        volume.start()
        refused = reindexed(volume.path)
        assert refused.returncode == 1
        assert "mounted with index=off" in refused.stderr
        with pytest.raises(OSError, match="Invalid argument"):
            os.setxattr(volume.path, "user.vexfs.reindex", b"text")
        volume.stop()
    finally:
        volume.discard()
