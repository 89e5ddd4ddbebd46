"""What belongs to one caller: query vectors under a name, and queries asked through one descriptor."""

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgpack
import numpy as np

from vexfs_fuse.clock import Clock
from vexfs_fuse.errors import FileTooBig, InvalidArgument, NoSpace, NotFound
from vexfs_fuse.units import MIB, Inode
from vexfs_fuse.vectors.codec import parse as parse_vector
from vexfs_fuse.vfs.search import grammar
from vexfs_fuse.vfs.search.asking import Asker, Asking
from vexfs_fuse.vfs.search.results import ResultSet
from vexfs_fuse.volume.hits import Outcome
from vexfs_fuse.volume.slices import then

VECTORS_MAX: Final = 64
"""Private vectors of one user; the oldest goes."""

VECTOR_BYTES_MAX: Final = MIB
ALL_BYTES_MAX: Final = 64 * MIB
"""Private vectors of all users together."""

EXPIRES_S: Final = 3600.0
"""Age at which a private vector goes."""

QUERY_BYTES_MAX: Final = MIB


class _Vector(NamedTuple):
    buffer: bytearray
    made_s: float


class PrivateVectors:
    """Query vectors by user and name; they are in memory only, and expire."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._vectors: dict[int, OrderedDict[str, _Vector]] = {}

    def get(self, uid: int, name: str) -> bytes:
        """Return the bytes of a vector.

        Raises
        ------
        NotFound
        """
        return bytes(self._entry(uid, name).buffer)

    def _entry(self, uid: int, name: str) -> _Vector:
        self._expire(uid)
        found = self._vectors.get(uid, OrderedDict()).get(name)
        if found is None:
            raise NotFound(f"vec={name}")
        return found

    def _expire(self, uid: int) -> None:
        mine = self._vectors.get(uid)
        oldest = self._clock.monotonic_s() - EXPIRES_S
        while mine and next(iter(mine.values())).made_s < oldest:
            mine.popitem(last=False)

    def names(self, uid: int) -> list[str]:
        """Return the names of a user's vectors."""
        self._expire(uid)
        return list(self._vectors.get(uid, ()))

    def create(self, uid: int, name: str) -> "VectorFile":
        """Begin a vector, in the place of one of the same name."""
        mine = self._vectors.setdefault(uid, OrderedDict())
        mine.pop(name, None)
        mine[name] = _Vector(bytearray(), self._clock.monotonic_s())
        while len(mine) > VECTORS_MAX:
            mine.popitem(last=False)
        return self._file(mine[name].buffer)

    def _file(self, buffer: bytearray) -> "VectorFile":
        return VectorFile(buffer, self._make_room)

    def _make_room(self, size: int) -> None:
        """Refuse to keep more bytes than there may be, once what has expired is gone."""
        for uid in list(self._vectors):
            self._expire(uid)
            if not self._vectors[uid]:
                del self._vectors[uid]
        kept = sum(len(each.buffer) for mine in self._vectors.values() for each in mine.values())
        if kept + size > ALL_BYTES_MAX:
            raise NoSpace("private vectors of all users")

    def open(self, uid: int, name: str, *, writing: bool) -> "VectorFile":
        """Open a vector; for writing, it begins anew."""
        return self.create(uid, name) if writing else self._file(self._entry(uid, name).buffer)

    def remove(self, uid: int, name: str) -> None:
        """Forget a vector.

        Raises
        ------
        NotFound
        """
        self._entry(uid, name)
        del self._vectors[uid][name]


class VectorFile:
    """An open private vector."""

    def __init__(self, buffer: bytearray, make_room: Callable[[int], None]) -> None:
        self._buffer = buffer
        self._make_room = make_room

    def read(self, offset: int, size: int) -> bytes:
        """Return at most `size` bytes from `offset`."""
        return bytes(self._buffer[offset : offset + size])

    def write(self, offset: int, data: bytes) -> int:
        """Write at `offset`.

        Raises
        ------
        FileTooBig, NoSpace
        """
        end = offset + len(data)
        if end > VECTOR_BYTES_MAX:
            raise FileTooBig
        if end > len(self._buffer):
            self._make_room(end - len(self._buffer))
            self._buffer.extend(bytes(end - len(self._buffer)))
        self._buffer[offset:end] = data
        return len(data)


