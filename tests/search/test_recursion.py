"""What must not happen: nobody falls into `.search`, and nothing but a look into a query searches."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.mounting import OPTIONS, MountedVolume
from tests.support.searching import NEAREST, asked, found, listed, make_files, searches
from tests.support.syscalls import refused
from tests.support.vectors import make_space


def run(*command: object) -> str:
    parts = [str(part) for part in command]
    return subprocess.run(parts, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "command",
    [
        ["find", "{}"],
        ["ls", "-laR", "{}"],
        ["du", "-a", "{}"],
        ["grep", "-rl", "", "{}"],
        ["tree", "-a", "{}"],
        ["tar", "-cvf", "/dev/null", "{}"],
        ["rsync", "-anv", "{}/", "/tmp/nobody-is-here/"],
        ["bash", "-O", "globstar", "-O", "dotglob", "-c", "echo {}/**"],
    ],
    ids=lambda command: command[0],
)
def test_no_program_falls_into_a_search(
    volume: MountedVolume, notes: Path, command: list[str]
) -> None:
    before = searches(volume.path)
    shown = run(*(part.replace("{}", str(notes)) for part in command))
    assert "soup.txt" in shown
    assert ".search" not in shown
    assert searches(volume.path) == before


def test_the_root_does_not_list_it(volume: MountedVolume) -> None:
    assert not [name for name in os.listdir(volume.path) if name.startswith(".")]


def test_looking_up_a_question_asks_nothing(volume: MountedVolume, notes: Path) -> None:
    before = searches(volume.path)
    for segments in (["log rotation"], ["log", "ext=md", "k=3"], [NEAREST, "k=1"], []):
        place = asked(notes, *segments)
        assert place.is_dir()
        os.chdir(place)
        os.chdir("/")
    assert searches(volume.path) == before
    listed(notes, NEAREST)
    assert searches(volume.path) == before + 1


@pytest.mark.parametrize(
    "name", [".git", ".hidden", ".", ".gitignore", ".Trash", ".DS_Store", ".x"]
)
def test_a_name_that_begins_with_a_dot_is_no_question(
    volume: MountedVolume, notes: Path, name: str
) -> None:
    before = searches(volume.path)
    if name != ".":
        for segments in ([], ["log"], [NEAREST]):
            assert not (asked(notes, *segments) / name).exists()
            with refused(errno.ENOENT):
                os.stat(asked(notes, *segments) / name / "config")
    assert searches(volume.path) == before


def test_git_status_searches_nothing(volume: MountedVolume, notes: Path) -> None:
    run("git", "init", "-q", notes)
    before = searches(volume.path)
    assert "?? logs/" in run("git", "-C", notes, "status", "--short")
    assert "../../logs/" in run("git", "-C", asked(notes, "log"), "status", "--short")
    assert searches(volume.path) == before


def test_a_directory_that_is_opened_and_not_read_searches_nothing(
    volume: MountedVolume, notes: Path
) -> None:
    before = searches(volume.path)
    descriptor = os.open(asked(notes, NEAREST), os.O_RDONLY)
    assert searches(volume.path) == before
    assert len(os.listdir(descriptor)) == 4
    os.close(descriptor)
    assert searches(volume.path) == before + 1


def test_completion_of_a_name_searches_nothing(volume: MountedVolume, notes: Path) -> None:
    before = searches(volume.path)
    top = asked(notes)
    shown = run(
        "bash", "-c", f"compgen -f {top}/lo; compgen -d {top}/; compgen -f {notes}/.se; true"
    )
    assert shown == ""
    assert searches(volume.path) == before


def test_there_is_no_search_in_a_search(notes: Path) -> None:
    for segments in ([], ["log"], [NEAREST, ".links"], [".saved"], [".vec"]):
        assert not (asked(notes, *segments) / ".search").exists()


def test_the_name_is_reserved(notes: Path) -> None:
    for make in (os.mkdir, lambda path: os.symlink("x", path), lambda path: os.mknod(path)):
        with refused(errno.EEXIST, errno.EPERM):
            make(notes / ".search")
    with refused(errno.EPERM, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY):
        os.rename(notes / "logs", notes / ".search")
    with refused(errno.EPERM, errno.EEXIST):
        os.link(notes / "query", notes / ".search")
    with refused(errno.EISDIR, errno.EEXIST):
        (notes / ".search").write_text("x")
    with refused(errno.EPERM):
        (notes / ".search").rmdir()
    with refused(errno.EPERM):
        os.rename(notes / ".search", notes / "elsewhere")
    assert found(notes, NEAREST, "k=1") == ["logs/rotate.md"]


def test_a_file_has_no_search(notes: Path) -> None:
    with refused(errno.ENOTDIR):
        os.listdir(notes / "query/.search/log")


def test_temporary_files_are_refused_at_once(notes: Path) -> None:
    """A name that mkstemp makes up would else seem to be taken, whatever it is."""
    for name in ("sedA1b2C3", "tmpa1b2c3d4"):
        assert not (asked(notes, "log") / name).exists()
        with refused(errno.EPERM):
            os.open(asked(notes, "log") / name, os.O_CREAT | os.O_EXCL | os.O_RDWR)
    assert asked(notes, "sediments").is_dir()


def test_the_root_lists_it_when_that_is_wished() -> None:
    volume = MountedVolume(options=f"{OPTIONS},searchdir=visible")
    try:
        volume.start()
        make_space(volume.path, "default", 4)
        make_files(volume.path, {"a/one": (1, 0, 0, 0), "a/two": (0, 1, 0, 0)})
        assert sorted(os.listdir(volume.path)) == [".search", "a"]
        assert os.listdir(volume.path / "a") in (["one", "two"], ["two", "one"])
        with os.scandir(volume.path) as entries:
            shown = {entry.name: entry.is_dir() for entry in entries}
        assert shown == {".search": True, "a": True}
        paths = run("find", volume.path).split()
        assert str(volume.path / ".search") in paths
        assert len(paths) == 5, "it is empty for those who fall in"
        volume.stop()
        assert volume.problems() == []
    finally:
        volume.discard()
