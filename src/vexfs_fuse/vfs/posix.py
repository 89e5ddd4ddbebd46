"""A mounted volume as POSIX sees it: requests by inode, name and handle.

Translates nothing for any protocol: arguments are plain values, failures are classes of `errors`.  The
virtual trees hang in at `virtual`; everything else goes to the volume.
"""

import stat
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, Final

from vexfs_fuse.errors import (
    BadHandle,
    CrossDevice,
    IsADirectory,
    NotADirectory,
    NotFound,
    NotPermitted,
    NotSupported,
)
from vexfs_fuse.pending import Durable
from vexfs_fuse.tree.node import Node
from vexfs_fuse.tree.permissions import may
from vexfs_fuse.units import ROOT, Handle, Inode
from vexfs_fuse.vfs.access_times import AccessTimes
from vexfs_fuse.vfs.directories import Directories
from vexfs_fuse.vfs.forgetting import Forgetting
from vexfs_fuse.vfs.handles import WRITE_FLAGS, Handles, OpenDirectory, OpenFile, Writing
from vexfs_fuse.vfs.virtual import VIRTUAL_FROM, OpenVirtual, VirtualTrees
from vexfs_fuse.volume.attributes import Attributes
from vexfs_fuse.volume.contents import Bytes
from vexfs_fuse.volume.files import dense
from vexfs_fuse.volume.vector_changes import PREFIX as VECTOR_PREFIX
from vexfs_fuse.volume.volume import Space, Volume
from vexfs_fuse.volume.writer import Caller

NOTHING: Final = Attributes()
TRUNCATE_FLAG: Final = 0o1000  # O_TRUNC


