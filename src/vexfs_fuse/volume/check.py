"""Finds what is wrong with a volume: every rule that the records keep, asked of the stored rows.

`check` is the oracle of the tests and what `vexfs fsck` runs.  It changes nothing; repairing is
`volume/repair.py`'s.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from vexfs_fuse.errors import VexfsError
from vexfs_fuse.storage import rows
from vexfs_fuse.storage.rows import Row, Table, VectorRow
from vexfs_fuse.units import ROOT, Inode
from vexfs_fuse.vectors.codec import DIMENSIONS_MAX, from_raw
from vexfs_fuse.vectors.space import Space
from vexfs_fuse.volume.changes import Kinds

if TYPE_CHECKING:
    from vexfs_fuse.volume.volume import Volume

PROBLEMS_MAX: Final = 1_000
"""So many problems are told; a store with more needs no longer list."""

DIRECTORY: Final = 0o040000
FILE: Final = 0o100000

_TABLES: Final[tuple[tuple[Table, str], ...]] = (
    (rows.NODES, "SELECT * FROM nodes"),
    (rows.DENTRIES, "SELECT parent, name, ino, cookie, kind, sum FROM dentries"),
    (rows.XATTRS, "SELECT ino, name, value, sum FROM xattrs"),
    (rows.EXTENTS, "SELECT * FROM extents"),
    (rows.VECTORS, "SELECT * FROM vectors"),
    (rows.SPACES, "SELECT * FROM spaces"),
    (rows.SEGMENTS, "SELECT segment, live_bytes, sum FROM segments"),
    (rows.META, "SELECT key, value, sum FROM meta"),
)

_RULES: Final[tuple[tuple[str, str], ...]] = (
    (
        "name {0!r}/{1!r} leads to inode {2}, which does not exist",
        "SELECT d.parent, d.name, d.ino FROM dentries d LEFT JOIN nodes n ON n.ino = d.ino"
        " WHERE n.ino IS NULL",
    ),
    (
        "name {0!r}/{1!r} has the type {2:o}, its inode {3:o}",
        "SELECT d.parent, d.name, d.kind, n.mode & 61440 FROM dentries d JOIN nodes n"
        " ON n.ino = d.ino WHERE d.kind != n.mode & 61440",
    ),
    (
        "name {0!r}/{1!r} is in something that is no directory",
        "SELECT d.parent, d.name FROM dentries d LEFT JOIN nodes n ON n.ino = d.parent"
        f" WHERE n.ino IS NULL OR n.mode & 61440 != {DIRECTORY}",
    ),
    (
        "directory {0} says {1} entries and has {2}",
        "SELECT n.ino, n.children, count(d.name) FROM nodes n LEFT JOIN dentries d"
        f" ON d.parent = n.ino WHERE n.mode & 61440 = {DIRECTORY} GROUP BY n.ino"
        " HAVING n.children != count(d.name)",
    ),
    (
        "inode {0} says {1} links and has {2} names",
        "SELECT n.ino, n.nlink, count(d.name) FROM nodes n LEFT JOIN (SELECT ino, name FROM dentries)"
        f" d ON d.ino = n.ino WHERE n.mode & 61440 != {DIRECTORY} GROUP BY n.ino"
        " HAVING n.nlink != count(d.name)",
    ),
    (
        "directory {0} says {1} links and has {2}",
        "SELECT n.ino, n.nlink, 2 + count(d.name) FROM nodes n LEFT JOIN dentries d"
        f" ON d.parent = n.ino AND d.kind = {DIRECTORY} WHERE n.mode & 61440 = {DIRECTORY}"
        " AND n.nlink != 0 GROUP BY n.ino HAVING n.nlink != 2 + count(d.name)",
    ),
    (
        "directory {0} has the parent {1} and a name in {2}",
        "SELECT n.ino, n.parent, d.parent FROM nodes n JOIN (SELECT ino, parent FROM dentries"
        f" WHERE kind = {DIRECTORY}) d ON d.ino = n.ino WHERE n.parent != d.parent",
    ),
    (
        "directory {0} has {1} names",
        "SELECT n.ino, count(d.name) FROM nodes n LEFT JOIN (SELECT ino, name FROM dentries"
        f" WHERE kind = {DIRECTORY}) d ON d.ino = n.ino WHERE n.mode & 61440 = {DIRECTORY}"
        f" AND n.nlink != 0 AND n.ino != {ROOT} GROUP BY n.ino HAVING count(d.name) != 1",
    ),
    (
        "two names in directory {0} have the cookie {1}",
        "SELECT parent, cookie FROM dentries GROUP BY parent, cookie HAVING count(*) > 1",
    ),
    (
        "inode {0} says {1} extended attributes and has {2}",
        "SELECT n.ino, n.xattr_count, count(x.name) FROM nodes n LEFT JOIN xattrs x ON x.ino = n.ino"
        " GROUP BY n.ino HAVING n.xattr_count != count(x.name)",
    ),
    (
        "extended attribute {1!r} belongs to inode {0}, which does not exist",
        "SELECT x.ino, x.name FROM xattrs x LEFT JOIN nodes n ON n.ino = x.ino WHERE n.ino IS NULL",
    ),
    (
        "extent at {1} belongs to inode {0}, which is no regular file",
        "SELECT e.ino, e.offset FROM extents e LEFT JOIN nodes n ON n.ino = e.ino"
        f" WHERE n.ino IS NULL OR n.mode & 61440 != {FILE}",
    ),
    (
        "inode {0} says {1} bytes stored and its extents hold {2}",
        "SELECT n.ino, n.stored, coalesce(sum(e.length), 0) FROM nodes n LEFT JOIN extents e"
        " ON e.ino = n.ino GROUP BY n.ino HAVING n.stored != coalesce(sum(e.length), 0)",
    ),
    (
        "extent of inode {0} at {1} is beyond the file's size",
        "SELECT e.ino, e.offset FROM extents e JOIN nodes n ON n.ino = e.ino"
        " WHERE e.length < 1 OR e.offset < 0 OR e.offset + e.length > n.size",
    ),
    (
        "extents of inode {0} overlap at {1}",
        "SELECT ino, offset FROM (SELECT ino, offset, lag(offset + length) OVER"
        " (PARTITION BY ino ORDER BY offset) AS before FROM extents) WHERE before > offset",
    ),
    (
        "extent of inode {0} at {1} is not within its frame",
        "SELECT ino, offset FROM extents WHERE skip < 0 OR skip + length > frame_bytes",
    ),
    (
        "segment {0} counts {1} bytes in use, extents hold {2}",
        "SELECT e.segment, coalesce(s.live_bytes, 0), e.held FROM (SELECT segment, sum(length) AS held"
        " FROM extents GROUP BY segment) e LEFT JOIN segments s ON s.segment = e.segment"
        " WHERE coalesce(s.live_bytes, 0) != e.held",
    ),
    (
        "a vector in space {1} belongs to inode {0}, which is no regular file",
        "SELECT v.ino, v.space FROM vectors v LEFT JOIN nodes n ON n.ino = v.ino"
        f" WHERE n.ino IS NULL OR n.mode & 61440 != {FILE}",
    ),
    (
        "inode {0} has a vector in space {1}, which does not exist",
        "SELECT v.ino, v.space FROM vectors v LEFT JOIN spaces s ON s.space = v.space"
        " WHERE s.space IS NULL",
    ),
    (
        "the vector of inode {0} in space {1} has {2} bytes, the space {3} dimensions",
        "SELECT v.ino, v.space, length(v.value), s.dim FROM vectors v JOIN spaces s"
        " ON s.space = v.space WHERE length(v.value) != 4 * s.dim",
    ),
    (
        "the vector of inode {0} in space {1} has the impossible values origin {2}, stale {3}",
        "SELECT ino, space, origin, stale FROM vectors WHERE origin NOT IN (0, 1)"
        " OR stale NOT IN (0, 1)",
    ),
    (
        "inode {0} has passages in space {1} that do not belong together: {2} of them, the last {3}",
        "SELECT ino, space, count(*), max(passage) FROM vectors GROUP BY ino, space HAVING"
        " max(passage) > 0 AND (min(passage) != 0 OR count(*) != max(passage) + 1 OR min(origin) = 0)",
    ),
    (
        "space {0} has the impossible values dim {1}, metric {2!r}",
        f"SELECT space, dim, metric FROM spaces WHERE dim NOT BETWEEN 1 AND {DIMENSIONS_MAX}"
        " OR CAST(metric AS TEXT) NOT IN ('cosine', 'ip', 'l2')",
    ),
    (
        "the inode {0} has the impossible values mode {1:o}, {2} links, size {3}",
        "SELECT ino, mode, nlink, size FROM nodes WHERE nlink < 0 OR size < 0 OR ino < 1"
        " OR mode & 61440 NOT IN (4096, 8192, 16384, 24576, 32768, 40960, 49152)",
    ),
    (
        "the count of inodes is {0}, there are {1}",
        "SELECT m.value, c.n FROM meta m, (SELECT count(*) AS n FROM nodes) c"
        " WHERE m.key = 'inodes' AND m.value != c.n",
    ),
    (
        "there is no root directory",
        f"SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM nodes WHERE ino = {ROOT})",
    ),
)


def check(
    volume: "Volume", *, contents: bool = True, progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Return every problem of a volume as a sentence; an empty list when it is sound.

    Brings the state view up to date first, unless the volume takes no changes.

    Parameters
    ----------
    contents
        Whether to read all contents and verify their checksums.
    progress
        Called with (files read, files in all).
    """
    if volume.failure is None:
        volume.commit_all()
    problems: list[str] = []
    for problem in _problems(volume, contents=contents, progress=progress):
        problems.append(problem)
        if len(problems) >= PROBLEMS_MAX:
            problems.append(f"more than {PROBLEMS_MAX} problems")
            break
    return problems


