"""What the tiers of contents do, by page size, out of the daemon's status: pages are hot, segments warm."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

TIER: Final = ("tier", "page_bytes")
"""The labels of a tier's metrics."""

NO_PAGES: Final = "any"
"""Stands for a page size where a tier is not made of pages."""

Use = dict[str, int]
Values = Iterable[tuple[tuple[str, ...], Any]]


def of_hot(status: Mapping[str, Any], count: Callable[[Use], int]) -> Values:
    """Return a number of each page size of the hot tier."""
    return [
        (("hot", str(use["page_bytes"])), count(use)) for use in status["volume"]["pool"]["pages"]
    ]


def of_tiers(status: Mapping[str, Any], counts: Callable[[Use], tuple[int, int]]) -> Values:
    """Return a number of each page size for the hot tier, and one for the warm."""
    return [
        ((tier, str(use["page_bytes"])), count)
        for use in status["volume"]["pool"]["pages"]
        for tier, count in zip(("hot", "warm"), counts(use), strict=True)
    ]
