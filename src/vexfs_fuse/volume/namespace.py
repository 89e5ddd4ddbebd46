"""Decides what happens to names: create, link, unlink, rename."""

import logging
import stat
from collections.abc import Iterator
from typing import Final

from vexfs_fuse.errors import (
    CorruptData,
    DirectoryNotEmpty,
    Exists,
    InvalidArgument,
    IsADirectory,
    NameTooLong,
    NotADirectory,
    NotFound,
    NotPermitted,
    TooManyLinks,
)
from vexfs_fuse.tree import acl
from vexfs_fuse.tree.names import SYMLINK_BYTES_MAX, check_name
from vexfs_fuse.tree.node import Dentry, Node
from vexfs_fuse.tree.tree import Tree, ancestors
from vexfs_fuse.units import LINKS_MAX, NAME_BYTES_MAX, Inode
from vexfs_fuse.volume.changes import Created, Exchanged, Linked, Purged, Renamed, Unlinked
from vexfs_fuse.volume.files import Files
from vexfs_fuse.volume.saves import BACKUP_SUFFIX
from vexfs_fuse.volume.vector_changes import VectorChanges
from vexfs_fuse.volume.writer import SYSTEM, Caller, Writer

log = logging.getLogger(__name__)

NO_REPLACE, EXCHANGE = 1, 2
"""Flags of renameat2(2)."""

RENAME_FLAGS: Final = frozenset({0, NO_REPLACE, EXCHANGE})

PURGE_SLICE: Final = 64
"""Inodes that one record lets go of: about a millisecond."""

NO_INODE: Final = Inode(0)

_SPECIAL = {
    stat.S_IFREG,
    stat.S_IFDIR,
    stat.S_IFLNK,
    stat.S_IFIFO,
    stat.S_IFSOCK,
    stat.S_IFCHR,
    stat.S_IFBLK,
}


