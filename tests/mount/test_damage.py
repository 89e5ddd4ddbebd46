"""Bits flip in the files of a store at rest: the mount answers rightly or EIO, and never ends.

`VEXFS_DAMAGE_FLIPS` says how many bits flip in each kind of file, one at a time,
`VEXFS_DAMAGE_SEED` says which bits, 0 that chance does.
"""

import errno
import os
import random
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import pytest

from tests.support.mounting import MountedVolume
from tests.support.syscalls import refused
from vexfs_fuse.cli.fsck import Verdict
from vexfs_fuse.cli.main import main
from vexfs_fuse.units import KIB

T = TypeVar("T")

FLIPS: Final = int(os.environ.get("VEXFS_DAMAGE_FLIPS", "2"))
NIGHT_FLIPS: Final = int(os.environ.get("VEXFS_DAMAGE_FLIPS", "100"))
SEED: Final = int(os.environ.get("VEXFS_DAMAGE_SEED", "1")) or random.SystemRandom().getrandbits(32)

DAMAGED: Final = "damaged"
"""Stands for what could not be told."""

REFUSED: Final = r"vexfs: (the store is damaged|the store has a newer format)"


class Truth:
    """What a volume holds, and whether a mount says anything else."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.names: dict[str, set[str]] = {"": set()}

    def make(self, root: Path) -> None:
        """Make files small and large, with attributes and links, in a few directories."""
        rng = random.Random(1)
        for directory in ("", "one", "one/two"):
            if directory:
                (root / directory).mkdir()
                self._note(directory)
                self.names[directory] = set()
            for number in range(40):
                size = rng.choice([0, 1, 100, 3_000, 10_000, 70_000, 300_000])
                path = f"{directory}/{number}".lstrip("/")
                self.files[path] = rng.randbytes(size)
                self._note(path)
                (root / path).write_bytes(self.files[path])
                os.setxattr(root / path, "user.path", path.encode())
                with (root / path).open("rb") as file:
                    os.fsync(file.fileno())

    def _note(self, path: str) -> None:
        directory, _, name = path.rpartition("/")
        self.names[directory].add(name)

    def compare(self, root: Path) -> int:
        """Look at everything; return how much could not be told.  Nothing may be wrong."""
        return sum(
            found == DAMAGED
            for check in (self._listings, self._contents, self._attributes)
            for found in check(root)
        )

    def _listings(self, root: Path) -> Iterator[object]:
        for directory, names in self.names.items():
            found = told(partial(listed, root / directory))
            assert found in (names, DAMAGED), directory
            yield found

    def _contents(self, root: Path) -> Iterator[object]:
        for path, contents in self.files.items():
            attributes = told((root / path).lstat)
            if isinstance(attributes, os.stat_result):
                assert stat.S_ISREG(attributes.st_mode), path
                assert attributes.st_size == len(contents), path
            for offset in range(0, len(contents), 64 * KIB):
                expected = contents[offset : offset + 64 * KIB]
                found = told(partial(read, root / path, offset))
                assert found in (expected, DAMAGED), f"{path} at {offset}"
                yield found

    def _attributes(self, root: Path) -> Iterator[object]:
        for path in self.files:
            names = told(partial(os.listxattr, root / path))
            assert names in (["user.path"], DAMAGED), path
            yield names
            value = told(partial(os.getxattr, root / path, "user.path"))
            assert value in (path.encode(), DAMAGED), path
            yield value


def told(ask: Callable[[], T]) -> T | str:
    """Return an answer, or DAMAGED; any other refusal is wrong."""
    try:
        return ask()
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return DAMAGED


def listed(path: Path) -> set[str]:
    """Return the names in a directory."""
    return set(os.listdir(path))


def read(path: Path, offset: int) -> bytes:
    """Read one checksum unit from the daemon."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, 64 * KIB, offset)
    finally:
        os.close(descriptor)


def change_everything(root: Path) -> None:
    """Write, move and remove whatever can be; nothing but damage may be in the way."""
    for directory, names, files in os.walk(root, topdown=False):
        for name in files:
            path = Path(directory, name)
            for change in (rewrite, lengthen, shorten, move, os.unlink):
                attempt(change, path)
        for name in names:
            attempt(os.rmdir, Path(directory, name))


def attempt(change: Callable[[Path], object], path: Path) -> None:
    """Make a change; damage may forbid it, and so may a volume that takes none any more."""
    try:
        change(path)
    except OSError as error:
        if error.errno not in {errno.EIO, errno.EROFS, errno.ENOTEMPTY}:
            raise


