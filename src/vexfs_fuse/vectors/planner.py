"""Which way to answer a search is cheapest; knows costs, no vectors.

The constants were measured with benchmarks/vectors_in_process.py (one thread, AVX-512, 384 and 50
dimensions). Only their ratios matter, and a wrong choice costs time, never hits.
"""

from typing import Final, NamedTuple

SHARE_EXPONENT: Final = 0.7
"""A shard with a share s of the vectors holds that share of the hits, and its nearest ones are easy
to find: it gets s**0.7 of the effort. Measured on ten shards of wordnet50k: recall@10 .977 for two
thirds of the time that 0.5 takes for .988."""

EF_MIN: Final = 24
FETCH_SLACK: Final = 1.2
"""Over-fetch, beyond what selectivity alone asks for: survivors are not spread evenly."""
K_OF_EFFORT: Final = 10
"""An effort is that which finds so many."""
DEPTH: Final = 1.5
"""Effort for each vector fetched beyond those: what lies deeper is missed more often. With 1
a filter that keeps a tenth of glove100k had recall .91 where all of it had .96."""
_FETCH_EXTRA: Final = 8

_SCAN_NS: Final = 0.13  # per component, in one run through a part
_GATHER_NS: Final = 0.2  # per component of scattered vectors
_ROW_NS: Final = 5.0
_STEP_BASE_NS: Final = 600.0  # per unit of ef
_STEP_NS: Final = 3.6  # per unit of ef and component
_CACHED_COMPONENTS: Final = 4_000_000
_CACHED_SHARE: Final = 0.4
_CALL_NS: Final = 12_000.0


class Cost(NamedTuple):
    """What things cost at a number of dimensions, in nanoseconds."""

    dimensions: int

    def scan(self, rows: int) -> float:
        """Price of scanning a whole part."""
        return rows * (_ROW_NS + _SCAN_NS * self._cached(rows) * self.dimensions)

    def gather(self, rows: int) -> float:
        """Price of scanning scattered rows."""
        return rows * (_ROW_NS + _GATHER_NS * self.dimensions)

    def graph(self, rows: int, ef: float) -> float:
        """Price of asking a graph."""
        step = _STEP_BASE_NS + _STEP_NS * self.dimensions
        return _CALL_NS + ef * step * self._cached(rows)

    def _cached(self, rows: int) -> float:
        return _CACHED_SHARE if rows * self.dimensions < _CACHED_COMPONENTS else 1.0


class Plan(NamedTuple):
    """How to search; `ns` is the estimate."""

    name: str
    ns: float

    @property
    def exact(self) -> bool:
        """Whether every candidate is compared."""
        return self.name == EXACT


EXACT: Final = "exact"
ANN: Final = "ann"
FILTERED: Final = "filtered"
"""The graphs are asked for more than is wanted, and what the mask forbids is left out."""


class Field(NamedTuple):
    """What there is to search: live rows in graphs, each, and rows that are only scanned."""

    graphs: list[int]
    scanned: int
    candidates: int
    live: int


def plan(cost: Cost, field: Field, wanted: int, ef: int, *, masked: bool, mode: str) -> Plan:
    """Return the cheapest way; `mode` may be `exact`, `ann` or `auto`."""
    exact_ns = cost.gather(field.candidates) if masked else cost.scan(field.live)
    exact_ns = min(exact_ns, cost.scan(field.live))
    if mode == EXACT or not field.graphs:
        return Plan(EXACT, exact_ns)
    fetch = fetched(wanted, field.candidates / max(1, field.live))
    graphs_ns = sum(
        cost.graph(rows, deeper(effort(ef, rows, field.live), fetch)) for rows in field.graphs
    )
    ann_ns = graphs_ns + cost.scan(field.scanned)
    if mode == ANN or ann_ns < exact_ns:
        return Plan(FILTERED if masked else ANN, ann_ns)
    return Plan(EXACT, exact_ns)


def effort(ef: int, rows: int, live: int) -> int:
    """Return the ef for a graph that holds `rows` of `live` vectors."""
    return max(EF_MIN, int(ef * (rows / max(1, live)) ** SHARE_EXPONENT))


def deeper(ef: int, fetch: int) -> int:
    """Return the ef that finds the `fetch` nearest as surely as `ef` finds `K_OF_EFFORT`."""
    return ef + int(DEPTH * max(0, fetch - K_OF_EFFORT))


def fetched(wanted: int, share: float) -> int:
    """Return how many to ask for so that `wanted` remain of which only a share counts."""
    if share >= 1.0:
        return wanted
    return int(wanted * FETCH_SLACK / max(share, 1e-9)) + _FETCH_EXTRA
