"""Answers that wait for the disk: each has its own, whatever is answered meanwhile."""

from types import SimpleNamespace
from typing import Any

from vexfs_fuse.fuse.operations import Operations
from vexfs_fuse.observe.recorder import Recorder
from vexfs_fuse.pending import Durable
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import Inode, Lsn

WHO: Any = SimpleNamespace(uid=0, gid=0, pid=1, umask=0)


class DurableView:
    """Answers every creation and opening only once it is durable."""

    def __init__(self) -> None:
        self._handle = 0

    def _opened(self) -> int:
        self._handle += 1
        return self._handle

    def create(self, *_request: Any) -> Durable[tuple[int, Node]]:
        handle = self._opened()
        times = (1, 1, 1, 1)
        node = Node(Inode(handle + 1), 0o100644, 0, 0, 1, 0, 0, 0, *times, 0, Inode(0), None, 0)
        return Durable(Lsn(handle), (handle, node))

    def open(self, *_request: Any) -> Durable[tuple[int, bool, bool]]:
        return Durable(Lsn(1), (self._opened(), False, True))

    @staticmethod
    def is_virtual(_ino: int) -> bool:
        return False

    @staticmethod
    def size_times(node: Node) -> tuple[int, int, int]:
        return node.size, node.mtime, node.ctime

    @staticmethod
    def stored(node: Node) -> int:
        return node.stored


def operations() -> Operations:
    return Operations(DurableView(), Recorder(), attr_timeout_s=1.0, entry_timeout_s=1.0)


def test_creations_that_wait_keep_their_handles_and_inodes() -> None:
    asked = operations()
    answers = [asked.create(1, b"name", 0o644, 1, WHO).value for _ in range(2)]
    assert [(info.fh, attributes.st_ino) for info, attributes in answers] == [(1, 2), (2, 3)]


def test_openings_that_wait_keep_their_handles() -> None:
    asked = operations()
    assert [info.fh for info in [asked.open(2, 0, WHO).value for _ in range(2)]] == [1, 2]
