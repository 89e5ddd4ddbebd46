"""The bytes of FUSE: opcodes, flags and layouts of linux/fuse.h, as protocol 7.12 to 7.4x have them.

Knows nothing of what is asked or answered.  All numbers are in the machine's order, without gaps.
"""

from struct import Struct
from typing import Final

# opcodes
LOOKUP: Final = 1
FORGET: Final = 2
GETATTR: Final = 3
SETATTR: Final = 4
READLINK: Final = 5
SYMLINK: Final = 6
MKNOD: Final = 8
MKDIR: Final = 9
UNLINK: Final = 10
RMDIR: Final = 11
RENAME: Final = 12
LINK: Final = 13
OPEN: Final = 14
READ: Final = 15
WRITE: Final = 16
STATFS: Final = 17
RELEASE: Final = 18
FSYNC: Final = 20
SETXATTR: Final = 21
GETXATTR: Final = 22
LISTXATTR: Final = 23
REMOVEXATTR: Final = 24
OPENDIR: Final = 27
READDIR: Final = 28
RELEASEDIR: Final = 29
FSYNCDIR: Final = 30
ACCESS: Final = 34
CREATE: Final = 35
INTERRUPT: Final = 36
DESTROY: Final = 38
BATCH_FORGET: Final = 42
FALLOCATE: Final = 43
READDIRPLUS: Final = 44
RENAME2: Final = 45
LSEEK: Final = 46

# flags
FATTR_MODE, FATTR_UID, FATTR_GID, FATTR_SIZE, FATTR_ATIME, FATTR_MTIME, FATTR_FH = (
    1 << bit for bit in range(7)
)
FOPEN_DIRECT_IO: Final = 1
FOPEN_KEEP_CACHE: Final = 2
FSYNC_FDATASYNC: Final = 1

WRITE_BYTES_MAX: Final = 1 << 20
REQUEST_BYTES_MAX: Final = WRITE_BYTES_MAX + 4096
"""The longest request: a write of a mebibyte.  The kernel hands out nothing to a smaller buffer."""

# fuse_in_header: len, opcode, unique, nodeid, uid, gid, pid, total_extlen and padding
HEADER: Final = Struct("=4xIQQ")
HEADER_BYTES: Final = 40
CALLER: Final = slice(24, 36)
"""Where a request says who asks."""
IDS: Final = Struct("=III")

# what follows the header of a request
FORGET_IN: Final = Struct("=Q")
BATCH_FORGET_IN: Final = Struct("=I4x")
FORGOTTEN: Final = Struct("=QQ")  # nodeid, nlookup
# valid, fh, size, lock_owner, three times in s, three in ns, mode, uid, gid
SETATTR_IN: Final = Struct("=I4xQQ8xqq8xII4xI4xII4x")
MKNOD_IN: Final = Struct("=III4x")  # mode, rdev, umask
MKDIR_IN: Final = Struct("=II")  # mode, umask
RENAME_IN: Final = Struct("=Q")
RENAME2_IN: Final = Struct("=QI4x")
LINK_IN: Final = Struct("=Q")
OPEN_IN: Final = Struct("=I4x")
CREATE_IN: Final = Struct("=III4x")  # flags, mode, umask, open_flags
READ_IN: Final = Struct("=QQI")  # fh, offset, size; what follows concerns locks
WRITE_IN: Final = Struct("=QQI20x")  # the same, and the bytes behind it
RELEASE_IN: Final = Struct("=Q")  # fh; what follows concerns locks
FSYNC_IN: Final = Struct("=QI4x")
FALLOCATE_IN: Final = Struct("=QQQI4x")  # fh, offset, length, mode
LSEEK_IN: Final = Struct("=QQI4x")  # fh, offset, whence
SETXATTR_IN: Final = Struct("=II")  # size, flags
GETXATTR_IN: Final = Struct("=I4x")
ACCESS_IN: Final = Struct("=I4x")

WRITTEN_FROM: Final = HEADER_BYTES + WRITE_IN.size
"""Where the bytes of a write begin in its request."""

# replies, each beginning with fuse_out_header: len, error, unique
_OUT: Final = "=IiQ"
_ATTR: Final = "QQQqqqIIIIIIIIII"
"""ino, size, blocks, three times in s, three in ns, mode, nlink, uid, gid, rdev, blksize, flags"""
_ENTRY: Final = "QQQQII"
"""nodeid, generation, how long name and attributes may be kept in s, and the rest of it in ns"""

OUT: Final = Struct(_OUT)
ATTR: Final = Struct("=" + _ATTR)
ENTRY_REPLY: Final = Struct(f"{_OUT}{_ENTRY}{ATTR.size}s")
ATTR_REPLY: Final = Struct(f"{_OUT}QI4x{ATTR.size}s")
OPEN_REPLY: Final = Struct(f"{_OUT}QI4x")  # fh, flags
CREATE_REPLY: Final = Struct(f"{_OUT}{_ENTRY}{_ATTR}QI4x")
WRITE_REPLY: Final = Struct(f"{_OUT}I4x")
LSEEK_REPLY: Final = Struct(f"{_OUT}Q")
XATTR_SIZE_REPLY: Final = Struct(f"{_OUT}I4x")
# blocks, bfree, bavail, files, ffree, bsize, namelen, frsize
STATFS_REPLY: Final = Struct(f"{_OUT}QQQQQIII28x")

DIRENTRY: Final = Struct("=QQII")
"""fuse_dirent without the name: ino, off, namelen, type"""
VALIDITY: Final = Struct("=QQQII")
"""What stands behind the inode's number in an entry: `_ENTRY` without its first field"""
INO: Final = slice(8)
"""Where attributes have that number"""
DIRENTRY_PLUS_BYTES: Final = 8 + VALIDITY.size + ATTR.size + DIRENTRY.size
"""fuse_direntplus without the name: number, validity and attributes stand before the fuse_dirent"""
DIRENTRY_ALIGNMENT: Final = 8
