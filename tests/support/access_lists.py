"""POSIX access control lists as the attributes that the kernel takes and gives."""

import os
import struct
from pathlib import Path

from tests.support.persons import Person

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"
VERSION = 2
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32
NOBODY_IN_PARTICULAR = 0xFFFF_FFFF

Entry = tuple[int, int, int]


def acl(*entries: Entry) -> bytes:
    """The attribute's value for (tag, permissions, id) entries."""
    packed = (struct.pack("<HHI", tag, permissions, who) for tag, permissions, who in entries)
    return struct.pack("<I", VERSION) + b"".join(packed)


def entries_of(path: Path, name: str) -> list[Entry]:
    """The (tag, permissions, id) entries that a path has."""
    value = os.getxattr(path, name)
    return [struct.unpack_from("<HHI", value, at) for at in range(4, len(value), 8)]


def acl_for(person: Person, permissions: int, *, mask: int = 7, owner: int = 6) -> bytes:
    """One that gives `person` these permissions and the world none."""
    return acl(
        (USER_OBJ, owner, NOBODY_IN_PARTICULAR),
        (USER, permissions, person.uid),
        (GROUP_OBJ, 0, NOBODY_IN_PARTICULAR),
        (MASK, mask, NOBODY_IN_PARTICULAR),
        (OTHER, 0, NOBODY_IN_PARTICULAR),
    )
