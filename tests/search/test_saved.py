"""Saved queries: made by mkdir, told and changed by `.query`, forgotten by rmdir."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.mounting import MountedVolume
from tests.support.persons import ALICE, BOB, acting_as
from tests.support.searching import NEAREST, asked, listed, make_files
from tests.support.syscalls import refused
from tests.support.vectors import make_space

NAMES = ["001-rotate.md", "002-syslog.txt", "003-bread.md", "004-soup.txt"]


@pytest.fixture
def saved(notes: Path) -> Path:
    return asked(notes, ".saved")


def test_a_saved_query_asks_for_its_name(saved: Path) -> None:
    assert os.listdir(saved) == []
    (saved / "rotate").mkdir()
    assert os.listdir(saved) == ["rotate"]
    assert os.listdir(saved / "rotate") == ["001-rotate.md"]
    assert (saved / "rotate/.query").read_text() == "rotate\n"
    assert (saved / "rotate/001-rotate.md").read_text() == "logs/rotate.md\n"


def test_writing_its_text_changes_what_it_asks(saved: Path) -> None:
    (saved / "near").mkdir()
    query = saved / "near/.query"
    query.write_text(f"{NEAREST}/k=2\n")
    assert query.read_text() == f"{NEAREST}/k=2\n"
    assert query.stat().st_size == len(query.read_text())
    assert os.listdir(saved / "near") == NAMES[:2]
    query.write_text(f"{NEAREST}\next=txt\n")
    assert os.listdir(saved / "near") == ["001-syslog.txt", "002-soup.txt"]
    subprocess.run(["bash", "-c", f"echo k=1 >> {query}"], check=True)
    assert query.read_text() == f"{NEAREST}/ext=txt/k=1\n"
    assert os.listdir(saved / "near") == ["001-syslog.txt"]


def test_a_saved_query_can_be_asked_further(saved: Path) -> None:
    (saved / "near").mkdir()
    (saved / "near/.query").write_text(NEAREST)
    assert os.listdir(saved / "near/ext=md") == ["001-rotate.md", "002-bread.md"]
    assert os.listdir(saved / "near/ext=md/k=1") == ["001-rotate.md"]
    assert (saved / "near/ext=md/.results.txt").read_text().count("\n") == 3
    for links in (saved / "near/.links", saved / "near/ext=md/.links"):
        assert (links / "001-rotate.md").read_text() == "logs/rotate.md\n"


def test_a_saved_query_and_the_same_asked_are_different_directories(
    notes: Path, saved: Path
) -> None:
    (saved / NEAREST).mkdir()
    with os.scandir(saved / NEAREST) as one, os.scandir(asked(notes, NEAREST)) as other:
        assert [entry.name for entry in one] == [entry.name for entry in other] == NAMES
    assert (saved / NEAREST).stat().st_ino != asked(notes, NEAREST).stat().st_ino


@pytest.mark.parametrize("text", ["k=0", "100%", "size=big", "\n/\n", ".git", "log/.hidden"])
def test_a_text_that_is_no_query_is_refused(saved: Path, text: str) -> None:
    (saved / "one").mkdir()
    with refused(errno.EINVAL):
        (saved / "one/.query").write_text(text)
    assert (saved / "one/.query").read_text() == "one\n"


def test_a_name_that_is_no_query_is_refused(saved: Path) -> None:
    with refused(errno.EINVAL):
        (saved / "k=0").mkdir()
    with refused(errno.EPERM):
        (saved / ".one").mkdir()
    (saved / "one").mkdir()
    with refused(errno.EEXIST):
        (saved / "one").mkdir()
    with refused(errno.EFBIG):
        (saved / "one/.query").write_text("x" * 5_000)


def test_rmdir_forgets_it(saved: Path) -> None:
    (saved / "one").mkdir()
    (saved / "one").rmdir()
    assert os.listdir(saved) == []
    assert not (saved / "one").exists()
    with refused(errno.ENOENT):
        (saved / "one").rmdir()


def test_queries_are_saved_for_their_directory(notes: Path, saved: Path) -> None:
    (saved / "one").mkdir()
    assert os.listdir(asked(notes / "logs", ".saved")) == []
    (notes / "logs").rename(notes / "moved")
    assert os.listdir(saved) == ["one"]
    assert os.listxattr(notes) == [], "no program sees how they are kept"


def test_its_owner_saves_queries_in_a_directory(notes: Path, saved: Path) -> None:
    (saved / "roots").mkdir()
    with refused(errno.EACCES, errno.EPERM):
        acting_as(ALICE, (saved / "alices").mkdir)
    with refused(errno.EACCES, errno.EPERM):
        acting_as(ALICE, (saved / "roots").rmdir)
    with refused(errno.EACCES, errno.EPERM):
        acting_as(ALICE, lambda: (saved / "roots/.query").write_text("other"))
    os.chown(notes, ALICE.uid, ALICE.gid)
    acting_as(ALICE, (saved / "alices").mkdir)
    acting_as(ALICE, lambda: (saved / "alices/.query").write_text(NEAREST))
    assert acting_as(BOB, lambda: os.listdir(saved / "alices")) == NAMES
    (notes / "logs").chmod(0o700)
    assert acting_as(BOB, lambda: os.listdir(saved / "alices")) == ["001-bread.md", "002-soup.txt"]


def test_nothing_else_can_be_made_there(saved: Path) -> None:
    with refused(errno.EPERM):
        (saved / "file").write_text("x")
    (saved / "one").mkdir()
    with refused(errno.EPERM, errno.ENOTEMPTY):
        (saved / "one").rename(saved / "two")
    with refused(errno.EPERM):
        (saved / "one/.query").unlink()


def test_saved_queries_outlive_a_crash() -> None:
    volume = MountedVolume()
    try:
        volume.start()
        make_space(volume.path, "default", 4)
        make_files(volume.path, {"query": (1, 0, 0, 0), "one": (1, 0, 0, 0)})
        saved = asked(volume.path, ".saved")
        (saved / "near").mkdir()
        (saved / "near/.query").write_text(NEAREST)
        descriptor = os.open(volume.path / "one", os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        volume.kill9()
        volume.start()
        assert (saved / "near/.query").read_text() == f"{NEAREST}\n"
        assert os.listdir(saved / "near") == ["001-one"] == listed(volume.path, NEAREST)
        volume.stop()
        assert volume.problems() == []
    finally:
        volume.discard()


def test_what_is_asked_below_a_saved_query_changes_with_it(saved: Path) -> None:
    (saved / "near").mkdir()
    (saved / "near/.query").write_text(f"{NEAREST}/k=1")
    assert os.listdir(saved / "near/ext=md") == ["001-rotate.md"]
    assert os.listdir(saved / "near/ext=md/.links") == ["001-rotate.md"]
    (saved / "near/.query").write_text(f"{NEAREST}/k=3")
    assert os.listdir(saved / "near/ext=md") == ["001-rotate.md", "002-bread.md"]
    assert os.listdir(saved / "near/ext=md/.links") == ["001-rotate.md", "002-bread.md"]
