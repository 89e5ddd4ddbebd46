"""`vexfs journal`: the semantic journal, of a mounted volume or of a store at rest."""

import argparse
import datetime
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from vexfs_fuse.cli import mounted
from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.cli.options import add_store, effective_options
from vexfs_fuse.errors import InvalidArgument, NotFound
from vexfs_fuse.storage.records import MARKS, Entry

POLL_S: Final = 0.1
READ_BYTES: Final = 256 * 1024
VALUE_CHARACTERS_MAX: Final = 60


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "mount_point", metavar="MOUNTPOINT", nargs="?", type=Path, help="which volume, if several"
    )
    parser.add_argument(
        "--follow", action="store_true", help="go on with new records as they become durable"
    )
    parser.add_argument(
        "--since", metavar="LSN", type=int, default=0, help="only records after this one"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print records."""
    from vexfs_fuse.vfs.control import json_line

    for entry in _entries(arguments):
        if entry.lsn > arguments.since and entry.kind not in MARKS:
            sys.stdout.write(json_line(entry).decode() if arguments.json else line(entry))
            if arguments.follow:
                sys.stdout.flush()
    return Exit.OK


def _entries(arguments: argparse.Namespace) -> Iterable[Entry]:
    if arguments.option_store is None:
        there = mounted.only_volume(arguments.mount_point)
        return _of_mount(there, follow=arguments.follow)
    if arguments.follow:
        raise InvalidArgument("--follow needs a mounted volume, not --store")
    return _of_store(effective_options(arguments).config.store)


def _of_mount(mount_point: Path, *, follow: bool) -> Iterator[Entry]:
    with (mount_point / ".vexfs/journal").open("rb", buffering=0) as stream:
        yield from read_stream(stream, follow=follow)


def read_stream(stream: BinaryIO, *, follow: bool) -> Iterator[Entry]:
    """Yield the records of a msgpack stream; with `follow`, wait for more at its end."""
    import msgpack

    unpacker = msgpack.Unpacker(use_list=False, max_buffer_size=0)
    while True:
        piece = stream.read(READ_BYTES)
        if not piece:
            if not follow:
                return
            time.sleep(POLL_S)
            continue
        unpacker.feed(piece)
        for fields in unpacker:
            yield Entry(*fields[:-1])


def _of_store(store: Path) -> Iterator[Entry]:
    """Yield the records on disk, each checked; changes nothing, so the store may be in use.

    Raises
    ------
    NotFound
    """
    from vexfs_fuse.storage.disk import LocalDisk
    from vexfs_fuse.storage.journal_files import DIRECTORY
    from vexfs_fuse.storage.journal_scan import scan

    if not (store / DIRECTORY).is_dir():
        raise NotFound(f"{store} holds no journal")
    return scan(LocalDisk(store))


def line(entry: Entry) -> str:
    """Return a record as a line for people."""
    from vexfs_fuse.vfs.control import readable_body

    moment = datetime.datetime.fromtimestamp(entry.time_ns // 10**9, datetime.UTC).astimezone()
    uid, gid, pid = entry.actor
    body = " ".join(f"{key}={_shown(value)}" for key, value in readable_body(entry).items())
    return (
        f"{entry.lsn:>10}  {moment:%Y-%m-%d %H:%M:%S}  {entry.kind:<14} inode {entry.inode}"
        f"  by {uid}:{gid} pid {pid}  {body}\n"
    )


def _shown(value: Any) -> str:
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= VALUE_CHARACTERS_MAX else f"{text[:VALUE_CHARACTERS_MAX]}..."


COMMAND = Command(
    "journal",
    "Show the journal: who changed what, in order.",
    """
    vexfs journal /mnt/vex
    vexfs journal --follow --json | jq .kind
    vexfs journal --since 1000 --store /srv/notes
    """,
    _add_arguments,
    run,
)
