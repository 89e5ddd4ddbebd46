"""A mount of the memory view by a daemon of its own, and what it tells when it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final, Self

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 30.0
UNMOUNT_TRIES: Final = 30
REPOSITORY: Final = Path(__file__).parents[2]
_LOUD: Final = re.compile(r"\b(WARNING|ERROR|CRITICAL|Traceback)\b")


class MemoryMount:
    """`with MemoryMount(reader="hybrid") as mount:` serves `mount.path`; leaves nothing behind.

    At the end of the block the volume is unmounted unless the test has done so; the daemon must
    then have ended with status 0 and a quiet log, but for what `loud` lets pass.
    """

    def __init__(self, *, loud: str = "", path: Path | None = None, **wishes: Any) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="vexfs-memory-"))
        self._directory.chmod(0o755)
        self._made_path = path is None
        self.path = path or self._directory / "mnt"
        self.wishes = wishes
        self._loud = loud
        self._daemon: subprocess.Popen[str] | None = None
        self.pid = 0
        self.failed = False
        self.ended: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if self._made_path:
            self.path.mkdir()
            if uid := self.wishes.get("uid"):
                os.chown(self.path, uid, uid)
        command = [sys.executable, "-m", "tests.support.memory_daemon"]
        command += [str(self.path), json.dumps(self.wishes)]
        with self.log.open("w") as log:
            self._daemon = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=REPOSITORY,
                env=os.environ | {"PYTHONPATH": f"{REPOSITORY}/src:{REPOSITORY}"},
            )
        assert self._daemon.stdout is not None
        line = self._daemon.stdout.readline()
        if not line:
            self.wait()
            text = self.text()
            self.discard()
            raise AssertionError(f"no mount:\n{text}")
        self.pid = int(line)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and not self.failed:
                self._end_well()
        finally:
            self.discard()

    def _end_well(self) -> None:
        if self.running and os.path.ismount(self.path):
            self._unmount()
        assert self.wait() == 0, self.text()
        assert not os.path.ismount(self.path)
        text = re.sub(self._loud, "", self.text()) if self._loud else self.text()
        loud = [line for line in text.splitlines() if _LOUD.search(line)]
        assert not loud, "\n".join(loud)

    def _unmount(self) -> None:
        """Unmount; who looks at all mounts of the machine may hold this one for a moment."""
        for _ in range(UNMOUNT_TRIES):
            done = subprocess.run(
                ["umount", self.path], capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError(done.stderr)

    @property
    def log(self) -> Path:
        """What the daemon said."""
        return self._directory / "log"

    def text(self) -> str:
        """The log so far."""
        return self.log.read_text()

    @property
    def running(self) -> bool:
        """Whether the daemon lives."""
        return self._daemon is not None and self._daemon.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send the daemon a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for the daemon's end; return its status."""
        assert self._daemon is not None
        status = self._daemon.wait(STOP_TIMEOUT_S)
        for line in self.text().splitlines():
            if line.startswith("ENDED "):
                self.ended = json.loads(line.removeprefix("ENDED "))
        return status

    def wait_for_log(self, pattern: str) -> None:
        """Wait until the log matches."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not re.search(pattern, self.text()):
            assert time.monotonic() < deadline, f"no {pattern!r} in:\n{self.text()}"
            time.sleep(0.01)

    def expect_dead_mount(self) -> None:
        """The daemon has failed or was killed: the test is done with it, what it left is to go."""
        self.failed = True

    def discard(self) -> None:
        """End everything, however the test went."""
        if self._daemon is not None:
            if self.running:
                self._daemon.kill()
            self._daemon.wait()
            assert self._daemon.stdout is not None
            self._daemon.stdout.close()
        subprocess.run(["umount", "-l", str(self.path)], capture_output=True, check=False)
        self.log.unlink()
        if self._made_path:
            self.path.rmdir()
        self._directory.rmdir()
