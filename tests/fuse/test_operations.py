"""Requests as programs make them, translated both ways: through a real mount of the memory view."""

import errno
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.memory_mount import MemoryMount
from tests.support.persons import ALICE, acting_as
from tests.support.syscalls import fallocate, refused
from vexfs_fuse.fuse.reader import Way

pytestmark = pytest.mark.mount


@pytest.fixture(scope="module", params=[Way.DIRECT, Way.HYBRID])
def volume(request: pytest.FixtureRequest) -> Iterator[MemoryMount]:
    """A mount: both who translates the kernel's bytes and who translates pyfuse3's objects."""
    with MemoryMount(allow_other=True, suid=True, reader=request.param) as mount:
        yield mount


@pytest.fixture
def root(volume: MemoryMount, request: pytest.FixtureRequest) -> Path:
    """A directory of the test's own."""
    directory = volume.path / str(request.node.name)
    directory.mkdir()
    return directory


@pytest.fixture
def file(root: Path) -> Path:
    path = root / "file"
    path.write_bytes(b"contents")
    return path


def test_what_is_written_is_read(root: Path) -> None:
    contents = os.urandom(3_000_001)
    (root / "file").write_bytes(contents)
    assert (root / "file").read_bytes() == contents
    assert (root / "file").stat().st_size == len(contents)


def test_pages_survive_a_write_beside_them(root: Path) -> None:
    path = root / "file"
    path.write_bytes(b"a" * 20_000)
    with path.open("r+b", buffering=0) as file:
        assert file.read(20_000) == b"a" * 20_000
        file.seek(5_000)
        file.write(b"b" * 10)
        file.seek(0)
        assert file.read() == b"a" * 5_000 + b"b" * 10 + b"a" * 14_990


def test_what_pyfuse3_has_no_words_for(volume: MemoryMount, file: Path) -> None:
    if volume.wishes["reader"] is Way.DIRECT:
        pytest.skip(
            "the kernel's own words are understood; tests/posix/test_allocation.py has them"
        )
    with file.open("r+b") as opened:
        with refused(errno.EOPNOTSUPP):
            fallocate(opened.fileno(), 0, 0, 4_096)
        os.posix_fallocate(opened.fileno(), 0, 4_096)
        assert os.fstat(opened.fileno()).st_size == 4_096
        os.truncate(file, 1 << 20)
        assert os.lseek(opened.fileno(), 8_192, os.SEEK_DATA) == 8_192
        assert os.lseek(opened.fileno(), 0, os.SEEK_HOLE) == 1 << 20


def test_opening_with_truncation_empties(file: Path) -> None:
    with file.open("wb"):
        assert file.stat().st_size == 0


def test_exclusive_creation_meets_what_is_there(file: Path) -> None:
    with pytest.raises(FileExistsError):
        os.open(file, os.O_CREAT | os.O_EXCL)


def test_an_absent_name_is_kept_by_the_kernel_until_it_is_made(
    volume: MemoryMount, root: Path
) -> None:
    path = root / "later"
    assert not path.exists()
    began = time.perf_counter()
    for _ in range(1_000):
        assert not path.exists()
    assert time.perf_counter() - began < 0.5, "a thousand lookups in vain should not be requests"
    path.touch()
    assert path.exists()
    path.unlink()
    assert not path.exists()


def test_mode_owner_and_times_are_set_each_for_itself(file: Path) -> None:
    file.chmod(0o4751)
    os.chown(file, 11, -1)
    os.chown(file, -1, 12)
    os.utime(file, ns=(1_000_000_001, -5_000_000_007))
    got = file.stat()
    assert (got.st_uid, got.st_gid) == (11, 12)
    assert stat.S_IMODE(got.st_mode) & 0o777 == 0o751
    assert (got.st_atime_ns, got.st_mtime_ns) == (1_000_000_001, -5_000_000_007)
    os.utime(file)
    assert abs(file.stat().st_mtime - time.time()) < 10


def test_size_is_set_by_name_and_by_handle(file: Path) -> None:
    os.truncate(file, 3)
    assert file.read_bytes() == b"con"
    with file.open("r+b") as handle:
        os.ftruncate(handle.fileno(), 6)
    assert file.read_bytes() == b"con\0\0\0"


def test_attributes_of_an_open_and_unlinked_file_can_be_asked(file: Path) -> None:
    with file.open("rb") as handle:
        file.unlink()
        assert os.fstat(handle.fileno()).st_nlink == 0
        assert handle.read() == b"contents"


def test_links_share_an_inode(file: Path) -> None:
    other = file.with_name("other")
    os.link(file, other)
    assert other.stat().st_ino == file.stat().st_ino
    assert file.stat().st_nlink == 2
    other.unlink()
    assert file.stat().st_nlink == 1


def test_symlinks_keep_their_target(root: Path) -> None:
    target = "x" * 4_000
    (root / "link").symlink_to(target)
    assert os.readlink(root / "link") == target
    assert (root / "link").lstat().st_size == len(target)


