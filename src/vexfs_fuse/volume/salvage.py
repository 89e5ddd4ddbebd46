"""Makes a sound state view of what is left of a damaged one: sound rows, brought back under the rules.

Works on rows at rest; knows no journal.  What a rule leaves no choice for is counted anew; what has lost
its name goes to `/lost+found`; a row that does not match its checksum is gone.
"""

import sqlite3
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from vexfs_fuse.storage import page_scan, rows, schema
from vexfs_fuse.storage.database import SQLITE_ERRORS, rescued_rows
from vexfs_fuse.storage.extent import NOWHERE, Extent
from vexfs_fuse.storage.rows import Row, Table
from vexfs_fuse.storage.state import State
from vexfs_fuse.units import MIB, ROOT, Lsn, Segment

LOST: Final = b"lost+found"

_INO, _MODE, _NLINK, _SIZE, _STORED, _CHILDREN, _PARENT, _XATTRS = 0, 1, 4, 5, 6, 12, 13, 15
_DIRECTORY: Final = stat.S_IFDIR | 0o700

VALUE_BYTES: Final = 4
"""Bytes of one number in a vector."""

LOST_EXTENT_BYTES: Final = 16 * MIB
"""The most that one extent stands for whose contents are lost; more where they would be too many."""
LOST_EXTENTS_MAX: Final = 4_096

_SECOND_COPY: Final = [
    (
        "SELECT parent, name, ino, cookie, kind, sum FROM dentries INDEXED BY dentries_listed"
        f" ORDER BY parent {end}, cookie {end}",
        (),
    )
    for end in ("ASC", "DESC")
]

_KEPT: Final[tuple[tuple[Table, str], ...]] = (
    (rows.META, "key"),
    (rows.NODES, "ino"),
    (rows.DENTRIES, "parent {0}, name"),
    (rows.XATTRS, "ino {0}, name"),
    (rows.EXTENTS, "ino {0}, offset"),
    (rows.VECTORS, "ino {0}, space {0}, passage"),
    (rows.SPACES, "space"),
)


def salvage(damaged: Path, sound: Path, applied: Lsn) -> list[str]:
    """Write a new state view to `sound`; return what was done, as sentences.

    `applied` is the record that the rows are taken to be at when the damaged view does not say so.
    """
    done: list[str] = []
    with closing(sqlite3.connect(f"{damaged.as_uri()}?mode=ro", uri=True)) as source:
        source.text_factory = bytes
        tables = {table.name: _sound_rows(source, table, order) for table, order in _KEPT}
        tables["dentries"] |= rescued_rows(source, rows.DENTRIES, _SECOND_COPY)
        is_whole = _has_sound_structure(source)
    if not is_whole:
        _add_rows_from_pages(damaged, tables)
    names = _Names(tables["nodes"], tables["dentries"], _last_inode(tables), done)
    names.repair()
    _repair_contents(names.nodes, tables, done)
    _repair_spaces(tables, done)
    _drop_torn_passages(tables["vectors"], done)
    _write(sound, names, tables, applied)
    return done


def _sound_rows(source: sqlite3.Connection, table: Table, order: str) -> dict[Row, Row]:
    """Return the rows that match their checksums, by key; read from both ends of a broken table."""
    sql = f"SELECT * FROM {table.name} ORDER BY {order} "
    return rescued_rows(source, table, [(sql.format(end) + end, ()) for end in ("ASC", "DESC")])


def _has_sound_structure(source: sqlite3.Connection) -> bool:
    try:
        return source.execute("PRAGMA quick_check(1)").fetchall() == [(b"ok",)]
    except SQLITE_ERRORS:
        return False


def _add_rows_from_pages(damaged: Path, tables: dict[str, dict[Row, Row]]) -> None:
    """Take in the sound rows that no query finds, because the tree above their pages is broken."""
    for record in page_scan.records(damaged):
        for row in rows.readings(record.rowid, record.values):
            for table, _ in _KEPT:
                if table.holds(row):
                    tables[table.name].setdefault(row[: table.keys], row)


