"""Turns the segments of a path, and who walks it, into a search, and keeps what was found for a moment."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import Any, Final, NamedTuple

from xxhash import xxh3_64_intdigest

from vexfs_fuse.errors import InvalidArgument, NoAttribute
from vexfs_fuse.pending import Pending
from vexfs_fuse.tree.node import Node
from vexfs_fuse.units import Inode
from vexfs_fuse.vectors.codec import from_raw
from vexfs_fuse.vectors.codec import parse as parse_vector
from vexfs_fuse.vfs.search import grammar
from vexfs_fuse.vfs.search.results import ResultSet
from vexfs_fuse.volume.catalogue import Identity
from vexfs_fuse.volume.changes import Searched
from vexfs_fuse.volume.groups import supplementary
from vexfs_fuse.volume.hits import Outcome
from vexfs_fuse.volume.query import Query
from vexfs_fuse.volume.search import Target
from vexfs_fuse.volume.slices import then
from vexfs_fuse.volume.vectors import DEFAULT_SPACE
from vexfs_fuse.volume.volume import Volume
from vexfs_fuse.volume.walking import follow
from vexfs_fuse.volume.writer import Actor, Caller

SETS_MAX: Final = 256
"""Result sets that are kept, whoever asked."""

HITS_MAX: Final = 100_000
"""Hits in all of them."""

FRESH_S: Final = 1.0
"""A set answers for so long, unless something has changed."""

HELD_S: Final = 60.0
"""A set is what its hits are looked up in for so long after it was made."""

DEADLINE_S: Final = 5.0
"""A search that takes longer fails; how many are worked on at once, `runtime.settling` bounds."""

JOURNAL_SAMPLE: Final = 100
"""With `search_journal=sampled`, one search in so many is journalled, beginning with the first."""

TRUSTED: Final = b"trusted."

Counted = Callable[[str, str, int], None]
"""Takes the plan, the space and the duration in ns of a search."""


class Asker(NamedTuple):
    """Who asks: whose permissions count, and who the journal names."""

    identity: Identity
    actor: Actor

    @classmethod
    def of(cls, who: Caller) -> "Asker":
        """Return the asker that a caller is."""
        groups = supplementary(who.pid) | {who.gid} if who.uid else frozenset()
        return cls(Identity(who.uid, groups), Actor(who.uid, who.gid, who.pid))


class Question(NamedTuple):
    """What a result set answers."""

    who: Identity
    scope: Inode
    segments: tuple[bytes, ...]


class _Kept(NamedTuple):
    results: ResultSet
    stamp: Any  # of the volume when the search began
    made_s: float


class Asking:
    """Asks the volume, on behalf of callers."""

    def __init__(
        self,
        volume: Volume,
        private_vector: Callable[[int, str], bytes],
        counted: Counted,
    ) -> None:
        self._volume = volume
        self._counted = counted
        self._until_journalled = 1
        self._private_vector = private_vector  # of a uid and a name, as `.vec` has it
        self._kept: OrderedDict[Question, _Kept] = OrderedDict()
        self._kept_hits = 0
        self._pinned: dict[Question, list[ResultSet]] = {}  # by directories that are open

    def ask(self, question: Question, actor: Actor) -> ResultSet | Pending[ResultSet]:
        """Search, unless the same question was answered a moment ago and nothing has changed since.

        Raises
        ------
        InvalidArgument, NoAttribute, NotFound
        """
        kept = self._kept.get(question)
        now = self._volume.clock.monotonic_s()
        if (
            kept is not None
            and kept.stamp == self._stamp()
            and now - kept.made_s < FRESH_S
            and kept.results.query.vec is None  # that may have been written anew
        ):
            return kept.results
        return self._run(question, actor)

    def pin(self, question: Question, results: ResultSet) -> None:
        """Keep a set as long as a directory that shows it is open."""
        self._pinned.setdefault(question, []).append(results)

    def unpin(self, question: Question, results: ResultSet) -> None:
        """A directory is closed that showed a set."""
        pinned = self._pinned[question]
        pinned.remove(results)
        if not pinned:
            del self._pinned[question]

    def shown(self, question: Question) -> ResultSet | None:
        """Return the set that an open directory shows, the latest of them."""
        pinned = self._pinned.get(question)
        return pinned[-1] if pinned else None

    def held(self, question: Question) -> Iterator[ResultSet]:
        """Yield the sets that the caller's hits may come from, the latest first."""
        yield from reversed(self._pinned.get(question, ()))
        kept = self._kept.get(question)
        if kept is not None and self._volume.clock.monotonic_s() - kept.made_s < HELD_S:
            yield kept.results

    def _run(self, question: Question, actor: Actor) -> ResultSet | Pending[ResultSet]:
        query = grammar.parse(question.segments, self._volume.clock.now_ns())
        stamp = self._stamp()
        asker = Asker(question.who, actor)
        outcome = self.answer(query, question.segments, question.scope, asker)
        kept: ResultSet | Pending[ResultSet] = then(
            outcome, lambda outcome: self._keep(question, query, outcome, stamp)
        )
        return kept

    def _stamp(self) -> Any:
        """Return what is another whenever something has changed that could alter an answer."""
        text = self._volume.text
        return self._volume.changes, None if text is None else text.version()

    def _keep(self, question: Question, query: Query, outcome: Outcome, stamp: Any) -> ResultSet:
        results = self.results(query, question.segments, question.scope, outcome)
        self._drop(question)
        self._kept[question] = _Kept(results, stamp, self._volume.clock.monotonic_s())
        self._kept_hits += len(results.shown)
        while len(self._kept) > SETS_MAX or (self._kept_hits > HITS_MAX and len(self._kept) > 1):
            self._drop(next(iter(self._kept)))
        return results

    def results(
        self, query: Query, segments: tuple[bytes, ...], scope: Inode, outcome: Outcome
    ) -> ResultSet:
        """Return an answer as it is shown."""
        text = self._volume.text
        indexing = {} if text is None else text.progress()
        return ResultSet(query, segments, scope, outcome, indexing)

    def _drop(self, question: Question) -> None:
        kept = self._kept.pop(question, None)
        if kept is not None:
            self._kept_hits -= len(kept.results.shown)

    def answer(
        self,
        query: Query,
        segments: tuple[bytes, ...],
        scope: Inode,
        asker: Asker,
        raw: Any = None,
    ) -> Outcome | Pending[Outcome]:
        """Answer one query, which `segments` say; `raw` is a vector that came with it.

        Raises
        ------
        InvalidArgument, NoAttribute, NotFound
        """
        began_ns = perf_counter_ns()
        outcome = self._answer(query, scope, asker.identity, raw)
        if isinstance(outcome, Pending):
            outcome = outcome._replace(patience_s=DEADLINE_S)
        asked = xxh3_64_intdigest(b"/".join(segments) + (b"" if raw is None else raw.tobytes()))

        def note(outcome: Outcome) -> Outcome:
            self._note(query, asked, scope, asker.actor, outcome, perf_counter_ns() - began_ns)
            return outcome

        noted: Outcome | Pending[Outcome] = then(outcome, note)
        return noted

    def _note(
        self, query: Query, asked: int, scope: Inode, actor: Actor, outcome: Outcome, took_ns: int
    ) -> None:
        """Count a search, and have the journal tell of it if it should."""
        space = outcome.space or ""
        self._counted(outcome.plan, space, took_ns)
        if not self._is_journalled():
            return
        hits = len(outcome.hits)
        change = Searched(scope, asked, space, outcome.plan, query.k, hits, took_ns // 1000)
        self._volume.writer.note(scope, change, actor)

    def _is_journalled(self) -> bool:
        wanted = self._volume.config.search_journal
        if wanted == "sampled":
            self._until_journalled -= 1
            if self._until_journalled == 0:
                self._until_journalled = JOURNAL_SAMPLE
                return True
        return wanted == "full"

    def _answer(
        self, query: Query, scope: Inode, who: Identity, raw: Any
    ) -> Outcome | Pending[Outcome]:
        query = _as_asked_by(query, who)
        target = self._target(query, scope, who, raw)
        search, text = self._volume.search, self._volume.text
        if text is None or text.version() is None:
            if target is None:
                return search.by_names(query, scope, who)
            return search.nearest(query, target, scope, who)
        if target is None and (query.words or query.has):
            return text.find(query, scope, who)
        bare = query._replace(words=(), has=(), without=())
        words = text.word_filter(query, scope, who, all_words=True)
        if target is None:
            found = then(words, lambda words: search.by_names(bare, scope, who, words))
        else:
            found = then(words, lambda words: search.nearest(bare, target, scope, who, words))
        answer: Outcome | Pending[Outcome] = found
        return answer

    def check(self, question: Question) -> None:
        """Refuse what cannot be searched for, without searching.

        Raises
        ------
        InvalidArgument, NoAttribute, NotFound
        """
        query = grammar.parse(question.segments, self._volume.clock.now_ns())
        target = self._target(query, question.scope, question.who, None)
        text = self._volume.text
        if target is None and query.words and text is not None and text.version() is not None:
            text.check(query)

    def _target(self, query: Query, scope: Inode, who: Identity, raw: Any) -> Target | None:
        """Return what the hits are to be near to, if to anything."""
        vector, exclude = raw, None
        if query.vector:
            if raw is not None:
                raise InvalidArgument("one vector")
            raw = vector = from_raw(grammar.vector_of(query.vector))
        if (raw is not None) + (query.like is not None) + (query.vec is not None) > 1:
            raise InvalidArgument("one of like=, vec= and a vector")
        space = query.space or DEFAULT_SPACE
        if query.like is not None:
            node = self._like(query.like, scope, who)
            vector, exclude = self._volume.search.vector_of(node, space), node.ino
        elif query.vec is not None:
            vector = parse_vector(self._private_vector(who.uid, query.vec), None)
        if vector is not None:
            return self._volume.search.target(vector, space, exclude)
        text = self._volume.text
        if query.words and text is not None and text.version() is not None:
            return None
        if query.mode in {"vector", "exact"} or query.space is not None:
            raise InvalidArgument("a search in a vector space needs like= or vec=")
        return None

    def _like(self, path: bytes, scope: Inode, who: Identity) -> Node:
        """Return the file that `like=` names, if the caller may read it."""
        node = follow(self._volume.catalogue, path, scope, who)
        if not node.is_file or not self._volume.catalogue.may_read(node, who):
            raise NoAttribute(f"like={path.decode('utf-8', 'replace')}")
        return node


def _as_asked_by(query: Query, who: Identity) -> Query:
    """Return a query without what the caller may not know: `trusted.*` is there for root alone.

    As for getxattr(2), no file of others has such an attribute; none has one without a name.
    """
    if who.uid == 0 or not any(name.startswith(TRUSTED) for name, _ in query.xattrs):
        return query
    return query._replace(
        xattrs=tuple(
            (b"" if name.startswith(TRUSTED) else name, value) for name, value in query.xattrs
        )
    )
