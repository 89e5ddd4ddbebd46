"""A vector is an extended attribute: what it takes, what it returns, what it refuses."""

import errno
import json
import os
import struct
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from tests.support.persons import ALICE, acting_as
from tests.support.syscalls import getxattr_sized, listxattr_sized, refused
from tests.support.vectors import VECTOR, attribute, raw, told

NUMBERS = (1.0, -0.5, 0.25, 3e-5)


@pytest.fixture
def file(mount: Path) -> Path:
    path = mount / "file"
    path.write_bytes(b"contents")
    return path


def npy(*numbers: float) -> bytes:
    buffer = BytesIO()
    np.save(buffer, np.array(numbers))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "written",
    [
        raw(*NUMBERS),
        json.dumps(NUMBERS).encode(),
        b" [1, -0.5,\n 0.25, 3e-05 ] \n",
        b"1,-0.5,0.25,3e-5",
        b"1 -0.5 0.25 3e-5\n",
        b"1; -.5; 0.25; 3E-5",
        npy(*NUMBERS),
    ],
    ids=["raw", "json", "json-spaced", "commas", "spaces", "semicolons", "npy"],
)
def test_every_form_is_read_back_as_raw_float32(file: Path, space: str, written: bytes) -> None:
    os.setxattr(file, attribute(space), written)
    assert os.getxattr(file, attribute(space)) == raw(*NUMBERS)


def test_setfattr_writes_raw_bytes_as_hex_and_base64(file: Path, space: str) -> None:
    name = attribute(space)
    for value in ("0x" + raw(*NUMBERS).hex(), "0sAACAPwAAAL8AAIA+gqj7Nw=="):
        subprocess.run(["setfattr", "-n", name, "-v", value, file], check=True)
        shown = subprocess.run(
            ["getfattr", "--only-values", "-n", name, file], check=True, capture_output=True
        ).stdout
        assert np.allclose(np.frombuffer(shown, "<f4"), NUMBERS)


def test_the_default_space_needs_no_name(file: Path) -> None:
    os.setxattr(file, VECTOR, raw(*NUMBERS))
    assert os.getxattr(file, VECTOR) == raw(*NUMBERS)
    assert told(file, "space") == "default"
    with refused(errno.ENODATA):
        os.getxattr(file, f"{VECTOR}.default.more")


def test_the_default_space_has_two_names(file: Path) -> None:
    os.setxattr(file, f"{VECTOR}.default", raw(*NUMBERS))
    assert os.getxattr(file, VECTOR) == raw(*NUMBERS)
    assert os.listxattr(file) == [VECTOR]


def test_the_first_vector_makes_its_space(file: Path, mount: Path) -> None:
    name = f"{mount.name}-made"
    os.setxattr(file, attribute(name), b"1 2 3")
    assert told(file, "dim", name) == "3"
    assert os.getxattr(mount.parent, f"user.vexfs.space.{name}") == b"dim=3 metric=cosine"


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"1 2 3",
        raw(1, 2, 3, 4, 5),
        b"\x00\x00\x80\x3f\x01",
        raw(0, 0, 0, 0),
        raw(1, 2, 3, float("nan")),
        raw(1, 2, 3, float("inf")),
        b"[1, 2, NaN, 3]",
        b"[1, 2, 3, 1e400]",
        b'[1, 2, 3, "4"]',
        b"[1, 2, 3, [4]]",
        b"1 2 3 four",
        npy(1, 2, 3),
    ],
)
def test_what_is_no_vector_of_the_space_is_refused(file: Path, space: str, written: bytes) -> None:
    os.setxattr(file, attribute(space), raw(*NUMBERS))
    with refused(errno.EINVAL):
        os.setxattr(file, attribute(space), written)
    assert os.getxattr(file, attribute(space)) == raw(*NUMBERS)


def test_the_kernels_largest_value_is_the_largest_vector(file: Path, mount: Path) -> None:
    name = attribute(f"{mount.name}-large")
    with refused(errno.E2BIG):
        os.setxattr(file, name, bytes(65_537))
    value = raw(*(float(number % 7 + 1) for number in range(16_384)))
    os.setxattr(file, name, value)
    assert os.getxattr(file, name) == value


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "ä", "a.b"])
def test_a_space_has_a_plain_name(file: Path, name: str) -> None:
    with refused(errno.EINVAL):
        os.setxattr(file, f"{VECTOR}.{name}", b"1 2 3")


