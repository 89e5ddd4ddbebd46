"""An open directory of results.

The search runs when the directory is first read: programs open directories that they never read, as git
does with anything that is called HEAD.  Nodes are made as they are read, since most readers of many stop early.
"""

from collections.abc import Callable, Iterator
from typing import Any

from vexfs_fuse.errors import NoAttribute, NotFound
from vexfs_fuse.units import Inode
from vexfs_fuse.vfs.search.asking import Asker, Asking, Question
from vexfs_fuse.vfs.search.results import ResultSet
from vexfs_fuse.vfs.virtual import Listing, VirtualDirectory, VirtualNode, VirtualTree
from vexfs_fuse.volume.slices import then


class ResultListing(Listing):
    """What one search finds, as entries of a directory; cookies are ranks.

    `make` returns the node of a rank in a set, `unused` lets one go that the kernel has not taken.
    """

    def __init__(
        self,
        tree: VirtualTree,
        directory: VirtualDirectory,
        asking: Asking,
        question: Question,
        asker: Asker,
        make: Callable[[ResultSet, int], VirtualNode],
        unused: Callable[[Inode], None],
    ) -> None:
        super().__init__(tree, [(b".", directory)])
        self._asking = asking
        self._question = question
        self._asker = asker
        self._make = make
        self._unused = unused
        self._results: ResultSet | None = None
        self._told: list[Inode] = []  # by the last page; the kernel takes what it takes behind it

    def after(self, cookie: int) -> Any:
        """Return an iterator over (name, node, cookie of the next), or when it will be there.

        Raises
        ------
        InvalidArgument, NoAttribute
        """
        if self._results is not None:
            return self._after(self._results, cookie)
        try:
            found = self._asking.ask(self._question, self._asker.actor)
        except NotFound as gone:  # since it was opened; readdir(3) takes ENOENT for the end
            raise NoAttribute(str(gone)) from None
        return then(found, lambda results: self._after(self._frozen(results), cookie))

    def _frozen(self, results: ResultSet) -> ResultSet:
        if self._results is None:
            self._results = results
            self._asking.pin(self._question, results)
        return self._results

    def _after(self, results: ResultSet, cookie: int) -> Iterator[tuple[bytes, VirtualNode, int]]:
        self._let_go()
        if cookie == 0:
            yield from super().after(0)
        for rank in range(max(cookie, 1), len(results.shown) + 1):
            try:
                node = self._make(results, rank)
            except NotFound:
                continue  # the file has gone meanwhile
            self._told.append(node.ino)
            yield results.shown[rank - 1].name, self.tree.fresh(node), rank + 1

    def _let_go(self) -> None:
        """Let nodes go that the kernel has not taken."""
        for ino in self._told:
            self._unused(ino)
        self._told.clear()

    def close(self) -> None:
        """Freeze the set no longer."""
        self._let_go()
        if self._results is not None:
            self._asking.unpin(self._question, self._results)
