"""Whether a single file passes the filters of a query; `Catalogue.filtered` decides on many at once."""

import fnmatch
from collections.abc import Callable

from vexfs_fuse.errors import NoAttribute, NotFound
from vexfs_fuse.tree.node import Node
from vexfs_fuse.tree.tree import Tree
from vexfs_fuse.units import Inode
from vexfs_fuse.volume.catalogue import extension_of, is_type, type_of
from vexfs_fuse.volume.query import Query


class Filters:
    """The filters, asked of one file by one of its names."""

    def __init__(
        self,
        tree: Tree,
        get_xattr: Callable[[Node, bytes], bytes],
        size_times: Callable[[Node], tuple[int, int, int]],
    ) -> None:
        self._tree = tree
        self._get_xattr = get_xattr
        self._size_times = size_times

    def passes(self, name: bytes, node: Node, query: Query) -> bool:
        """Whether a file passes all filters."""
        return self.passes_words(name, node.ino, query) and self._passes_columns(name, node, query)

    def passes_words(self, name: bytes, ino: Inode, query: Query) -> bool:
        """Whether a file passes the filters that columns cannot answer."""
        if not all(fnmatch.fnmatchcase(name, pattern) for pattern in query.names):
            return False
        if query.words or query.has or query.without:
            text = name.decode("utf-8", "replace").casefold()
            if not all(
                word in text
                for words in (*query.words, *query.has)
                for word in words.casefold().split()
            ):
                return False
            if any(word.casefold() in text for word in query.without):
                return False
        return all(self._has_xattr(ino, *wanted) for wanted in query.xattrs)

    def _has_xattr(self, ino: Inode, name: bytes, value: bytes) -> bool:
        try:
            return self._get_xattr(self._tree.node(ino), name) == value
        except (NoAttribute, NotFound):
            return False

    def _passes_columns(self, name: bytes, node: Node, query: Query) -> bool:
        extension = extension_of(name)
        size, mtime, _ = self._size_times(node)
        return (
            all(extension in wanted for wanted in query.extensions)
            and all(is_type(type_of(extension), pattern) for pattern in query.types)
            and (query.size_min is None or size >= query.size_min)
            and (query.size_max is None or size <= query.size_max)
            and (query.since_ns is None or mtime >= query.since_ns)
            and (query.until_ns is None or mtime <= query.until_ns)
        )