def test_special_files_keep_type_and_device(root: Path) -> None:
    os.mkfifo(root / "fifo", 0o640)
    os.mknod(root / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(root / "socket", stat.S_IFSOCK | 0o600)
    assert stat.S_ISFIFO((root / "fifo").stat().st_mode)
    assert stat.S_ISSOCK((root / "socket").stat().st_mode)
    assert (root / "device").stat().st_rdev == os.makedev(1, 3)


def test_rename_moves_and_keeps_the_inode(root: Path, file: Path) -> None:
    (root / "directory").mkdir()
    number = file.stat().st_ino
    file.rename(root / "directory" / "moved")
    assert (root / "directory" / "moved").stat().st_ino == number
    assert not file.exists()


def test_directories_come_and_go(root: Path) -> None:
    (root / "directory").mkdir()
    (root / "directory" / "file").touch()
    with pytest.raises(OSError, match="not empty"):
        (root / "directory").rmdir()
    (root / "directory" / "file").unlink()
    (root / "directory").rmdir()
    assert list(root.iterdir()) == []


def test_a_large_directory_is_listed_once_each(root: Path) -> None:
    names = {f"file-{n:05}" for n in range(3_000)}
    for name in names:
        (root / name).touch()
    listed = os.listdir(root)
    assert len(listed) == len(names)
    assert set(listed) == names


def test_a_listing_survives_removal_under_it(root: Path) -> None:
    for n in range(2_000):
        (root / f"file-{n:05}").touch()
    seen = []
    with os.scandir(root) as entries:
        for entry in entries:
            seen.append(entry.name)
            os.unlink(entry.path)
    assert len(seen) == len(set(seen)) == 2_000
    assert os.listdir(root) == []


def test_a_listing_brings_attributes_along(root: Path, file: Path) -> None:
    with os.scandir(root) as entries:
        (entry,) = entries
        assert entry.inode() == file.stat().st_ino
        assert entry.stat(follow_symlinks=False).st_size == len(b"contents")


def test_extended_attributes(file: Path) -> None:
    value = bytes(range(256)) * 256
    os.setxattr(file, "user.whole", value)
    os.setxattr(file, "user.empty", b"")
    assert os.getxattr(file, "user.whole") == value
    assert os.getxattr(file, "user.empty") == b""
    assert set(os.listxattr(file)) == {"user.whole", "user.empty"}
    os.removexattr(file, "user.empty")
    assert os.listxattr(file) == ["user.whole"]


def test_extended_attributes_are_made_or_replaced_as_asked(file: Path) -> None:
    with pytest.raises(OSError, check=lambda error: error.errno == errno.ENODATA):
        os.setxattr(file, "user.name", b"1", os.XATTR_REPLACE)
    os.setxattr(file, "user.name", b"1", os.XATTR_CREATE)
    with pytest.raises(FileExistsError):
        os.setxattr(file, "user.name", b"2", os.XATTR_CREATE)
    os.setxattr(file, "user.name", b"3", os.XATTR_REPLACE)
    assert os.getxattr(file, "user.name") == b"3"


def test_the_file_system_tells_its_size(root: Path) -> None:
    space = os.statvfs(root)
    assert (space.f_frsize, space.f_blocks, space.f_bfree) == (4096, 1_000_000, 500_000)
    assert (space.f_files, space.f_ffree, space.f_namemax) == (1_000, 900, 255)


def test_files_and_directories_can_be_made_durable(root: Path, file: Path) -> None:
    for path in (root, file):
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.fdatasync(handle)
        os.close(handle)


def test_modes_are_checked_by_the_kernel(file: Path) -> None:
    file.chmod(0o600)
    with pytest.raises(PermissionError):
        acting_as(ALICE, file.read_bytes)
    assert not acting_as(ALICE, lambda: os.access(file, os.R_OK))
    file.chmod(0o604)
    assert acting_as(ALICE, file.read_bytes) == b"contents"


def test_who_asks_arrives(root: Path) -> None:
    root.chmod(0o777)
    acting_as(ALICE, (root / "theirs").touch)
    got = (root / "theirs").stat()
    assert (got.st_uid, got.st_gid) == (ALICE.uid, ALICE.gid)


def test_the_parent_of_a_directory_is_found_from_inside(root: Path) -> None:
    (root / "inner").mkdir()
    inside = os.open(root / "inner", os.O_RDONLY)
    try:
        assert os.stat("..", dir_fd=inside).st_ino == root.stat().st_ino
        assert os.stat(".", dir_fd=inside).st_ino == (root / "inner").stat().st_ino
    finally:
        os.close(inside)


def test_a_store_s_failure_is_an_input_output_error(volume: MemoryMount) -> None:
    with pytest.raises(OSError, check=lambda error: error.errno == errno.EIO):
        (volume.path / "disk").stat()