class Vfs:
    """All operations of a mounted volume; the kernel has checked modes and ACLs before it asks."""

    def __init__(self, volume: Volume, virtual: VirtualTrees, *, open_max: int, atime: str) -> None:
        self.volume = volume
        self._virtual = virtual
        self._tree = volume.tree
        self._nodes = volume.tree.nodes
        self._names = volume.names
        self._files = volume.files
        self._attributes = volume.attributes
        self._vectors = volume.vectors
        self._handles = Handles(open_max)
        self._directories = Directories(volume.tree)
        self._open = self._handles.open
        self._lookups: dict[int, int] = {}
        self._orphans = volume.orphans
        self._times = AccessTimes(volume, atime)
        self._read, self._write = volume.files.read, volume.files.write
        self.writing = Writing()
        self.changed_behind: Callable[[Inode], None] = _nobody_keeps
        self.forget = Forgetting(self._forget, volume.chores).take

    @property
    def clears_set_id(self) -> bool:
        """Whether the kernel leaves it to us to clear set-id bits (HANDLE_KILLPRIV_V2)."""
        return self._attributes.clears_set_id

    @clears_set_id.setter
    def clears_set_id(self, value: bool) -> None:
        self._attributes.clears_set_id = value

    @property
    def on_stale(self) -> Callable[[Inode], None]:
        """What is called when the kernel keeps attributes of an inode that have changed behind it."""
        return self._attributes.on_stale

    @on_stale.setter
    def on_stale(self, tell: Callable[[Inode], None]) -> None:
        self._attributes.on_stale = tell

    @staticmethod
    def is_virtual(ino: int) -> bool:
        """Whether an inode belongs to a virtual tree, of which the kernel must keep nothing."""
        return ino >= VIRTUAL_FROM

    # -- names ---------------------------------------------------------------------------------

    def lookup(self, parent: Inode, name: bytes, who: Caller) -> Any:
        """Return the entry of a name, and count the kernel's reference to it."""
        found = self.find(parent, name, who)
        if found is None:
            raise NotFound
        return found

    def find(self, parent: Inode, name: bytes, who: Caller) -> Any:
        """As `lookup`, but None where a real name is absent, which the kernel may remember."""
        if parent >= VIRTUAL_FROM or name[:1] == b".":
            found = self._lookup_dotted(parent, name, who)
            if found is not None:
                return found
        node = self._names.find_if_there(parent, name)
        if node is not None:
            ino = node.ino
            lookups = self._lookups
            lookups[ino] = lookups.get(ino, 0) + 1
        return node

    def _lookup_dotted(self, parent: Inode, name: bytes, who: Caller) -> Any:
        if parent >= VIRTUAL_FROM:
            return self._virtual.of(parent).lookup(parent, name, who)
        if name == b".":
            return self._counted(self._tree.node(parent))
        if name == b"..":
            return self._counted(self._tree.node(self._names.directory(parent).parent))
        return self._virtual.entry_into(parent, name, who)

    def _counted(self, node: Node) -> Node:
        self._lookups[node.ino] = self._lookups.get(node.ino, 0) + 1
        return node

    def remember(self, inodes: Iterable[int]) -> None:
        """Count the references that readdir has given to the kernel, one for each."""
        lookups = self._lookups
        for ino in inodes:
            if ino < VIRTUAL_FROM:
                lookups[ino] = lookups.get(ino, 0) + 1
            else:
                self._virtual.of(Inode(ino)).remember(Inode(ino))

    def _forget(self, inodes: Iterable[tuple[int, int]]) -> None:
        """The kernel gives back `n` references to each inode."""
        lookups, orphans = self._lookups, self._orphans
        for ino, n in inodes:
            if ino >= VIRTUAL_FROM:
                self._virtual.of(Inode(ino)).forget(Inode(ino), n)
                continue
            left = lookups.pop(ino, 0) - n
            if left > 0:
                lookups[ino] = left
            elif ino in orphans:
                self._let_go(Inode(ino))

    def _let_go(self, ino: Inode) -> None:
        """Purge an inode without links, once neither handles nor the kernel refer to it."""
        if ino in self._lookups:
            return
        node = self._tree.node(ino)
        if not node.opens:
            self._names.let_go(ino)

    def mknod(self, parent: Inode, name: bytes, mode: int, rdev: int, who: Caller) -> Any:
        """Make a file, FIFO, socket or device."""
        self._real(parent, name)
        return self._counted(self._names.create(parent, name, mode, who, rdev))

    def mkdir(self, parent: Inode, name: bytes, mode: int, who: Caller) -> Any:
        """Make a directory; among saved queries, save one."""
        if parent >= VIRTUAL_FROM:
            return self._virtual.of(parent).make_directory(parent, name, who)
        self._real(parent, name)
        return self._counted(self._names.create(parent, name, mode & 0o7777 | stat.S_IFDIR, who))

    def symlink(self, parent: Inode, name: bytes, target: bytes, who: Caller) -> Any:
        """Make a symbolic link."""
        self._real(parent, name)
        return self._counted(self._names.create(parent, name, stat.S_IFLNK | 0o777, who, 0, target))

    def link(self, ino: Inode, parent: Inode, name: bytes, who: Caller) -> Any:
        """Give an inode a further name."""
        self._real(parent, name)
        if ino >= VIRTUAL_FROM:
            raise CrossDevice
        return self._counted(self._names.link(ino, parent, name, who))

    def unlink(self, parent: Inode, name: bytes, who: Caller) -> None:
        """Remove a name that is not a directory's."""
        if parent >= VIRTUAL_FROM:
            self._virtual.of(parent).remove(parent, name, who)
            return
        self._real(parent, name)
        node = self._names.unlink(parent, name, who)
        if node.nlink == 0 and node.ino not in self._lookups:
            self._let_go(node.ino)

    def rmdir(self, parent: Inode, name: bytes, who: Caller) -> None:
        """Remove an empty directory; among saved queries, forget one."""
        if parent >= VIRTUAL_FROM:
            self._virtual.of(parent).remove(parent, name, who)
            return
        self._real(parent, name)
        self._let_go(self._names.remove_directory(parent, name, who).ino)

    def rename(
        self,
        parent: Inode,
        name: bytes,
        new_parent: Inode,
        new_name: bytes,
        flags: int,
        who: Caller,
    ) -> None:
        """Rename, with the flags of renameat2(2)."""
        self._real(parent, name)
        self._real(new_parent, new_name)
        replaced = self._names.rename(parent, name, new_parent, new_name, flags, who)
        if replaced is not None and replaced.nlink == 0 and replaced.ino not in self._lookups:
            self._let_go(replaced.ino)

    def _real(self, parent: Inode, name: bytes) -> None:
        """Refuse changes of names in, or hiding, a virtual tree."""
        if parent >= VIRTUAL_FROM or (name[:1] == b"." and self._virtual.reserves(parent, name)):
            raise NotPermitted("the name belongs to a virtual tree")

    # -- attributes ----------------------------------------------------------------------------

    def getattr(self, ino: Inode) -> Any:
        """Return the entry of an inode."""
        if ino >= VIRTUAL_FROM:
            return self._virtual.of(ino).node(ino)
        return self._nodes.get(ino) or self._tree.node(ino)

    def setattr(self, ino: Inode, wanted: Attributes, handle: int | None, who: Caller) -> Any:
        """Change attributes; by handle or not makes no difference, a handle pins its inode."""
        if ino >= VIRTUAL_FROM:
            return self._virtual.of(ino).set_attributes(ino, wanted, who)
        node = self._tree.node(ino)
        if wanted.size is not None:
            if node.is_dir:
                raise IsADirectory
            self._files.resize(node, wanted.size, who)
            # beside a size, the kernel only ever asks for "now" as the times
            wanted = wanted._replace(size=None, atime=None, mtime=None)
            if wanted == NOTHING:
                return node
        self._attributes.set(node, wanted, who)
        return node

    def size_times(self, entry: Any) -> tuple[int, int, int]:
        """Return size, mtime and ctime (ns) with what has been written and not flushed."""
        return self._files.size_times(entry)

    def stored(self, entry: Any) -> int:
        """Return the bytes that the file takes, as a flush of what is dirty will leave them."""
        return self.volume.contents.stored_of(entry)

    def readlink(self, ino: Inode) -> bytes:
        """Return a symbolic link's target."""
        if ino >= VIRTUAL_FROM:
            return self._virtual.of(ino).target(ino)
        target = self._tree.node(ino).target
        return target if target is not None else b""

    def access(self, ino: Inode, mask: int, who: Caller) -> bool:
        """Whether the caller may access the inode so; `mask` as in access(2)."""
        if ino >= VIRTUAL_FROM:
            return self._virtual.of(ino).may(ino, mask, who)
        node = self._tree.node(ino)
        return may(node, self._tree.xattrs(node), mask, who)

    def getxattr(self, ino: Inode, name: bytes, who: Caller) -> Any:
        """Return an extended attribute's value, at once or as a `Pending`."""
        if ino >= VIRTUAL_FROM:
            return self._virtual.of(ino).get_xattr(ino, name, who)
        if name.startswith(VECTOR_PREFIX):
            return self._vectors.tell(self._tree.node(ino), name)
        return self._attributes.get_xattr(self._nodes.get(ino) or self._tree.node(ino), name)

    def setxattr(self, ino: Inode, name: bytes, value: bytes, who: Caller) -> None:
        """Set an extended attribute."""
        if ino >= VIRTUAL_FROM:
            ino = self._changed_by_virtual(ino)
        node = self._tree.node(ino)
        if name.startswith(VECTOR_PREFIX):
            self._vectors.set(node, name, value, who)
        else:
            self._attributes.set_xattr(node, name, value, who)

    def listxattr(self, ino: Inode, who: Caller) -> list[bytes]:
        """Return the names of an inode's extended attributes."""
        if ino >= VIRTUAL_FROM:
            real = self._virtual.of(ino).stands_for(ino)
            return [] if real is None else self.listxattr(real, who)
        node = self._tree.node(ino)
        names = self._attributes.list_xattrs(node) + self._vectors.listed(node)
        return names if who.uid == 0 else [n for n in names if not n.startswith(b"trusted.")]

    def removexattr(self, ino: Inode, name: bytes, who: Caller) -> None:
        """Remove an extended attribute."""
        if ino >= VIRTUAL_FROM:
            ino = self._changed_by_virtual(ino)
        node = self._tree.node(ino)
        if name.startswith(VECTOR_PREFIX):
            self._vectors.remove(node, name, who)
        else:
            self._attributes.remove_xattr(node, name, who)

    def _changed_by_virtual(self, ino: Inode) -> Inode:
        """Return the file that a virtual one stands for, of which the kernel then keeps nothing."""
        real = self._virtual.of(ino).stands_for(ino)
        if real is None:
            raise NotSupported("attributes of a virtual file")
        self.changed_behind(real)
        return real

    def statfs(self) -> Space:
        """Return the volume's space."""
        return self.volume.space()

    # -- contents ------------------------------------------------------------------------------

    def create(
        self, parent: Inode, name: bytes, mode: int, flags: int, who: Caller
    ) -> tuple[Handle, Any]:
        """Make a regular file and open it."""
        if parent >= VIRTUAL_FROM:
            tree = self._virtual.of(parent)
            entry, opened = tree.create(parent, name, who)
            return self._handles.add(OpenVirtual(tree, opened)), entry
        self._real(parent, name)
        node = self._names.create(parent, name, mode & 0o7777 | stat.S_IFREG, who)
        self._lookups[node.ino] = 1
        handle = self._handles.add(OpenFile(node, who.uid, flags))
        self._count_open(node, flags)
        return handle, node

    def open(self, ino: Inode, flags: int, who: Caller) -> tuple[Handle, bool, bool]:
        """Open a regular file; return the handle, whether without page cache, whether to keep the cache."""
        if ino >= VIRTUAL_FROM:
            return self._open_virtual(ino, flags, who), True, False
        node = self._nodes.get(ino) or self._tree.node(ino)
        if flags & TRUNCATE_FLAG:  # for reading, too: the kernel has asked for write permission
            self._files.resize(node, 0, who)
        self._times.opened(node, flags)
        handle = self._handles.add(OpenFile(node, who.uid, flags))
        self._count_open(node, flags)
        return handle, False, True

    def read(self, handle: int, offset: int, size: int) -> Any:
        """Return at most `size` bytes from `offset`; a memoryview is good until the next request."""
        file = self._open.get(handle)
        if file.__class__ is not OpenFile:
            return self._virtual_file(file).opened.read(offset, size)
        node = file.node
        if (node.atime <= node.ctime or self._times.is_strict) and not file.keeps_atime:
            self._times.read(node)
        return self._read(node, offset, size)

    def _open_virtual(self, ino: Inode, flags: int, who: Caller) -> Handle:
        tree = self._virtual.of(ino)
        self._handles.require_room()  # what is opened counts itself
        opened = tree.open(ino, flags, who)
        if opened.__class__ is not OpenFile:
            opened = OpenVirtual(tree, opened)
        return self._handles.add(opened)

    def open_real(self, ino: Inode, flags: int, who: Caller) -> OpenFile:
        """Open a regular file without a handle, for the virtual files that stand for it."""
        node = self._nodes.get(ino) or self._tree.node(ino)
        if not node.nlink:
            raise NotFound  # no reference of the kernel's tells whether it is let go of already
        if flags & TRUNCATE_FLAG:
            self._files.resize(node, 0, who)
        self._count_open(node, flags)
        return OpenFile(node, who.uid, flags, behind=True)

    def _count_open(self, node: Node, flags: int) -> None:
        node.opens += 1
        if flags & WRITE_FLAGS:
            self.writing.begin(node.ino)

    @staticmethod
    def _virtual_file(file: Any) -> OpenVirtual:
        if isinstance(file, OpenVirtual):
            return file
        raise BadHandle

    def write(self, handle: int, offset: int, data: Bytes, who: Caller | None = None) -> Any:
        """Write at `offset`; return the number of bytes taken, after which `data` may change.

        Only where it must wait for space it needs them for longer.  Without `who`, the opener writes.
        """
        file = self._open.get(handle)
        if file.__class__ is not OpenFile:
            return self._virtual_file(file).write(offset, bytes(data))
        node = file.node
        if self._attributes.clears_set_id and (node.mode & 0o6000 or node.xattr_count):
            if not (file.keeps_set_id if who is None else who.uid == 0):
                self._attributes.drop_privileges(node)
        if file.behind:
            self.changed_behind(node.ino)
        return self._write(node, offset, data)

    def fallocate(self, handle: int, offset: int, size: int, mode: int, who: Caller) -> None:
        """Reserve, zero or punch a range, as fallocate(2)."""
        file = self._open.get(handle)
        if file.__class__ is not OpenFile:
            raise NotSupported("space of a virtual file")
        if file.behind:
            self.changed_behind(file.node.ino)
        self._files.fallocate(file.node, offset, size, mode, who)

    def seek(self, ino: Inode, handle: int, offset: int, whence: int) -> int:
        """Return where data or a hole are, from `offset` on, as lseek(2)."""
        file = self._open.get(handle)
        if file.__class__ is OpenFile:
            return self._files.seek(file.node, offset, whence)
        return dense(self._virtual.of(ino).node(ino).size, offset, whence)

    def release(self, handle: int) -> None:
        """Close a handle."""
        file = self._handles.remove(handle)
        if file.__class__ is not OpenFile:
            file.release()
            return
        node = file.node
        node.opens -= 1
        if file.writable:
            self.writing.end(node.ino)
        if not node.opens:
            if node.content is not None:
                self.volume.contents.release(node)
            if not node.nlink and node.ino not in self._lookups:
                self._let_go(node.ino)

    def fsync(self, handle: int, data_only: bool) -> Durable[None]:
        """Make the file's contents and attributes durable; for a virtual file, the whole volume's.

        The kernel does not pass on syncfs(2): `vexfs backup` syncs a file of the control tree.
        """
        file = self._handles.get(handle)
        if file.__class__ is OpenFile:
            self._files.flush(file.node, inline_allowed=True)
        else:
            for _ in self.volume.flush_aged():
                pass
        return Durable(self.volume.logged_lsn, None)

    # -- directories ---------------------------------------------------------------------------

    def opendir(self, ino: Inode, who: Caller) -> Any:
        """Open a directory."""
        if ino >= VIRTUAL_FROM:
            tree = self._virtual.of(ino)
            return self._handles.add(OpenVirtual(tree, tree.open_directory(ino, who)))
        node = self._names.directory(ino)
        handle = self._handles.add(OpenDirectory(node))
        node.opens += 1
        return handle

    def readdir(self, handle: int, cookie: int) -> Any:
        """Return an iterator over (name, entry, cookie of the next) from `cookie` on, 0 being the start."""
        directory = self._handles.get(handle)
        if directory.__class__ is OpenFile:
            raise NotADirectory
        if directory.__class__ is not OpenDirectory:
            return self._virtual_file(directory).listing.after(cookie)
        entries = self._directories.entries(directory, cookie)
        ino = directory.node.ino
        return entries if ino != ROOT else chain(entries, self._virtual.listed_in(ino, cookie))

    def releasedir(self, handle: int) -> None:
        """Close a directory."""
        directory = self._handles.remove(handle)
        if directory.__class__ is not OpenDirectory:
            directory.release()
            return
        node = directory.node
        node.opens -= 1
        if not node.opens and not node.nlink:
            self._let_go(node.ino)

    def fsyncdir(self, handle: int) -> Durable[None]:
        """Make the directory's entries durable."""
        self._handles.get(handle)
        return Durable(self.volume.logged_lsn, None)


def _nobody_keeps(ino: Inode) -> None:
    """Do nothing: no kernel keeps pages of the inode."""
