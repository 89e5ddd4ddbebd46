"""A hit is a file of its own number that reads, writes and looks like the one that was found."""

import errno
import json
import mmap
import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.mounting import MountedVolume
from tests.support.searching import (
    NEAREST,
    asked,
    eventually,
    found,
    listed,
    make_files,
    results,
    searches,
)
from tests.support.syscalls import refused
from tests.support.vectors import VECTOR, raw

FIRST = "001-rotate.md"


@pytest.fixture
def hit(notes: Path) -> Path:
    return asked(notes, NEAREST) / FIRST


@pytest.fixture
def original(notes: Path) -> Path:
    return notes / "logs/rotate.md"


def test_a_hit_has_a_number_of_its_own_and_the_attributes_of_its_file(
    hit: Path, original: Path
) -> None:
    original.chmod(0o640)
    os.chown(original, 61_001, 61_002)
    os.utime(original, ns=(10**18, 10**18 + 5))
    of_hit, of_file = hit.stat(), original.stat()
    assert of_hit.st_ino != of_file.st_ino
    assert stat.S_ISREG(of_hit.st_mode)
    for name in (
        "st_mode",
        "st_uid",
        "st_gid",
        "st_size",
        "st_mtime_ns",
        "st_ctime_ns",
        "st_blocks",
    ):
        assert getattr(of_hit, name) == getattr(of_file, name), name


def test_its_size_is_true_while_the_file_grows(hit: Path, original: Path) -> None:
    with original.open("ab", buffering=0) as file:
        for size in (1000, 70_000):
            os.ftruncate(file.fileno(), 0)
            file.write(bytes(size))
            assert hit.stat().st_size == size


def test_what_is_written_to_a_hit_is_in_its_file(hit: Path, original: Path) -> None:
    assert original.read_text() == "logs/rotate.md\n"  # the kernel has its page now
    with original.open("rb") as kept:
        with hit.open("r+b") as file:
            file.write(b"LOGS")
        assert eventually(lambda: os.pread(kept.fileno(), 4, 0) == b"LOGS")
    with hit.open("ab") as file:
        file.write(b"more\n")
    assert eventually(lambda: original.read_text() == "LOGS/rotate.md\nmore\n")
    assert original.stat().st_size == hit.stat().st_size == 20


def test_what_is_written_to_a_file_is_in_its_hit(hit: Path, original: Path) -> None:
    with hit.open("rb", buffering=0) as file:
        assert file.read() == b"logs/rotate.md\n"
        with original.open("r+b") as other:
            other.write(b"LOGS")
        assert os.pread(file.fileno(), 100, 0) == b"LOGS/rotate.md\n"


def test_a_hit_can_be_cut_and_synced(hit: Path, original: Path) -> None:
    with hit.open("r+b") as file:
        os.ftruncate(file.fileno(), 4)
        os.fsync(file.fileno())
    assert eventually(lambda: original.read_bytes() == b"logs")
    os.truncate(hit, 2)
    assert eventually(lambda: original.stat().st_size == 2)
    hit.write_text("anew")
    assert eventually(lambda: original.read_text() == "anew")


def test_a_hit_can_be_mapped_privately(hit: Path) -> None:
    with (
        hit.open("rb") as file,
        mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as mapped,
    ):
        assert mapped[:4] == b"logs"


def test_modes_and_times_are_set_through_a_hit(hit: Path, original: Path) -> None:
    hit.chmod(0o600)
    os.utime(hit, ns=(10**18, 10**18))
    assert eventually(lambda: stat.S_IMODE(original.stat().st_mode) == 0o600)
    assert original.stat().st_mtime_ns == 10**18


