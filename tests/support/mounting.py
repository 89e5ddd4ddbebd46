"""A volume mounted by a daemon of its own: how to start, end, kill and restart one in a test."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import vexfs_fuse
from vexfs_fuse.cli.fsck import problems_of
from vexfs_fuse.config import Config
from vexfs_fuse.units import MIB

OPTIONS: Final = "allow_other,default_permissions,dev,suid,metrics=none,index=off"
PROGRAM: Final = (sys.executable, "-m", "vexfs_fuse")
START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.02
SOURCE: Final = Path(vexfs_fuse.__file__).parents[1]
_LOUD: Final = re.compile(r"\b(WARNING|ERROR|CRITICAL|Traceback)\b")


class MountedVolume:
    """One store and one mount point in a directory of their own, and the daemon between them.

    Everything lies under a directory that any user may pass through, so that tests can act as
    a second user.  The daemon runs in the foreground as our child: its exit status is ours to see.
    """

    def __init__(self, *, options: str = OPTIONS, arguments: Sequence[str] = ()) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="vexfs-test-"))
        self.directory.chmod(0o755)
        self.store = self.directory / "store"
        self.path = self.directory / "mnt"
        self.log = self.directory / "log"
        self.path.mkdir()
        self._options = options
        self._arguments = list(arguments)
        self._daemon: subprocess.Popen[bytes] | None = None
        self._log_seen_bytes = 0
        self._launched_at_bytes = 0  # of the log, when the daemon was started
        self.tolerated: re.Pattern[str] | None = None  # warnings that the test brings about

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        assert self._daemon is not None
        return self._daemon.pid

    @property
    def is_running(self) -> bool:
        """Whether a daemon was started and neither stopped nor killed."""
        return self._daemon is not None

    def start(self) -> Self:
        """Mount, and return when the mount answers."""
        self.launch()
        self._wait_until_mounted()
        return self

    def launch(self, program: Sequence[str] = PROGRAM) -> None:
        """Start a daemon, and wait for nothing; `program` may stand in for vexfs."""
        self._launched_at_bytes = self.log.stat().st_size if self.log.exists() else 0
        command = [*program, "mount", "--foreground"]
        command += ["--store", str(self.store), "-o", self._options]
        command += [*self._arguments, str(self.path)]
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment()
            )

    def stop(self) -> None:
        """Unmount; the daemon must end with status 0 and leave a log without warnings."""
        self.unmount()
        status = self._reap()
        assert status == 0, f"the daemon ended with {status}\n{self._tail()}"
        self.assert_quiet()

    def unmount(self) -> None:
        """Unmount from outside; the daemon goes on to its end."""
        subprocess.run(["fusermount3", "-u", str(self.path)], check=True)

    def ended(self) -> int:
        """Wait for a daemon that ends by itself; its exit status."""
        return self._reap()

    def comes_up(self) -> bool:
        """Wait until a launched daemon serves the mount, or has ended by itself with status 1."""
        assert self._daemon is not None
        while not self._is_up():
            if self._daemon.poll() is not None:
                status = self._reap()
                assert status == 1, f"the daemon ended with {status}\n{self._tail()}"
                return False
            time.sleep(POLL_S)
        return True

    def end(self) -> None:
        """Unmount a volume that may have warned, or turned read-only: status 0 or 1, no traceback."""
        assert self._daemon is not None
        command = ["fusermount3", "-u", str(self.path)]
        while self._daemon.poll() is None and os.path.ismount(self.path):
            subprocess.run(command, capture_output=True, check=False)  # busy at the very start
        status = self._reap()
        assert status in {0, 1}, f"the daemon ended with {status}\n{self._tail()}"
        self.expect_in_log(r"\A(?![\s\S]*Traceback)")

    def send(self, number: signal.Signals) -> None:
        """Send the daemon a signal."""
        assert self._daemon is not None
        self._daemon.send_signal(number)

    def kill9(self, *, clear: bool = True) -> None:
        """End the daemon as a crash does, and clear its dead mount point, if there is one yet."""
        self.send(signal.SIGKILL)
        self._reap()
        if not clear:
            return
        command = ["fusermount3", "-u", "-z", str(self.path)]
        subprocess.run(command, capture_output=True, check=False)

    def remount(self) -> Self:
        """Unmount cleanly if a daemon runs, then mount the same store."""
        if self._daemon is not None:
            self.stop()
        return self.start()

    def problems(self) -> list[str]:
        """What `vexfs fsck` finds wrong with the store, which nobody has mounted."""
        return problems_of(Config(store=self.store, pool_bytes=16 * MIB))

    def discard(self) -> None:
        """Leave nothing behind, whatever state the test left."""
        if self._daemon is not None:
            self.kill9()
        shutil.rmtree(self.directory)

    def assert_quiet(self) -> None:
        """No line of WARNING or above since this was last asked, but for those `tolerated`."""
        text = self.log.read_bytes()[self._log_seen_bytes :].decode(errors="replace")
        self._log_seen_bytes += len(text.encode())
        loud = [line for line in text.splitlines() if _LOUD.search(line)]
        if self.tolerated is not None:
            loud = [line for line in loud if not self.tolerated.search(line)]
        assert not loud, f"the daemon warned of {loud}:\n{text}"

    def forgive(self) -> None:
        """What the log says so far is not held against the daemon."""
        self._log_seen_bytes = self.log.stat().st_size

    def expect_in_log(self, pattern: str) -> None:
        """The unread part of the log matches `pattern`, and is not held against the daemon."""
        text = self.log.read_bytes()[self._log_seen_bytes :].decode(errors="replace")
        assert re.search(pattern, text), f"no {pattern!r} in the log:\n{text}"
        self._log_seen_bytes = self.log.stat().st_size

    def _environment(self) -> dict[str, str]:
        """The daemon's surroundings: its own places, so that no test meets another's store."""
        kinds = ("RUNTIME_DIR", "CONFIG_HOME", "DATA_HOME", "STATE_HOME", "CACHE_HOME")
        places = {f"XDG_{kind}": str(self.directory / kind.lower()) for kind in kinds}
        return os.environ | places | {"PYTHONPATH": str(SOURCE)}

    def _is_up(self) -> bool:
        """Whether the daemon is done with mounting; until then it uses the mount itself."""
        return b"daemon: mounted: " in self.log.read_bytes()[self._launched_at_bytes :]

    def _wait_until_mounted(self) -> None:
        assert self._daemon is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_up():
            status = self._daemon.poll()
            assert status is None, f"the daemon ended with {status}\n{self._tail()}"
            assert time.monotonic() < deadline, f"no mount in {START_TIMEOUT_S} s\n{self._tail()}"
            time.sleep(POLL_S)

    def _reap(self) -> int:
        assert self._daemon is not None
        try:
            return self._daemon.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
            raise
        finally:
            self._daemon = None

    def _tail(self) -> str:
        return self.log.read_bytes()[-4000:].decode(errors="replace")
