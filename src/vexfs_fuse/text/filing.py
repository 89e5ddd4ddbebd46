"""Brings what is known of one file up to date: its text in the index, its vectors in the volume.

Whether it is time for that is not its business.
"""

from collections import OrderedDict
from collections.abc import Callable, Generator
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from vexfs_fuse.errors import EmbedderFailed, ExtractionFailed
from vexfs_fuse.text.desk import Desk, Holds, IgnoreFile, Look, Outcome, Place
from vexfs_fuse.text.document import Document
from vexfs_fuse.text.embedder import Embedder, Floats
from vexfs_fuse.text.ignore import DEFAULT, FILE_NAME, Ignore, is_ignored
from vexfs_fuse.text.index import TextIndex
from vexfs_fuse.text.passages import embedded_text, passages
from vexfs_fuse.units import Inode

EMBEDDED_MAX: Final = 8
"""Passages between two looks at whether something more urgent has come."""

VECTORS_MAX: Final = 2_048
"""Passages of a file that get vectors; those beyond are found by their words."""

STAMPS_MAX: Final = 200_000
"""Files of which it is remembered which contents were indexed; others are read once more."""

IGNORES_MAX: Final = 256
"""Ignore files that are kept parsed."""

KIND_BYTES_MAX: Final = 16

CONTENT_REVISION: Final = b"vexfs.2"
"""Part of the hash of contents: another one has every file extracted anew."""


class Extracting(Protocol):
    """What turns bytes into text."""

    def extract(self, name: bytes, data: bytes) -> Document | None:
        """Return the text of a file, None when there is none in it; raises `ExtractionFailed`."""
        ...


class Limits(NamedTuple):
    """What is indexed at all."""

    file_bytes_max: int


class _Done(NamedTuple):
    """Which contents of a file were read, by what kind of name, and their hash."""

    stamp: bytes
    kind: bytes
    content: bytes


class _Text(NamedTuple):
    """The text of a file, as it is in the index."""

    content: bytes
    passages: int
    source: Inode | None
    """Another file with the same contents."""
    is_new: bool
    """Whether the file had another text before."""


