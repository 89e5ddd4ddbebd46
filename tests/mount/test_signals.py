"""How a daemon ends: whoever ends it, and however, what was accepted is durable."""

import errno
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.mounting import MountedVolume
from tests.support.syscalls import refused
from vexfs_fuse.units import MIB

STOPS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


class Appender(threading.Thread):
    """Appends numbered lines without a sync until the daemon is gone."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path = path
        self.accepted = b""
        self.in_flight = b""

    def run(self) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with suppress(OSError):
            for number in range(10_000_000):
                self.in_flight = b"%d\n" % number
                os.write(descriptor, self.in_flight)
                self.accepted += self.in_flight
                self.in_flight = b""
        with suppress(OSError):
            os.close(descriptor)

    def verify(self, found: bytes) -> None:
        """Everything that was accepted is there, and nothing else but a write that was not answered."""
        assert found in (self.accepted, self.accepted + self.in_flight), (
            f"{len(self.accepted)} bytes accepted, {len(found)} found"
        )


def end(volume: MountedVolume) -> None:
    """The daemon ends by itself: well, and without a mount."""
    assert volume.ended() == 0
    volume.assert_quiet()
    assert not os.path.ismount(volume.path)


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_unmounts_with_everything_durable(
    volume: MountedVolume, number: signal.Signals
) -> None:
    contents = os.urandom(30 * MIB)
    (volume.path / "large").write_bytes(contents)
    for each in range(300):
        (volume.path / f"small-{each}").write_bytes(b"%d" % each)
    volume.send(number)
    end(volume)
    volume.start()
    assert (volume.path / "large").read_bytes() == contents
    for each in range(300):
        assert (volume.path / f"small-{each}").read_bytes() == b"%d" % each


def test_unmounting_from_outside_makes_everything_durable(volume: MountedVolume) -> None:
    contents = os.urandom(30 * MIB)
    (volume.path / "large").write_bytes(contents)
    volume.remount()
    assert (volume.path / "large").read_bytes() == contents


@pytest.mark.parametrize("signals", [1, 2, 5])
def test_signals_while_somebody_writes_lose_nothing_accepted(
    volume: MountedVolume, signals: int
) -> None:
    """A second signal ends the wait for open files, not the care for what was written."""
    writers = [Appender(volume.path / str(number)) for number in range(3)]
    for writer in writers:
        writer.start()
    time.sleep(0.5)
    for _ in range(signals):
        volume.send(signal.SIGTERM)
        time.sleep(0.2)
    end(volume)
    for writer in writers:
        writer.join()
    volume.start()
    for writer in writers:
        assert writer.accepted
        writer.verify(writer.path.read_bytes())


def test_files_open_at_a_signal_are_served_until_they_are_closed(volume: MountedVolume) -> None:
    with (volume.path / "a").open("wb", buffering=0) as file:
        file.write(b"before ")
        volume.send(signal.SIGTERM)
        while os.path.ismount(volume.path):
            time.sleep(0.01)
        file.write(b"after")
        os.fsync(file.fileno())
    end(volume)
    volume.start()
    assert (volume.path / "a").read_bytes() == b"before after"


def test_a_signal_before_the_mount_is_served_ends_it_all_the_same(
    unmounted: MountedVolume,
) -> None:
    unmounted.start()
    unmounted.send(signal.SIGTERM)
    end(unmounted)


def test_the_mount_point_of_a_dead_daemon_says_so_until_the_next_mount(
    volume: MountedVolume,
) -> None:
    """Nobody must take what is below a dead mount for the empty volume."""
    with (volume.path / "a").open("wb") as file:
        file.write(b"synced")
        file.flush()
        os.fsync(file.fileno())
    volume.kill9(clear=False)
    with refused(errno.ENOTCONN):
        os.listdir(volume.path)
    with refused(errno.ENOTCONN):
        (volume.path / "a").open("rb")
    volume.launch()
    while not is_served(volume.path):
        time.sleep(0.02)
    assert (volume.path / "a").read_bytes() == b"synced"


def is_served(path: Path) -> bool:
    """Whether a daemon answers there; ENOTCONN is a dead one's, no error is nobody's."""
    try:
        return os.path.ismount(path) and bool(os.statvfs(path).f_blocks)
    except OSError:
        return False


def test_a_second_daemon_on_a_store_is_refused_and_does_no_harm(volume: MountedVolume) -> None:
    (volume.path / "a").write_bytes(b"a")
    second = MountedVolume()
    try:
        second.store = volume.store
        for _ in range(3):
            second.launch()
            assert not second.comes_up()
            second.expect_in_log("the store is in use by another process")
    finally:
        second.discard()
    assert (volume.path / "a").read_bytes() == b"a"


def test_of_many_daemons_started_at_once_one_has_the_store(tmp_path: Path) -> None:
    volumes = [MountedVolume() for _ in range(4)]
    try:
        for volume in volumes:
            volume.store = tmp_path / "store"
            volume.launch()
        up = [volume for volume in volumes if volume.comes_up()]
        assert len(up) == 1
        (up[0].path / "a").write_bytes(b"a")
        up[0].stop()
        assert up[0].problems() == []
    finally:
        for volume in volumes:
            volume.discard()


def test_a_volume_in_use_is_not_unmounted_and_goes_on(volume: MountedVolume) -> None:
    with (volume.path / "a").open("wb") as file:
        command = ["fusermount3", "-u", str(volume.path)]
        refusal = subprocess.run(command, capture_output=True, check=False)
        assert refusal.returncode != 0
        file.write(b"a")
    assert (volume.path / "a").read_bytes() == b"a"