def _problems(
    volume: "Volume", *, contents: bool, progress: Callable[[int, int], None] | None
) -> Iterator[str]:
    try:
        structure = [row[0] for row in volume.view.query("PRAGMA integrity_check")]
        yield from (f"state view: {_text(line)}" for line in structure if _text(line) != "ok")
        damaged = False
        for table, sql in _TABLES:
            for row in volume.view.query(sql):
                if not table.holds(row):
                    damaged = True
                    yield f"{table.describe(row)} does not match its checksum"
        if not damaged:
            for sentence, sql in _RULES:
                yield from (sentence.format(*row) for row in volume.view.query(sql))
            yield from _unreachable(volume)
            yield from _spaces(volume)
    except VexfsError as error:
        yield f"state view: {error}"
    yield from _journal(volume)
    if contents:
        yield from _contents(volume, progress)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _unreachable(volume: "Volume") -> Iterator[str]:
    """Find directories that hang together but not from the root."""
    sql = (
        "WITH RECURSIVE reached(ino) AS (VALUES(1) UNION SELECT d.ino FROM dentries d JOIN reached r"
        f" ON d.parent = r.ino WHERE d.kind = {DIRECTORY}) SELECT ino FROM nodes"
        f" WHERE mode & 61440 = {DIRECTORY} AND nlink != 0 AND ino NOT IN reached"
    )
    for (ino,) in volume.view.query(sql):
        yield f"directory {ino} cannot be reached from the root"


