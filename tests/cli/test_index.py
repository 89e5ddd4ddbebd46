"""`vexfs index`: waits for what was written, and tells how far it is."""

import json

import pytest

from tests.support.commands import Home

pytestmark = pytest.mark.mount

WORDS = ("-o", "index=on,embedder=none")


def test_wait_returns_when_files_are_found(home: Home) -> None:
    with home.mounted(*WORDS) as volume:
        (volume / "below").mkdir()
        note = volume / "below/note.txt"
        note.write_text("the purple elephant")
        home.succeed("index", "wait", note)
        assert "note.txt" in home.succeed("search", "purple elephant", volume)
        (volume / "below/other.txt").write_text("a yellow giraffe")
        home.succeed("index", "wait", volume / "below", "--timeout", "30s")
        assert "other.txt" in home.succeed("search", "yellow giraffe", volume)
        home.succeed("index", "wait", volume)


def test_status_is_told_for_people_and_programs(home: Home) -> None:
    with home.mounted(*WORDS) as volume:
        home.succeed("index", "wait", volume)
        status = json.loads(home.succeed("index", "status", volume, "--json"))
        assert status["pending"] == 0
        assert "embedder=none" in home.succeed("index", "status", volume)


def test_a_volume_without_an_index_says_so(home: Home) -> None:
    with home.mounted() as volume:
        assert "is not indexed" in home.fail("index", "wait", volume)


def test_waiting_ends_with_the_time_that_was_given(home: Home) -> None:
    with home.mounted(*WORDS) as volume, (volume / "open.txt").open("w") as file:
        file.write("never closed")
        file.flush()
        assert "still to be indexed" in home.fail("index", "wait", volume, "--timeout", "500ms")
