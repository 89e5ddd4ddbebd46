"""Where the log goes: journald, a file that rotates, or the terminal when in the foreground."""

import logging
import logging.handlers
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from vexfs_fuse.config import Config
from vexfs_fuse.config.table import xdg_directory

FILE_BYTES_MAX: Final = 8 * 1024 * 1024
OLD_FILES_MAX: Final = 3
LINES_PER_SECOND_MAX: Final = 200
"""A request that fails in a tight loop must not fill the disk; what is left out is counted."""
JOURNALD_BYTES_MAX: Final = 64 * 1024
"""Longest message for journald: a datagram beyond the socket's buffer is refused, not cut."""
JOURNALD_SOCKET: Final = Path("/run/systemd/journal/socket")

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_PRIORITIES: Final = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


def start_logging(config: Config, *, foreground: bool) -> str:
    """Send all log records where `config` says; return that place for people.

    In the foreground the log goes to standard error.
    """
    handler, place = _handler(config, foreground=foreground)
    handler.addFilter(too_late)
    handler.addFilter(FloodGate())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(config.log_level.upper())
    logging.raiseExceptions = False  # a full disk under the log must not end a request
    logging.captureWarnings(True)
    return place


def _handler(config: Config, *, foreground: bool) -> tuple[logging.Handler, str]:
    if foreground:
        terminal = logging.StreamHandler(sys.stderr)
        terminal.setFormatter(logging.Formatter(_FORMAT))
        return terminal, "standard error"
    if config.log == "journald" or (config.log == "auto" and _under_systemd()):
        return JournaldHandler(), "journald (journalctl SYSLOG_IDENTIFIER=vexfs)"
    place = log_file(config.store)
    place.parent.mkdir(parents=True, exist_ok=True)
    file = logging.handlers.RotatingFileHandler(
        place, maxBytes=FILE_BYTES_MAX, backupCount=OLD_FILES_MAX, encoding="utf-8"
    )
    file.setFormatter(logging.Formatter(_FORMAT))
    return file, str(place)


def log_file(store: Path) -> Path:
    """Return the log file of a store: its path, joined by dashes, in the XDG state directory."""
    name = "-".join(store.parts[1:]) or "root"
    # A file name ends at 255 bytes; the end of a long path tells most.
    ending = name.encode(errors="surrogateescape")[-200:].decode(errors="ignore")
    return xdg_directory("XDG_STATE_HOME", ".local/state") / "vexfs" / f"{ending}.log"


def _under_systemd() -> bool:
    return "INVOCATION_ID" in os.environ and JOURNALD_SOCKET.exists()


def too_late(record: logging.LogRecord) -> bool:
    """Return whether `record` is not about an answer that the kernel no longer waited for.

    The kernel takes back requests that were interrupted and those of a mount that goes away, such
    as the release that follows a close; to answer one then gives ENOENT, which means nothing.
    """
    return record.name != "pyfuse3" or "fuse_reply_* failed with No such" not in record.getMessage()


class FloodGate(logging.Filter):
    """Lets `LINES_PER_SECOND_MAX` records pass each second, then says how many it held back."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now_s = now_s
        self._second = 0
        self._passed = 0
        self._held = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether `record` passes."""
        second = int(self._now_s())
        if second != self._second:
            self._second, self._passed = second, 0
            if self._held:
                record.msg = f"[{self._held} lines were left out] {record.msg}"
                self._held = 0
        self._passed += 1
        if self._passed <= LINES_PER_SECOND_MAX:
            return True
        self._held += 1
        return False


class JournaldHandler(logging.Handler):
    """Sends records to journald by its native protocol.

    The protocol is described at systemd.io/JOURNAL_NATIVE_PROTOCOL: one datagram, `NAME=value`
    lines; a value with line breaks is `NAME`, line break, its length as u64 little-endian, value.
    """

    def __init__(self, path: Path = JOURNALD_SOCKET) -> None:
        super().__init__()
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; a journald that does not take it loses it, as nobody else would know."""
        message = self.format(record).encode("utf-8", "surrogateescape")[:JOURNALD_BYTES_MAX]
        fields = (
            f"PRIORITY={_PRIORITIES.get(record.levelname, 5)}\nSYSLOG_IDENTIFIER=vexfs\n"
            f"LOGGER={record.name}\nMESSAGE\n"
        )
        try:
            self._socket.sendto(
                fields.encode() + len(message).to_bytes(8, "little") + message + b"\n", self._path
            )
        except OSError:
            self.handleError(record)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()
