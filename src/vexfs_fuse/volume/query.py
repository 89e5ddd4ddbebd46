"""What a search is asked, whatever form the question came in."""

from typing import Final, NamedTuple

K_DEFAULT: Final = 10
"""Hits, when nobody says how many."""


class Query(NamedTuple):
    """One question; a field at its default asks for nothing.

    Tuples are joined by AND, the alternatives within one by OR.  Times in ns since 1970, sizes in bytes,
    both bounds inclusive.
    """

    words: tuple[str, ...] = ()
    k: int = K_DEFAULT
    min_score: float | None = None
    extensions: tuple[frozenset[bytes], ...] = ()
    types: tuple[str, ...] = ()
    names: tuple[bytes, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None
    size_min: int | None = None
    size_max: int | None = None
    has: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    vec: str | None = None
    like: bytes | None = None
    vector: str = ""  # raw float32 in base64, as a path has it
    space: str | None = None
    mode: str | None = None
    xattrs: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was asked at all."""
        return self == Query()

    @property
    def asks_size_or_time(self) -> bool:
        """Whether sizes or times of files decide."""
        return (
            self.size_min is not None
            or self.size_max is not None
            or self.since_ns is not None
            or self.until_ns is not None
        )

    @property
    def has_filters(self) -> bool:
        """Whether there is anything that a file must be or have."""
        return bool(
            self.words
            or self.extensions
            or self.types
            or self.names
            or self.has
            or self.without
            or self.xattrs
            or self.asks_size_or_time
        )

    @property
    def text(self) -> str:
        """All free text, in the order of the segments."""
        return " ".join(self.words)
