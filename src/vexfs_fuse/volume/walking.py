"""Walks paths below a scope, as somebody may who searches there."""

from typing import Final

from vexfs_fuse.errors import NotFound
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import Inode
from vexfs_fuse.volume.catalogue import Catalogue, Identity

LINKS_MAX: Final = 40
"""Symbolic links in one path, as in path_resolution(7)."""

_HERE_OR_ABOVE: Final = frozenset({b"", b".", b".."})


def resolve(catalogue: Catalogue, path: bytes, scope: Inode, who: Identity) -> Node:
    """Return what a path below `scope` leads to, as `who` may follow it; links are not followed.

    Raises
    ------
    NotFound
        As well where it is only that `who` may not know.
    """
    node = catalogue.tree.node(scope)
    for name in path.strip(b"/").split(b"/"):
        node = catalogue.entered(node, name, who)
    return node


def follow(catalogue: Catalogue, path: bytes, scope: Inode, who: Identity) -> Node:
    """Return what a path below `scope` leads to, as `resolve` does, and follow links within `scope`.

    Raises
    ------
    NotFound
        As well where a link leads out of `scope`, or begins at the root of all file systems, of which
        a volume knows nothing.
    """
    names = path.strip(b"/").split(b"/")
    if not _HERE_OR_ABOVE.isdisjoint(names):
        raise NotFound
    way = [catalogue.tree.node(scope)]
    _go_on(catalogue, way, names, who, LINKS_MAX)
    return way[-1]


def _go_on(
    catalogue: Catalogue, way: list[Node], names: list[bytes], who: Identity, links_left: int
) -> int:
    """Go on from the end of `way`, the nodes from the scope on; return how many links may follow."""
    for name in names:
        if name == b"..":
            way.pop()
        elif name not in _HERE_OR_ABOVE:
            way.append(catalogue.entered(way[-1], name, who))
        if not way:
            raise NotFound
        target = way[-1].target
        if target is not None:
            way.pop()
            if target.startswith(b"/") or not links_left:
                raise NotFound
            links_left = _go_on(catalogue, way, target.split(b"/"), who, links_left - 1)
    return links_left
