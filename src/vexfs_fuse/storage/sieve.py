"""Which of the cached things leaves next: the SIEVE policy, over opaque keys.

SIEVE (Zhang et al., NSDI 2024) keeps keys in the order they came.  A hand walks from the oldest to
the youngest: a key that was touched since the hand last passed stays where it is and loses its
mark, the first one without a mark leaves.  A hit only sets a mark, nothing moves; scans wash
through without hurting what is used again.  Here the queue is two ordered maps, the keys that the
hand has passed and those ahead of it: each step is a constant-time move from one to the other.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

SCAN_MAX: Final = 1024
"""The most marked keys that one eviction passes (150 us); the next one leaves, marked or not."""


class Sieve(Generic[K]):
    """An eviction order; holds what may leave, and nothing else.

    What must not leave (dirty pages) is removed by its owner and inserted again when it may.

    Attributes
    ----------
    touch
        `touch(key)` marks a key that is in the sieve as used.  It is the bound method of a set,
        because it stands on the path of every read.
    """

    __slots__ = ("_ahead", "_marked", "_passed", "touch")

    def __init__(self) -> None:
        self._ahead: OrderedDict[K, None] = OrderedDict()
        self._passed: OrderedDict[K, None] = OrderedDict()
        self._marked: set[K] = set()
        self.touch = self._marked.add

    def __len__(self) -> int:
        return len(self._ahead) + len(self._passed)

    def __contains__(self, key: K) -> bool:
        return key in self._ahead or key in self._passed

    def insert(self, key: K) -> None:
        """Add a key as the youngest, unmarked; it must not be in the sieve."""
        self._ahead[key] = None

    def remove(self, key: K) -> None:
        """Take a key out; nothing happens when it is not in."""
        if key in self._ahead:
            del self._ahead[key]
        else:
            self._passed.pop(key, None)
        self._marked.discard(key)

    def evict(self) -> K | None:
        """Take out the key that should leave now and return it; None when there is none."""
        marked = self._marked
        for _ in range(SCAN_MAX):
            if not self._ahead:
                self._ahead, self._passed = self._passed, self._ahead
                if not self._ahead:
                    return None
            key, _ = self._ahead.popitem(last=False)
            if key not in marked:
                return key
            marked.discard(key)
            self._passed[key] = None
        return self._leave_anyway()

    def _leave_anyway(self) -> K:
        key, _ = (self._ahead or self._passed).popitem(last=False)
        self._marked.discard(key)
        return key
