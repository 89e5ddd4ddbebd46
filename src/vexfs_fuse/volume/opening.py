"""Opens a store: who it is, that nobody else has it, and how it comes back after a crash."""

import fcntl
import json
import logging
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from vexfs_fuse import __version__
from vexfs_fuse.clock import Clock, SystemClock
from vexfs_fuse.config import Config
from vexfs_fuse.errors import (
    CorruptData,
    NotFound,
    StoreDamaged,
    StoreLocked,
    StoreTooNew,
    VexfsError,
)
from vexfs_fuse.storage.disk import Disk, LocalDisk
from vexfs_fuse.storage.journal import Entry, Journal
from vexfs_fuse.storage.journal_files import unreadable_tail
from vexfs_fuse.storage.pool import Pool
from vexfs_fuse.storage.segments import Segments
from vexfs_fuse.storage.state import State
from vexfs_fuse.units import ROOT, Inode, Segment
from vexfs_fuse.volume.changes import Formatted, Kinds, Mounted
from vexfs_fuse.volume.room import fitting, headroom_bytes
from vexfs_fuse.volume.volume import Volume
from vexfs_fuse.volume.writer import SYSTEM, Actor

log = logging.getLogger(__name__)

FORMAT: Final = 1
"""The revision of the store's format that this program writes, and the newest it reads."""

IDENTITY: Final = "volume.json"
LOCK: Final = "lock"
STATE: Final = "state.sqlite3"
ROOT_MODE: Final = 0o755


class Identity(NamedTuple):
    """What `volume.json` says."""

    format: int
    volume: str  # a UUID
    created_ns: int


def open_volume(store: Path, config: Config, clock: Clock | None = None) -> Volume:
    """Open the volume in `store`, or make one there; blocks while it recovers.

    A store whose journal is damaged opens read-only, with `Volume.failure` saying why.

    Raises
    ------
    StoreLocked, StoreTooNew, StoreDamaged, NoSpace, AccessDenied
    NotFound
        The options say read-only, and there is no volume.
    """
    clock = clock or SystemClock()
    if config.ro and not (store / IDENTITY).exists():
        raise NotFound(f"{store} holds no volume, and none is made for reading only")
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    unlock = lock_store(store)
    try:
        identity = read_identity(store) or make_identity(store, clock)
        disk = LocalDisk(store)
        view = State.open(store / STATE)
        volume = assemble(disk, view, identity, config, clock)
    except BaseException:
        unlock()
        raise
    volume.on_close.append(unlock)
    return volume


def assemble(disk: Disk, view: State, identity: Identity, config: Config, clock: Clock) -> Volume:
    """Put a volume together from its parts, and recover what the journal has and the view has not."""
    journal, damage = _open_journal(disk, view, identity, config, clock)
    live = view.live_bytes()
    segments = Segments.open(
        disk,
        uuid.UUID(identity.volume).bytes,
        segment_bytes=fitting(config.segment_bytes, disk),
        headroom_bytes=headroom_bytes(disk),
        first_free=Segment(max(live, default=0) + 1),
        live_bytes=live,
    )
    volume = Volume(
        disk=disk,
        journal=journal,
        segments=segments,
        pool=Pool(config.pool_bytes),
        view=view,
        config=config,
        clock=clock,
    )
    volume.applier.next_inode = Inode(max(view.last_inode, ROOT) + 1)
    newest = max(view.applied, volume.logged_lsn)
    volume.applier.vectors.load(disk, newest, identity.volume)
    damage = damage or replay(volume)
    if volume.logged_lsn and not _has_root(volume):
        raise StoreDamaged(f"there is no root directory: {damage or 'its row is missing'}")
    if damage is not None:
        volume.refuse_changes(str(damage))
        log.error("the volume is read-only: %s", damage)
        return volume
    if config.ro:
        volume.refuse_changes("mounted read-only")
        return volume
    if volume.logged_lsn == 0:
        volume.writer.admit()
        volume.writer.commit(ROOT, Formatted(ROOT_MODE, os.getuid(), os.getgid()), SYSTEM)
    mounter = Actor(os.getuid(), os.getgid(), os.getpid())
    volume.writer.note(ROOT, Mounted(__version__, False), mounter)
    volume.purge_orphans()
    return volume


