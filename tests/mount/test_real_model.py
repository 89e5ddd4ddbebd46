"""Files are copied in and found by their meaning, with the model that comes with vexfs."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mounting import OPTIONS, MountedVolume
from tests.support.searching import found, results
from vexfs_fuse.cli.index import wait
from vexfs_fuse.errors import ModelMissing
from vexfs_fuse.text.embedders import model_store

DOCS = Path(__file__).parents[2] / "docs"
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def docs() -> Iterator[Path]:
    """The pages of this repository in a volume, indexed by the model."""
    try:
        model_store.find_minilm()
    except ModelMissing:
        pytest.skip("the model is not installed: vexfs model install minilm")
    volume = MountedVolume(options=OPTIONS.replace("index=off", "index=on"))
    try:
        volume.start()
        shutil.copytree(DOCS, volume.path / "docs")
        wait(volume.path, volume.path, time.monotonic() + PATIENCE_S)
        yield volume.path
        volume.stop()
        assert volume.problems() == []
    finally:
        volume.discard()


@pytest.mark.parametrize(
    ("question", "page"),
    [
        ("how do I use another model to make vectors of my text", "embedders.md"),
        ("which bytes does a journal record consist of", "on-disk-format.md"),
        ("how do I copy the volume to another disk while it is in use", "operations.md"),
        ("how can I leave files out of the search", "indexing.md"),
    ],
)
def test_a_question_finds_the_page_that_answers_it(docs: Path, question: str, page: str) -> None:
    listed = sorted(os.listdir(docs / ".search" / question))
    assert page in {name.partition("-")[2] for name in listed[:3]}
    header, _ = results(docs, question)
    assert (header["mode"], header["fallback"]) == ("hybrid", None)


def test_what_has_none_of_the_words_is_found_by_meaning(docs: Path) -> None:
    (docs / "pets").mkdir()
    (docs / "pets/a.txt").write_text("Our kitten purrs on the sofa all day.\n")
    (docs / "pets/b.txt").write_text("The quarterly revenue has grown by four per cent.\n")
    wait(docs, docs, time.monotonic() + PATIENCE_S)
    assert found(docs / "pets", "mode=vector", "a small cat at home")[0] == "a.txt"
    assert found(docs / "pets", "mode=text", "a small cat at home") == []
