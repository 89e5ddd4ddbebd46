"""What making one change record costs, by the way it is declared, and packing it; JSON out.

usage: python benchmarks/records.py
"""

import json
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import msgpack
from msgspec import defstruct
from msgspec.msgpack import Encoder

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


Body = defstruct("Body", Named._fields, gc=False)


def main() -> None:
    """Measure and print nanoseconds for one record with eight fields."""
    figures = {
        kind.__name__: _ns(lambda kind=kind: kind(1, b"name", 2, 3, 4, 5, None, None))
        for kind in (Frozen, Mutable, Named)
    }
    named = Named(1, b"name", 2, 3, 4, 5, None, None)
    pack, encode = msgpack.Packer().pack, Encoder().encode
    as_dict, as_struct = named._asdict(), Body(*named)
    assert pack(as_dict) == encode(as_dict) == encode(as_struct)
    bodies = {
        "made as a dict": _ns(lambda: _as_dict(*named)),
        "made as a structure": _ns(lambda: Body(*named)),
        "packed by msgpack": _ns(lambda: pack(as_dict)),
        "packed by msgspec": _ns(lambda: encode(as_dict)),
        "a structure, packed by msgspec": _ns(lambda: encode(as_struct)),
    }
    print(json.dumps({"ns_per_record": figures, "ns_per_body": bodies}, indent=1))


def _as_dict(
    a: int, b: bytes, c: int, d: int, e: int, f: int, g: bytes | None, h: object
) -> dict[str, object]:
    return {"a": a, "b": b, "c": c, "d": d, "e": e, "f": f, "g": g, "h": h}


def _ns(make: Callable[[], object]) -> int:
    times = timeit.repeat(make, number=LOOPS, repeat=ROUNDS)
    return round(sorted(times)[ROUNDS // 2] / LOOPS * 1e9)


if __name__ == "__main__":
    main()
