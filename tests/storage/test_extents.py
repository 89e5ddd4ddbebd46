"""The extent map against a plain byte array, and its rows and bytes against its own account."""

from hypothesis import given
from hypothesis import strategies as st

from tests.support.extents import frame
from vexfs_fuse.storage.extent import Extent
from vexfs_fuse.storage.extents import NOTHING, Changes, ExtentMap, Hole, cut, end_of

SPACE = 64
"""Bytes of the model file: small, so that extents meet often."""

ranges = st.tuples(st.integers(0, SPACE - 1), st.integers(1, SPACE)).map(
    lambda pair: (pair[0], min(pair[1], SPACE - pair[0]))
)
steps = st.lists(
    st.one_of(
        st.lists(ranges, min_size=1, max_size=4).map(lambda laid: ("insert", laid)),
        st.integers(0, SPACE).map(lambda size: ("truncate", [(size, 0)])),
        ranges.map(lambda hole: ("punch", [hole])),
    ),
    max_size=12,
)


class Model:
    """A byte array that says which frame each byte is from, the rows, and the bytes that live."""

    def __init__(self) -> None:
        self.map = ExtentMap()
        self.owners = [(0, 0)] * SPACE  # (segment, byte within the frame); (0, 0) is a hole
        self.rows: dict[int, Extent] = {}
        self.live: dict[int, int] = {}
        self.held = 0
        self.segments = 0

    def run(self, kind: str, arguments: list[tuple[int, int]]) -> None:
        if kind == "truncate":
            size = arguments[0][0]
            self.owners[size:] = [(0, 0)] * (SPACE - size)
            self.account(self.map.truncate(size))
        elif kind == "punch":
            ((offset, length),) = arguments
            self.owners[offset : offset + length] = [(0, 0)] * length
            self.account(self.map.punch(offset, offset + length))
        else:
            laid = [self.frame(offset, length) for offset, length in arguments]
            self.account(self.map.insert(laid))

    def frame(self, offset: int, length: int) -> Extent:
        self.segments += 1
        self.live[self.segments] = length
        self.owners[offset : offset + length] = [(self.segments, byte) for byte in range(length)]
        return frame(offset, length, segment=self.segments)

    def account(self, changes: Changes) -> None:
        for extent in changes.removed:
            assert self.rows.pop(extent.offset) == extent
        for extent in changes.added:
            assert extent.offset not in self.rows
            self.rows[extent.offset] = extent
        for extent in changes.freed:
            self.live[extent.segment] -= extent.length
        self.held += changes.grown


@given(steps)
def test_every_byte_comes_from_the_extent_that_was_laid_last(
    steps: list[tuple[str, list[tuple[int, int]]]],
) -> None:
    model = Model()
    for kind, arguments in steps:
        model.run(kind, arguments)
    found = []
    for piece in model.map.pieces(0, SPACE):
        if isinstance(piece, Hole):
            found += [(0, 0)] * piece.length
        else:
            found += [(piece.segment, piece.skip + byte) for byte in range(piece.length)]
    assert found == model.owners


@given(steps)
def test_the_rows_and_the_live_bytes_follow_the_changes(
    steps: list[tuple[str, list[tuple[int, int]]]],
) -> None:
    model = Model()
    for kind, arguments in steps:
        model.run(kind, arguments)
    assert sorted(model.rows.values()) == list(model.map)
    lengths: dict[int, int] = dict.fromkeys(model.live, 0)
    for extent in model.map:
        lengths[extent.segment] += extent.length
    assert model.live == lengths
    assert model.held == sum(lengths.values())


@given(steps, ranges)
def test_pieces_fill_exactly_the_range_that_was_asked_for(
    steps: list[tuple[str, list[tuple[int, int]]]], asked: tuple[int, int]
) -> None:
    model = Model()
    for kind, arguments in steps:
        model.run(kind, arguments)
    offset, length = asked
    for piece in model.map.pieces(offset, length):
        assert piece.offset == offset
        assert piece.length > 0
        whole = model.map.at(offset)
        assert (whole is None) == isinstance(piece, Hole)
        assert whole is None or piece == cut(whole, offset, offset + piece.length)
        offset += piece.length
    assert offset == asked[0] + length


@given(steps, st.integers(0, SPACE))
def test_data_and_holes_are_found_from_anywhere(
    steps: list[tuple[str, list[tuple[int, int]]]], offset: int
) -> None:
    model = Model()
    for kind, arguments in steps:
        model.run(kind, arguments)
    held = [owner != (0, 0) for owner in model.owners[offset:]]
    data = model.map.data_from(offset)
    assert data == (offset + held.index(True) if any(held) else None)
    assert model.map.hole_from(offset) == offset + [*held, False].index(False)


def test_extents_near_the_largest_file_size_are_cut_exactly() -> None:
    top = 2**63 - 1
    extents = ExtentMap([frame(top - 100, 100)])
    assert extents.truncate(top - 10).freed == [
        frame(top - 100, 100)._replace(offset=top - 10, length=10, skip=90)
    ]
    assert [end_of(extent) for extent in extents] == [top - 10]


def test_truncating_beyond_the_last_extent_changes_nothing() -> None:
    assert ExtentMap([frame(0, 10)]).truncate(10) == NOTHING


def test_a_piece_is_held_until_something_else_lies_there() -> None:
    extents = ExtentMap([frame(0, 10)])
    piece = extents.pieces(2, 4)[0]
    assert isinstance(piece, Extent)
    assert extents.holds(piece)
    extents.insert([frame(5, 1, segment=2)])
    assert not extents.holds(piece)