def test_a_hit_cannot_be_removed_or_moved(notes: Path, hit: Path) -> None:
    with refused(errno.EPERM):
        hit.unlink()
    with refused(errno.EPERM, errno.EISDIR):
        hit.rename(hit.with_name("other"))
    with refused(errno.EPERM, errno.EXDEV):
        hit.rename(notes / "moved")
    with refused(errno.EPERM, errno.EXDEV):
        os.link(hit, notes / "linked")
    with refused(errno.EPERM, errno.EACCES, errno.EEXIST):
        os.mkdir(hit.with_name(".made"))
    with refused(errno.EPERM):
        os.open(hit.with_name("009-made"), os.O_CREAT | os.O_RDWR)
    assert len(listed(notes, NEAREST)) == 4


def test_a_hit_tells_of_itself(hit: Path) -> None:
    told = {
        name: os.getxattr(hit, f"user.vexfs.{name}").decode()
        for name in ("path", "score", "rank", "distance")
    }
    assert told["path"] == "logs/rotate.md"
    assert told["rank"] == "1"
    assert float(told["score"]) == pytest.approx(0.9938837, abs=1e-5)
    assert float(told["distance"]) == pytest.approx(1 - 0.9938837, abs=1e-5)
    with refused(errno.ENODATA):
        os.getxattr(hit, "user.vexfs.nothing")


def test_a_hit_has_the_attributes_of_its_file(hit: Path, original: Path) -> None:
    os.setxattr(original, "user.tag", b"x")
    assert os.getxattr(hit, "user.tag") == b"x"
    assert os.getxattr(hit, VECTOR) == os.getxattr(original, VECTOR)
    assert set(os.listxattr(hit)) == {"user.tag", VECTOR}
    os.setxattr(hit, "user.tag", b"y")
    assert os.getxattr(original, "user.tag") == b"y"
    os.removexattr(hit, "user.tag")
    assert os.listxattr(original) == [VECTOR]


def test_cp_takes_the_vector_of_a_hit_along(hit: Path, mount: Path) -> None:
    subprocess.run(["cp", "--preserve=xattr", hit, mount / "copy"], check=True)
    assert os.getxattr(mount / "copy", VECTOR) == os.getxattr(hit, VECTOR)


def test_long_names_are_cut_to_what_a_name_may_have(mount: Path) -> None:
    make_files(mount, {"query": (1, 0, 0, 0), "x" * 255: (1, 0, 0, 0)})
    assert listed(mount, NEAREST) == ["001-" + "x" * 251]
    assert (asked(mount, NEAREST) / ("001-" + "x" * 251)).read_text().startswith("xxx")


def test_names_that_are_no_text_are_shown_as_they_are(mount: Path) -> None:
    make_files(mount, {"query": (1, 0, 0, 0)})
    strange = os.fsencode(mount) + b"/caf\xe9\n"
    os.close(os.open(strange, os.O_CREAT))
    os.setxattr(strange, VECTOR, raw(1, 0, 0, 0))
    names = os.listdir(os.fsencode(asked(mount, NEAREST)))
    assert names == [b"001-caf\xe9\n"]
    _, lines = results(mount, NEAREST)
    assert os.fsencode(lines[0]["path"]) == b"caf\xe9\n"


# --- the texts --------------------------------------------------------------------------------


