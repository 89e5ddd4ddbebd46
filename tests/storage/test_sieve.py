"""SIEVE against the paper's linked list and moving hand, written down plainly."""

from hypothesis import given
from hypothesis import strategies as st

from vexfs_fuse.storage.sieve import SCAN_MAX, Sieve


class PlainSieve:
    """The algorithm as published: one queue, oldest first, and a hand that is an index into it."""

    def __init__(self) -> None:
        self.queue: list[int] = []
        self.marked: set[int] = set()
        self.hand = 0

    def insert(self, key: int) -> None:
        self.queue.append(key)

    def touch(self, key: int) -> None:
        self.marked.add(key)

    def remove(self, key: int) -> None:
        index = self.queue.index(key)
        self.take(index)

    def evict(self) -> int | None:
        if not self.queue:
            return None
        while True:
            if self.hand == len(self.queue):
                self.hand = 0
            if self.queue[self.hand] not in self.marked:
                return self.take(self.hand)
            self.marked.discard(self.queue[self.hand])
            self.hand += 1

    def take(self, index: int) -> int:
        if index < self.hand:
            self.hand -= 1
        key = self.queue.pop(index)
        self.marked.discard(key)
        return key


keys = st.integers(0, 9)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("evict"), st.just(0)),
        st.tuples(st.sampled_from(["insert", "touch", "remove"]), keys),
    ),
    max_size=60,
)


@given(steps)
def test_keys_leave_in_the_order_of_the_published_algorithm(steps: list[tuple[str, int]]) -> None:
    sieve: Sieve[int] = Sieve()
    model = PlainSieve()
    for verb, key in steps:
        if verb == "evict":
            assert sieve.evict() == model.evict()
        elif (verb == "insert") != (key in model.queue):
            getattr(sieve, verb)(key)
            getattr(model, verb)(key)
        assert len(sieve) == len(model.queue)
        assert all((key in sieve) == (key in model.queue) for key in range(10))


def test_a_key_that_is_used_outlives_a_scan() -> None:
    sieve: Sieve[str] = Sieve()
    sieve.insert("used")
    for number in range(100):
        sieve.touch("used")
        sieve.insert(f"scanned {number}")
        if len(sieve) > 10:
            assert sieve.evict() != "used"
    assert "used" in sieve


def test_a_removed_key_comes_back_unmarked() -> None:
    sieve: Sieve[str] = Sieve()
    for key in ("first", "second"):
        sieve.insert(key)
    sieve.touch("first")
    sieve.remove("first")
    sieve.remove("second")
    for key in ("first", "second"):
        sieve.insert(key)
    assert sieve.evict() == "first"


def test_removing_what_is_not_in_changes_nothing() -> None:
    sieve: Sieve[str] = Sieve()
    sieve.remove("stranger")
    assert len(sieve) == 0
    assert sieve.evict() is None


def test_one_eviction_passes_a_bounded_number_of_marked_keys() -> None:
    sieve: Sieve[int] = Sieve()
    for key in range(2 * SCAN_MAX):
        sieve.insert(key)
        sieve.touch(key)
    assert sieve.evict() == SCAN_MAX


def test_a_full_round_of_marked_keys_ends_with_the_oldest() -> None:
    sieve: Sieve[int] = Sieve()
    for key in range(SCAN_MAX):
        sieve.insert(key)
        sieve.touch(key)
    assert sieve.evict() == 0
    assert len(sieve) == SCAN_MAX - 1
