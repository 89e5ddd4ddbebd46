"""Documents that were copied in are found by what they say, and hostile ones hold up nothing."""

import errno
import gzip
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import DOCUMENTS, docx, odt, paragraph, pdf, zipped
from tests.support.mounting import OPTIONS, MountedVolume
from vexfs_fuse.units import MIB

WAIT_S = 60.0
POLL_S = 0.05
SAMPLES = Path(__file__).parents[1] / "text" / "samples"

HOSTILE = {
    "bomb.docx": zipped({"word/document.xml": b"<a>" + b" " * (32 * MIB)}),
    "laughs.docx": zipped(
        {"word/document.xml": "<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]><x>&b;</x>"}
    ),
    "deep.docx": zipped({"word/document.xml": "<a>" * 100_000}),
    "half.docx": docx(paragraph("words " * 500))[:-100],
    "locked.odt": odt("", manifest="<m><encryption-data/></m>"),
    "circle.pdf": pdf("words").replace(b"/Kids [5 0 R] /Count 1", b"/Kids [2 0 R] /Count 9999"),
    "broken.pdf": b"%PDF-1.7\nnothing\n",
    "half.gz": gzip.compress(os.urandom(5_000))[:2_000],
}
"""Files that fail, each with a reason."""

HARMLESS = {
    "noise": os.urandom(100_000),
    "noise.pdf.png": b"\x89PNG\r\n\x1a\n" + bytes(1_000),
    "empty.docx": b"",
}
"""Files that are as strange, and have no text."""


@pytest.fixture(scope="module")
def volume() -> Iterator[MountedVolume]:
    """A volume with an index of words; it must end well and sound."""
    mounted = MountedVolume(options=OPTIONS.replace("index=off", "index=on,embedder=none"))
    try:
        mounted.start()
        yield mounted
        mounted.stop()
        assert mounted.problems() == []
    finally:
        mounted.discard()


def settle(volume: MountedVolume) -> None:
    """Wait until the indexer has done all that was logged by now."""
    os.sync()
    logged = status(volume)["volume"]["logged_lsn"]
    deadline = time.monotonic() + WAIT_S
    while (now := status(volume)["indexing"])["pending"] or now["position"] < logged:
        assert time.monotonic() < deadline, now
        time.sleep(POLL_S)


def status(volume: MountedVolume) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads((volume.path / ".vexfs/status.json").read_text())
    return whole


def put(directory: Path, files: dict[str, bytes]) -> None:
    directory.mkdir()
    for name, data in files.items():
        (directory / name).write_bytes(data)


def found(directory: Path, words: str) -> set[str]:
    """The names of the hits, without their ranks."""
    return {name.split("-", 1)[1] for name in os.listdir(directory / ".search" / words / "k=50")}


def error(file: Path) -> str:
    """Why a file has failed; empty when it has not."""
    try:
        return os.getxattr(file, "user.vexfs.index_error").decode()
    except OSError as failure:
        if failure.errno != errno.ENODATA:
            raise
        return ""


def test_each_format_is_found_by_its_text(volume: MountedVolume) -> None:
    files = DOCUMENTS | {path.name: path.read_bytes() for path in SAMPLES.iterdir()}
    del files["README.md"]
    directory = volume.path / "formats"
    put(directory, files)
    settle(volume)
    assert found(directory, "zeppelin") == set(files)
    assert status(volume)["indexing"]["sandbox"] == "complete"


def test_a_title_is_found_too(volume: MountedVolume) -> None:
    directory = volume.path / "titles"
    put(directory, {"letter.docx": docx(paragraph("words"), "Aardvark")})
    settle(volume)
    assert found(directory, "aardvark") == {"letter.docx"}


def test_hostile_documents_fail_with_a_reason_and_hold_up_nothing(volume: MountedVolume) -> None:
    directory = volume.path / "hostile"
    put(directory, HOSTILE | HARMLESS | {"last.txt": b"the platypus is read\n"})
    settle(volume)
    assert found(directory, "platypus") == {"last.txt"}
    for name in HOSTILE:
        assert error(directory / name).startswith("the text cannot be extracted: "), name
    for name in [*HARMLESS, "last.txt"]:
        assert error(directory / name) == ""


def test_a_file_that_is_mended_is_found_and_has_no_error_any_more(volume: MountedVolume) -> None:
    directory = volume.path / "mended"
    whole = docx(paragraph("The wombat"))
    put(directory, {"a.docx": whole[:-30]})
    settle(volume)
    assert error(directory / "a.docx")
    (directory / "a.docx").write_bytes(whole)
    settle(volume)
    assert found(directory, "wombat") == {"a.docx"}
    assert error(directory / "a.docx") == ""


def test_what_an_ignore_file_names_is_not_read(volume: MountedVolume) -> None:
    directory = volume.path / "ignoring"
    put(directory, {".vexignore": b"*.log\n!kept.log\n/build/\n"})
    put(directory / "build", {"a.txt": b"a numbat\n"})
    put(
        directory / "src", {"a.log": b"a numbat\n", "kept.log": b"a numbat\n", "a.o": b"a numbat\n"}
    )
    settle(volume)
    assert found(directory, "numbat") == {"kept.log"}