def _last_inode(tables: dict[str, dict[Row, Row]]) -> int:
    """Return the highest inode number that anything names: those of lost inodes are not given again."""
    named = [key[0] for part in ("nodes", "xattrs", "extents", "vectors") for key in tables[part]]
    named += [row[2] for row in tables["dentries"].values()]
    kept = tables["meta"].get((b"last_inode",))
    highest: int = max([int(ROOT), *named, int(kept[1]) if kept is not None else 0])
    return highest


class _Names:
    """Inodes and names, and the rules that hold between them."""

    def __init__(
        self, nodes: dict[Row, Row], dentries: dict[Row, Row], last_inode: int, done: list[str]
    ) -> None:
        self.nodes: dict[int, list[int]] = {row[_INO]: list(row[:-1]) for row in nodes.values()}
        self.entries: dict[tuple[int, bytes], tuple[int, int, int]] = {
            row[:2]: row[2:5] for row in dentries.values()
        }
        self._last_inode = last_inode  # the highest number that may have been given
        self._done = done

    def repair(self) -> None:
        """Make every rule hold."""
        if ROOT not in self.nodes or not self._is_directory(ROOT):
            self._done.append("made a new root directory")
            self.nodes[ROOT] = self._directory_row(ROOT, ROOT)
        self._drop_senseless_names()
        self._drop_second_names_of_directories()
        self._gather_lost()
        self._separate_cookies()
        self._count()

    def _is_directory(self, ino: int) -> bool:
        return ino in self.nodes and stat.S_ISDIR(self.nodes[ino][_MODE])

    def _directory_row(self, ino: int, parent: int) -> list[int]:
        template = self.nodes.get(ROOT)
        row = list(template) if template else [0] * 16
        row[_INO], row[_MODE], row[_PARENT], row[_XATTRS] = ino, _DIRECTORY, parent, 0
        row[14] = None  # type: ignore[call-overload]  # no symlink
        return row

    def _drop_senseless_names(self) -> None:
        for (parent, name), (ino, cookie, _) in list(self.entries.items()):
            if not self._is_directory(parent) or ino not in self.nodes or ino == ROOT:
                del self.entries[parent, name]
                self._done.append(f"dropped the name {name!r}, which led nowhere")
            else:
                kind = stat.S_IFMT(self.nodes[ino][_MODE])
                self.entries[parent, name] = (ino, cookie, kind)

    def _drop_second_names_of_directories(self) -> None:
        named: dict[int, tuple[int, bytes]] = {}
        for key, (ino, _, _) in sorted(self.entries.items()):
            if not self._is_directory(ino):
                continue
            if ino in named:
                # The one in the directory that its `..` names is the right one.
                worse = named[ino] if key[0] == self.nodes[ino][_PARENT] else key
                del self.entries[worse]
                self._done.append(f"dropped {worse[1]!r}, a second name of directory {ino}")
                if worse == key:
                    continue
            named[ino] = key

    def _gather_lost(self) -> None:
        """Give a name in `/lost+found` to what cannot be reached."""
        while lost := self._lost():
            # One that hangs from another lost one comes along with it, unless they hang in a circle.
            named = {ino: key for key, (ino, _, _) in self.entries.items()}
            tops = [ino for ino in lost if ino not in named] or lost[:1]
            home = self._lost_and_found()
            for ino in tops:
                self.entries.pop(named.get(ino, (0, b"")), None)
                kind = stat.S_IFMT(self.nodes[ino][_MODE])
                self.entries[home, b"#%d" % ino] = (ino, 0, kind)
                self._done.append(f"gave inode {ino} the name /lost+found/#{ino}")

    def _lost(self) -> list[int]:
        below = defaultdict(list)
        for (parent, _), (ino, _, _) in self.entries.items():
            below[parent].append(ino)
        reached, todo = {int(ROOT)}, [int(ROOT)]
        while todo:
            for ino in below.get(todo.pop(), ()):
                if ino not in reached:
                    reached.add(ino)
                    todo.append(ino)
        return sorted(ino for ino, row in self.nodes.items() if ino not in reached and row[_NLINK])

    def _lost_and_found(self) -> int:
        there = self.entries.get((ROOT, LOST))
        if there is not None and self._is_directory(there[0]):
            return there[0]
        ino = self._last_inode = self._last_inode + 1
        self.nodes[ino] = self._directory_row(ino, ROOT)
        name = LOST if there is None else LOST + b"-%d" % ino
        self.entries[ROOT, name] = (ino, 0, stat.S_IFDIR)
        return ino

    def _separate_cookies(self) -> None:
        """Give a free cookie to a name that has none of its own; cookies order a directory."""
        taken: dict[int, set[int]] = defaultdict(set)
        homeless = []
        for key, (_, cookie, _) in sorted(self.entries.items(), key=lambda item: item[1][1]):
            if cookie < 1 or cookie in taken[key[0]]:
                homeless.append(key)
            taken[key[0]].add(cookie)
        for key in homeless:
            ino, _, kind = self.entries[key]
            cookie = next(n for n in range(1, 1 << 62) if n not in taken[key[0]])
            taken[key[0]].add(cookie)
            self.entries[key] = (ino, cookie, kind)

    def _count(self) -> None:
        links: Counter[int] = Counter()
        children: Counter[int] = Counter()
        for (parent, _), (ino, _, kind) in self.entries.items():
            children[parent] += 1
            links[ino] += 1
            if kind == stat.S_IFDIR:
                links[parent] += 1
                self.nodes[ino][_PARENT] = parent
        for ino, row in self.nodes.items():
            if not row[_NLINK] and not links[ino]:
                continue  # an orphan: it goes when the volume opens
            nlink = links[ino] + (1 if self._is_directory(ino) else 0) + (ino == ROOT)
            if (row[_NLINK], row[_CHILDREN]) != (nlink, children[ino]):
                self._done.append(f"counted the links and entries of inode {ino}")
            row[_NLINK], row[_CHILDREN] = nlink, children[ino]


