"""The tables of the state view: every column, with the values that mean something special.

Integers are SQLite's: 64 bits, signed.  Times are nanoseconds since 1970-01-01 UTC; negative ones
are earlier, and the last one is in the year 2262.  Names, targets and values are bytes (BLOB),
never text. Each row carries `sum`, the CRC-32 of its other columns as `rows.py` packs them: SQLite
notices a damaged page only where the damage breaks the page's structure.
"""

from typing import Final

FORMAT_REVISION: Final = 1
"""`PRAGMA user_version`; an earlier program refuses a later revision."""

APPLICATION_ID: Final = 0x76657866
"""`PRAGMA application_id`, so that file(1) and fsck can tell whose database it is: "vexf"."""

TABLES: Final = """
CREATE TABLE meta (               -- what concerns the view as a whole
    key TEXT PRIMARY KEY,         -- 'applied': Lsn of the last record that is in the rows; 0: none
                                  -- 'inodes': how many rows `nodes` has
                                  -- 'last_inode': the highest inode number ever given; 0: none
                                  -- any other key: the caller's
    value NOT NULL,               -- INTEGER or BLOB
    sum INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE nodes (              -- one row per inode; tree/node.py says more
    ino INTEGER PRIMARY KEY,      -- 1 is the root; never reused
    mode INTEGER NOT NULL,        -- file type and permissions, as st_mode
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    nlink INTEGER NOT NULL,       -- 0: no name any more, kept for its open handles (an orphan)
    size INTEGER NOT NULL,        -- bytes, up to 2^63 - 1
    stored INTEGER NOT NULL,      -- bytes held by extents; 0 for everything but regular files
    rdev INTEGER NOT NULL,        -- 0 for everything but devices
    atime INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    ctime INTEGER NOT NULL,
    btime INTEGER NOT NULL,       -- of creation
    children INTEGER NOT NULL,    -- directories: number of entries; 0 for others
    parent INTEGER NOT NULL,      -- directories: inode of `..`, for the root itself; 0 for others
    target BLOB,                  -- symlinks: what they point at; NULL for others
    xattr_count INTEGER NOT NULL, -- rows in `xattrs`
    sum INTEGER NOT NULL
);

CREATE INDEX orphans ON nodes (ino) WHERE nlink = 0;

CREATE TABLE dentries (           -- one row per name
    parent INTEGER NOT NULL,      -- inode of the directory
    name BLOB NOT NULL,           -- 1 to 255 bytes, without '/' and NUL
    ino INTEGER NOT NULL,
    cookie INTEGER NOT NULL,      -- Lsn of the record that made the name: orders readdir, unique
                                  -- in a directory; a name that is replaced keeps its cookie
    kind INTEGER NOT NULL,        -- file type, mode & S_IFMT
    sum INTEGER NOT NULL,
    PRIMARY KEY (parent, name)
) WITHOUT ROWID;

CREATE INDEX dentries_by_inode ON dentries (ino);

-- Holds whole rows: a listing reads this index alone, in half the time, and checks what it reads.
CREATE INDEX dentries_listed ON dentries (parent, cookie, name, ino, kind, sum);

CREATE TABLE xattrs (             -- with rowids: values of some KiB waste less room there
    ino INTEGER NOT NULL,
    name BLOB NOT NULL,           -- 1 to 255 bytes, with the namespace's prefix
    value BLOB NOT NULL,          -- 0 to 65,536 bytes
    sum INTEGER NOT NULL,
    PRIMARY KEY (ino, name)
);

CREATE TABLE extents (            -- one row per run of stored bytes; storage/extent.py says more
    ino INTEGER NOT NULL,
    offset INTEGER NOT NULL,      -- first byte in the file; a file's extents never overlap
    length INTEGER NOT NULL,      -- bytes, at least 1
    segment INTEGER NOT NULL,     -- number of the segment file; 0: the bytes are in `inline`
    position INTEGER NOT NULL,    -- of the frame's first byte of data in the segment file
    skip INTEGER NOT NULL,        -- bytes of the frame before this extent's first
    frame_bytes INTEGER NOT NULL, -- bytes of data in the frame
    sums BLOB NOT NULL,           -- one little-endian uint64 XXH3 for each 64 KiB of the frame
    inline BLOB,                  -- the frame's bytes when segment is 0, else NULL
    sum INTEGER NOT NULL,
    PRIMARY KEY (ino, offset)
) WITHOUT ROWID;

CREATE TABLE vectors (            -- one row per embedding vector; with rowids, as `xattrs`
    ino INTEGER NOT NULL,
    space INTEGER NOT NULL,       -- number of the vector space, in `spaces`
    passage INTEGER NOT NULL,     -- which part of the file it stands for, from 1 without gaps;
                                  -- 0: the whole
    lsn INTEGER NOT NULL,         -- of the record that set it
    origin INTEGER NOT NULL,      -- 0: a user set it, 1: an embedder did
    stale INTEGER NOT NULL,       -- 1: the contents have changed since, or came with a save;
                                  -- that of passage 0 counts for all of a file's
    value BLOB NOT NULL,          -- little-endian float32, 4 bytes a dimension, as it was given
    sum INTEGER NOT NULL,
    PRIMARY KEY (ino, space, passage)
);

CREATE INDEX vectors_listed ON vectors (space, ino, passage, lsn);

CREATE TABLE spaces (             -- one row per vector space
    space INTEGER PRIMARY KEY,    -- 1 is the first; never reused
    name BLOB NOT NULL UNIQUE,    -- UTF-8
    dim INTEGER NOT NULL,
    metric BLOB NOT NULL,         -- 'cosine', 'ip' or 'l2'
    model BLOB NOT NULL,          -- fingerprint of the model that makes its vectors; empty: not known
    sum INTEGER NOT NULL
);

CREATE TABLE segments (           -- what keeps a segment file from being compacted or dropped
    segment INTEGER PRIMARY KEY,  -- 0: all inline extents together
    live_bytes INTEGER NOT NULL,  -- sum of the lengths of its extents; no row when that is 0
    sum INTEGER NOT NULL
);
"""