def test_results_tell_what_the_directory_shows(notes: Path) -> None:
    header, lines = results(notes, NEAREST, "k=3")
    assert [line["name"] for line in lines] == listed(notes, NEAREST, "k=3")
    assert [line["path"] for line in lines] == found(notes, NEAREST, "k=3")
    assert [line["rank"] for line in lines] == [1, 2, 3]
    scores = [line["score"] for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert header["query"] == [NEAREST, "k=3"]
    assert (header["k"], header["hits"], header["exact"], header["space"]) == (
        3,
        3,
        True,
        "default",
    )
    for line in lines:
        hit = asked(notes, NEAREST, "k=3") / line["name"]
        assert float(os.getxattr(hit, "user.vexfs.score")) == pytest.approx(line["score"], abs=1e-6)


def test_results_for_people_have_rank_score_and_path(notes: Path) -> None:
    text = (asked(notes, NEAREST) / ".results.txt").read_text().splitlines()
    assert text[0].startswith("# like=query: 4 hits")
    assert [line.split()[2] for line in text[1:]] == found(notes, NEAREST)


def test_results_are_for_reading(notes: Path) -> None:
    for name in (".results.txt", ".results.jsonl"):
        path = asked(notes, NEAREST) / name
        assert path.stat().st_size == len(path.read_bytes())
        with refused(errno.EACCES, errno.EPERM):
            path.write_text("x")
        with refused(errno.EPERM):
            path.unlink()
    assert not (asked(notes) / ".results.txt").exists(), "nothing was asked"


def test_a_stale_vector_is_told(notes: Path, original: Path) -> None:
    assert not results(notes, NEAREST)[1][0]["stale"]
    original.write_text("other contents")
    assert eventually(lambda: bool(results(notes, NEAREST)[1][0]["stale"]))


# --- a set is frozen --------------------------------------------------------------------------


def test_a_set_agrees_with_itself_while_the_volume_changes(notes: Path) -> None:
    place = asked(notes, NEAREST)
    descriptor = os.open(place, os.O_RDONLY)
    try:
        names = os.listdir(descriptor)
        make_files(notes, {"logs/nearer.md": (1.0, 0.0, 0.0, 0.0)})
        (notes / "logs/rotate.md").rename(notes / "logs/turned.md")
        text = [json.loads(line) for line in (place / ".results.jsonl").read_text().splitlines()]
        assert [line["name"] for line in text[1:]] == names
        assert os.listdir(descriptor) == names
        for name in names:
            told = os.getxattr(place / name, "user.vexfs.rank").decode()
            assert int(told) == names.index(name) + 1
        assert (place / names[0]).read_text() == "logs/rotate.md\n"
    finally:
        os.close(descriptor)
    assert found(notes, NEAREST)[:2] == ["logs/nearer.md", "logs/turned.md"]


def test_a_name_that_was_listed_still_leads_to_its_file(notes: Path) -> None:
    names = listed(notes, NEAREST)
    make_files(notes, {"logs/nearer.md": (1.0, 0.0, 0.0, 0.0)})
    assert [(asked(notes, NEAREST) / name).read_text() for name in names] == [
        "logs/rotate.md\n", "logs/syslog.txt\n", "recipes/bread.md\n", "recipes/deep/soup.txt\n",
    ]  # fmt: skip


def test_the_same_question_is_not_searched_twice_at_once(
    volume: MountedVolume, notes: Path
) -> None:
    before = searches(volume.path)
    for _ in range(5):
        listed(notes, NEAREST)
        results(notes, NEAREST)
    assert searches(volume.path) - before <= 2


def test_many_hits_are_all_listed(mount: Path) -> None:
    make_files(mount, {"query": (1, 0, 0, 0)})
    make_files(mount, {f"many/{i:04}": (1, i, 0, 0) for i in range(1_500)})
    names = listed(mount, NEAREST, "k=2000")
    assert names == [f"{i + 1:03}-{i:04}" for i in range(1_500)]
    assert (asked(mount, NEAREST, "k=2000") / names[1_234]).read_text() == "many/1234\n"
    began = time.monotonic()
    assert len(listed(mount, NEAREST, "k=5")) == 5
    assert time.monotonic() - began < 5


def test_a_hit_of_a_removed_file_cannot_be_opened_any_more(mount: Path) -> None:
    """It could be, and when it was closed the file was let go of twice: the volume turned read-only."""
    make_files(mount, {"query": (1.0, 0, 0, 0), "gone": (0.9, 0.1, 0, 0)})
    hit = os.open(asked(mount, NEAREST) / "001-gone", os.O_PATH)
    again = f"/proc/self/fd/{hit}"
    try:
        reader = os.open(again, os.O_RDONLY)
        (mount / "gone").unlink()
        assert os.read(reader, 100) == b"gone\n"
        os.close(reader)
        for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDONLY):
            with refused(errno.ENOENT):
                os.open(again, flags)
    finally:
        os.close(hit)
    (mount / "next").write_bytes(b"written")