def _repair_contents(
    nodes: dict[int, list[int]], tables: dict[str, dict[Row, Row]], done: list[str]
) -> None:
    """Keep the extents, attributes and vectors that belong to an inode; count them."""
    extents = tables["extents"]
    for key in [key for key, row in extents.items() if not _fits(row, nodes)]:
        del extents[key]
        done.append(f"dropped an extent of inode {key[0]} at {key[1]}")
    for key in list(_overlapping(extents)):
        del extents[key]
        done.append(f"dropped an overlapping extent of inode {key[0]} at {key[1]}")
    for part in ("xattrs", "vectors"):
        tables[part] = {key: row for key, row in tables[part].items() if key[0] in nodes}
    _mark_lost_contents(nodes, tables, done)
    stored: Counter[int] = Counter()
    for row in extents.values():
        stored[row[0]] += row[2]
    attributes = Counter(key[0] for key in tables["xattrs"])
    for ino, node in nodes.items():
        if node[_STORED] != stored[ino]:
            done.append(f"counted the contents of inode {ino}")
        if node[_XATTRS] > attributes[ino]:
            lost = node[_XATTRS] - attributes[ino]
            done.append(
                f"lost {lost} extended attributes of inode {ino}; its group may not use it now"
            )
            node[
                _MODE
            ] &= ~stat.S_IRWXG  # one may have been the access list whose mask these bits are
        node[_STORED], node[_XATTRS] = stored[ino], attributes[ino]


def _drop_torn_passages(vectors: dict[Row, Row], done: list[str]) -> None:
    """Drop the vectors of a file's passages when some are missing: its embedder makes them again."""
    passages: dict[Row, list[int]] = defaultdict(list)
    for ino, space, passage in vectors:
        passages[ino, space].append(passage)
    for (ino, space), found in passages.items():
        if len(found) != max(found) + 1:
            for passage in found:
                del vectors[ino, space, passage]
            done.append(f"dropped the vectors of inode {ino} in space {space}: some were lost")


