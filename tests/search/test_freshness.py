"""Read your writes: what has returned is seen by the next search; and everybody sees only what he may."""

import errno
import os
from pathlib import Path

import pytest

from tests.support.persons import ALICE, BOB, SHARED_GROUP, Person, acting_as
from tests.support.searching import NEAREST, asked, found, listed, make_files, results
from tests.support.syscalls import refused
from tests.support.vectors import VECTOR, paths, raw

ALL = ["logs/rotate.md", "logs/syslog.txt", "recipes/bread.md", "recipes/deep/soup.txt"]


def everywhere(scope: Path, *segments: str) -> list[str]:
    """Return what is found, whichever way it is looked at."""
    seen = found(scope, *segments)
    assert [line["path"] for line in results(scope, *segments)[1]] == seen
    with os.scandir(asked(scope, *segments, ".links")) as links:
        shown = [os.readlink(link.path) for link in links]
    assert [link.removeprefix("../" * (len(segments) + 2)) for link in shown] == seen
    return seen


def test_a_vector_is_found_when_it_is_set(notes: Path) -> None:
    for number in range(20):
        make_files(notes, {f"made/{number}": (1.0, 0.0, 0.0, 0.0)})
        assert f"made/{number}" in everywhere(notes, NEAREST, "k=50")


def test_a_vector_that_is_replaced_is_found_where_it_is_now(notes: Path) -> None:
    assert everywhere(notes, NEAREST) == ALL
    os.setxattr(notes / "recipes/bread.md", VECTOR, raw(1, 0, 0, 0))
    assert everywhere(notes, NEAREST)[0] == "recipes/bread.md"


def test_a_vector_that_is_removed_is_not_found(notes: Path) -> None:
    os.removexattr(notes / "logs/rotate.md", VECTOR)
    assert everywhere(notes, NEAREST) == ALL[1:]


def test_a_file_that_is_unlinked_is_not_found(notes: Path) -> None:
    assert everywhere(notes, NEAREST) == ALL
    with (notes / "logs/rotate.md").open() as still_open:
        (notes / "logs/rotate.md").unlink()
        assert everywhere(notes, NEAREST) == ALL[1:]
        assert still_open.read() == "logs/rotate.md\n"
    with refused(errno.ENOENT):
        (asked(notes, NEAREST) / "001-rotate.md").stat()


def test_a_file_that_is_renamed_is_found_where_it_is(notes: Path) -> None:
    assert everywhere(notes, NEAREST) == ALL
    (notes / "logs").rename(notes / "recipes/diary")
    assert everywhere(notes, NEAREST)[:2] == ["recipes/diary/rotate.md", "recipes/diary/syslog.txt"]
    (notes / "recipes/diary/rotate.md").rename(notes / "turned.txt")
    assert everywhere(notes, NEAREST)[0] == "turned.txt"
    assert everywhere(notes, NEAREST, "ext=md") == ["recipes/bread.md"]


def test_a_file_with_two_names_is_found_by_one_of_them(notes: Path) -> None:
    os.link(notes / "logs/rotate.md", notes / "recipes/also.txt")
    assert everywhere(notes, NEAREST) == ALL
    assert everywhere(notes / "recipes", "like=bread.md", "ext=txt") == [
        "deep/soup.txt",
        "also.txt",
    ]
    assert everywhere(notes, NEAREST, "ext=txt")[0] == "recipes/also.txt"
    (notes / "logs/rotate.md").unlink()
    assert everywhere(notes, NEAREST)[0] == "recipes/also.txt"


def test_filters_see_what_was_just_written(notes: Path) -> None:
    assert everywhere(notes, NEAREST, "size=>1K") == []
    (notes / "logs/syslog.txt").write_bytes(bytes(5_000))
    assert everywhere(notes, NEAREST, "size=>1K") == ["logs/syslog.txt"]
    os.utime(notes / "recipes/bread.md", (0, 0))
    assert everywhere(notes, NEAREST, "until=1971-01-01") == ["recipes/bread.md"]
    os.setxattr(notes / "logs/rotate.md", "user.tag", b"x")
    assert everywhere(notes, NEAREST, "xattr=tag:x") == ["logs/rotate.md"]
    os.setxattr(notes / "logs/rotate.md", "user.tag", b"y")
    assert everywhere(notes, NEAREST, "xattr=tag:x") == []