SELECT_META: Final = "SELECT key, value, sum FROM meta WHERE key = CAST(? AS TEXT)"
UPSERT_META: Final = "INSERT OR REPLACE INTO meta VALUES (?, ?, ?)"

SELECT_NODE: Final = "SELECT * FROM nodes WHERE ino = ?"
NODES_AT_ONCE: Final = 128
SELECT_SOME_NODES: Final = f"""
SELECT * FROM nodes WHERE ino IN ({", ".join("?" * NODES_AT_ONCE)})"""
SELECT_ORPHANS: Final = "SELECT * FROM nodes INDEXED BY orphans WHERE nlink = 0"
UPSERT_NODE: Final = "INSERT OR REPLACE INTO nodes VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
DELETE_NODE: Final = "DELETE FROM nodes WHERE ino = ?"

SELECT_DENTRY: Final = """
SELECT parent, name, ino, cookie, kind, sum FROM dentries WHERE parent = ? AND name = ?"""
SELECT_DENTRIES: Final = """
SELECT parent, name, ino, cookie, kind, sum FROM dentries INDEXED BY dentries_listed
WHERE parent = ? AND cookie > ? AND cookie <= ? ORDER BY cookie LIMIT ?"""
RESCUE_DENTRIES: Final = tuple(
    f"SELECT parent, name, ino, cookie, kind, sum FROM dentries INDEXED BY {copy}"
    f" WHERE parent = ? ORDER BY {column} {direction}"
    for copy, column in (("sqlite_autoindex_dentries_1", "name"), ("dentries_listed", "cookie"))
    for direction in ("ASC", "DESC")
)
"""A directory's names from both their copies, and from both ends of each."""
SUMMED_DENTRIES: Final = tuple(
    f"SELECT count(*), sum(sum) FROM dentries INDEXED BY {copy} WHERE parent = ?"
    for copy in ("sqlite_autoindex_dentries_1", "dentries_listed")
)
NEIGHBOURS: Final = tuple(
    "SELECT parent, name, ino, cookie, kind, sum FROM dentries"
    f" INDEXED BY sqlite_autoindex_dentries_1 WHERE (parent, name) {relation} (?, ?)"
    f" ORDER BY parent {direction}, name {direction} LIMIT 1"
    for relation, direction in (("<", "DESC"), (">", "ASC"))
)
"""The rows on either side of where a name would be, be they of another directory."""
UPSERT_DENTRY: Final = "INSERT OR REPLACE INTO dentries VALUES (?, ?, ?, ?, ?, ?)"
DELETE_DENTRY: Final = "DELETE FROM dentries WHERE parent = ? AND name = ?"

