"""Sizes, durations and addresses: what people write is read, and what is shown reads back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vexfs_fuse import quantities
from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.quantities import Address


@given(st.integers(0, 2**70))
def test_a_rendered_size_reads_back(size_bytes: int) -> None:
    assert quantities.parse_size(quantities.render_size(size_bytes)) == size_bytes


@given(st.integers(0, 10**12))
def test_a_rendered_duration_reads_back_to_the_millisecond(duration_ms: int) -> None:
    text = quantities.render_duration(duration_ms / 1000)
    assert quantities.parse_duration(text) == pytest.approx(duration_ms / 1000)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("0", 0), ("4096", 4096), ("64k", 65536), ("1 MiB", 2**20), ("2T", 2**41)],
)
def test_sizes_are_read_in_powers_of_1024(text: str, size_bytes: int) -> None:
    assert quantities.parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (300 << 20, "300 MiB"), (5 << 40, "5.0 TiB")],
)
def test_sizes_for_people_have_about_three_digits(size_bytes: int, text: str) -> None:
    assert quantities.approximate_size(size_bytes) == text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":9464", Address("127.0.0.1", 9464)),
        ("0.0.0.0:80", Address("0.0.0.0", 80)),
        ("[::1]:80", Address("::1", 80)),
        ("none", None),
    ],
)
def test_addresses_are_host_and_port_or_none(text: str, address: Address | None) -> None:
    assert quantities.parse_address(text) == address


def test_an_ipv6_address_is_shown_in_brackets() -> None:
    assert str(Address("::1", 80)) == "[::1]:80"


@pytest.mark.parametrize(("text", "share"), [("0.97", 0.97), ("97%", 0.97), ("1", 1.0), ("0", 0.0)])
def test_shares_are_read_as_numbers_or_percent(text: str, share: float) -> None:
    assert quantities.parse_share(text) == share


@pytest.mark.parametrize("text", ["", "97", "-1", "a%", "nan", "5%%", "0.9%x"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        quantities.parse_share(text)


def test_a_count_may_be_left_to_the_program() -> None:
    assert quantities.parse_count_or_auto("Auto") is None
    assert quantities.parse_count_or_auto("64") == 64
    with pytest.raises(InvalidArgument):
        quantities.parse_count_or_auto("automatic")
