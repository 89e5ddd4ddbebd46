"""Whether the text index of a store at rest is whole, and agrees with the volume; and its removal.

It is derived: what is wrong with it is mended by the next mount, which makes it anew.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from vexfs_fuse.errors import NotFound, StoreDamaged
from vexfs_fuse.text import schema
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.volume.indexing import affected
from vexfs_fuse.volume.volume import Volume

TOLD_MAX: Final = 10
"""So many inodes are told of that the index has and the volume has not."""

PROBLEM: Final = f"{schema.FILE}: "
"""What each sentence begins with."""


def damage(volume: Volume, store: Path) -> list[str]:
    """Return a sentence for each thing that is wrong with the text index of a store at rest."""
    path = store / schema.FILE
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return [PROBLEM + problem for problem in _problems(connection, volume)]
    except sqlite3.Error as error:
        return [f"{PROBLEM}{error}"]


def remove(store: Path) -> None:
    """Remove the index; the next mount makes it anew."""
    for path in schema.files_of(store / schema.FILE):
        path.unlink(missing_ok=True)


def _problems(connection: sqlite3.Connection, volume: Volume) -> Iterator[str]:
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cell_size_check = ON")
    (schema_version,) = connection.execute("PRAGMA schema_version").fetchone()
    (revision,) = connection.execute("PRAGMA user_version").fetchone()
    found = [row[0] for row in connection.execute(f"PRAGMA integrity_check({TOLD_MAX})")]
    if found != ["ok"]:
        yield from found
        return
    if schema_version == 0 or revision != schema.REVISION:
        return  # nothing was ever committed to it, or it is made anew
    row = connection.execute("SELECT value FROM meta WHERE key = 'position'").fetchone()
    position = Lsn(0 if row is None else row[0])
    if position > volume.logged_lsn:
        yield f"it is ahead of the journal: it knows record {position} of {volume.logged_lsn}"
        return
    yield from _unknown(connection, volume, position)


def _unknown(connection: sqlite3.Connection, volume: Volume, position: Lsn) -> Iterator[str]:
    """Yield what is wrong with inodes that the index should know to be gone."""
    waiting = {ino for (ino,) in connection.execute("SELECT ino FROM pending")}
    try:
        for entry in volume.journal.replay(position):
            waiting.update(each.ino for each in affected(entry))
    except StoreDamaged:
        return  # the journal does not go back so far: everything is looked at again
    told = 0
    for (ino,) in connection.execute("SELECT ino FROM files ORDER BY ino"):
        if ino in waiting or _is_there(volume, Inode(ino)):
            continue
        yield f"it has inode {ino}, which does not exist"
        told += 1
        if told == TOLD_MAX:
            return


def _is_there(volume: Volume, ino: Inode) -> bool:
    try:
        return bool(volume.tree.node(ino).nlink)
    except NotFound:
        return False
