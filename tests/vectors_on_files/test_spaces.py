"""Vector spaces: made, told of and dropped by attributes of the root directory."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.persons import ALICE, acting_as
from tests.support.syscalls import refused
from tests.support.vectors import ask, attribute, make_space, paths, raw, told


@pytest.fixture
def root(mount: Path) -> Path:
    return mount.parent


def shown(root: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / f".vexfs/spaces/{name}.json").read_text())
    return found


def test_a_space_is_what_it_was_made_as(root: Path, mount: Path) -> None:
    make_space(root, mount.name, 3, "l2", "model-7/fp16")
    value = os.getxattr(root, f"user.vexfs.space.{mount.name}")
    assert value == b"dim=3 metric=l2 model=model-7/fp16"
    told = shown(root, mount.name)
    assert (told["dimensions"], told["metric"], told["model"]) == (3, "l2", "model-7/fp16")
    assert told["vectors"] == 0


def test_a_space_tells_the_model_of_its_vectors(root: Path, mount: Path) -> None:
    make_space(root, mount.name, 2, model="clip")
    (mount / "a").write_bytes(b"")
    os.setxattr(mount / "a", attribute(mount.name), b"1 2")
    assert told(mount / "a", "model", mount.name) == "clip"


def test_spaces_are_listed_in_the_control_tree(root: Path, mount: Path, space: str) -> None:
    before = os.listdir(root / ".vexfs/spaces")
    assert f"{space}.json" in before
    make_space(root, f"{space}-2", 2)
    assert set(os.listdir(root / ".vexfs/spaces")) - set(before) == {f"{space}-2.json"}
    os.removexattr(root, f"user.vexfs.space.{space}-2")
    assert os.listdir(root / ".vexfs/spaces") == before
    with refused(errno.ENOENT):
        shown(root, f"{space}-2")


def test_the_attributes_of_spaces_are_not_listed(root: Path, space: str) -> None:
    assert os.listxattr(root) == []


def test_making_the_same_space_again_changes_nothing(root: Path, space: str) -> None:
    make_space(root, space, 4)
    with refused(errno.EEXIST):
        make_space(root, space, 5)
    with refused(errno.EEXIST):
        make_space(root, space, 4, "ip")
    with refused(errno.EEXIST):
        os.setxattr(
            root, f"user.vexfs.space.{space}", b"dim=4 metric=cosine", flags=os.XATTR_CREATE
        )


@pytest.mark.parametrize(
    "value",
    [b"", b"dim=0", b"dim=16385", b"dim=x", b"dim=-1", b"metric=l2", b"dim=3 metric=manhattan",
     b"dim=3 colour=red", b"384", b"dim=" + b"9" * 5000],
)  # fmt: skip
def test_a_space_that_makes_no_sense_is_refused(root: Path, mount: Path, value: bytes) -> None:
    with refused(errno.EINVAL):
        os.setxattr(root, f"user.vexfs.space.{mount.name}", value)
    with refused(errno.ENODATA):
        os.getxattr(root, f"user.vexfs.space.{mount.name}")


def test_a_dropped_space_takes_its_vectors_along(root: Path, mount: Path, space: str) -> None:
    (mount / "a").write_bytes(b"")
    os.setxattr(mount / "a", attribute(space), raw(1, 2, 3, 4))
    os.removexattr(root, f"user.vexfs.space.{space}")
    assert os.listxattr(mount / "a") == []
    with refused(errno.ENODATA):
        ask(mount, vector=[1, 2, 3, 4], space=space)
    make_space(root, space, 2)
    os.setxattr(mount / "a", attribute(space), b"1 2")
    assert paths(mount, vector=[1, 2], space=space) == ["a"]


def test_a_space_of_the_same_name_keeps_no_secrets_of_the_former(root: Path, mount: Path) -> None:
    """Rows of the new space are not those of the old one."""
    name = mount.name
    for file, mode in (("open", 0o644), ("closed", 0o600)):
        (mount / file).write_bytes(b"")
        (mount / file).chmod(mode)
    make_space(root, name, 2)
    os.setxattr(mount / "open", attribute(name), b"1 2")
    assert acting_as(ALICE, lambda: paths(mount, vector=[1, 2], space=name)) == ["open"]
    os.removexattr(root, f"user.vexfs.space.{name}")
    make_space(root, name, 2)
    os.setxattr(mount / "closed", attribute(name), b"1 2")
    assert acting_as(ALICE, lambda: paths(mount, vector=[1, 2], space=name)) == []


def test_only_who_may_write_the_root_makes_and_drops_spaces(root: Path, space: str) -> None:
    with refused(errno.EACCES):
        acting_as(ALICE, lambda: make_space(root, f"{space}-alice", 4))
    with refused(errno.EACCES):
        acting_as(ALICE, lambda: os.removexattr(root, f"user.vexfs.space.{space}"))
    with refused(errno.ENODATA):
        os.removexattr(root, f"user.vexfs.space.{space}-none")
    root.chmod(0o777)
    try:
        acting_as(ALICE, lambda: make_space(root, f"{space}-alice", 4))
        with refused(errno.EACCES):
            acting_as(ALICE, lambda: os.removexattr(root, f"user.vexfs.space.{space}"))
    finally:
        root.chmod(0o755)


@pytest.mark.parametrize(
    ("metric", "scores"),
    [("cosine", [1.0, 0.6, -1.0]), ("ip", [10.0, 5.0, -5.0]), ("l2", [-3.0, -5.0, -8.0])],
)
def test_scores_are_what_the_metric_says(
    root: Path, mount: Path, metric: str, scores: list[float]
) -> None:
    name = f"{mount.name}-{metric}"
    make_space(root, name, 2, metric)
    vectors = {
        "cosine": ["2 0", "3 4", "-1 0"],
        "ip": ["2 0", "1 7", "-1 2"],
        "l2": ["5 3", "2 4", "13 0"],
    }[metric]
    for number, vector in enumerate(vectors):
        (mount / f"{metric}{number}").write_bytes(b"")
        os.setxattr(mount / f"{metric}{number}", attribute(name), vector.encode())
    _, hits = ask(mount, vector=[5, 0], space=name)
    assert [hit["score"] for hit in hits] == pytest.approx(scores, rel=1e-6)
    distances = [1 - score if metric == "cosine" else -score for score in scores]
    assert [hit["distance"] for hit in hits] == pytest.approx(distances, rel=1e-6)
