"""The composition root: what it refuses, and what a mounted volume tells of it."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.mounting import MountedVolume
from vexfs_fuse.config import Config
from vexfs_fuse.errors import MountFailed
from vexfs_fuse.runtime import daemon
from vexfs_fuse.runtime.settings import MountSettings


@pytest.mark.parametrize("below", ["", "inner/store"])
def test_a_mount_that_would_hide_the_store_is_refused(tmp_path: Path, below: str) -> None:
    settings = MountSettings(
        config=Config(store=tmp_path / below, metrics=None), mountpoint=tmp_path
    )
    with pytest.raises(MountFailed, match="would hide the store"):
        daemon.run(settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.mount
def test_what_was_written_before_a_signal_is_there_after_it() -> None:
    volume = MountedVolume().start()
    try:
        (volume.path / "file").write_bytes(b"contents" * 10_000)
        os.kill(volume.pid, signal.SIGTERM)
        while os.path.exists(f"/proc/{volume.pid}/fd/0"):
            time.sleep(0.01)
        volume.kill9()  # it has ended; this only takes note
        volume.start()
        assert (volume.path / "file").read_bytes() == b"contents" * 10_000
        volume.stop()
    finally:
        volume.discard()


@pytest.mark.mount
def test_the_status_tells_how_requests_are_read_and_flags_were_negotiated() -> None:
    volume = MountedVolume().start()
    try:
        status = json.loads((volume.path / ".vexfs" / "status.json").read_bytes())
        assert status["mount"]["reader"] == "direct"
        assert "HANDLE_KILLPRIV_V2" in status["mount"]["init_flags"]
        assert status["daemon"]["pid"] == volume.pid
        volume.stop()
    finally:
        volume.discard()
