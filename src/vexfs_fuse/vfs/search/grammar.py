"""What a segment of a `.search` path says: words, or one option; `docs/path-grammar.md` is the reference.

Knows no files and runs nothing: a segment becomes a part of a `Query`, or `InvalidArgument`.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from math import inf, isfinite
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.units import GIB, KIB, MIB, NS_PER_S
from vexfs_fuse.volume.query import Query

K_MAX: Final = 10_000
VECTOR_CHARACTERS: Final = 240
"""Of base64 in one segment: 45 components."""

SEGMENTS_MAX: Final = 32
"""Segments of one path: more is a loop, not a question."""

_HIT: Final = re.compile(rb"\d{3,}-")
_NUMBER: Final = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_BASE64: Final = re.compile(rb"[\w+-]+={0,2}", re.ASCII)
_COMPONENT_BYTES: Final = 4
_TEMPORARY: Final = re.compile(rb"(sed|tmp)(?=.*[0-9A-Z])\w{6,8}")

MODES: Final = ("hybrid", "vector", "text", "exact")


def parse(segments: tuple[bytes, ...], now_ns: int) -> Query:
    """Return the query that a path's segments ask.

    Raises
    ------
    InvalidArgument
        A bad value; the message names the option and what it takes.
    """
    if len(segments) > SEGMENTS_MAX:
        raise InvalidArgument(f"more than {SEGMENTS_MAX} segments")
    query = Query()
    for segment in segments:
        query = add(query, segment, now_ns)
    return query


def is_temporary(name: bytes) -> bool:
    """Whether a name is one that `sed -i` or Python's tempfile makes up, to make a file of that name.

    If it were a query, its directory would seem to be there already, and they would try thousands more.
    """
    return _TEMPORARY.fullmatch(name) is not None


def add(query: Query, segment: bytes, now_ns: int) -> Query:
    """Return `query` with one more segment."""
    if segment.startswith(b"like="):
        segment = segment.replace(b"@", b"/")
    decoded = decode(segment)
    key, equals, value = decoded.partition(b"=")
    option = _OPTIONS.get(key.decode("ascii", "replace")) if equals else None
    if option is None:
        return query._replace(words=(*query.words, _text(decoded)))
    if not value:
        raise InvalidArgument(f"{key.decode()}= needs a value")
    return option(query, value, now_ns)


def decode(segment: bytes) -> bytes:
    """Return a segment without percent-encoding.

    Raises
    ------
    InvalidArgument
        A percent sign that two hexadecimal digits do not follow.
    """
    if re.search(rb"%(?![0-9A-Fa-f]{2})", segment):
        raise InvalidArgument("a percent sign is written %25")
    return unquote_to_bytes(segment)


def encode(text: bytes) -> bytes:
    """Return the segment that asks for a text, whatever the text looks like; it must not be empty."""
    encoded = text.replace(b"%", b"%25").replace(b"/", b"%2F").replace(b"\0", b"%00")
    key, equals, _ = encoded.partition(b"=")
    is_option = equals and key.decode("ascii", "replace") in _OPTIONS
    if is_option or encoded.startswith(b".") or is_hit(encoded) or is_temporary(encoded):
        return b"text=" + encoded
    return encoded


def of_vector(raw: bytes) -> list[bytes]:
    """Return the segments that ask for what is near to a vector, each short enough for a name."""
    text = urlsafe_b64encode(raw).rstrip(b"=")
    return [
        b"vector=" + text[start : start + VECTOR_CHARACTERS]
        for start in range(0, len(text), VECTOR_CHARACTERS)
    ]


def vector_of(text: str) -> bytes:
    """Return the raw vector that the segments of a path say together.

    Raises
    ------
    InvalidArgument
    """
    text = text.replace("+", "-").rstrip("=")
    if "=" in text:
        raise InvalidArgument("vector= has an end in its middle")
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise InvalidArgument(f"vector= is no base64: {error}") from error
    if not raw or len(raw) % _COMPONENT_BYTES:
        raise InvalidArgument(f"vector= has {len(raw)} bytes, no multiple of 4 (float32)")
    return raw


def is_hit(name: bytes) -> bool:
    """Whether a name is one that hits have."""
    return _HIT.match(name) is not None


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument("query text is UTF-8") from error


def _words(query: Query, value: bytes, now_ns: int) -> Query:
    return query._replace(words=(*query.words, _text(value)))


def _k(query: Query, value: bytes, now_ns: int) -> Query:
    digits = value.lstrip(b"0")
    is_number = value.isdigit() and len(digits) <= len(str(K_MAX))
    if not is_number or not 1 <= int(digits or b"0") <= K_MAX:
        raise InvalidArgument(f"k= takes a number from 1 to {K_MAX}")
    return query._replace(k=int(digits))


def _min(query: Query, value: bytes, now_ns: int) -> Query:
    score = float(value) if _NUMBER.fullmatch(value) else inf
    if not isfinite(score):
        raise InvalidArgument("min= takes a score, such as 0.35")
    return query._replace(min_score=score)


def _ext(query: Query, value: bytes, now_ns: int) -> Query:
    extensions = frozenset(part.lower().lstrip(b".") for part in value.split(b","))
    if b"" in extensions:
        raise InvalidArgument("ext= takes extensions, such as md or md,txt")
    return query._replace(extensions=(*query.extensions, extensions))


def _type(query: Query, value: bytes, now_ns: int) -> Query:
    if not re.fullmatch(rb"[\w.+-]+/([\w.+-]+|\*)", value):
        raise InvalidArgument("type= takes a MIME type, such as text/markdown or image/*")
    return query._replace(types=(*query.types, value.decode().lower()))


def _name(query: Query, value: bytes, now_ns: int) -> Query:
    return query._replace(names=(*query.names, value))


def _since(query: Query, value: bytes, now_ns: int) -> Query:
    moment = _moment("since", value, now_ns, end_of_day=False)
    return query._replace(since_ns=max(moment, query.since_ns or moment))


def _until(query: Query, value: bytes, now_ns: int) -> Query:
    moment = _moment("until", value, now_ns, end_of_day=True)
    return query._replace(until_ns=min(moment, query.until_ns or moment))


_AGES: Final = {b"s": 1, b"m": 60, b"h": 3600, b"d": 86_400, b"w": 604_800, b"y": 31_557_600}


def _moment(option: str, value: bytes, now_ns: int, *, end_of_day: bool) -> int:
    """Return the time that `7d` (ago) or an ISO 8601 date or time (UTC unless it says) stands for."""
    age = re.fullmatch(rb"(\d{1,9})([smhdwy])", value)
    if age is not None:
        return now_ns - int(age[1]) * _AGES[age[2]] * NS_PER_S
    text = value.decode("ascii", "replace")
    try:
        moment = datetime.combine(date.fromisoformat(text), time.max if end_of_day else time.min)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise InvalidArgument(
                f"{option}= takes an age such as 7d, or a date such as 2026-01-31"
            ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000_000) * 1000


_SIZES: Final = {b"": 1, b"K": KIB, b"M": MIB, b"G": GIB, b"T": 1024 * GIB}


def _size(query: Query, value: bytes, now_ns: int) -> Query:
    match = re.fullmatch(rb"([<>]=?|=?)(\d{1,18})([KMGT]?)", value.upper())
    if match is None:
        raise InvalidArgument("size= takes a bound such as >1M, <=64K or 4096")
    bound, size = match[1], int(match[2]) * _SIZES[match[3]]
    low = {b">": size + 1, b">=": size, b"=": size, b"": size}.get(bound)
    high = {b"<": size - 1, b"<=": size, b"=": size, b"": size}.get(bound)
    if low is not None:
        query = query._replace(size_min=max(low, query.size_min or 0))
    if high is not None:
        query = query._replace(
            size_max=min(high, query.size_max if query.size_max is not None else high)
        )
    return query


def _has(query: Query, value: bytes, now_ns: int) -> Query:
    return query._replace(has=(*query.has, _text(value)))


def _not(query: Query, value: bytes, now_ns: int) -> Query:
    return query._replace(without=(*query.without, _text(value)))


def _vector(query: Query, value: bytes, now_ns: int) -> Query:
    if not _BASE64.fullmatch(value):
        raise InvalidArgument("vector= takes raw float32 in base64, with - and _ for + and /")
    return query._replace(vector=query.vector + value.decode())


def _once(field: str, read: Callable[[bytes], Any]) -> Callable[[Query, bytes, int], Query]:
    def option(query: Query, value: bytes, now_ns: int) -> Query:
        if getattr(query, field) is not None:
            raise InvalidArgument(f"{field}= is there twice")
        return query._replace(**{field: read(value)})

    return option


def _mode(value: bytes) -> str:
    mode = value.decode("ascii", "replace")
    if mode not in MODES:
        raise InvalidArgument(f"mode= takes {', '.join(MODES)}")
    return mode


def _xattr(query: Query, value: bytes, now_ns: int) -> Query:
    name, colon, wanted = value.partition(b":")
    if not colon or not name:
        raise InvalidArgument("xattr= takes NAME:VALUE")
    if b"." not in name:
        name = b"user." + name
    return query._replace(xattrs=(*query.xattrs, (name, wanted)))


_OPTIONS: Final[dict[str, Callable[[Query, bytes, int], Query]]] = {
    "text": _words,
    "k": _k,
    "min": _min,
    "ext": _ext,
    "type": _type,
    "name": _name,
    "since": _since,
    "until": _until,
    "size": _size,
    "has": _has,
    "not": _not,
    "vec": _once("vec", _text),
    "like": _once("like", bytes),
    "vector": _vector,
    "space": _once("space", _text),
    "mode": _once("mode", _mode),
    "xattr": _xattr,
}

OPTION_NAMES: Final = tuple(_OPTIONS)