class NewQuery:
    """One descriptor of `.new`: what is written is the query, what is read then its answer.

    A query is raw float32; or a JSON or msgpack map with `vector` and any of the options of the path
    grammar, a list standing for an option several times.  The answer to msgpack is msgpack, to all
    others lines of JSON, as `.results.jsonl` has them.
    """

    def __init__(
        self, asking: Asking, scope: Inode, asker: Asker, now_ns: Callable[[], int]
    ) -> None:
        self._asking = asking
        self._scope = scope
        self._asker = asker
        self._now_ns = now_ns
        self._query = bytearray()
        self._answer: bytes | None = None
        self._start = 0  # where in the file the answer begins: where it was first read

    def write(self, offset: int, data: bytes) -> int:
        """Take the next part of the query; after an answer, a new query begins."""
        if self._answer is not None:
            self._answer, self._query = None, bytearray()
        if len(self._query) + len(data) > QUERY_BYTES_MAX:
            raise FileTooBig
        self._query += data
        return len(data)

    def read(self, offset: int, size: int) -> Any:
        """Return the answer; it begins where the reading begins: after the query, or at 0 after a seek.

        Raises
        ------
        InvalidArgument, NoAttribute
        """
        if self._answer is None:
            self._start = offset
            return self._ask(lambda: self._part(offset, size))
        if offset < self._start:
            self._start = 0
        return self._part(offset, size)

    def _part(self, offset: int, size: int) -> bytes:
        answer = self._answer or b""
        start = offset - self._start
        return answer[start : start + size]

    def _ask(self, part: Callable[[], bytes]) -> Any:
        fields, encode = _decode(bytes(self._query))
        vector = fields.pop("vector", None)
        segments = tuple(
            _segment(key, each)
            for key, value in fields.items()
            for each in (value if isinstance(value, list) else [value])
        )
        query = grammar.parse(segments, self._now_ns())
        raw = _vector(vector) if vector is not None else None
        if raw is None and query.is_empty:
            raise InvalidArgument("a query has a vector, words or options")
        outcome = self._asking.answer(query, segments, self._scope, self._asker, raw)

        def finish(outcome: Outcome) -> bytes:
            self._answer = encode(self._asking.results(query, segments, self._scope, outcome))
            return part()

        return then(outcome, finish)


def _decode(query: bytes) -> tuple[dict[str, Any], Callable[[ResultSet], bytes]]:
    """Return a query's fields, and how its answer is written."""
    if not query:
        raise InvalidArgument("write a query first")
    if query[:1] == b"{" and _is_text(query):
        try:
            return json.loads(query), ResultSet.jsonl
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(f"not JSON: {error}") from error
    if 0x80 <= query[0] <= 0x8F or query[0] in {0xDE, 0xDF}:
        try:
            fields = msgpack.unpackb(query)
        except (ValueError, msgpack.UnpackException):
            fields = None
        if isinstance(fields, dict) and all(isinstance(key, str) for key in fields):
            return fields, _packed
    return {"vector": query}, ResultSet.jsonl


def _is_text(query: bytes) -> bool:
    """Whether bytes can be JSON: one float in 256 begins with `{`."""
    if b"\0" in query:
        return False
    try:
        query.decode()
    except UnicodeDecodeError:
        return False
    return True


def _packed(results: ResultSet) -> bytes:
    lines = [json.loads(line) for line in results.jsonl().splitlines()]
    packed: bytes = msgpack.packb(lines)
    return packed


def _segment(key: str, value: Any) -> bytes:
    if key not in grammar.OPTION_NAMES:
        raise InvalidArgument(f"{key} is no option; there are {', '.join(grammar.OPTION_NAMES)}")
    if isinstance(value, bool) or not isinstance(value, str | bytes | int | float):
        raise InvalidArgument(f"{key} is a text or a number, or a list of them")
    try:
        said = value if isinstance(value, bytes) else str(value).encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{key} is no text") from error
    text = key.encode() + b"=" + said.replace(b"%", b"%25")
    return text.replace(b"@", b"%40") if key == "like" else text


def _vector(value: Any) -> Any:
    if isinstance(value, bytes):
        return parse_vector(value, None)
    if isinstance(value, list) and all(isinstance(number, int | float) for number in value):
        try:
            return np.array(value, np.float64).astype(np.float32)
        except OverflowError as error:
            raise InvalidArgument("a number of the vector is too large") from error
    raise InvalidArgument("vector is a list of numbers, or raw float32")
