"""Answers questions in words: by the full text, by the meaning, or by both.

What is slow (the question's vector, the full text) is read in a worker; who may see what, and what has
become of the files meanwhile, is decided on the loop.  Permission comes before rank: what a caller may not
find neither takes a place nor scales a score.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from vexfs_fuse.errors import (
    CorruptData,
    EmbedderFailed,
    InvalidArgument,
    ModelMissing,
    NoAttribute,
    VexfsError,
)
from vexfs_fuse.pending import Pending, caught
from vexfs_fuse.text import words as text_words
from vexfs_fuse.text.excerpts import place
from vexfs_fuse.text.lookup import NO_MATCHES, NOTHING_SETTLED, Matches, TextLookup
from vexfs_fuse.text.words import Words
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.vectors.space import Space
from vexfs_fuse.volume.catalogue import Identity
from vexfs_fuse.volume.fusion import Ranking, by_text, by_vector, fused
from vexfs_fuse.volume.hits import Hit, Outcome, Part, Scores
from vexfs_fuse.volume.live_names import INODES_MAX, Having, LiveNames, Named, Phrases
from vexfs_fuse.volume.query import Query
from vexfs_fuse.volume.search import Near, Search, Target
from vexfs_fuse.volume.slices import in_slices, then
from vexfs_fuse.volume.vectors import TEXT_SPACE, Vectors
from vexfs_fuse.volume.word_filter import ANY_WORDS, Longs, WordFilter

DEPTH: Final = 300
"""Files that are nearest, among which meaning ranks."""

PASSAGES: Final = 2_000
"""Passages, and names, that match best, among which words rank."""

PASSAGES_GROWTH: Final = 8
"""So many times more are asked for when too few of them may be found by the caller."""

PARTS_MAX: Final = 100
"""Hits that have an excerpt."""

PARTS_SLACK: Final = 4
"""Excerpts beyond those of the hits wanted, for the same reason as `SLACK`."""

SLACK: Final = 32
"""Hits that are looked at beyond those wanted, to make up for what goes meanwhile."""

Floats = np.ndarray[Any, np.dtype[np.float32]]


class Questions(Protocol):
    """Makes vectors of questions."""

    @property
    def fingerprint(self) -> str | None:
        """Of the model; None while it is not known."""
        ...

    @property
    def is_available(self) -> bool:
        """Whether it makes sense to ask."""
        ...

    @property
    def missing(self) -> ModelMissing:
        """Why it makes none."""
        ...

    def embed(self, text: str) -> Floats | Pending[Floats]:
        """Return the vector of a question.  The work raises `ModelMissing` or `EmbedderFailed`."""
        ...


class Asked(NamedTuple):
    """One question, and how it is answered."""

    query: Query  # without what the word filter decides
    scope: Inode
    who: Identity
    words: Words
    mode: str  # hybrid, vector or text
    fallback: str | None
    space: Space | None  # None: meaning does not decide


class Read(NamedTuple):
    """What a worker read for a question."""

    vector: Any  # None: not asked for; of type Floats, or VexfsError
    matches: Matches
    passages: int  # that were asked for
    phrases: Phrases
    damage: str | None


class TextSearch:
    """Searches the texts of one volume.

    `progress` tells how far indexing is, for the header of results.  `names` is told of changes from now
    on; `named_since` returns, in a worker, which inodes were given names, or lost them, after one record, and
    by which, as far as it knows.
    """

    def __init__(
        self,
        search: Search,
        vectors: Vectors,
        lookup: TextLookup,
        questions: Questions | None,
        progress: Callable[[], dict[str, Any]],
        names: LiveNames,
        named_since: Callable[[Lsn], Sequence[tuple[Inode, Lsn]]] = lambda position: (),
    ) -> None:
        self._search = search
        self._vectors = vectors
        self._lookup = lookup
        self._questions = questions
        self.progress = progress
        self._names = names
        self._named_since = named_since
        self._has_older_names = True  # that `names` was not told of

    def version(self) -> tuple[int, ...] | None:
        """Return what changes with every change of the full text; None: there is none."""
        try:
            return self._lookup.version()
        except CorruptData:
            return ()

    def check(self, query: Query) -> None:
        """Refuse what cannot be searched for.

        Raises
        ------
        InvalidArgument, ModelMissing, NoAttribute
        """
        if query.space not in {None, TEXT_SPACE}:
            raise InvalidArgument(f"words are searched for in space {TEXT_SPACE}")
        self._way(query)

    def word_filter(
        self, query: Query, scope: Inode, who: Identity, *, all_words: bool = False
    ) -> WordFilter | Pending[WordFilter]:
        """Return which files have what `has=` and `not=` say, with `all_words` all free text as well."""
        having = [*query.has, *text_words.read(query.text).phrases]
        if all_words:
            having += text_words.read(query.text).terms
        if not having and not query.without:
            return ANY_WORDS
        changed = self._names.changed()

        def filter_of(phrases: Phrases) -> WordFilter | Pending[WordFilter]:
            self._note(phrases.named)
            return in_slices(self._filter(phrases, scope, who))

        return Pending(lambda: self._phrases(having, query.without, changed), filter_of)

    def find(self, query: Query, scope: Inode, who: Identity) -> Outcome | Pending[Outcome]:
        """Find the files that the words of a question, or of `has=` alone, speak of.

        Raises
        ------
        InvalidArgument, ModelMissing, NoAttribute, EmbedderFailed, CorruptData, TimedOut
        """
        self.check(query)
        mode, fallback, space = self._way(query)
        words = text_words.read(query.text or " ".join(query.has))
        bare = query._replace(words=(), has=(), without=())
        asked = Asked(bare, scope, who, words, mode, fallback, space)
        having = [*query.has, *words.phrases]
        vector: Any = None
        if space is not None and self._questions is not None:
            vector = self._questions.embed(query.text)
        embed = caught(vector.work) if isinstance(vector, Pending) else None
        embedded = vector.resume if isinstance(vector, Pending) else _same
        changed = self._names.changed()

        def work() -> Read:
            made = vector if embed is None else embed()
            return self._read(asked, made, having, query.without, changed)

        def resume(read: Read) -> Any:
            if embed is not None and not isinstance(read.vector, VexfsError):
                read = read._replace(vector=embedded(read.vector))
            self._note(read.phrases.named)
            filter_ = in_slices(self._filter(read.phrases, scope, who))
            return then(filter_, lambda words: self._ranked(*self._settled(asked, read), words))

        return Pending(work, resume)

    # -- which way -----------------------------------------------------------------------------

    def _way(self, query: Query) -> tuple[str, str | None, Space | None]:
        """Return the mode, why it is not hybrid, and the space to search."""
        if query.mode == "text" or not query.words:
            return "text", None, None
        hindrance = self._hindrance()
        alone = query.mode in {"vector", "exact"}
        if hindrance is None:
            return "vector" if alone else "hybrid", None, self._vectors.spaces[TEXT_SPACE]
        if alone:
            raise hindrance
        return "text", str(hindrance), None

    def _hindrance(self) -> VexfsError | None:
        """Return why there is no searching by meaning; None: there is."""
        space = self._vectors.spaces.get(TEXT_SPACE)
        questions = self._questions
        if questions is None:
            return ModelMissing()
        if not questions.is_available:
            return questions.missing
        if space is None or not len(space):
            return NoAttribute(f"no vectors in space {TEXT_SPACE} yet")
        model = questions.fingerprint
        if model is not None and model != space.model:
            return NoAttribute(
                f"the vectors in space {TEXT_SPACE} are of {space.model}, not of {model};"
                " vexfs reindex --text makes them anew"
            )
        return None

    def _settled(self, asked: Asked, read: Read) -> tuple[Asked, Read]:
        """Look again at what could have failed, or changed, meanwhile."""
        if asked.space is not None:
            hindrance = self._hindrance()
            if isinstance(read.vector, VexfsError):
                hindrance = read.vector
            if hindrance is not None:
                if asked.mode == "vector":
                    raise hindrance
                asked = asked._replace(mode="text", fallback=str(hindrance), space=None)
            else:
                asked = asked._replace(space=self._vectors.spaces[TEXT_SPACE])
        if read.damage is not None:
            if asked.space is None:
                raise CorruptData(read.damage)
            asked = asked._replace(mode="vector", fallback=read.damage)
        return asked, read

    # -- in a worker ---------------------------------------------------------------------------

    def _read(
        self,
        asked: Asked,
        vector: Any,
        having: Sequence[str],
        without: Sequence[str],
        changed: str,
    ) -> Read:
        phrases = self._phrases(having, without, changed)
        matches, damage = NO_MATCHES, None
        if asked.mode != "vector":
            try:
                matches = self._lookup.match(asked.words, PASSAGES)
            except CorruptData as damaged:
                damage = str(damaged)
        return Read(vector, matches, PASSAGES, phrases, damage)

    def _phrases(self, having: Sequence[str], without: Sequence[str], changed: str) -> Phrases:
        named = self._named(changed)  # first: what is settled then is in what is read later
        return Phrases(
            [self._having(text) for text in dict.fromkeys(having)],
            [self._having(text) for text in dict.fromkeys(without)],
            named,
        )

    def _having(self, text: str) -> Having:
        expression = text_words.phrase(text)
        if expression is None:
            return Having(text, _NONE, _NONE)
        return Having(text, *self._lookup.having(expression))

    def _named(self, changed: str) -> Named:
        try:
            older = self._older() if self._has_older_names else None
            return Named(self._lookup.settled(changed), older)
        except CorruptData:
            return Named(NOTHING_SETTLED, None)

    def _older(self) -> list[tuple[Inode, Lsn]]:
        """Return what the index did not know of names when there was nobody yet to take note."""
        position, waiting = self._lookup.waiting(INODES_MAX)
        found = list(self._named_since(Lsn(position))) if position else []
        return found + [(ino, Lsn(0)) for ino in waiting]

    # -- on the loop ---------------------------------------------------------------------------

    def _note(self, named: Named) -> None:
        """Take note of what a worker learned of names."""
        if named.older is not None and self._has_older_names:
            self._names.note_older(named.older)
            self._has_older_names = False
        self._names.settle(named.settled)

    def _filter(
        self, phrases: Phrases, scope: Inode, who: Identity
    ) -> Generator[None, None, WordFilter]:
        """Return the filter that phrases are, with names as they are now."""
        found: list[Longs] = []
        for phrase, texts, names in (*phrases.having, *phrases.without):
            inos = yield from self._names.having(phrase, texts, names, scope, who)
            found.append(inos)
        count = len(phrases.having)
        return WordFilter(tuple(found[:count]), tuple(found[count:]))

    def _ranked(self, asked: Asked, read: Read, words: WordFilter) -> Any:
        """Rank what matches and may be found; read more if that is too little."""

        def rank(matches: Matches) -> Any:
            few = len(matches.inos) < asked.query.k
            if few and not read.matches.all_there:
                count = read.passages * PASSAGES_GROWTH
                return Pending(
                    lambda: self._lookup.match(asked.words, count),
                    lambda more: self._ranked(
                        asked, read._replace(matches=more, passages=count), words
                    ),
                )
            if asked.space is None:
                return self._shown(asked, by_text(matches), None, len(matches.inos))
            return self._with_meaning(asked, read, matches, words)

        return then(in_slices(self._permitted(asked, read, words)), rank)

    def _permitted(
        self, asked: Asked, read: Read, words: WordFilter
    ) -> Generator[None, None, Matches]:
        """Return the matches that the caller may find and that pass all filters."""
        scope, who, matches = asked.scope, asked.who, read.matches
        if asked.mode != "vector":
            matches = yield from self._names.in_place(matches, asked.words, scope, who)
        mask = yield from self._search.permitted(matches.inos, asked.query, scope, who)
        mask = mask & words.lets_pass(matches.inos)
        return matches.only(mask)

    def _with_meaning(self, asked: Asked, read: Read, matches: Matches, words: WordFilter) -> Any:
        space, query = asked.space, asked.query
        assert space is not None
        if len(read.vector) != space.dimensions:
            raise EmbedderFailed(
                f"{len(read.vector)} dimensions, and space {TEXT_SPACE} has others"
            )
        target = Target(read.vector, space, None)

        def rank(near: Near) -> Any:
            inos, scores = near.found.inos, near.found.scores
            alone = asked.mode == "vector"
            ranking = by_vector(inos, scores) if alone else fused(matches, inos, scores)
            return self._shown(asked, ranking, near, near.candidates, read.vector)

        depth = max(DEPTH, query.k + SLACK)
        near = self._search.near(query, target, asked.scope, asked.who, depth, words, wholes=True)
        return then(near, rank)

    def _shown(
        self,
        asked: Asked,
        ranking: Ranking,
        near: Near | None,
        candidates: int,
        vector: Floats | None = None,
    ) -> Any:
        """Fetch what is shown of the best, then look at them as they are now."""
        ranking = ranking.best(asked.query.k + SLACK)
        shown = min(PARTS_MAX, asked.query.k + PARTS_SLACK)
        places = [
            (Inode(ino), passage or self._nearest_passage(asked.space, Inode(ino), vector))
            for ino, passage in zip(
                ranking.inos[:shown].tolist(), ranking.passages.tolist(), strict=False
            )
        ]

        def outcome(parts: list[Part | None]) -> Outcome:
            hits = self._hits(asked, ranking, parts)
            space, recall = asked.space, None if asked.space is None else asked.space.recall.recall
            return Outcome(
                hits,
                "text" if near is None else near.found.plan,
                None if space is None else TEXT_SPACE,
                "" if space is None else space.model,
                None if near is None else near.found.ef,
                candidates,
                recall,
                asked.mode,
                asked.fallback,
            )

        if not places:
            return outcome([])
        return Pending(lambda: self._parts(places, asked.words), outcome)

    def _nearest_passage(self, space: Space | None, ino: Inode, vector: Floats | None) -> int:
        """Return the number of the passage that is nearest to a question."""
        if space is None or vector is None:
            return 1
        rows = space.rows.of(ino)[1:]
        if not rows:
            return 1
        scores = [float(space.parts.vector(row) @ vector) for row in rows]
        return int(space.rows.passages[rows[int(np.argmax(scores))]])

    def _parts(
        self, places: Sequence[tuple[Inode, int]], words: Words
    ) -> list[Part | None]:  # in a worker
        try:
            excerpts = self._lookup.excerpts(places)
        except CorruptData:
            return [None] * len(places)
        parts: list[Part | None] = []
        for excerpt in excerpts:
            if excerpt is None:
                parts.append(None)
                continue
            found = place(words, excerpt.first_line, excerpt.text)
            parts.append(Part(found.line, excerpt.first_line, excerpt.last_line, found.text))
        return parts

    def _hits(self, asked: Asked, ranking: Ranking, parts: list[Part | None]) -> list[Hit]:
        query = asked.query
        hits: list[Hit] = []
        rows = zip(
            ranking.inos.tolist(),
            ranking.scores.tolist(),
            ranking.vector.tolist(),
            ranking.text.tolist(),
            strict=True,
        )
        for at, (ino, score, vector, text) in enumerate(rows):
            if query.min_score is not None and score < query.min_score:
                break
            if len(hits) >= query.k and score < hits[query.k - 1].score:
                break
            distance = None if vector != vector else 1.0 - vector
            found = self._search.hit(
                Inode(ino), score, distance, query, asked.scope, asked.who, TEXT_SPACE
            )
            if found is not None:
                scores = Scores(_number(vector), _number(text))
                part = parts[at] if at < len(parts) else None
                hits.append(found._replace(scores=scores, part=part))
        hits.sort(key=lambda hit: (-hit.score, hit.path))
        return hits[: query.k]


_NONE: Final = np.zeros(0, np.int64)


def _number(value: float) -> float | None:
    return None if value != value else value


def _same(value: Any) -> Any:
    return value
