"""Many at once: open files, writers, names in flight."""

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.syscalls import RENAME_NOREPLACE, renameat2

OPEN_FILES = 10_000
WRITERS = 64
WRITES_EACH = 20
BLOCK_BYTES = 4096


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Let this process open as many files as the test wants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, OPEN_FILES + 1_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
def test_ten_thousand_files_are_open_at_once(mount: Path) -> None:
    descriptors = [os.open(mount / f"{n}", os.O_CREAT | os.O_RDWR) for n in range(OPEN_FILES)]
    for number, descriptor in enumerate(descriptors):
        os.write(descriptor, b"%d" % number)
    for number, descriptor in enumerate(descriptors):
        assert os.pread(descriptor, 10, 0) == b"%d" % number
        os.close(descriptor)


def run_together(threads: list[threading.Thread]) -> None:
    """Start all, wait for all."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_64_writers_of_one_file_do_not_mix_their_blocks(mount: Path) -> None:
    def write(writer: int) -> None:
        descriptor = os.open(mount / "shared", os.O_WRONLY | os.O_CREAT)
        for turn in range(WRITES_EACH):
            block = bytes([writer]) * BLOCK_BYTES
            os.pwrite(descriptor, block, (turn * WRITERS + writer) * BLOCK_BYTES)
        os.close(descriptor)

    run_together([threading.Thread(target=write, args=(n,)) for n in range(WRITERS)])
    contents = (mount / "shared").read_bytes()
    assert len(contents) == WRITERS * WRITES_EACH * BLOCK_BYTES
    for index in range(WRITERS * WRITES_EACH):
        block = contents[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES]
        assert block == bytes([index % WRITERS]) * BLOCK_BYTES


def test_64_writers_sync_files_of_their_own(mount: Path) -> None:
    def write(writer: int) -> None:
        with (mount / f"{writer}").open("wb", buffering=0) as file:
            for turn in range(WRITES_EACH):
                file.write(b"%08d" % (writer * WRITES_EACH + turn))
                os.fsync(file.fileno())

    run_together([threading.Thread(target=write, args=(n,)) for n in range(WRITERS)])
    for writer in range(WRITERS):
        expected = b"".join(b"%08d" % (writer * WRITES_EACH + n) for n in range(WRITES_EACH))
        assert (mount / f"{writer}").read_bytes() == expected


def test_exclusive_creation_has_one_winner_each_time(mount: Path) -> None:
    wins: list[str] = []

    def create_all() -> None:
        for name in map(str, range(100)):
            try:
                os.close(os.open(mount / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                continue
            wins.append(name)

    run_together([threading.Thread(target=create_all) for _ in range(8)])
    assert sorted(wins) == sorted(map(str, range(100)))


def test_renames_in_circles_lose_no_file(mount: Path) -> None:
    names = [mount / f"{number}" for number in range(8)]
    for name in names[::2]:
        name.write_text(name.name)

    def move_on() -> None:
        for _ in range(50):
            for source, target in pairwise([*names, names[0]]):
                with suppress(FileNotFoundError, FileExistsError):
                    renameat2(source, target, RENAME_NOREPLACE)

    run_together([threading.Thread(target=move_on) for _ in range(4)])
    contents = sorted((mount / name).read_text() for name in os.listdir(mount))
    assert contents == [name.name for name in names[::2]]
