"""Whether a single file passes the filters of a query; `Catalogue.filtered` decides on many at once."""

import fnmatch
import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

from vexfs_fuse.errors import NoAttribute, NotFound
from vexfs_fuse.tree.node import Node
from vexfs_fuse.tree.tree import Tree
from vexfs_fuse.units import Inode
from vexfs_fuse.volume.catalogue import extension_of, is_type, type_of
from vexfs_fuse.volume.query import Query

PATTERNS_MAX: Final = 256
"""Patterns of `name=` that are kept compiled."""


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
        passes = self.for_words(query)
        return passes is None or passes(name, ino)

    def for_words(self, query: Query) -> Callable[[bytes, Inode], bool] | None:
        """Return what asks a file, by name and number, for what columns cannot answer; None for nothing."""
        tests: list[Callable[[bytes, Inode], bool]] = [
            partial(_matches, matcher(pattern).match) for pattern in query.names
        ]
        wanted = [word for words in (*query.words, *query.has) for word in words.casefold().split()]
        unwanted = [word.casefold() for word in query.without]
        if wanted or unwanted:
            tests.append(partial(_has_words, wanted, unwanted))
        tests += [partial(self._has_xattr, *each) for each in query.xattrs]
        if len(tests) <= 1:
            return tests[0] if tests else None
        return lambda name, ino: all(test(name, ino) for test in tests)

    def _has_xattr(self, attribute: bytes, value: bytes, name: bytes, ino: Inode) -> bool:
        try:
            return self._get_xattr(self._tree.node(ino), attribute) == value
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


@lru_cache(PATTERNS_MAX)
def matcher(pattern: bytes) -> re.Pattern[bytes]:
    """Return what matches names as fnmatch(3) does, byte by byte."""
    return re.compile(fnmatch.translate(pattern.decode("latin-1")).encode("latin-1"))


def _matches(match: Callable[[bytes], object], name: bytes, ino: Inode) -> bool:
    return match(name) is not None


def _has_words(wanted: list[str], unwanted: list[str], name: bytes, ino: Inode) -> bool:
    text = name.decode("utf-8", "replace").casefold()
    return all(word in text for word in wanted) and not any(word in text for word in unwanted)
