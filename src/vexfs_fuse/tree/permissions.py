"""Who may access an inode: mode bits and access lists, as the kernel checks them under default_permissions.

The rules are those of path_resolution(7) and acl(5): root may read and write all, and execute what
anybody may execute; otherwise the first entry that is about the caller decides.
"""

import stat
from collections.abc import Callable, Mapping
from typing import Protocol

from vexfs_fuse.tree import acl
from vexfs_fuse.tree.node import Node

READ, WRITE, EXECUTE = 4, 2, 1
"""Bits of access(2)."""


class Who(Protocol):
    """A caller's identity."""

    @property
    def uid(self) -> int:
        """User id."""
        ...

    @property
    def gid(self) -> int:
        """Group id."""
        ...


def may(
    node: Node,
    xattrs: Mapping[bytes, bytes],
    mask: int,
    who: Who,
    in_group: Callable[[int], bool] | None = None,
) -> bool:
    """Whether `who` may access `node` in all ways of `mask`.

    Parameters
    ----------
    in_group
        Whether the caller has a gid among its groups; by default its own gid is the only one.
    """
    if who.uid == 0:
        return not mask & EXECUTE or node.is_dir or bool(node.mode & 0o111)
    member = in_group if in_group is not None else who.gid.__eq__
    value = xattrs.get(acl.ACCESS)
    if value is not None:
        return _bits_by_list(acl.parse(value), node, who, member, mask)
    return mask & ~_bits_by_mode(node, who, member) == 0


def _bits_by_mode(node: Node, who: Who, member: Callable[[int], bool]) -> int:
    mode = stat.S_IMODE(node.mode)
    if who.uid == node.uid:
        return mode >> 6 & 7
    return mode >> 3 & 7 if member(node.gid) else mode & 7


def _bits_by_list(
    entries: list[acl.Entry], node: Node, who: Who, member: Callable[[int], bool], mask: int
) -> bool:
    limit = acl.bits(entries, acl.MASK)
    limit = 7 if limit is None else limit
    if who.uid == node.uid:
        return mask & ~(acl.bits(entries, acl.USER_OBJ) or 0) == 0
    for entry in entries:
        if entry.tag == acl.USER and entry.id == who.uid:
            return mask & ~(entry.bits & limit) == 0
    groups = [
        entry.bits & limit
        for entry in entries
        if (entry.tag == acl.GROUP_OBJ and member(node.gid))
        or (entry.tag == acl.GROUP and member(entry.id))
    ]
    if groups:
        return any(mask & ~bits == 0 for bits in groups)
    return mask & ~(acl.bits(entries, acl.OTHER) or 0) == 0