@pytest.mark.parametrize("name", ["dim", "space", "model", "origin", "stale", "path", "other"])
def test_what_only_tells_cannot_be_set_or_removed(file: Path, name: str) -> None:
    os.setxattr(file, VECTOR, raw(*NUMBERS))
    with refused(errno.EPERM):
        os.setxattr(file, f"user.vexfs.{name}", b"1")
    with refused(errno.EPERM):
        os.removexattr(file, f"user.vexfs.{name}")


def test_companions_are_readable_and_not_listed(file: Path, space: str) -> None:
    os.setxattr(file, attribute(space), raw(*NUMBERS))
    assert told(file, "dim", space) == "4"
    assert told(file, "space", space) == space
    assert told(file, "model", space) == ""
    assert told(file, "origin", space) == "user"
    assert told(file, "stale", space) == "0"
    assert os.listxattr(file) == [attribute(space)]


def test_without_a_vector_there_is_nothing_to_tell(file: Path, space: str) -> None:
    for what in ("vector", "dim", "space", "model", "origin", "stale"):
        with refused(errno.ENODATA):
            told(file, what, space)
    assert os.listxattr(file) == []


@pytest.mark.parametrize("kind", ["directory", "symlink", "fifo"])
def test_vectors_belong_to_regular_files(mount: Path, space: str, kind: str) -> None:
    path = mount / kind
    if kind == "directory":
        path.mkdir()
    elif kind == "symlink":
        path.symlink_to("nowhere")
    else:
        os.mkfifo(path)
    with refused(errno.EOPNOTSUPP, errno.EPERM):
        os.setxattr(path, attribute(space), raw(*NUMBERS), follow_symlinks=False)


def test_create_refuses_what_is_there_and_replace_what_is_not(file: Path, space: str) -> None:
    name = attribute(space)
    with refused(errno.ENODATA):
        os.setxattr(file, name, raw(*NUMBERS), os.XATTR_REPLACE)
    os.setxattr(file, name, raw(*NUMBERS), os.XATTR_CREATE)
    with refused(errno.EEXIST):
        os.setxattr(file, name, raw(4, 3, 2, 1), os.XATTR_CREATE)
    os.setxattr(file, name, raw(4, 3, 2, 1), os.XATTR_REPLACE)
    assert os.getxattr(file, name) == raw(4, 3, 2, 1)


def test_sizes_are_probed_as_the_manual_says(file: Path, space: str) -> None:
    name = attribute(space).encode()
    os.setxattr(file, name, raw(*NUMBERS))
    assert getxattr_sized(file, name, 0) == 16
    assert getxattr_sized(file, name, 16) == 16
    with refused(errno.ERANGE):
        getxattr_sized(file, name, 15)
    assert listxattr_sized(file, 0) == len(name) + 1
    with refused(errno.ERANGE):
        listxattr_sized(file, len(name))


def test_a_removed_vector_is_gone(file: Path, space: str) -> None:
    os.setxattr(file, attribute(space), raw(*NUMBERS))
    os.removexattr(file, attribute(space))
    with refused(errno.ENODATA):
        os.getxattr(file, attribute(space))
    with refused(errno.ENODATA):
        os.removexattr(file, attribute(space))


def test_a_file_has_a_vector_in_each_space(file: Path, mount: Path, space: str) -> None:
    os.setxattr(file, attribute(space), raw(*NUMBERS))
    os.setxattr(file, attribute(f"{mount.name}-2"), b"7 8")
    assert set(os.listxattr(file)) == {attribute(space), attribute(f"{mount.name}-2")}
    os.removexattr(file, attribute(space))
    assert os.getxattr(file, attribute(f"{mount.name}-2")) == struct.pack("<2f", 7, 8)


def test_modes_say_who_may_set_and_read(file: Path, space: str) -> None:
    file.chmod(0o644)
    os.setxattr(file, attribute(space), raw(*NUMBERS))
    with refused(errno.EACCES):
        acting_as(ALICE, lambda: os.setxattr(file, attribute(space), raw(*NUMBERS)))
    assert acting_as(ALICE, lambda: os.getxattr(file, attribute(space))) == raw(*NUMBERS)
    file.chmod(0o600)
    with refused(errno.EACCES):
        acting_as(ALICE, lambda: os.getxattr(file, attribute(space)))
