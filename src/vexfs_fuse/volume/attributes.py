"""Decides what happens to attributes: modes, owners, times, extended attributes, access lists."""

import stat
from collections.abc import Callable
from typing import NamedTuple

from vexfs_fuse.errors import (
    AccessDenied,
    AttributeTooBig,
    InvalidArgument,
    NoAttribute,
    NoSpace,
    NotSupported,
)
from vexfs_fuse.tree import acl
from vexfs_fuse.tree.node import Node
from vexfs_fuse.tree.tree import Tree
from vexfs_fuse.units import XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX, Inode
from vexfs_fuse.volume.apply import CAPABILITY
from vexfs_fuse.volume.changes import Accessed, AttributesSet, XattrRemoved, XattrSet
from vexfs_fuse.volume.groups import is_member
from vexfs_fuse.volume.writer import SYSTEM, Caller, Writer

XATTR_LIST_BYTES_MAX = 64 * 1024
"""All names of one inode together, each with its NUL: what listxattr(2) can return."""

TIME_NS_MAX = 2**63 - 1

HIDDEN = b"vexfs."
"""Attributes that the volume keeps for itself."""

PREFIXES = (b"user.", b"trusted.", b"security.")


class Attributes(NamedTuple):
    """What setattr may change; None leaves one as it is.  Times in ns since 1970."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime: int | None = None
    mtime: int | None = None


def _nobody(ino: Inode) -> None:
    """Tell nobody."""


class AttributeChanges:
    """Every change of an inode's attributes but its size."""

    def __init__(self, tree: Tree, writer: Writer) -> None:
        self._tree = tree
        self._writer = writer
        self.clears_set_id = True  # whether the kernel leaves it to us (HANDLE_KILLPRIV_V2)
        self.on_stale: Callable[[Inode], None] = _nobody  # what the kernel keeps of it is wrong now

    def set(self, node: Node, wanted: Attributes, who: Caller) -> None:
        """Set mode, owner, group and times.

        A change of owner or group clears set-id bits and security.capability as chown(2) says; a mode
        carries the access list along.

        Raises
        ------
        NoSpace, ReadOnly
        """
        mode = wanted.mode & 0o7777 if wanted.mode is not None else None
        atime, mtime = _in_range(wanted.atime), _in_range(wanted.mtime)
        # chown(path, -1, -1) asks for nothing, and clears set-id bits all the same
        is_empty = wanted == Attributes()
        owner_moves = is_empty or wanted.uid is not None or wanted.gid is not None
        if owner_moves and not node.is_dir:
            mode = without_set_id(node.mode if mode is None else mode) & 0o7777
        uncapable = owner_moves and self._has_capability(node)
        access = None
        if mode is not None and node.xattr_count:
            access = self._access_list(node, mode)
        self._writer.admit()
        change = AttributesSet(mode, wanted.uid, wanted.gid, atime, mtime, access, uncapable)
        self._writer.commit(node.ino, change, who)

    def _access_list(self, node: Node, mode: int) -> bytes | None:
        held = self._tree.xattrs(node).get(acl.ACCESS)
        return acl.encode(acl.with_mode(acl.parse(held), mode)) if held is not None else None

    def _has_capability(self, node: Node) -> bool:
        return bool(node.xattr_count) and CAPABILITY in self._tree.xattrs(node)

    def drop_privileges(self, node: Node) -> None:
        """Clear set-id bits and security.capability because somebody writes who may not keep them."""
        mode = without_set_id(node.mode)
        uncapable = self._has_capability(node)
        if mode == node.mode and not uncapable:
            return
        self._writer.admit()
        change = AttributesSet(mode & 0o7777, None, None, None, None, None, uncapable)
        self._writer.commit(node.ino, change, SYSTEM)
        self.on_stale(node.ino)  # a write's answer carries no mode

    def has_privileges(self, node: Node) -> bool:
        """Whether a write by somebody without privilege must clear something."""
        return without_set_id(node.mode) != node.mode or self._has_capability(node)

    def touch_atime(self, node: Node, now_ns: int) -> None:
        """Move atime, if the volume takes changes and finds room for this one: reading always works."""
        if self._writer.refusal is not None:
            return
        try:
            self._writer.admit()
        except NoSpace:
            return
        self._writer.commit(node.ino, Accessed(now_ns), SYSTEM)

    def get_xattr(self, node: Node, name: bytes) -> bytes:
        """Return an extended attribute's value.

        Raises
        ------
        NoAttribute
        """
        held = node.xattrs
        if held is None:
            held = self._tree.xattrs(node)
        value = held.get(name)
        if value is None:
            raise NoAttribute
        return value

    def list_xattrs(self, node: Node) -> list[bytes]:
        """Return the names of the inode's extended attributes."""
        return [name for name in self._tree.xattrs(node) if not name.startswith(HIDDEN)]

    def set_xattr(self, node: Node, name: bytes, value: bytes, who: Caller) -> None:
        """Set an extended attribute; an access list also sets the mode.

        Raises
        ------
        NotSupported
            A namespace other than user, trusted, security and the POSIX ACLs.
        InvalidArgument, AttributeTooBig, NoSpace, AccessDenied, ReadOnly
        """
        if name in acl.LISTS:
            self._set_list(node, name, value, who)
            return
        self._check_xattr(node, name, value)
        writer = self._writer
        writer.admit()
        writer.commit(node.ino, XattrSet(name, value, None), who)

    def set_hidden(self, node: Node, name: bytes, value: bytes | None, who: Caller) -> None:
        """Set or remove an attribute that the volume keeps for itself; no program sees it.

        Raises
        ------
        NoAttribute, NoSpace, ReadOnly
        """
        if value is None and name not in self._tree.xattrs(node):
            raise NoAttribute
        self._writer.admit(is_freeing=value is None)
        change = XattrRemoved(name, None) if value is None else XattrSet(name, value, None)
        self._writer.commit(node.ino, change, who)

    def _check_xattr(self, node: Node, name: bytes, value: bytes) -> None:
        if not name.startswith(PREFIXES):
            raise NotSupported("this namespace of extended attributes")
        if not 0 < len(name) <= XATTR_NAME_BYTES_MAX or name in PREFIXES:
            raise InvalidArgument("the attribute's name")
        if len(value) > XATTR_VALUE_BYTES_MAX:
            raise AttributeTooBig
        held = self._tree.xattrs(node)
        if name not in held and held:
            names_bytes = sum(map(len, held)) + len(held) + len(name) + 1
            if names_bytes > XATTR_LIST_BYTES_MAX:
                raise NoSpace("the inode's attribute names")

    def _set_list(self, node: Node, name: bytes, value: bytes, who: Caller) -> None:
        if stat.S_ISLNK(node.mode):
            raise NotSupported("a symlink has no ACL")
        if name == acl.DEFAULT and not node.is_dir:
            raise AccessDenied("only a directory has a default ACL")
        self._tree.xattrs(node)  # what is damaged is found before anything is logged
        if len(value) <= 4:
            self._writer.admit()
            self._writer.commit(node.ino, XattrRemoved(name, None), who)
            return
        entries = acl.parse(value)
        self._writer.admit()
        if name == acl.DEFAULT:
            self._writer.commit(node.ino, XattrSet(name, value, None), who)
            return
        mode = acl.mode_from(entries, node.mode)
        if mode & stat.S_ISGID and not is_member(node.gid, who):
            mode &= ~stat.S_ISGID
        if acl.is_minimal(entries):
            self._writer.commit(node.ino, XattrRemoved(name, mode & 0o7777), who)
        else:
            self._writer.commit(node.ino, XattrSet(name, value, mode & 0o7777), who)

    def remove_xattr(self, node: Node, name: bytes, who: Caller) -> None:
        """Remove an extended attribute.

        Raises
        ------
        NoAttribute, NoSpace, ReadOnly
        """
        if name not in self._tree.xattrs(node):
            raise NoAttribute
        self._writer.admit()
        self._writer.commit(node.ino, XattrRemoved(name, None), who)


def _in_range(time_ns: int | None) -> int | None:
    """Return the nearest time that the format holds: 1677-09-21 to 2262-04-11."""
    return None if time_ns is None else max(-TIME_NS_MAX, min(time_ns, TIME_NS_MAX))


def without_set_id(mode: int) -> int:
    """Return the mode after a write by somebody without privilege: no setuid, no setgid if executable."""
    mode &= ~stat.S_ISUID
    return mode & ~stat.S_ISGID if mode & stat.S_IXGRP else mode