class Namespace:
    """Every change of names.  The kernel has checked modes, ACLs and sticky bits before."""

    def __init__(self, tree: Tree, writer: Writer, files: Files, vectors: VectorChanges) -> None:
        self._tree = tree
        self._writer = writer
        self._files = files
        self._vectors = vectors
        self.unused: list[Inode] = []  # without links, handles and references of the kernel

    def directory(self, ino: Inode) -> Node:
        """Return a directory's node.

        Raises
        ------
        NotFound, NotADirectory
        """
        node = self._tree.nodes.get(ino) or self._tree.node(ino)
        if node.mode & 0o170000 != stat.S_IFDIR:
            raise NotADirectory
        return node

    def _entry(self, parent: Node, name: bytes) -> Dentry:
        if len(name) > NAME_BYTES_MAX:
            raise NameTooLong
        entry = self._tree.entry(parent, name)
        if entry is None:
            raise NotFound
        return entry

    def find(self, parent_ino: Inode, name: bytes) -> Node:
        """Return the node that a name stands for.

        Raises
        ------
        NotFound, NotADirectory, NameTooLong, CorruptData
        """
        node = self.find_if_there(parent_ino, name)
        if node is None:
            raise NotFound
        return node

    def find_if_there(self, parent_ino: Inode, name: bytes) -> Node | None:
        """As `find`, but None for a name that is absent from a directory: raising costs 1 us."""
        if len(name) > NAME_BYTES_MAX:
            raise NameTooLong
        tree = self._tree
        entry = tree.entry(self.directory(parent_ino), name)
        if entry is None:
            return None
        return tree.nodes.get(entry.ino) or tree.named(entry)

    def create(
        self,
        parent_ino: Inode,
        name: bytes,
        mode: int,
        who: Caller,
        rdev: int = 0,
        target: bytes | None = None,
    ) -> Node:
        """Make a new inode of any type (mode & S_IFMT) under a new name.

        In a directory with the setgid bit it takes the directory's group, and a directory the bit too.

        Raises
        ------
        Exists, NotFound, NotADirectory, NameTooLong, InvalidArgument, TooManyLinks, NoSpace, ReadOnly
        """
        check_name(name)
        parent = self.directory(parent_ino)
        if parent.nlink == 0:
            raise NotFound
        if self._tree.entry(parent, name) is not None:
            raise Exists
        kind = mode & 0o170000
        if kind == stat.S_IFDIR and parent.nlink >= LINKS_MAX:
            raise TooManyLinks
        if kind not in _SPECIAL:
            raise InvalidArgument(f"file type {kind:o}")
        if target is not None and not 0 < len(target) <= SYMLINK_BYTES_MAX:
            raise NameTooLong if target else NotFound
        gid = who.gid
        if parent.mode & stat.S_ISGID:
            gid = parent.gid
            if kind == stat.S_IFDIR:
                mode |= stat.S_ISGID
        xattrs = None
        if kind != stat.S_IFLNK:
            if parent.xattr_count:
                xattrs, mode = self._inherited(parent, mode, who.umask)
            else:
                mode &= ~who.umask
        self._writer.admit()
        change = Created(parent_ino, name, mode, who.uid, gid, rdev, target, xattrs)
        node = self._writer.commit(self._writer.applier.next_inode, change, who)
        assert node is not None
        if self._vectors.aside:
            self._vectors.succeed(node, parent_ino, name, who)
        return node

    def _inherited(
        self, parent: Node, mode: int, umask: int
    ) -> tuple[list[tuple[bytes, bytes]] | None, int]:
        """Return the ACLs that a default list gives a new inode, and its mode under them.

        Such a list takes the place of the umask, acl(5).
        """
        default = self._tree.xattrs(parent).get(acl.DEFAULT)
        if default is None:
            return None, mode & ~umask
        entries, mode = acl.inherited(acl.parse(default), mode)
        lists = [] if acl.is_minimal(entries) else [(acl.ACCESS, acl.encode(entries))]
        if stat.S_ISDIR(mode):
            lists.append((acl.DEFAULT, default))
        return lists or None, mode

    def link(self, ino: Inode, parent_ino: Inode, name: bytes, who: Caller) -> Node:
        """Give an inode a further name.

        Raises
        ------
        NotPermitted
            A directory.
        Exists, NotFound, NotADirectory, NameTooLong, TooManyLinks, NoSpace, ReadOnly
        """
        check_name(name)
        node, parent = self._tree.node(ino), self.directory(parent_ino)
        if node.is_dir:
            raise NotPermitted("hard links to directories are not possible")
        if node.nlink == 0 or parent.nlink == 0:
            raise NotFound
        if node.nlink >= LINKS_MAX:
            raise TooManyLinks
        if self._tree.entry(parent, name) is not None:
            raise Exists
        self._writer.admit()
        self._writer.commit(ino, Linked(parent_ino, name), who)
        return node

    def unlink(self, parent_ino: Inode, name: bytes, who: Caller) -> Node:
        """Remove the name of anything but a directory.

        Raises
        ------
        NotFound, NotADirectory, IsADirectory, NameTooLong, NoSpace, ReadOnly
        """
        entry = self._entry(self.directory(parent_ino), name)
        if entry.kind == stat.S_IFDIR:
            raise IsADirectory
        if entry.ino not in self._tree.nodes:
            self._tree.named(entry)  # what is damaged is found before anything is logged
        self._writer.admit(is_freeing=True)
        node = self._writer.commit(entry.ino, Unlinked(parent_ino, name), who)
        assert node is not None
        return node

    def remove_directory(self, parent_ino: Inode, name: bytes, who: Caller) -> Node:
        """Remove an empty directory.

        Raises
        ------
        DirectoryNotEmpty, NotFound, NotADirectory, NameTooLong, NoSpace, ReadOnly
        """
        if name == b".":
            raise InvalidArgument("the last component is .")
        node = self.find(parent_ino, name)
        if not node.is_dir:
            raise NotADirectory
        if node.children:
            raise DirectoryNotEmpty
        self._writer.admit(is_freeing=True)
        self._writer.commit(node.ino, Unlinked(parent_ino, name), who)
        return node

    def rename(
        self,
        parent_ino: Inode,
        name: bytes,
        new_parent_ino: Inode,
        new_name: bytes,
        flags: int,
        who: Caller,
    ) -> Node | None:
        """Rename as renameat2(2); return the inode that lost a name by it, if any.

        Contents that were written under the old name reach the journal before the new name does, so
        that no crash leaves a replaced file empty.

        Raises
        ------
        InvalidArgument
            Unknown flags, or a directory into itself.
        Exists
            NO_REPLACE and the new name is taken.
        NotFound, NotADirectory, IsADirectory, DirectoryNotEmpty, NameTooLong, NoSpace, ReadOnly
        """
        if flags not in RENAME_FLAGS:
            raise InvalidArgument(f"rename flags {flags}")
        old, new = self.directory(parent_ino), self.directory(new_parent_ino)
        entry = self._entry(old, name)
        if flags != EXCHANGE:
            check_name(new_name)
        node = self._tree.nodes.get(entry.ino) or self._tree.named(entry)
        if new.nlink == 0:
            raise NotFound
        if old is not new and node.is_dir:
            self._refuse_loop(node, new)
        if flags == EXCHANGE:
            self._exchange(old, name, node, new, new_name, who)
            return None
        target = self._tree.entry(new, new_name)
        if target is not None and flags == NO_REPLACE:
            raise Exists
        if target is not None and target.ino == node.ino:
            return None
        replaced = self._replaceable(target, node) if target is not None else None
        if node.content is not None:
            self._files.flush(node)
        self._writer.admit()
        change = Renamed(
            parent_ino, name, new_parent_ino, new_name, replaced.ino if replaced else NO_INODE
        )
        self._writer.commit(node.ino, change, who)
        if replaced is not None:
            self._vectors.move_by_save(node, replaced, who)
        if new_name.endswith(BACKUP_SUFFIX) and old is new:
            self._vectors.put_aside(node, parent_ino, name, who)
        return replaced

    def _replaceable(self, entry: Dentry, node: Node) -> Node:
        target = self._tree.named(entry)
        if target.is_dir:
            if not node.is_dir:
                raise IsADirectory
            if target.children:
                raise DirectoryNotEmpty
        elif node.is_dir:
            raise NotADirectory
        return target

    def _exchange(
        self, old: Node, name: bytes, node: Node, new: Node, new_name: bytes, who: Caller
    ) -> None:
        other = self._tree.named(self._entry(new, new_name))
        if other is node:
            return
        if other.is_dir and old is not new:
            self._refuse_loop(other, old)
        for each in (node, other):
            if each.content is not None:
                self._files.flush(each)
        self._writer.admit()
        self._writer.commit(node.ino, Exchanged(old.ino, name, new.ino, new_name, other.ino), who)

    def _refuse_loop(self, node: Node, into: Node) -> None:
        if node.ino in ancestors(self._tree, into):
            raise InvalidArgument("a directory cannot move into itself")

    def let_go(self, ino: Inode) -> None:
        """Note that nobody uses an inode without links any more: `purge` is for an idle moment."""
        self.unused.append(ino)

    def purge(self) -> Iterator[None]:
        """Let go of the inodes that nobody uses, with their contents; yields between two slices."""
        while self.unused and self._writer.refusal is None:
            inodes = [ino for ino in self.unused[-PURGE_SLICE:] if self._is_whole(ino)]
            self._writer.admit(is_freeing=True)
            del self.unused[-PURGE_SLICE:]
            if inodes:
                self._writer.commit(Inode(0), Purged(inodes), SYSTEM)
            yield

    def _is_whole(self, ino: Inode) -> bool:
        """Whether all that goes with an inode can be read; what cannot waits for `fsck --repair`."""
        try:
            node = self._tree.node(ino)
            self._tree.xattrs(node)
            self._files.require(node)
        except CorruptData as damage:
            log.warning("inode %d cannot be let go of: %s", ino, damage)
            return False
        return True