class Filing:
    """What is done to one file after the other; `look_at` has an inode looked at later.

    `distrusted` are files during which an indexer has ended before: they are recorded as failures.
    """

    def __init__(
        self,
        desk: Desk,
        index: TextIndex,
        extractor: Extracting,
        embedder: Embedder | None,
        limits: Limits,
        look_at: Callable[[Inode], None],
        distrusted: frozenset[Inode],
    ) -> None:
        self._desk = desk
        self._index = index
        self._extractor = extractor
        self._embedder = embedder
        self._limits = limits
        self._look_at = look_at
        self._distrusted = distrusted
        self._doubted = set(index.pending)  # a crash may have undone what the index has of them
        self._done: OrderedDict[Inode, _Done] = OrderedDict()
        self._told: OrderedDict[Inode, bytes] = OrderedDict()  # stamps of ignore files
        self._ignores: OrderedDict[tuple[Inode, bytes], Ignore] = OrderedDict()
        self.embedded = 0
        """Passages that were embedded."""

    @property
    def means(self) -> str:
        """What decides what is made of contents."""
        model = "" if self._embedder is None else self._embedder.fingerprint
        return f"{CONTENT_REVISION.decode()} {self._limits.file_bytes_max} {model}"

    def forget(self, ino: Inode) -> None:
        """Forget an inode that is gone, or is not to be indexed."""
        self._index.remove(ino)
        self._done.pop(ino, None)

    def file(self, look: Look) -> Generator[None, None, bool]:
        """Index a regular file; False when it has changed meanwhile."""
        names = [_base(place) for place in look.places]
        if FILE_NAME in names:
            self._note_ignore_file(look)
        kept = [name for name, place in zip(names, look.places, strict=True) if self._counts(place)]
        if not kept:
            self.forget(look.ino)
            self._desk.drop_passages(look.ino)
            return True
        text = self._text(look, kept[0])
        if text is None:
            return True
        is_set = yield from self._vectors(look, kept[0], text)
        return is_set

    def _note_ignore_file(self, look: Look) -> None:
        """Have everything looked at that an ignore file speaks of, if it has changed."""
        if self._told.get(look.ino) != look.stamp:
            for place in look.places:
                if _base(place) == FILE_NAME:
                    self._look_at(place.parent)
            remember(self._told, look.ino, look.stamp, STAMPS_MAX)

    def _counts(self, place: Place) -> bool:
        """Whether no ignore file speaks of a name."""
        files = [(b"", DEFAULT)]
        files += [(each.directory, self._ignore(each)) for each in place.ignores]
        return not is_ignored(place.path, False, files)

    def _ignore(self, file: IgnoreFile) -> Ignore:
        key = file.ino, file.stamp
        ignore = self._ignores.get(key)
        if ignore is None:
            ignore = Ignore(self._desk.read(file.ino) or b"")
            remember(self._ignores, key, ignore, IGNORES_MAX)
        return ignore

    def _text(self, look: Look, name: bytes) -> _Text | None:
        """Have the text of a file in the index; return it, None when there is nothing to embed."""
        ino = look.ino
        if look.size > self._limits.file_bytes_max:
            self._fail(look, name, None, f"larger than {self._limits.file_bytes_max} bytes")
            return None
        done, state = self._done.get(ino), self._index.state(ino)
        data = None
        if done is not None and (done.stamp, done.kind) == (look.stamp, _kind(name)):
            content = done.content
        else:
            data = self._desk.read(ino)
            if data is None:
                self._fail(look, name, None, "its contents cannot be read")
                return None
            content = _hash(data, name)
        remember(self._done, ino, _Done(look.stamp, _kind(name), content), STAMPS_MAX)
        if state is not None and state.content == content:
            self._index.rename(ino, name)
            return _Text(content, state.passages, None, is_new=False)
        source = self._index.known(content)
        if source is not None:
            self._index.put(ino, name, content, "", ())
        elif not self._extract(look, name, content, data):
            return None
        known = self._index.state(ino)
        return _Text(content, 0 if known is None else known.passages, source, is_new=True)

    def _extract(self, look: Look, name: bytes, content: bytes, data: bytes | None) -> bool:
        if look.ino in self._distrusted:
            self._fail(look, name, content, "the indexer ended while it worked on it")
            return False
        if data is None:
            data = self._desk.read(look.ino) or b""
        try:
            document = self._extractor.extract(name, data)
        except ExtractionFailed as failure:
            self._fail(look, name, content, str(failure))
            return False
        found = [] if document is None else passages(document)
        title, is_cut = ("", False) if document is None else (document.title, document.is_cut)
        self._index.put(look.ino, name, content, title, found, is_cut=is_cut)
        return True

    def _fail(self, look: Look, name: bytes, content: bytes | None, reason: str) -> None:
        """Record a failure; what is known of the file from before goes."""
        self._index.fail(look.ino, reason, name, content)
        if look.holds is not Holds.NOTHING:
            self._desk.drop_passages(look.ino)

    def _vectors(self, look: Look, name: bytes, text: _Text) -> Generator[None, None, bool]:
        """Give a file the vectors that its text has; False when it has changed meanwhile."""
        if look.holds is Holds.USER or self._embedder is None:
            return True  # those that an embedder made before are of that text, or marked as stale
        wanted = _vectors_of(text.passages)
        if not wanted:
            if look.vectors:
                self._desk.drop_passages(look.ino)
            return True
        is_embedded = (
            not text.is_new and look.vectors == wanted and self._index.is_embedded(look.ino)
        )
        if look.holds is Holds.FRESH:
            if is_embedded:
                return True
            self._desk.drop_passages(look.ino)  # lest they pass for those of this text
        outcome = Outcome.ABSENT
        if is_embedded and look.ino not in self._doubted:
            outcome = self._desk.keep_passages(look.ino, look.stamp)
        elif text.source is not None and self._is_proven(text.source, text.content, wanted):
            stamp = self._done[text.source].stamp
            outcome = self._desk.copy_passages(look.ino, look.stamp, text.source, stamp)
        if outcome is Outcome.ABSENT:
            vectors = yield from self._embedding(look, name, text)
            if vectors is None:
                return True
            outcome = self._desk.set_passages(look.ino, look.stamp, vectors)
        if outcome is Outcome.SET:
            self._doubted.discard(look.ino)
            self._index.set_embedded(look.ino)
        return outcome is not Outcome.CHANGED

    def _is_proven(self, source: Inode, content: bytes, wanted: int) -> bool:
        """Whether another file has these contents now, and all their vectors."""
        (look,) = self._desk.look([source])
        if (
            look is None
            or look.holds is not Holds.FRESH
            or look.vectors != wanted
            or not look.stamp
        ):
            return False
        done = self._done.get(source)
        if done is None or done.stamp != look.stamp:
            data = self._desk.read(source)
            name = _base(look.places[0])
            if data is None or _hash(data, name) != content:
                return False
            done = _Done(look.stamp, _kind(name), content)
            remember(self._done, source, done, STAMPS_MAX)
        return done.content == content

    def _embedding(
        self, look: Look, name: bytes, text: _Text
    ) -> Generator[None, None, Floats | None]:
        """Embed a file's passages; None after a failure, which is recorded."""
        found = self._index.passages(text.content)
        assert self._embedder is not None
        assert found is not None
        title, cut = found
        told = [embedded_text(title, passage) for passage in cut[:VECTORS_MAX]]
        parts = []
        for start in range(0, len(told), EMBEDDED_MAX):
            if start:
                yield
            try:
                parts.append(self._embedder.embed_documents(told[start : start + EMBEDDED_MAX]))
            except EmbedderFailed as failure:
                self._fail(look, name, text.content, str(failure))
                return None
        self.embedded += len(told)
        self._index.put(look.ino, name, text.content, "", ())  # without a failure of before
        return with_mean(np.concatenate(parts))


def with_mean(vectors: Floats) -> Floats:
    """Return passages' vectors after that of the whole, their mean of unit length; a single one is it."""
    if len(vectors) == 1:
        return vectors
    mean = vectors.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    whole = mean / length if length > 0 else vectors[0]
    return np.concatenate([whole[np.newaxis].astype(np.float32), vectors])


def _vectors_of(count: int) -> int:
    """Return how many vectors a file of so many passages has."""
    return count if count <= 1 else min(count, VECTORS_MAX) + 1


def _base(place: Place) -> bytes:
    return place.path.rpartition(b"/")[2]


def _kind(name: bytes) -> bytes:
    """Return what of a name decides how contents are read."""
    stem, dot, extension = name.rpartition(b".")
    return extension.lower()[:KIND_BYTES_MAX] if dot and stem else b""


def _hash(data: bytes, name: bytes) -> bytes:
    """Return the hash of contents as they are read under a name: cryptographic, for it may be shared."""
    return blake2b(data, digest_size=16, salt=CONTENT_REVISION, person=_kind(name)).digest()


def remember(table: OrderedDict[Any, Any], key: Any, value: Any, count_max: int) -> None:
    """Put something at the end of a table that is to hold so much at most."""
    table.pop(key, None)
    table[key] = value
    if len(table) > count_max:
        table.popitem(last=False)
