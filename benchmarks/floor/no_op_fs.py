"""A file system in memory on pyfuse3 and trio as they come: the Python floor.

It knows the pyfuse3 interface and dictionaries; it takes none of the measures that vexfs takes
(reader loop, INIT flags, negative entries), so it shows what the stack costs without them.

usage: python no_op_fs.py [-o OPTIONS] MOUNTPOINT
"""

import argparse
import errno
import itertools
import os
import stat
import time
from collections.abc import Sequence

import pyfuse3
import trio
from pyfuse3 import EntryAttributes as Entry
from pyfuse3 import RequestContext as Context

TIMEOUT_S = 60.0
NAME_BYTES_MAX = 255
BLOCK_BYTES = 4096


class Node:
    """One inode: its attributes as pyfuse3 wants them, and whatever it holds."""

    __slots__ = ("attributes", "contents", "lookups", "names", "parent", "xattrs")

    def __init__(self, inode: int, mode: int, uid: int, gid: int, device: int = 0) -> None:
        now_ns = time.time_ns()
        entry = Entry()
        entry.st_ino = inode
        entry.st_mode = mode
        entry.st_nlink = 0
        entry.st_uid, entry.st_gid, entry.st_rdev = uid, gid, device
        entry.st_size = 0
        entry.st_atime_ns = entry.st_mtime_ns = entry.st_ctime_ns = now_ns
        entry.entry_timeout = entry.attr_timeout = TIMEOUT_S
        self.attributes = entry
        self.contents = bytearray()
        self.names: dict[bytes, Node] = {}
        self.parent: Node = self
        self.xattrs: dict[bytes, bytes] = {}
        self.lookups = 0

    def is_directory(self) -> bool:
        """Say whether this is a directory."""
        return stat.S_ISDIR(self.attributes.st_mode)

    def resize(self, size: int) -> None:
        """Cut the contents, or fill them up with zeros."""
        if size < len(self.contents):
            del self.contents[size:]
        else:
            self.contents.extend(bytes(size - len(self.contents)))
        self.attributes.st_size = size