SELECT_XATTRS: Final = "SELECT ino, name, value, sum FROM xattrs WHERE ino = ?"
UPSERT_XATTR: Final = """
INSERT INTO xattrs VALUES (?, ?, ?, ?)
ON CONFLICT (ino, name) DO UPDATE SET value = excluded.value, sum = excluded.sum"""
DELETE_XATTR: Final = "DELETE FROM xattrs WHERE ino = ? AND name = ?"
DELETE_XATTRS: Final = "DELETE FROM xattrs WHERE ino = ?"

SELECT_EXTENTS: Final = "SELECT * FROM extents WHERE ino = ? ORDER BY offset"
UPSERT_EXTENT: Final = "INSERT OR REPLACE INTO extents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
DELETE_EXTENT: Final = "DELETE FROM extents WHERE ino = ? AND offset = ?"

SELECT_NAMES: Final = """
SELECT parent, name, ino, cookie, kind, sum FROM dentries INDEXED BY dentries_by_inode
WHERE ino = ?"""

SELECT_PLAIN_FILES: Final = f"""
SELECT n.ino, n.mode, n.uid, n.gid, n.size, n.mtime, d.parent, d.name
FROM nodes n CROSS JOIN dentries d INDEXED BY dentries_by_inode ON d.ino = n.ino
WHERE n.ino IN ({", ".join("?" * NODES_AT_ONCE)}) AND n.nlink = 1 AND n.xattr_count = 0"""

SELECT_VECTORS: Final = "SELECT * FROM vectors WHERE ino = ?"
SELECT_VECTOR: Final = "SELECT * FROM vectors WHERE ino = ? AND space = ? AND passage = ?"
SELECT_SPACE_VECTORS: Final = "SELECT * FROM vectors WHERE space = ?"
SELECT_SPACE_LISTING: Final = """
SELECT ino, passage, lsn FROM vectors INDEXED BY vectors_listed WHERE space = ?
ORDER BY ino, passage"""
SELECT_SOME_VECTORS: Final = f"""
SELECT * FROM vectors WHERE space = ? AND ino IN ({", ".join("?" * NODES_AT_ONCE)})"""
SELECT_VECTORS_BETWEEN: Final = "SELECT * FROM vectors WHERE space = ? AND ino BETWEEN ? AND ?"
UPSERT_VECTOR: Final = """
INSERT INTO vectors VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (ino, space, passage) DO UPDATE
SET lsn = excluded.lsn, origin = excluded.origin, stale = excluded.stale, value = excluded.value,
sum = excluded.sum"""
DELETE_VECTOR: Final = "DELETE FROM vectors WHERE ino = ? AND space = ? AND passage = ?"
DELETE_VECTORS: Final = "DELETE FROM vectors WHERE ino = ?"

SELECT_SPACES: Final = "SELECT * FROM spaces"
UPSERT_SPACE: Final = "INSERT OR REPLACE INTO spaces VALUES (?, ?, ?, ?, ?, ?)"
DELETE_SPACE: Final = "DELETE FROM spaces WHERE space = ?"

SELECT_SEGMENTS: Final = "SELECT segment, live_bytes, sum FROM segments"
UPSERT_SEGMENT: Final = "INSERT OR REPLACE INTO segments VALUES (?, ?, ?)"
DELETE_SEGMENT: Final = "DELETE FROM segments WHERE segment = ?"
