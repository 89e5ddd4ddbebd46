"""POSIX access control lists: their bytes, and how they and a mode follow each other.

The bytes are those of the `system.posix_acl_*` attributes (linux/posix_acl_xattr.h): a little-endian
uint32 version 2, then 8 bytes an entry: uint16 tag, uint16 permission bits, uint32 id.  The rules are
those of POSIX.1e draft 17, section 23, as acl(5) tells them.
"""

import struct
from typing import NamedTuple

from vexfs_fuse.errors import InvalidArgument

ACCESS = b"system.posix_acl_access"
DEFAULT = b"system.posix_acl_default"
LISTS = frozenset({ACCESS, DEFAULT})

USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
UNDEFINED_ID = 0xFFFFFFFF
VERSION = 2

_HEADER = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")


class Entry(NamedTuple):
    """One line of a list: whom it is about, the rwx bits, and the uid or gid of a named one."""

    tag: int
    bits: int
    id: int


def parse(value: bytes) -> list[Entry]:
    """Return the entries of an attribute value.

    Raises
    ------
    InvalidArgument
        Not a valid list: version, length, tags, or an entry that must be there is not.
    """
    if len(value) < _HEADER.size or (len(value) - _HEADER.size) % _ENTRY.size:
        raise InvalidArgument("an ACL has a header of 4 bytes and 8 bytes an entry")
    if _HEADER.unpack_from(value)[0] != VERSION:
        raise InvalidArgument("ACL version")
    entries = [Entry(*fields) for fields in _ENTRY.iter_unpack(value[_HEADER.size :])]
    _check(entries)
    return entries


def _check(entries: list[Entry]) -> None:
    tags = [entry.tag for entry in entries]
    if any(tag not in {USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER} for tag in tags):
        raise InvalidArgument("unknown ACL tag")
    if any(entry.bits & ~7 for entry in entries):
        raise InvalidArgument("ACL permission bits")
    if any(tags.count(tag) != 1 for tag in (USER_OBJ, GROUP_OBJ, OTHER)) or tags.count(MASK) > 1:
        raise InvalidArgument("an ACL has one entry each for the owner, the group and others")
    if (USER in tags or GROUP in tags) and MASK not in tags:
        raise InvalidArgument("an ACL with named entries has a mask")


def encode(entries: list[Entry]) -> bytes:
    """Return the attribute value of the entries."""
    return _HEADER.pack(VERSION) + b"".join(_ENTRY.pack(*entry) for entry in entries)


def is_minimal(entries: list[Entry]) -> bool:
    """Whether the list says no more than a mode does."""
    return len(entries) == 3


def bits(entries: list[Entry], tag: int) -> int | None:
    """Return the permission bits of the first entry with `tag`, or None."""
    return next((entry.bits for entry in entries if entry.tag == tag), None)


def mode_from(entries: list[Entry], mode: int) -> int:
    """Return `mode` with the nine permission bits that the access list gives it."""
    group = bits(entries, MASK)
    if group is None:
        group = bits(entries, GROUP_OBJ) or 0
    owner, other = bits(entries, USER_OBJ) or 0, bits(entries, OTHER) or 0
    return mode & ~0o777 | owner << 6 | group << 3 | other


def with_mode(entries: list[Entry], mode: int) -> list[Entry]:
    """Return the access list after a chmod to `mode`."""
    group_tag = MASK if any(entry.tag == MASK for entry in entries) else GROUP_OBJ
    new = {USER_OBJ: mode >> 6 & 7, group_tag: mode >> 3 & 7, OTHER: mode & 7}
    return [entry._replace(bits=new.get(entry.tag, entry.bits)) for entry in entries]


def inherited(default: list[Entry], mode: int) -> tuple[list[Entry], int]:
    """Return the access list and the mode of an object made with `mode` under a default list."""
    limit = {USER_OBJ: mode >> 6 & 7, OTHER: mode & 7}
    limit[MASK if any(entry.tag == MASK for entry in default) else GROUP_OBJ] = mode >> 3 & 7
    entries = [entry._replace(bits=entry.bits & limit.get(entry.tag, 7)) for entry in default]
    return entries, mode_from(entries, mode)
