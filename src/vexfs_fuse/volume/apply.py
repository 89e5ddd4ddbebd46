"""Apply: what each record does to the state.

Total and deterministic, and the same for live traffic and for recovery: nothing is checked here and
nothing can be refused.  Knows no permissions and no clock; times come with the record.
"""

import stat
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.extents import Changes
from vexfs_fuse.storage.segments import Segments
from vexfs_fuse.storage.state import State
from vexfs_fuse.tree import acl
from vexfs_fuse.tree.node import TYPE_MASK, Dentry, Node
from vexfs_fuse.tree.tree import Tree
from vexfs_fuse.units import Inode, Lsn, Segment
from vexfs_fuse.volume import changes
from vexfs_fuse.volume.catalogue import Catalogue
from vexfs_fuse.volume.contents import Contents
from vexfs_fuse.volume.vectors import Vectors

CAPABILITY = b"security.capability"
NO_PARENT = Inode(0)
LOST_SEGMENTS = "lost_segments"
"""Where the state view keeps which segments a repair has taken for lost."""


class Applier:
    """Holds the state and changes it, one record at a time."""

    def __init__(self, tree: Tree, view: State, contents: Contents, segments: Segments) -> None:
        self.tree = tree
        self.view = view
        self.contents = contents
        self.segments = segments
        self.vectors = Vectors(view)
        self.catalogue = Catalogue(tree, view)
        self.next_inode = Inode(2)
        self.named: Callable[[Inode, Lsn], None] | None = None
        """Told of each inode that gets or loses a name, if somebody wants to know."""
        self.orphans: set[Inode] = set()
        self.table: dict[type, Callable[[Lsn, int, Inode, Any], Node | None]] = {
            changes.Formatted: self._formatted,
            changes.Created: self._created,
            changes.Linked: self._linked,
            changes.Unlinked: self._unlinked,
            changes.Renamed: self._renamed,
            changes.Exchanged: self._exchanged,
            changes.AttributesSet: self._attributes_set,
            changes.Accessed: self._accessed,
            changes.Resized: self._resized,
            changes.Punched: self._punched,
            changes.ExtentWritten: self._extent_written,
            changes.ExtentMoved: self._extent_moved,
            changes.XattrSet: self._xattr_set,
            changes.XattrRemoved: self._xattr_removed,
            changes.Purged: self._purged,
            changes.Mounted: self._nothing,
            changes.Unmounted: self._nothing,
            changes.Repaired: self._repaired,
            **dict(self.vectors.table()),
        }

    def _nothing(self, lsn: Lsn, time_ns: int, ino: Inode, change: Any) -> None:
        """Records about the daemon change no state."""

    def _formatted(self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.Formatted) -> Node:
        mode, uid, gid = stat.S_IFDIR | change.mode, change.uid, change.gid
        root = Node(ino, mode, uid, gid, 2, 0, 0, 0, *(time_ns,) * 4, 0, ino, None, 0)
        self.tree.add(root)
        return root

    def _created(self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.Created) -> Node:
        parent_ino, name, mode, uid, gid, rdev, target, xattrs = change
        tree = self.tree
        parent = tree.node(parent_ino)
        kind = mode & TYPE_MASK
        is_dir = kind == stat.S_IFDIR
        node = Node(
            ino,
            mode,
            uid,
            gid,
            2 if is_dir else 1,
            len(target) if target is not None else 0,
            0,
            rdev,
            time_ns,
            time_ns,
            time_ns,
            time_ns,
            0,
            parent_ino if is_dir else NO_PARENT,
            target,
            0,
        )
        tree.add(node)
        if xattrs:
            for key, value in xattrs:
                self._put_xattr(node, key, value)
        if ino >= self.next_inode:
            self.next_inode = ino + 1  # type: ignore[assignment]  # calling Inode() takes 60 ns
        tree.view.touch(parent)
        tree.set_entry(parent, name, Dentry(ino, lsn, kind))
        parent.children += 1
        if is_dir:
            parent.nlink += 1
        parent.mtime = parent.ctime = time_ns
        parent.wire = None
        if self.named is not None:
            self.named(ino, lsn)
        return node

    def _linked(self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.Linked) -> Node:
        node, parent = self.tree.node(ino), self.tree.node(change.parent)
        self._changes(node, time_ns)
        node.nlink += 1
        self.orphans.discard(ino)
        self._add_entry(parent, change.name, Dentry(ino, lsn, node.mode & TYPE_MASK), time_ns)
        if self.named is not None:
            self.named(ino, lsn)
        return node

    def _unlinked(self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.Unlinked) -> Node:
        tree = self.tree
        node, parent = tree.node(ino), tree.node(change.parent)
        tree.view.touch(parent)
        tree.remove_entry(parent, change.name)
        parent.children -= 1
        parent.mtime = parent.ctime = time_ns
        parent.wire = None
        if node.mode & TYPE_MASK == stat.S_IFDIR:
            parent.nlink -= 1
        self._lose_link(node, time_ns)
        if self.named is not None and node.nlink:
            self.named(ino, lsn)
        return node

    def _renamed(self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.Renamed) -> Node:
        tree = self.tree
        node = tree.node(ino)
        old, new = tree.node(change.parent), tree.node(change.new_parent)
        kept = None
        if change.replaced:
            kept = tree.entry(new, change.new_name)
            replaced = tree.node(change.replaced)
            tree.view.touch(new)
            new.children -= 1
            if replaced.is_dir:
                new.nlink -= 1
            self._lose_link(replaced, time_ns)
        kind = node.mode & TYPE_MASK
        is_dir = kind == stat.S_IFDIR
        self._remove_entry(old, change.name, time_ns, is_dir)
        cookie = kept.cookie if kept is not None else lsn
        self._add_entry(new, change.new_name, Dentry(ino, cookie, kind), time_ns)
        self._changes(node, time_ns)
        if is_dir:
            new.nlink += 1
            node.parent = new.ino
            self.catalogue.note_directories()
        if self.named is not None:
            self.named(ino, lsn)
            if change.replaced:
                self.named(Inode(change.replaced), lsn)
        return node

    def _exchanged(self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.Exchanged) -> Node:
        tree = self.tree
        node, other = tree.node(ino), tree.node(change.other)
        old, new = tree.node(change.parent), tree.node(change.new_parent)
        here, there = tree.entry(old, change.name), tree.entry(new, change.new_name)
        assert here is not None
        assert there is not None
        for parent in (old, new):
            self._changes(parent, time_ns)
            parent.mtime = time_ns
        tree.set_entry(old, change.name, Dentry(other.ino, here.cookie, there.kind))
        tree.set_entry(new, change.new_name, Dentry(ino, there.cookie, here.kind))
        for moved, source, target in ((node, old, new), (other, new, old)):
            self._changes(moved, time_ns)
            if moved.is_dir:
                source.nlink -= 1
                target.nlink += 1
                moved.parent = target.ino
                self.catalogue.note_directories()
            if self.named is not None:
                self.named(moved.ino, lsn)
        return node

    def _attributes_set(
        self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.AttributesSet
    ) -> Node:
        node = self.tree.node(ino)
        self._changes(node, time_ns)
        self._opens_or_closes(node)
        if change.mode is not None:
            node.mode = node.mode & TYPE_MASK | change.mode
        if change.uid is not None:
            node.uid = change.uid
        if change.gid is not None:
            node.gid = change.gid
        if change.atime is not None:
            node.atime = change.atime
        if change.mtime is not None:
            node.mtime = change.mtime
            if node.content is not None:
                node.content.mtime = change.mtime
        if change.acl is not None:
            self._put_xattr(node, acl.ACCESS, change.acl)
        if change.uncapable:
            self._put_xattr(node, CAPABILITY, None)
        return node

    def _accessed(self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.Accessed) -> Node:
        node = self.tree.node(ino)
        self.view.touch(node)
        node.atime = change.atime
        node.wire = None
        return node

    def _resized(self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.Resized) -> Node:
        node = self.tree.node(ino)
        self._changes(node, time_ns)
        self._take_extents(node, self.contents.resize(node, change.size), ())
        node.size = change.size
        self._contents_changed(ino)
        node.mtime = time_ns
        if node.content is not None:
            node.content.mtime = time_ns
        if change.mode is not None:
            node.mode = node.mode & TYPE_MASK | change.mode
        if change.uncapable:
            self._put_xattr(node, CAPABILITY, None)
        return node

    def _punched(self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.Punched) -> Node:
        node = self.tree.node(ino)
        self._changes(node, time_ns)
        end = change.offset + change.length
        self._take_extents(node, self.contents.punch(node, change.offset, end), ())
        node.size = change.size
        self._contents_changed(ino)
        node.mtime = time_ns
        if node.content is not None:
            node.content.mtime = time_ns
        return node

    def _extent_written(
        self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.ExtentWritten
    ) -> Node:
        node = self.tree.node(ino)
        self.view.touch(node)
        extents = _as_extents(change.extents)
        self._take_extents(node, self.contents.adopt(node, extents), extents)
        node.size, node.mtime, node.ctime = change.size, change.mtime, change.ctime
        self._contents_changed(ino)
        node.wire = None
        return node

    def _extent_moved(
        self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.ExtentMoved
    ) -> Node:
        node = self.tree.node(ino)
        self.view.touch(node)
        extents = _as_extents(change.extents)
        self._take_extents(node, self.contents.adopt(node, extents), extents)
        return node

    def _xattr_set(self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.XattrSet) -> Node:
        node = self.tree.node(ino)
        self._changes(node, time_ns)
        self._opens_or_closes(node)
        self._put_xattr(node, change.name, change.value)
        if change.mode is not None:
            node.mode = node.mode & TYPE_MASK | change.mode
        return node

    def _xattr_removed(
        self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.XattrRemoved
    ) -> Node:
        node = self.tree.node(ino)
        self._changes(node, time_ns)
        self._opens_or_closes(node)
        self._put_xattr(node, change.name, None)
        if change.mode is not None:
            node.mode = node.mode & TYPE_MASK | change.mode
        return node

    def _purged(self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.Purged) -> None:
        for each in change.inodes:
            self._purge(Inode(each))

    def _purge(self, ino: Inode) -> None:
        node = self.tree.node(ino)
        self.view.touch(node)  # a commit under way must get the row as it still is
        self.orphans.discard(ino)
        self.vectors.forget(ino)
        self._take_extents(node, self.contents.forget(node), ())
        for name in list(self.tree.xattrs(node)):
            self.view.put_xattr(ino, name, None)
        self.tree.remove(node)

    def _repaired(self, lsn: Lsn, time_ns: int, ino: Inode, change: changes.Repaired) -> None:
        if change.lost:
            lost = sorted(self.lost_segments() | set(change.lost))
            self.view.put_meta(LOST_SEGMENTS, b" ".join(b"%d" % segment for segment in lost))

    def lost_segments(self) -> set[Segment]:
        """Return the segments that a repair has taken for lost; reading what they held is an error."""
        held = self.view.get_meta(LOST_SEGMENTS)
        return {Segment(int(word)) for word in held.split()} if isinstance(held, bytes) else set()

    def _changes(self, node: Node, time_ns: int) -> None:
        """Every change of an inode moves its ctime and outdates the shell's answer."""
        self.view.touch(node)
        node.ctime = time_ns
        node.wire = None
        if node.content is not None:
            node.content.ctime = time_ns
        if node.ino in self.catalogue.slots:
            self.catalogue.note(node.ino)

    def _opens_or_closes(self, node: Node) -> None:
        """Take note that a directory may let others in than before, or lies elsewhere."""
        if node.mode & TYPE_MASK == stat.S_IFDIR:
            self.catalogue.note_directories()

    def _contents_changed(self, ino: Inode) -> None:
        if ino in self.catalogue.slots:
            self.catalogue.note(ino)
        if self.vectors.spaces:
            self.vectors.contents_changed(ino)

    def _lose_link(self, node: Node, time_ns: int) -> None:
        self._changes(node, time_ns)
        node.nlink = 0 if node.mode & TYPE_MASK == stat.S_IFDIR else node.nlink - 1
        if node.nlink == 0:
            self.orphans.add(node.ino)

    def _add_entry(self, parent: Node, name: bytes, entry: Dentry, time_ns: int) -> None:
        self._changes(parent, time_ns)
        parent.mtime = time_ns
        self.tree.set_entry(parent, name, entry)
        parent.children += 1

    def _remove_entry(self, parent: Node, name: bytes, time_ns: int, is_dir: bool) -> None:
        self._changes(parent, time_ns)
        parent.mtime = time_ns
        self.tree.remove_entry(parent, name)
        parent.children -= 1
        if is_dir:
            parent.nlink -= 1

    def _put_xattr(self, node: Node, name: bytes, value: bytes | None) -> None:
        held = self.tree.xattrs(node)
        if value is None:
            if held.pop(name, None) is None:
                return
            node.xattr_count -= 1
        else:
            if name not in held:
                node.xattr_count += 1
            held[name] = value
        self.view.put_xattr(node.ino, name, value)

    def _take_extents(self, node: Node, moved: Changes, written: Iterable[Extent]) -> None:
        """Book what an extent map did: rows of the view, live bytes of the segments, bytes stored."""
        self.view.put_extents(node.ino, moved.removed, moved.added)
        node.stored += moved.grown
        for extent in written:
            self.segments.count(extent.segment, extent.length)
        for extent in moved.freed:
            self.segments.count(extent.segment, -extent.length)


def _as_extents(told: Sequence[Sequence[Any]]) -> list[Extent]:
    """Return what a record tells of extents: as it was decided a moment ago, or as it was read."""
    return [row if row.__class__ is Extent else Extent(*row) for row in told]