def rewrite(path: Path) -> None:
    """Write over a few bytes."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(descriptor, b"changed", 2)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lengthen(path: Path) -> None:
    """Append, and do not sync."""
    with path.open("ab") as file:
        file.write(bytes(5_000))


def shorten(path: Path) -> None:
    """Cut in the middle."""
    os.truncate(path, path.stat().st_size // 2)


def move(path: Path) -> None:
    """Rename there and back."""
    path.rename(path.with_name("moved"))
    path.with_name("moved").rename(path)


@pytest.fixture
def truth(unmounted: MountedVolume) -> Truth:
    """A store at rest whose contents are known, with a sound copy beside it."""
    truth = Truth()
    unmounted.start()
    truth.make(unmounted.path)
    unmounted.stop()
    shutil.copytree(unmounted.store, unmounted.directory / "sound")
    return truth


def restore(volume: MountedVolume) -> None:
    """Lay the sound store again."""
    shutil.rmtree(volume.store)
    shutil.copytree(volume.directory / "sound", volume.store)


def flip(path: Path, rng: random.Random) -> str:
    """Flip a bit of a file; say which."""
    place, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << bit]))
    return f"{path.name}, byte {place}, bit {bit}"


def mounts(volume: MountedVolume) -> bool:
    """Mount, or be told why not."""
    volume.launch()
    if volume.comes_up():
        return True
    volume.expect_in_log(REFUSED)
    return False


def try_one(volume: MountedVolume, truth: Truth, *, is_harsh: bool) -> str:
    """Mount a store that may be damaged, and say what came of it."""
    if not mounts(volume):
        return "refused"
    damaged = truth.compare(volume.path)
    if is_harsh:
        change_everything(volume.path)
    volume.end()
    if not mounts(volume):  # no change may have made it worse
        raise AssertionError("it does not mount again")
    volume.end()
    return "told" if damaged else "unharmed"


def flip_again_and_again(volume: MountedVolume, truth: Truth, pattern: str, flips: int) -> None:
    """Flip one bit at a time in the files that match."""
    rng = random.Random(SEED)
    for number in range(flips):
        files = sorted(path for path in volume.store.glob(pattern) if path.stat().st_size)
        where = flip(rng.choice(files), rng)
        print(f"VEXFS_DAMAGE_SEED={SEED}: {where}")
        print(try_one(volume, truth, is_harsh=number % 2 == 0))
        restore(volume)


KINDS: Final = ("segments/*.seg", "journal/*.vxj", "state.sqlite3", "volume.json")


@pytest.mark.parametrize("pattern", KINDS)
def test_a_flipped_bit_is_told_and_does_no_more_harm(
    unmounted: MountedVolume, truth: Truth, pattern: str
) -> None:
    flip_again_and_again(unmounted, truth, pattern, FLIPS)


@pytest.mark.night
@pytest.mark.parametrize("pattern", KINDS)
def test_many_flipped_bits_are_told_and_do_no_more_harm(
    unmounted: MountedVolume, truth: Truth, pattern: str
) -> None:
    flip_again_and_again(unmounted, truth, pattern, NIGHT_FLIPS)


def records(volume: MountedVolume) -> int:
    """Make files, each synced, and end without a commit of the state view; how many there are."""
    volume.start()
    for number in range(100):
        descriptor = os.open(volume.path / str(number), os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, b"%d" % number)
        os.fsync(descriptor)
        os.close(descriptor)
    volume.kill9()
    return 100


def test_a_record_damaged_before_it_was_applied_leaves_a_volume_to_read(
    unmounted: MountedVolume,
) -> None:
    """What came before the damage is shown, and nothing may be changed on top of it."""
    count = records(unmounted)
    journal = unmounted.store / "journal/1.vxj"
    data = journal.read_bytes()
    place = data.index(b"Created", data.rindex(b"Created") // 2)
    journal.write_bytes(data[:place] + b"Crumbled"[:7] + data[place + 7 :])
    unmounted.start()
    names = sorted(os.listdir(unmounted.path), key=int)
    assert names == [str(number) for number in range(len(names))]
    assert 0 < len(names) < count
    for name in names[:-1]:
        assert (unmounted.path / name).read_bytes() == name.encode()
    with refused(errno.EROFS):
        (unmounted.path / "more").touch()
    unmounted.expect_in_log("ERROR .*the volume is read-only: the store is damaged")
    unmounted.end()
    assert unmounted.problems()


def test_a_journal_without_its_header_leaves_a_volume_to_read(
    unmounted: MountedVolume, truth: Truth
) -> None:
    journal = unmounted.store / "journal/1.vxj"
    journal.write_bytes(bytes(50) + journal.read_bytes()[50:])
    unmounted.start()
    assert truth.compare(unmounted.path) == 0
    with refused(errno.EROFS):
        (unmounted.path / "more").touch()
    unmounted.expect_in_log("ERROR .*the volume is read-only: the store is damaged")
    unmounted.end()
    assert unmounted.problems()


def test_a_missing_segment_is_eio_and_nothing_else(unmounted: MountedVolume, truth: Truth) -> None:
    (unmounted.store / "segments/1.seg").unlink()
    unmounted.start()
    assert truth.compare(unmounted.path) > 0
    with refused(errno.EROFS):
        (unmounted.path / "more").touch()
    unmounted.expect_in_log("ERROR .*segment 1 is missing")
    unmounted.end()
    assert main(["fsck", "--repair", "--store", str(unmounted.store)]) == Verdict.DAMAGED
    unmounted.start()
    assert truth.compare(unmounted.path) > 0
    (unmounted.path / "more").write_bytes(b"x" * 100_000)
    assert (unmounted.path / "more").read_bytes() == b"x" * 100_000
    unmounted.end()


def test_a_damaged_view_is_repaired_from_the_journal(
    unmounted: MountedVolume, truth: Truth
) -> None:
    state = unmounted.store / "state.sqlite3"
    state.write_bytes(bytes(4096) + state.read_bytes()[4096:])
    unmounted.start()
    assert truth.compare(unmounted.path) == 0
    unmounted.expect_in_log("ERROR .*what is shown was read from the journal")
    unmounted.end()
    assert main(["fsck", "--repair", "--store", str(unmounted.store)]) == Verdict.REPAIRED
    unmounted.start()
    assert truth.compare(unmounted.path) == 0
    unmounted.stop()


def tamper(volume: MountedVolume, statement: str) -> None:
    """Change rows of the state view behind their checksums."""
    with closing(sqlite3.connect(volume.store / "state.sqlite3")) as view, view:
        assert view.execute(statement).rowcount > 0


def listed_until_it_fails(path: Path) -> tuple[list[str], int | None]:
    """Return the names that a listing tells, and the error at its end."""
    names: list[str] = []
    try:
        with os.scandir(path) as entries:
            names.extend(entry.name for entry in entries)
    except OSError as error:
        return names, error.errno
    return names, None


def test_a_name_whose_inode_is_damaged_is_listed_and_everything_else_of_it_is_eio(
    unmounted: MountedVolume, truth: Truth
) -> None:
    broken = next(path for path in truth.files if path.startswith("one/") and path.count("/") == 1)
    unmounted.start()
    ino = (unmounted.path / broken).stat().st_ino
    unmounted.stop()
    tamper(unmounted, f"UPDATE nodes SET size = size + 1 WHERE ino = {ino}")
    unmounted.start()
    with os.scandir(unmounted.path / "one") as entries:
        kinds = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    assert set(kinds) == truth.names["one"]
    assert kinds[Path(broken).name]
    for ask in (os.stat, os.listxattr, Path.read_bytes, os.unlink):
        with refused(errno.EIO):
            ask(unmounted.path / broken)
    assert truth.compare(unmounted.path) > 0
    assert (unmounted.path / "more").write_text("the volume takes changes") > 0
    unmounted.expect_in_log(rf"ERROR .*nodes\[{ino}\] does not match its checksum")
    unmounted.end()


@pytest.mark.parametrize("count", [40, 6_000], ids=["held whole", "by pages"])
def test_a_listing_tells_all_that_it_can_and_then_that_there_is_more(
    unmounted: MountedVolume, count: int
) -> None:
    unmounted.start()
    for number in range(count):
        (unmounted.path / f"file-{number}").touch()
    unmounted.stop()
    tamper(unmounted, "UPDATE dentries SET kind = 0 WHERE name = CAST('file-7' AS BLOB)")
    unmounted.start()
    names, failure = listed_until_it_fails(unmounted.path)
    assert names == [f"file-{number}" for number in range(count) if number != 7]
    assert failure == errno.EIO
    with refused(errno.EIO):
        (unmounted.path / "file-7").stat()
    with refused(errno.EIO):
        os.listdir(unmounted.path)
    (unmounted.path / "file-8").write_bytes(b"taken")
    (unmounted.path / "file-9").unlink()
    unmounted.end()
    assert main(["fsck", "--repair", "--store", str(unmounted.store)]) == Verdict.REPAIRED
    unmounted.start()
    assert len(os.listdir(unmounted.path)) == count - 1
    assert (unmounted.path / "file-8").read_bytes() == b"taken"
    unmounted.stop()


def test_a_directory_that_shrinks_while_it_is_listed_is_not_taken_for_damaged(
    volume: MountedVolume,
) -> None:
    for number in range(5_000):
        (volume.path / f"file-{number}").touch()
    with os.scandir(volume.path) as entries:
        for entry in entries:
            os.unlink(entry.path)
    assert os.listdir(volume.path) == []
