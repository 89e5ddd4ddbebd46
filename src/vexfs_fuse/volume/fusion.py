"""Makes one ranking of two: by the words of a question, and by its meaning.

Each score is scaled to what lies between 0 and 1 among the candidates, and the two are added: min-max
fusion.  How the constants were found is told by docs/decisions/ranking.md.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from vexfs_fuse.text.lookup import Matches

VECTOR_WEIGHT: Final = 0.5
"""Of the meaning; the rest is that of the words."""

NAME_WEIGHT: Final = 0.5
"""A name that has all of the words counts so much, the best text counts 1."""

Longs = np.ndarray[Any, np.dtype[np.int64]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]


class Ranking(NamedTuple):
    """Files in columns, the best first, those that tie by inode."""

    inos: Longs
    scores: Doubles
    vector: Doubles
    """Before it was scaled; NaN: not among the nearest."""
    text: Doubles
    """Before it was scaled; NaN: no word is in the text."""
    passages: Longs
    """The one that has the words best, from 1; 0: none has one."""

    def best(self, count: int) -> "Ranking":
        """Return the first `count`."""
        return Ranking(
            self.inos[:count],
            self.scores[:count],
            self.vector[:count],
            self.text[:count],
            self.passages[:count],
        )


def by_vector(inos: Longs, scores: Doubles) -> Ranking:
    """Return the ranking by meaning alone; scores stay as they are."""
    nothing = np.full(len(inos), np.nan)
    order = np.lexsort((inos, -scores))
    zeros = np.zeros(len(inos), np.int64)
    return Ranking(inos[order], scores[order], scores[order], nothing, zeros)


def by_text(matches: Matches) -> Ranking:
    """Return the ranking by words alone; the best has 1."""
    return fused(matches, np.zeros(0, np.int64), np.zeros(0), vector_weight=0.0)


def fused(
    matches: Matches, inos: Longs, scores: Doubles, vector_weight: float = VECTOR_WEIGHT
) -> Ranking:
    """Return the ranking by words and meaning; `inos` and `scores` are the nearest files."""
    every = np.union1d(matches.inos, inos)
    vector, text = np.full(len(every), np.nan), np.full(len(every), np.nan)
    passages = np.zeros(len(every), np.int64)
    total = np.zeros(len(every))
    at = np.searchsorted(every, inos)
    vector[at] = scores
    total[at] += vector_weight * _between(scores)
    at = np.searchsorted(every, matches.inos)
    text[at] = np.where(matches.passages > 0, matches.scores, np.nan)
    passages[at] = matches.passages
    total[at] += (1 - vector_weight) * _scaled(matches)
    order = np.lexsort((every, -total))
    return Ranking(every[order], total[order], vector[order], text[order], passages[order])


def _between(scores: Doubles) -> Doubles:
    """Return scores so that the greatest is 1 and the least 0; all 1 if they are equal."""
    if not len(scores):
        return scores
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.ones(len(scores))


def _scaled(matches: Matches) -> Doubles:
    """Return scores of texts and names together so that the greatest is 1; what does not match has 0.

    The square keeps names that have one word of many, by chance, from counting.
    """
    best = matches.scores.max(initial=0.0)
    scores = matches.scores / best if best > 0 else np.zeros(len(matches.scores))
    scores = scores + NAME_WEIGHT * matches.named**2
    best = scores.max(initial=0.0)
    return scores / best if best > 0 else scores
