"""What a question in free text asks of the full text: words that count, and phrases that must be there.

The expressions that are made here are valid FTS5 whatever the question says: all that comes from it stands
in quotes.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Final, NamedTuple

TERMS_MAX: Final = 64
"""Words of one question that count; FTS5 takes no expression of more than 256."""

TERM_CHARACTERS_MAX: Final = 64
"""A longer word is cut."""

STEM_CHARACTERS_MIN: Final = 3

LETTERS_MIN: Final = 3
"""So many letters are looked for anywhere in a name, fewer as a word of it."""

_TERM: Final = re.compile(r"[^\W_]+")
_QUOTED: Final = re.compile(r'"([^"]*)"')

_STOPWORDS: Final = (
    "a about after all also am an and any are as at be because been before being between both but by can"
    " could did do does doing done down each for from further had has have having he her here him his how"
    " i if in into is it its itself just may me might more most must my no nor not of off on once only or"
    " other our out over own s same shall she should so some such t than that the their them then there"
    " these they this those through to too under until up us very was we were what when where which while"
    " who whom whose why will with would you your"
)
STOPWORDS: Final = frozenset(_STOPWORDS.split())
"""Words of English that say nothing of what a text is about; a question of nothing else asks for them."""


class Words(NamedTuple):
    """A question, in words."""

    terms: tuple[str, ...]
    """In lower case, each once, in the order of the question; those in phrases as well."""
    phrases: tuple[str, ...]
    """What stands in quotes, and so must be in the text."""

    @property
    def any_of(self) -> str:
        """The FTS5 expression of texts that have at least one of the terms; empty without terms."""
        return " OR ".join(f'"{term}"' for term in self.terms)

    @property
    def named(self) -> str:
        """The FTS5 expression of names that have at least one of the terms, or its stem, in them."""
        return " OR ".join(f'"{part}"' for part in dict.fromkeys((*self.terms, *self._stems)))

    @property
    def _stems(self) -> list[str]:
        return [stem(_plain(term)) for term in self.terms]

    def share(self, name: str) -> float:
        """Return which share of the terms, or their stems, is in what `name_text` made of a name."""
        return sum(_is_in(part, name) for part in self._stems) / max(1, len(self.terms))


def name_text(name: bytes | str) -> str:
    """Return the words of a name, in lower case and without accents, with a blank between them."""
    text = name if isinstance(name, str) else name.decode("utf-8", "replace")
    return " ".join(_TERM.findall(_plain(text)))


def has_phrase(text: str) -> Callable[[str], bool]:
    """Return what asks the `name_text` of a name for the words of a text, in this order."""
    wanted = " ".join(terms(_plain(text))[:TERMS_MAX])
    return lambda name: bool(wanted) and _is_in(wanted, name)


def _plain(text: str) -> str:
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text.lower())
    return "".join(part for part in parts if not unicodedata.combining(part))


def _is_in(part: str, name: str) -> bool:
    """Whether a name has a part anywhere in it, or as a word if it is short; as full text has names."""
    return part in name and (len(part) >= LETTERS_MIN or part in name.split())


def stem(term: str) -> str:
    """Return a word without the commonest endings of English, unless little is left of it."""
    for ending in ("ing", "es", "ed", "s"):
        if term.endswith(ending) and len(term) - len(ending) >= STEM_CHARACTERS_MIN:
            return term[: -len(ending)]
    return term


def read(question: str) -> Words:
    """Return what a question asks; a quote that is not closed is none."""
    phrases = tuple(phrase for phrase in _QUOTED.findall(question) if _TERM.search(phrase))
    found = list(dict.fromkeys(terms(question)))
    telling = [term for term in found if term not in STOPWORDS]
    return Words(tuple((telling or found)[:TERMS_MAX]), phrases)


def terms(text: str) -> list[str]:
    """Return the words of a text in lower case, in their order."""
    return [term[:TERM_CHARACTERS_MAX] for term in _TERM.findall(text.lower())]


def phrase(text: str) -> str | None:
    """Return the FTS5 expression of texts that have these words in this order; None without words."""
    found = terms(text)[:TERMS_MAX]
    return f'"{" ".join(found)}"' if found else None
