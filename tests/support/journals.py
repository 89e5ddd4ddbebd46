"""Short ways to fill a journal."""

from typing import Any

from vexfs_fuse.storage.journal import Journal
from vexfs_fuse.storage.records import Entry
from vexfs_fuse.units import Inode

ACTOR = (1000, 100, 4242)


def append(journal: Journal, *sizes: int) -> list[Entry]:
    """Append one record for each size, about that many bytes long; return what they should read."""
    entries = []
    for size in sizes:
        lsn = journal.next_lsn
        entry = Entry(lsn, lsn * 1000, "Created", Inode(lsn + 1), ACTOR, body(lsn, size))
        journal.append(entry.kind, entry.inode, entry.actor, entry.body, entry.time_ns)
        entries.append(entry)
    return entries


def body(lsn: int, size: int) -> dict[str, Any]:
    """Return what `append` logs; the filler resembles packed records."""
    return {"name": str(lsn).encode(), "filler": b"\x97" * size}


def commit(journal: Journal, *sizes: int) -> None:
    """Append, and make a batch of it durable."""
    append(journal, *sizes)
    settle(journal)


def settle(journal: Journal) -> None:
    """Make durable what is buffered."""
    batch = journal.seal()
    if batch is not None:
        batch.write()
        journal.settle(batch)


def told(journal: Journal, after: int = 0) -> list[Entry]:
    """Return what the journal replays."""
    return list(journal.replay(after))


def lsns(journal: Journal, after: int = 0) -> list[int]:
    """Return the numbers of what the journal replays."""
    return [entry.lsn for entry in journal.replay(after)]