def _has_root(volume: Volume) -> bool:
    try:
        volume.tree.node(ROOT)
    except NotFound:
        return False
    return True


def _open_journal(
    disk: Disk, view: State, identity: Identity, config: Config, clock: Clock
) -> tuple[Journal, VexfsError | None]:
    """Open the journal; without one that can be used, the view is still there to read."""
    try:
        journal = Journal.open(
            disk,
            volume=identity.volume,
            durable_at_least=view.applied,
            file_bytes_max=fitting(config.journal_file_bytes, disk),
            headroom_bytes=headroom_bytes(disk),
            time_ns=clock.now_ns(),
        )
    except StoreDamaged as damage:
        return Journal(disk, unreadable_tail(disk, view.applied), "", 0, 0), damage
    return journal, None


def replay(volume: Volume) -> VexfsError | None:
    """Apply the records that the state view has not; return what was in the way of the rest.

    The volume is what it was after some record all the same, and good for reading.

    Raises
    ------
    StoreTooNew
    """
    applied = volume.view.applied
    count = 0
    try:
        for entry in volume.journal.replay(applied):
            apply_entry(volume, entry)
            count += 1
    except (StoreDamaged, CorruptData) as damage:
        return damage
    if count:
        log.info("recovered %d records after record %d", count, applied)
    return None


def apply_entry(volume: Volume, entry: Entry) -> None:
    """Apply one record of the journal.

    Raises
    ------
    StoreTooNew
        A kind, or fields, that this program does not know.
    """
    kind = Kinds.BY_NAME.get(entry.kind)
    if kind is None:
        raise StoreTooNew(f"record {entry.lsn} is of the unknown kind {entry.kind}")
    try:
        change = kind(**entry.body)
    except TypeError as unknown:
        raise StoreTooNew(f"record {entry.lsn}: {unknown}") from unknown
    volume.applier.table[kind](entry.lsn, entry.time_ns, Inode(entry.inode), change)


def lock_store(store: Path) -> Callable[[], None]:
    """Take the store for this process; return what lets go of it.

    Raises
    ------
    StoreLocked
        With the process id of who has it.
    """
    descriptor = os.open(store / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode(errors="replace").strip()
        os.close(descriptor)
        raise StoreLocked(f"{store} is held by process {holder or 'unknown'}") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return lambda: os.close(descriptor)


def read_identity(store: Path) -> Identity | None:
    """Return what `volume.json` says, or None in an empty store.

    Raises
    ------
    StoreTooNew, StoreDamaged
    """
    try:
        fields: dict[str, Any] = json.loads((store / IDENTITY).read_text(encoding="utf-8"))
        volume = str(uuid.UUID(fields["volume"]))
        identity = Identity(int(fields["format"]), volume, int(fields["created_ns"]))
    except FileNotFoundError:
        if any(entry.name not in {LOCK, f"{IDENTITY}.tmp"} for entry in store.iterdir()):
            raise StoreDamaged(f"{store} is not empty, and {IDENTITY} is missing") from None
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreDamaged(f"{IDENTITY}: {error}") from error
    if identity.format > FORMAT:
        raise StoreTooNew(f"revision {identity.format}, this program knows {FORMAT}")
    return identity


def make_identity(store: Path, clock: Clock) -> Identity:
    """Write `volume.json` of a new volume, so that it is there whole or not at all."""
    identity = Identity(FORMAT, str(uuid.uuid4()), clock.now_ns())
    draft = store / f"{IDENTITY}.tmp"
    with draft.open("w", encoding="utf-8") as file:
        json.dump(identity._asdict(), file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(store / IDENTITY)
    directory = os.open(store, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return identity