def test_the_scope_is_the_directory(notes: Path) -> None:
    os.link(notes / "query", notes / "logs/query")
    assert everywhere(notes / "logs", NEAREST) == ["rotate.md", "syslog.txt"]


# --- who may see what -------------------------------------------------------------------------


def seen_by(person: Person, scope: Path, *segments: str) -> list[str]:
    return acting_as(person, lambda: everywhere(scope, *segments))


def test_a_closed_file_is_found_by_its_owner_only(notes: Path) -> None:
    os.chown(notes / "logs/rotate.md", ALICE.uid, ALICE.gid)
    assert seen_by(BOB, notes, NEAREST) == ALL
    (notes / "logs/rotate.md").chmod(0o600)
    assert seen_by(ALICE, notes, NEAREST) == ALL
    assert seen_by(BOB, notes, NEAREST) == ALL[1:]
    assert everywhere(notes, NEAREST) == ALL


@pytest.mark.parametrize("mode", [0o700, 0o711, 0o744, 0o000])
def test_nobody_learns_the_names_in_a_directory_that_he_cannot_list(notes: Path, mode: int) -> None:
    assert seen_by(BOB, notes, NEAREST) == ALL
    (notes / "logs").chmod(mode)
    assert seen_by(BOB, notes, NEAREST) == ALL[2:]
    assert everywhere(notes, NEAREST) == ALL
    assert acting_as(BOB, lambda: listed(notes, "rotate")) == []
    (notes / "logs").chmod(0o755)
    assert seen_by(BOB, notes, NEAREST) == ALL


def test_groups_and_access_lists_count(notes: Path) -> None:
    member = Person(BOB.uid, BOB.gid, (SHARED_GROUP,))
    os.chown(notes / "logs", 0, SHARED_GROUP)
    (notes / "logs").chmod(0o750)
    assert seen_by(BOB, notes, NEAREST) == ALL[2:]
    assert seen_by(member, notes, NEAREST) == ALL


def test_the_sets_of_two_users_are_two(notes: Path) -> None:
    (notes / "logs/rotate.md").chmod(0o600)
    name = asked(notes, NEAREST) / "001-rotate.md"
    assert name.read_text() == "logs/rotate.md\n"
    with refused(errno.ENOENT):
        acting_as(BOB, name.read_text)
    assert (
        acting_as(BOB, (asked(notes, NEAREST) / ".results.txt").read_text).count("rotate.md") == 0
    )
    assert "rotate.md" in (asked(notes, NEAREST) / ".results.txt").read_text()


def test_a_hit_is_written_with_the_permissions_of_its_file(notes: Path) -> None:
    hit = asked(notes, NEAREST) / "001-rotate.md"
    with refused(errno.EACCES):
        acting_as(BOB, lambda: hit.write_text("x"))
    (notes / "logs/rotate.md").chmod(0o666)
    acting_as(BOB, lambda: hit.write_text("from bob"))
    assert hit.read_text() == "from bob"


def test_nothing_is_like_a_file_that_one_may_not_read(notes: Path) -> None:
    (notes / "query").chmod(0o600)
    with refused(errno.ENODATA, errno.EACCES, errno.ENOENT):
        acting_as(BOB, lambda: listed(notes, NEAREST))
    (notes / "logs").chmod(0o700)
    with refused(errno.ENOENT, errno.EACCES):
        acting_as(BOB, lambda: listed(notes, "like=logs@rotate.md"))


def test_as_many_hits_as_were_asked_for_whoever_asks(mount: Path) -> None:
    make_files(mount, {"query": (1, 0, 0, 0)})
    make_files(mount, {f"f{i:03}": (1, i / 100, 0, 0) for i in range(300)})
    for i in range(300):
        if i % 50:
            (mount / f"f{i:03}").chmod(0o600)
    assert seen_by(BOB, mount, NEAREST, "k=5") == ["f000", "f050", "f100", "f150", "f200"]
    assert acting_as(BOB, lambda: paths(mount, like="query", k=5)) == [
        "f000", "f050", "f100", "f150", "f200",
    ]  # fmt: skip
    assert len(listed(mount, NEAREST, "k=250")) == 250