class NoOpFileSystem(pyfuse3.Operations):
    """Every operation that the load generator uses, as directly as pyfuse3 allows."""

    supports_dot_lookup = False
    enable_writeback_cache = False

    def __init__(self) -> None:
        super().__init__()
        root = Node(pyfuse3.ROOT_INODE, stat.S_IFDIR | 0o755, os.getuid(), os.getgid())
        root.attributes.st_nlink = 2
        self.nodes: dict[int, Node] = {pyfuse3.ROOT_INODE: root}
        self.inodes = itertools.count(pyfuse3.ROOT_INODE + 1)
        self.listings: dict[int, list[tuple[bytes, Node]]] = {}
        self.handles = itertools.count(1)

    def child(self, parent: int, name: bytes) -> Node:
        """Find a name, or answer ENOENT."""
        node = self.nodes[parent].names.get(name)
        if node is None:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return node

    def make(self, parent: int, name: bytes, mode: int, ctx: Context, device: int = 0) -> Node:
        """Make an inode under a name that must be free, counted as looked up once."""
        directory = self.nodes[parent]
        if name in directory.names:
            raise pyfuse3.FUSEError(errno.EEXIST)
        if len(name) > NAME_BYTES_MAX:
            raise pyfuse3.FUSEError(errno.ENAMETOOLONG)
        node = Node(next(self.inodes), mode, ctx.uid, ctx.gid, device)
        self.nodes[node.attributes.st_ino] = node
        self.attach(directory, name, node)
        node.lookups += 1
        return node

    def attach(self, directory: Node, name: bytes, node: Node) -> None:
        """Enter a name, counting links."""
        directory.names[name] = node
        node.attributes.st_nlink += 1
        if node.is_directory():
            node.parent = directory
            node.attributes.st_nlink += 1
            directory.attributes.st_nlink += 1
        self.touch(directory)

    def detach(self, directory: Node, name: bytes) -> None:
        """Remove a name, and its inode once nothing refers to it."""
        node = directory.names.pop(name)
        node.attributes.st_nlink -= 1
        if node.is_directory():
            node.attributes.st_nlink -= 1
            directory.attributes.st_nlink -= 1
        self.touch(directory)
        self.drop_if_unused(node)

    def drop_if_unused(self, node: Node) -> None:
        """Forget an inode without names and lookups."""
        if not node.attributes.st_nlink and not node.lookups:
            self.nodes.pop(node.attributes.st_ino, None)

    def touch(self, node: Node) -> None:
        """Set the times that a change sets."""
        node.attributes.st_mtime_ns = node.attributes.st_ctime_ns = time.time_ns()

    async def lookup(self, parent_inode: int, name: bytes, ctx: Context) -> Entry:
        """Find a name."""
        node = self.child(parent_inode, name)
        node.lookups += 1
        return node.attributes

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Give lookups back."""
        for inode, count in inode_list:
            node = self.nodes.get(inode)
            if node is not None:
                node.lookups -= count
                self.drop_if_unused(node)

    async def getattr(self, inode: int, ctx: Context) -> Entry:
        """Return the attributes."""
        return self.nodes[inode].attributes

    async def setattr(
        self, inode: int, attr: Entry, fields: pyfuse3.SetattrFields, fh: int | None, ctx: Context
    ) -> Entry:
        """Set what `fields` names."""
        node = self.nodes[inode]
        entry = node.attributes
        if fields.update_size:
            node.resize(attr.st_size)
        if fields.update_mode:
            entry.st_mode = attr.st_mode
        if fields.update_uid:
            entry.st_uid = attr.st_uid
        if fields.update_gid:
            entry.st_gid = attr.st_gid
        if fields.update_atime:
            entry.st_atime_ns = attr.st_atime_ns
        if fields.update_mtime:
            entry.st_mtime_ns = attr.st_mtime_ns
        entry.st_ctime_ns = time.time_ns()
        return entry

    async def readlink(self, inode: int, ctx: Context) -> bytes:
        """Return a symlink's target."""
        return bytes(self.nodes[inode].contents)

    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: Context
    ) -> Entry:
        """Make a node."""
        return self.make(parent_inode, name, mode, ctx, rdev).attributes

    async def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: Context) -> Entry:
        """Make a directory."""
        return self.make(parent_inode, name, stat.S_IFDIR | mode, ctx).attributes

    async def symlink(self, parent_inode: int, name: bytes, target: bytes, ctx: Context) -> Entry:
        """Make a symlink."""
        node = self.make(parent_inode, name, stat.S_IFLNK | 0o777, ctx)
        node.contents[:] = target
        node.attributes.st_size = len(target)
        return node.attributes

    async def link(self, inode: int, new_parent_inode: int, new_name: bytes, ctx: Context) -> Entry:
        """Give an inode another name."""
        directory, node = self.nodes[new_parent_inode], self.nodes[inode]
        if new_name in directory.names:
            raise pyfuse3.FUSEError(errno.EEXIST)
        self.attach(directory, new_name, node)
        node.lookups += 1
        return node.attributes

    async def unlink(self, parent_inode: int, name: bytes, ctx: Context) -> None:
        """Remove a name."""
        if self.child(parent_inode, name).is_directory():
            raise pyfuse3.FUSEError(errno.EISDIR)
        self.detach(self.nodes[parent_inode], name)

    async def rmdir(self, parent_inode: int, name: bytes, ctx: Context) -> None:
        """Remove an empty directory."""
        node = self.child(parent_inode, name)
        if not node.is_directory():
            raise pyfuse3.FUSEError(errno.ENOTDIR)
        if node.names:
            raise pyfuse3.FUSEError(errno.ENOTEMPTY)
        self.detach(self.nodes[parent_inode], name)

    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: Context,
    ) -> None:
        """Move a name over another one that may be replaced."""
        if flags & ~pyfuse3.RENAME_NOREPLACE:
            raise pyfuse3.FUSEError(errno.EINVAL)
        node = self.child(parent_inode_old, name_old)
        target_directory = self.nodes[parent_inode_new]
        target = target_directory.names.get(name_new)
        if target is node:
            return
        if target is not None:
            if flags:
                raise pyfuse3.FUSEError(errno.EEXIST)
            if target.names:
                raise pyfuse3.FUSEError(errno.ENOTEMPTY)
            self.detach(target_directory, name_new)
        node.lookups += 1  # so that losing its last name does not drop it
        self.detach(self.nodes[parent_inode_old], name_old)
        self.attach(target_directory, name_new, node)
        node.lookups -= 1

    async def open(self, inode: int, flags: int, ctx: Context) -> pyfuse3.FileInfo:
        """Open a file: its handle is its inode."""
        if flags & os.O_TRUNC:
            self.nodes[inode].resize(0)
        return pyfuse3.FileInfo(fh=inode)

    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: Context
    ) -> tuple[pyfuse3.FileInfo, Entry]:
        """Make a file and open it."""
        node = self.make(parent_inode, name, mode, ctx)
        inode = node.attributes.st_ino
        return pyfuse3.FileInfo(fh=inode), node.attributes

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """Return bytes of a file."""
        return bytes(memoryview(self.nodes[fh].contents)[off : off + size])

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        """Write bytes to a file."""
        node = self.nodes[fh]
        if off > len(node.contents):
            node.resize(off)
        node.contents[off : off + len(buf)] = buf
        node.attributes.st_size = len(node.contents)
        self.touch(node)
        return len(buf)

    async def release(self, fh: int) -> None:
        """Close a file."""

    async def fsync(self, fh: int, datasync: bool) -> None:
        """Do nothing: memory is all there is."""

    async def opendir(self, inode: int, ctx: Context) -> int:
        """List a directory once, so that its cookies stay right."""
        node = self.nodes[inode]
        handle = next(self.handles)
        self.listings[handle] = [(b".", node), (b"..", node.parent), *node.names.items()]
        return handle

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """Hand out entries until the kernel's buffer is full."""
        listing = self.listings[fh]
        for cookie in range(start_id, len(listing)):
            name, node = listing[cookie]
            if not pyfuse3.readdir_reply(token, name, node.attributes, cookie + 1):
                return
            if cookie > 1:
                node.lookups += 1

    async def releasedir(self, fh: int) -> None:
        """Drop the listing."""
        del self.listings[fh]

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        """Do nothing."""

    async def statfs(self, ctx: Context) -> pyfuse3.StatvfsData:
        """Return numbers that never fill up."""
        space = pyfuse3.StatvfsData()
        space.f_bsize = space.f_frsize = BLOCK_BYTES
        space.f_blocks = 1 << 28
        space.f_bfree = space.f_bavail = 1 << 27
        space.f_files = 1 << 28
        space.f_ffree = space.f_favail = (1 << 28) - len(self.nodes)
        space.f_namemax = NAME_BYTES_MAX
        return space

    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: Context) -> None:
        """Set an attribute."""
        self.nodes[inode].xattrs[name] = value

    async def getxattr(self, inode: int, name: bytes, ctx: Context) -> bytes:
        """Return an attribute's value."""
        value = self.nodes[inode].xattrs.get(name)
        if value is None:
            raise pyfuse3.FUSEError(pyfuse3.ENOATTR)
        return value

    async def listxattr(self, inode: int, ctx: Context) -> list[bytes]:
        """Return the attributes' names."""
        return list(self.nodes[inode].xattrs)

    async def removexattr(self, inode: int, name: bytes, ctx: Context) -> None:
        """Remove an attribute."""
        if self.nodes[inode].xattrs.pop(name, None) is None:
            raise pyfuse3.FUSEError(pyfuse3.ENOATTR)


def main() -> None:
    """Mount and serve until the file system is unmounted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", dest="options", default="")
    parser.add_argument("mountpoint")
    arguments = parser.parse_args()
    options = set(pyfuse3.default_options) | set(filter(None, arguments.options.split(",")))
    pyfuse3.init(NoOpFileSystem(), arguments.mountpoint, options)
    try:
        trio.run(pyfuse3.main)
    finally:
        pyfuse3.close()


if __name__ == "__main__":
    main()
