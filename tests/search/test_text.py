"""Searching what files say, through a mount; without a model, so that words decide."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mounting import OPTIONS, SOURCE, MountedVolume
from tests.support.searching import asked, eventually, found, listed, results

TEXTS = {
    "logrotate.md": "# Logs\n\nKeep them small.\n\nRotate the journal weekly\nand compress it.\n",
    "soup.txt": "Peel the onions.\nSimmer for an hour.\n",
    "deep/bread.md": "Knead the dough.\nBake it for an hour.\n",
}


@pytest.fixture(scope="module")
def volume() -> Iterator[MountedVolume]:
    """A mounted volume with a text index and without an embedder."""
    options = OPTIONS.replace("index=off", "index=on,embedder=none")
    mounted = MountedVolume(options=options)
    try:
        mounted.start()
        yield mounted
        mounted.stop()
        assert mounted.problems() == []
    finally:
        mounted.discard()


@pytest.fixture
def notes(volume: MountedVolume) -> Path:
    """A fresh directory with `TEXTS`, indexed."""
    directory = Path(tempfile.mkdtemp(prefix="texts-", dir=volume.path))
    directory.chmod(0o755)
    for name, text in TEXTS.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text)
    assert eventually(
        lambda: len(found(directory, "mode=text", "journal onions dough")) == 3, within_s=60
    )
    assert eventually(
        lambda: results(directory, "mode=text", "x")[0]["indexing"]["pending"] == 0, within_s=60
    )
    return directory


def test_a_file_is_found_by_what_it_says(notes: Path) -> None:
    assert found(notes, "how do I rotate the journal") == ["logrotate.md"]
    assert sorted(found(notes, "one hour")) == ["deep/bread.md", "soup.txt"]


def test_a_hit_leads_to_its_line(notes: Path) -> None:
    (name,) = listed(notes, "rotate")
    assert os.getxattr(asked(notes, "rotate") / name, "user.vexfs.line") == b"5"


def test_results_have_excerpts_and_say_how_they_were_found(notes: Path) -> None:
    header, (hit,) = results(notes, "compress rotated journals")
    assert (header["mode"], header["plan"], header["exact"]) == ("text", "text", True)
    assert header["fallback"] == "texts are not embedded: embedder=none"
    assert header["indexing"]["pending"] == 0
    assert hit["path"] == "logrotate.md"
    assert (hit["line"], hit["excerpt"]) == (5, "Rotate the journal weekly and compress it.")
    text = (asked(notes, "rotate") / ".results.txt").read_text()
    assert "5: Rotate the journal weekly" in text
    assert "no meaning: texts are not embedded: embedder=none" in text


def test_has_not_and_quotes_are_about_what_files_say(notes: Path) -> None:
    assert found(notes, "hour", "has=onions") == ["soup.txt"]
    assert found(notes, "hour", "not=onions") == ["deep/bread.md"]
    assert found(notes, '"the dough"') == ["deep/bread.md"]
    assert found(notes, "hour", "ext=txt") == ["soup.txt"]


def test_what_was_removed_is_gone_and_what_was_renamed_is_elsewhere_at_once(notes: Path) -> None:
    (notes / "soup.txt").unlink()
    (notes / "deep/bread.md").rename(notes / "loaf.md")
    assert found(notes, "hour") == ["loaf.md"]


def test_what_is_written_anew_is_found_soon(notes: Path) -> None:
    (notes / "soup.txt").write_text("Chill the gazpacho.\n")
    assert eventually(lambda: found(notes, "gazpacho") == ["soup.txt"], within_s=60)
    assert found(notes, "onions") == []


def test_meaning_without_a_model_is_refused(notes: Path) -> None:
    with pytest.raises(OSError, match="No data available"):
        listed(notes, "hour", "mode=vector")


@pytest.mark.parametrize(
    "question",
    ['"', "NEAR(a b)", "OR NOT", "title:x", "a*", "(", "^", "-", "'; --", "{a}:b", "naïve"],
)
def test_no_question_is_an_error(notes: Path, question: str) -> None:
    assert listed(notes, f"text={question}") == []


def test_the_command_prints_excerpts_and_what_is_missing(notes: Path) -> None:
    command = [sys.executable, "-m", "vexfs_fuse", "search", "--excerpts", "rotate", str(notes)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        check=False,
    )
    assert done.returncode == 0
    first, second = done.stdout.splitlines()
    assert first.endswith("logrotate.md")
    assert second.split(maxsplit=1) == ["5", "Rotate the journal weekly and compress it."]
    missing, *_ = done.stderr.splitlines()  # behind it, what others' files are still to be indexed
    assert missing == "vexfs: searched by words only: texts are not embedded: embedder=none"
