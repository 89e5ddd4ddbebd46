"""A vector belongs to the inode, and copies take it along; an editor's save does not lose it."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.syscalls import RENAME_EXCHANGE, refused, renameat2
from tests.support.vectors import attribute, paths, raw, told

VALUE = raw(1, 2, 3, 4)


@pytest.fixture
def file(mount: Path, space: str) -> Path:
    path = mount / "file.txt"
    path.write_text("a line\nanother line\n")
    os.setxattr(path, attribute(space), VALUE)
    return path


def has_vector(path: Path, space: str) -> bool:
    if attribute(space) not in os.listxattr(path):
        with refused(errno.ENODATA):
            os.getxattr(path, attribute(space))
        return False
    return os.getxattr(path, attribute(space)) == VALUE


def found(mount: Path, space: str) -> list[str]:
    return paths(mount, vector=[1, 2, 3, 4], space=space)


def run(*command: str | Path, cwd: Path | None = None) -> None:
    subprocess.run(command, check=True, cwd=cwd, capture_output=True)


def test_a_rename_carries_it(file: Path, mount: Path, space: str) -> None:
    (mount / "sub").mkdir()
    file.rename(mount / "sub/other.txt")
    assert has_vector(mount / "sub/other.txt", space)
    assert told(mount / "sub/other.txt", "stale", space) == "0"
    assert found(mount, space) == ["sub/other.txt"]


def test_a_hard_link_shows_it(file: Path, mount: Path, space: str) -> None:
    (mount / "link").hardlink_to(file)
    assert has_vector(mount / "link", space)
    os.setxattr(mount / "link", attribute(space), raw(4, 3, 2, 1))
    assert os.getxattr(file, attribute(space)) == raw(4, 3, 2, 1)
    file.unlink()
    assert found(mount, space) == ["link"]


def test_an_exchange_leaves_each_inode_its_own(file: Path, mount: Path, space: str) -> None:
    (mount / "other").write_text("")
    renameat2(file, mount / "other", RENAME_EXCHANGE)
    assert not has_vector(file, space)
    assert has_vector(mount / "other", space)
    assert told(mount / "other", "stale", space) == "0"


def test_it_dies_with_the_last_link(file: Path, mount: Path, space: str) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    file.unlink()
    assert found(mount, space) == []
    assert os.getxattr(descriptor, attribute(space)) == VALUE
    os.close(descriptor)
    file.write_text("")
    assert not has_vector(file, space)


@pytest.mark.parametrize(
    "copy",
    [
        lambda a, b: run("cp", "--preserve=xattr", a, b),
        lambda a, b: run("cp", "-a", a, b),
        lambda a, b: run("rsync", "-X", a, b),
        lambda a, b: run("rsync", "-aX", a, b),
        shutil.copy2,
    ],
    ids=["cp-preserve", "cp-a", "rsync-X", "rsync-aX", "copy2"],
)
def test_a_copy_with_attributes_has_it(
    file: Path, mount: Path, space: str, copy: Callable[[Path, Path], None]
) -> None:
    copy(file, mount / "copy.txt")
    assert os.listxattr(mount / "copy.txt") == [attribute(space)]
    assert has_vector(mount / "copy.txt", space)
    assert sorted(found(mount, space)) == ["copy.txt", "file.txt"]


def test_a_plain_copy_has_none(file: Path, mount: Path, space: str) -> None:
    run("cp", file, mount / "copy.txt")
    assert not has_vector(mount / "copy.txt", space)


def test_tar_keeps_it(file: Path, mount: Path, space: str, tmp_path: Path) -> None:
    archive = tmp_path / "all.tar"
    run("tar", "--xattrs", "-cf", archive, file.name, cwd=mount)
    (mount / "out").mkdir()
    run("tar", "--xattrs", "-xf", archive, cwd=mount / "out")
    assert has_vector(mount / "out/file.txt", space)


def test_it_survives_a_round_trip_through_another_file_system(
    file: Path, mount: Path, space: str, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    try:
        run("cp", "--preserve=xattr", file, outside)
        os.getxattr(outside, attribute(space))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the file system of temporary files keeps no extended attributes")
    run("cp", "--preserve=xattr", outside, mount / "back.txt")
    assert has_vector(mount / "back.txt", space)


def write_in_place(path: Path) -> None:
    path.write_text("other contents")


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write("more")


def truncate(path: Path) -> None:
    os.truncate(path, 3)


def write_aside(path: Path) -> None:
    """As careful programs do: a temporary file, fsync, rename over."""
    aside = path.with_name(f".{path.name}.tmp")
    with aside.open("w") as file:
        file.write("other contents")
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)


def sed(path: Path) -> None:
    run("sed", "-i", "s/line/word/", path)


def vim(*settings: str) -> Callable[[Path], None]:
    """Have vim save: in place, or by renaming the file to a backup that is unlinked after the save."""

    def save(path: Path) -> None:
        commands = [f"+set {setting}" for setting in ("backupskip=", *settings)]
        end = ["+1s/line/word/", "+wq"]
        run("vim", "-N", "-u", "NONE", "-i", "NONE", "-es", *commands, *end, path)

    return save


@pytest.mark.parametrize(
    "save",
    [
        write_in_place, append, truncate, write_aside, sed, vim("writebackup"),
        vim("writebackup", "backupcopy=yes"), vim("writebackup", "backupcopy=no"),
        vim("nowritebackup"), vim("backup", "backupcopy=no"),
    ],
    ids=[
        "in-place", "append", "truncate", "write-aside", "sed", "vim", "vim-copy", "vim-rename",
        "vim-no-backup", "vim-backup",
    ],
)  # fmt: skip
def test_a_save_keeps_it_and_marks_it_stale(
    file: Path, mount: Path, space: str, save: Callable[[Path], None]
) -> None:
    before = file.read_text()
    save(file)
    assert file.read_text() != before
    os.sync()
    assert has_vector(file, space)
    assert told(file, "stale", space) == "1"
    assert "file.txt" in found(mount, space)


def test_a_backup_that_an_editor_leaves_keeps_its_vector(
    file: Path, mount: Path, space: str
) -> None:
    vim("backup", "backupcopy=no")(file)
    assert has_vector(mount / "file.txt~", space)
    assert told(mount / "file.txt~", "stale", space) == "0"


def test_a_save_does_not_rob_the_other_names_of_the_old_file(
    file: Path, mount: Path, space: str
) -> None:
    (mount / "link").hardlink_to(file)
    write_aside(file)
    assert has_vector(mount / "link", space)
    assert told(mount / "link", "stale", space) == "0"
    assert told(file, "stale", space) == "1"


def test_another_process_does_not_inherit_what_was_put_aside(
    file: Path, mount: Path, space: str
) -> None:
    run("mv", file, mount / "file.txt~")
    run("touch", file)
    assert not has_vector(file, space)


def test_setting_it_again_ends_staleness(file: Path, space: str) -> None:
    write_aside(file)
    os.setxattr(file, attribute(space), VALUE)
    assert told(file, "stale", space) == "0"


def test_a_file_that_has_vectors_keeps_its_own_when_it_replaces_another(
    file: Path, mount: Path, space: str
) -> None:
    (mount / "other").write_text("other")
    os.setxattr(mount / "other", attribute(space), raw(4, 3, 2, 1))
    (mount / "other").rename(file)
    assert os.getxattr(file, attribute(space)) == raw(4, 3, 2, 1)
    assert told(file, "stale", space) == "0"


def test_contents_that_are_not_flushed_yet_are_those_of_the_vector(mount: Path, space: str) -> None:
    """The vector is set after the write, so it is not stale when the write reaches the journal."""
    with (mount / "a").open("w") as file:
        file.write("some contents")
        file.flush()
        os.setxattr(mount / "a", attribute(space), VALUE)
        os.fsync(file.fileno())
    assert told(mount / "a", "stale", space) == "0"


def test_other_attributes_do_not_make_it_stale(file: Path, space: str) -> None:
    file.chmod(0o600)
    os.utime(file, (1, 1))
    os.setxattr(file, "user.other", b"1")
    file.read_text()
    assert told(file, "stale", space) == "0"