def _spaces(volume: "Volume") -> Iterator[str]:
    """Compare what searches see with the vectors that are stored."""
    held = volume.applier.vectors
    for row in volume.view.spaces().values():
        name = row.name.decode()
        space = held.spaces.get(name)
        if space is None or held.numbers[name] != row.space:
            yield f"space {name} is stored and not known to searches"
            continue
        rows = space.rows
        found = {
            (int(rows.inos[at]), int(rows.passages[at])): int(rows.lsns[at])
            for at in np.flatnonzero(rows.live[: rows.limit])
        }
        stored: dict[tuple[int, int], int] = {}
        for ino, passage, vector in volume.view.space_vectors(row.space):
            stored[int(ino), passage] = vector.lsn
            if not _is_searched_as_stored(space, ino, passage, vector):
                yield f"space {name}: the vector of inode {ino}, passage {passage} is searched as another"
        for (owner, number), lsn in found.items() ^ stored.items():
            yield f"space {name}: inode {owner}, passage {number}, record {lsn} is not both stored and found"


def _is_searched_as_stored(space: Space, ino: Inode, passage: int, stored: VectorRow) -> bool:
    """Whether a vector in memory is the stored one; true of what is not loaded yet, or missing."""
    row = space.rows.find(ino, passage)
    if row is None or space.rows.places[row] < 0 or space.rows.lsns[row] != stored.lsn:
        return True
    searched, vector = space.vector(ino, passage), space.metric.prepare(from_raw(stored.value))
    return searched is not None and np.allclose(searched, vector, rtol=1e-5, atol=1e-6)


def _journal(volume: "Volume") -> Iterator[str]:
    expected = None
    try:
        for entry in volume.journal.replay(volume.journal.first_lsn - 1):
            if expected is not None and entry.lsn != expected:
                yield f"journal: record {entry.lsn} follows {expected - 1}"
            if entry.kind not in Kinds.BY_NAME:
                yield f"journal: record {entry.lsn} is of the unknown kind {entry.kind!r}"
            expected = entry.lsn + 1
    except VexfsError as error:
        yield f"journal: {error}"


def _contents(volume: "Volume", progress: Callable[[int, int], None] | None) -> Iterator[str]:
    """Read everything that extents hold, one file after the other."""
    try:
        files: list[Row] = list(volume.view.query("SELECT DISTINCT ino FROM extents"))
    except VexfsError as error:
        yield f"state view: {error}"
        return
    for done, (ino,) in enumerate(files, 1):
        try:
            extents = volume.view.extents(ino)
        except VexfsError as error:
            yield f"inode {ino}: {error}"
            continue
        for extent in extents:
            try:
                volume.segments.read(extent, 0, extent.length)
            except VexfsError as error:
                yield f"inode {ino}, bytes {extent.offset} to {extent.offset + extent.length}: {error}"
        if progress is not None:
            progress(done, len(files))