def _mark_lost_contents(
    nodes: dict[int, list[int]], tables: dict[str, dict[Row, Row]], done: list[str]
) -> None:
    """Where extents are lost, put others that cannot be read: a hole would read as zeros."""
    held: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row in tables["extents"].values():
        held[row[0]].append((row[1], row[1] + row[2]))
    lost = {
        ino: node
        for ino, node in nodes.items()
        if node[_STORED] > sum(end - start for start, end in held[ino])
    }
    for ino, node in lost.items():
        done.append(
            f"lost contents of inode {ino}: reading the places where they may have been is EIO"
        )
        for start, end in _gaps(sorted(held[ino]), node[_SIZE]):
            piece = max(LOST_EXTENT_BYTES, -(-(end - start) // LOST_EXTENTS_MAX))
            for offset in range(start, end, piece):
                length = min(piece, end - offset)
                extent = Extent(offset, length, NOWHERE, 0, 0, length, b"")
                tables["extents"][ino, offset] = rows.pack_extent(ino, extent)


def _gaps(held: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of what lies between extents, up to the file's size."""
    reached = 0
    for start, end in held:
        if start > reached:
            yield reached, start
        reached = end
    if size > reached:
        yield reached, size


def _repair_spaces(tables: dict[str, dict[Row, Row]], done: list[str]) -> None:
    """Make a space for vectors whose own is lost, and keep the vectors that fit theirs."""
    spaces = {row[0]: rows.SpaceRow(*row[:5]) for row in tables["spaces"].values()}
    lengths: dict[int, Counter[int]] = defaultdict(Counter)
    for row in tables["vectors"].values():
        lengths[row[1]][len(row[6])] += 1
    for number in sorted(lengths.keys() - spaces.keys()):
        dim = lengths[number].most_common(1)[0][0] // VALUE_BYTES
        space = rows.SpaceRow(number, b"recovered-%d" % number, dim, b"cosine", b"")
        spaces[number] = space
        tables["spaces"][(number,)] = rows.pack_space(space)
        done.append(f"made the space recovered-{number} for {lengths[number].total()} vectors")
    fitting = {
        key: row
        for key, row in tables["vectors"].items()
        if len(row[6]) == VALUE_BYTES * spaces[row[1]].dim
    }
    done += [
        f"dropped a vector of inode {key[0]}, which does not fit its space"
        for key in tables["vectors"].keys() - fitting.keys()
    ]
    tables["vectors"] = fitting


def _fits(row: Row, nodes: dict[int, list[int]]) -> bool:
    ino, offset, length, _, _, skip, frame_bytes = row[:7]
    return (
        ino in nodes
        and stat.S_ISREG(nodes[ino][_MODE])
        and offset >= 0
        and length >= 1
        and offset + length <= nodes[ino][_SIZE]
        and 0 <= skip <= skip + length <= frame_bytes
    )


def _overlapping(extents: dict[Row, Row]) -> Iterator[Row]:
    """Yield the keys of extents that begin before another one of their file has ended."""
    ino, end = 0, 0
    for key in sorted(extents):
        if key[0] != ino:
            ino, end = key[0], 0
        if key[1] < end:
            yield key
        else:
            end = key[1] + extents[key][2]


def _write(path: Path, names: _Names, tables: dict[str, dict[Row, Row]], applied: Lsn) -> None:
    live: Counter[Segment] = Counter()
    for row in tables["extents"].values():
        live[Segment(row[3])] += row[2]
    meta = {row[0].decode(): row[1] for row in tables["meta"].values()}
    last_inode = max([*names.nodes, int(meta.get("last_inode", 0))])
    meta = {"applied": applied} | meta | {"inodes": len(names.nodes), "last_inode": last_inode}
    State.open(path).close()  # makes the tables
    with closing(sqlite3.connect(path, isolation_level=None)) as target:
        target.execute("BEGIN")
        for sql, packed in (
            (schema.UPSERT_META, (rows.pack_meta(key, value) for key, value in meta.items())),
            (schema.UPSERT_NODE, (rows.pack_node(tuple(row)) for row in names.nodes.values())),
            (
                schema.UPSERT_DENTRY,
                (rows.pack_dentry(*k, entry) for k, entry in names.entries.items()),
            ),
            (schema.UPSERT_XATTR, tables["xattrs"].values()),
            (schema.UPSERT_EXTENT, tables["extents"].values()),
            (schema.UPSERT_VECTOR, tables["vectors"].values()),
            (schema.UPSERT_SPACE, tables["spaces"].values()),
            (
                schema.UPSERT_SEGMENT,
                (rows.pack_segment(n, held) for n, held in live.items() if held),
            ),
        ):
            target.executemany(sql, packed)
        target.execute("COMMIT")
