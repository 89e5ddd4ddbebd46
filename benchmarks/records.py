"""What making one change record costs, by the way it is declared; JSON out.

usage: python benchmarks/records.py
"""

import json
import timeit
from dataclasses import dataclass
from typing import NamedTuple

LOOPS = 50_000
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Frozen:
    """A frozen dataclass with slots."""

    a: int
    b: bytes
    c: int
    d: int
    e: int
    f: int
    g: bytes | None
    h: object


@dataclass(slots=True)
class Mutable:
    """A mutable dataclass with slots."""

    a: int
    b: bytes
    c: int
    d: int
    e: int
    f: int
    g: bytes | None
    h: object


class Named(NamedTuple):
    """A NamedTuple."""

    a: int
    b: bytes
    c: int
    d: int
    e: int
    f: int
    g: bytes | None
    h: object


def main() -> None:
    """Measure and print nanoseconds for one record with eight fields."""
    figures = {}
    for kind in (Frozen, Mutable, Named):
        times = timeit.repeat(
            lambda kind=kind: kind(1, b"name", 2, 3, 4, 5, None, None), number=LOOPS, repeat=ROUNDS
        )
        figures[kind.__name__] = round(sorted(times)[ROUNDS // 2] / LOOPS * 1e9)
    print(json.dumps({"ns_per_record": figures}, indent=1))


if __name__ == "__main__":
    main()
