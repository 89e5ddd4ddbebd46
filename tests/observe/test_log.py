"""The log: it goes where it should, rotates, survives a full disk and a flood."""

import logging
import logging.handlers
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from vexfs_fuse.config import Config
from vexfs_fuse.observe import log
from vexfs_fuse.observe.log import FloodGate, JournaldHandler, log_file, start_logging, too_late


@pytest.fixture(autouse=True)
def root_logger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[logging.Logger]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    root = logging.getLogger()
    handlers, level, loud = root.handlers[:], root.level, logging.raiseExceptions
    root.handlers = []
    yield root
    for handler in root.handlers:
        handler.close()
    logging.captureWarnings(False)
    root.handlers, root.level, logging.raiseExceptions = handlers, level, loud


def test_a_daemon_logs_to_a_file_named_for_its_store(tmp_path: Path) -> None:
    place = start_logging(Config(store=Path("/srv/my vex")), foreground=False)
    logging.getLogger("vexfs").info("mounted")
    assert place == str(tmp_path / "state/vexfs/srv-my vex.log")
    assert "INFO vexfs: mounted" in Path(place).read_text()


def test_the_level_is_the_least_that_is_logged() -> None:
    place = start_logging(Config(store=Path("/s"), log_level="warning"), foreground=False)
    logging.getLogger("vexfs").info("unheard")
    assert not Path(place).read_text()


def test_the_file_rotates_at_its_bound(root_logger: logging.Logger) -> None:
    start_logging(Config(store=Path("/s")), foreground=False)
    (handler,) = root_logger.handlers
    assert isinstance(handler, logging.handlers.RotatingFileHandler)
    assert (handler.maxBytes, handler.backupCount) == (log.FILE_BYTES_MAX, log.OLD_FILES_MAX)


def test_the_foreground_logs_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert start_logging(Config(store=Path("/s")), foreground=True) == "standard error"
    logging.getLogger("vexfs").warning("here")
    assert "WARNING vexfs: here" in capsys.readouterr().err


def test_a_log_file_name_fits_a_directory_entry() -> None:
    store = Path("/", *["directory"] * 60)
    assert len(log_file(store).name.encode()) <= 255


def test_starting_again_replaces_the_handler(root_logger: logging.Logger) -> None:
    start_logging(Config(store=Path("/s")), foreground=False)
    start_logging(Config(store=Path("/s")), foreground=False)
    assert len(root_logger.handlers) == 1


def test_a_full_disk_under_the_log_raises_nothing() -> None:
    handler = logging.FileHandler("/dev/full")
    logging.raiseExceptions = False
    handler.handle(logging.makeLogRecord({"msg": "lost"}))
    with pytest.raises(OSError, match="No space left"):
        handler.close()


def test_a_flood_is_cut_and_told() -> None:
    now_s = [10.0]
    gate = FloodGate(lambda: now_s[0])
    passed = [
        gate.filter(logging.makeLogRecord({"msg": "x"}))
        for _ in range(log.LINES_PER_SECOND_MAX + 7)
    ]
    assert passed.count(True) == log.LINES_PER_SECOND_MAX
    now_s[0] = 11.0
    record = logging.makeLogRecord({"msg": "calm"})
    assert gate.filter(record)
    assert record.getMessage() == "[7 lines were left out] calm"


def test_an_answer_that_came_too_late_is_not_worth_a_line() -> None:
    message = "fuse_release(): fuse_reply_* failed with No such file or directory"
    assert not too_late(logging.makeLogRecord({"name": "pyfuse3", "msg": message}))
    assert too_late(logging.makeLogRecord({"name": "pyfuse3", "msg": "fuse_reply_* failed: EIO"}))
    assert too_late(logging.makeLogRecord({"name": "vexfs", "msg": message}))


def test_journald_gets_the_message_whole_with_its_priority(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        handler = JournaldHandler(path)
        handler.handle(
            logging.makeLogRecord({"msg": "two\nlines", "levelname": "ERROR", "name": "vexfs.fuse"})
        )
        handler.close()
        datagram = receiver.recv(1 << 16)
    fields, _, rest = datagram.partition(b"MESSAGE\n")
    assert fields == b"PRIORITY=3\nSYSLOG_IDENTIFIER=vexfs\nLOGGER=vexfs.fuse\n"
    assert rest == (9).to_bytes(8, "little") + b"two\nlines\n"
