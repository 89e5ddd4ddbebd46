"""Who a volume is: what `volume.json` says, and what the rest of the store says when that is damaged."""

import json
import os
import uuid
from pathlib import Path
from typing import Any, Final, NamedTuple
from zlib import crc32

from vexfs_fuse.clock import Clock
from vexfs_fuse.errors import StoreDamaged, StoreTooNew
from vexfs_fuse.storage.disk import Disk
from vexfs_fuse.storage.journal_files import journal_volumes
from vexfs_fuse.storage.segment_files import segment_volumes

FORMAT: Final = 1
"""The revision of the store's format that this program writes, and the newest it reads."""

IDENTITY: Final = "volume.json"
LOCK: Final = "lock"


class Identity(NamedTuple):
    """What `volume.json` says."""

    format: int
    volume: str  # a UUID
    created_ns: int

    @property
    def crc(self) -> int:
        """The CRC-32 that stands beside it."""
        return crc32(b"%d %s %d" % (self.format, self.volume.encode(), self.created_ns))


def holds_volume(store: Path, disk: Disk) -> bool:
    """Whether there is a volume in a directory, be it damaged."""
    return (store / IDENTITY).exists() or stored_identity(disk) is not None


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
        crc = fields.get("crc")  # the first stores had none
    except FileNotFoundError:
        if any(entry.name not in {LOCK, f"{IDENTITY}.tmp"} for entry in store.iterdir()):
            raise StoreDamaged(f"{store} is not empty, and {IDENTITY} is missing") from None
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreDamaged(f"{IDENTITY}: {error}") from error
    if crc is not None and crc != identity.crc:
        raise StoreDamaged(f"{IDENTITY} does not match its checksum")
    if identity.format > FORMAT:
        raise StoreTooNew(f"revision {identity.format}, this program knows {FORMAT}")
    return identity


def stored_identity(disk: Disk) -> Identity | None:
    """Return what the journal's files and the segments agree on, None when they do not or there are none."""
    named = {*journal_volumes(disk), *(str(uuid.UUID(bytes=raw)) for raw in segment_volumes(disk))}
    if len(named) != 1:
        return None
    return Identity(FORMAT, named.pop(), 0)


def make_identity(store: Path, clock: Clock) -> Identity:
    """Write `volume.json` of a new volume."""
    identity = Identity(FORMAT, str(uuid.uuid4()), clock.now_ns())
    write_identity(store, identity)
    return identity


def write_identity(store: Path, identity: Identity) -> None:
    """Write `volume.json`, so that it is there whole or not at all."""
    draft = store / f"{IDENTITY}.tmp"
    with draft.open("w", encoding="utf-8") as file:
        json.dump(identity._asdict() | {"crc": identity.crc}, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(store / IDENTITY)
    directory = os.open(store, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
