"""The integers that must not be mixed, and sizes with a name."""

from typing import Final, NewType

Inode = NewType("Inode", int)
"""Number of a file, directory or other object; never reused within a volume."""

Lsn = NewType("Lsn", int)
"""Log sequence number: 1 for the first journal record of a volume, then without gaps."""

Handle = NewType("Handle", int)
"""Number of an open file or directory, unique while the volume is mounted."""

Segment = NewType("Segment", int)
"""Number of a segment file; 0 stands for contents carried inline by the record."""

Slot = NewType("Slot", int)
"""Place of a page in the pool, counted in 4 KiB units from the pool's start."""

ROOT: Final = Inode(1)

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

NAME_BYTES_MAX: Final = 255
LINKS_MAX: Final = 2**31 - 1
FILE_BYTES_MAX: Final = 2**63 - 1
XATTR_NAME_BYTES_MAX: Final = 255
XATTR_VALUE_BYTES_MAX: Final = 64 * KIB
CHECKSUM_BYTES: Final = 64 * KIB
"""The most contents that one checksum covers."""
INLINE_BYTES_MAX: Final = 4 * KIB
"""The most contents that travel inside a journal record."""

NS_PER_S: Final = 1_000_000_000
