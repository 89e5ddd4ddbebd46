"""An indexer in a test's hands: its volume in this process, its text and its vectors made of words."""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import islice
from typing import Final

import numpy as np

from tests.support.stores import Mounted
from vexfs_fuse.errors import CorruptData, EmbedderFailed, ExtractionFailed, NotFound, StoreDamaged
from vexfs_fuse.text.desk import Affected, Followed, Look, Outcome
from vexfs_fuse.text.document import Document
from vexfs_fuse.text.embedder import Floats
from vexfs_fuse.units import Inode, Lsn
from vexfs_fuse.volume.indexing import READ_BYTES_MAX, VALUES_MAX, Indexing, affected

DIM: Final = 8


class DirectDesk:
    """A volume that is asked without a process between; see `text.desk.Desk`."""

    def __init__(self, mounted: Mounted, *, followed_max: int = 1_000) -> None:
        self.mounted = mounted
        self.volume = mounted.volume
        self.indexing = Indexing(mounted.volume, mounted.vfs.writing.handles)
        self.hinted: dict[Inode, None] = {}
        self.followed_max = followed_max
        mounted.vfs.writing.on_end = self.hint

    def hint(self, ino: Inode) -> None:
        self.hinted[ino] = None

    @property
    def durable(self) -> Lsn:
        return self.volume.durable_lsn

    @property
    def logged(self) -> Lsn:
        return self.volume.logged_lsn

    def follow(self, after: Lsn) -> Followed | None:
        found: list[Affected] = []
        position = after
        try:
            for entry in islice(self.volume.journal.replay(after), self.followed_max):
                found += affected(entry)
                position = entry.lsn
        except StoreDamaged:
            return None
        return Followed(position, found)

    def hints(self) -> list[Inode]:
        hints, self.hinted = list(self.hinted), {}
        return hints

    def look(self, inos: Sequence[Inode], *, settle: bool = False) -> list[Look | None]:
        return self.indexing.look(inos, settle=settle)

    def listing(self, directory: Inode, cookie: int) -> tuple[list[Inode], int]:
        return self.indexing.listing(directory, cookie)

    def read(self, ino: Inode) -> bytes | None:
        data = b""
        try:
            while part := self.mounted.finish(self.indexing.read(ino, len(data), READ_BYTES_MAX)):
                data += part
        except (NotFound, CorruptData):
            return None
        return data

    def set_passages(self, ino: Inode, stamp: bytes, vectors: Floats) -> Outcome:
        values = [row.tobytes() for row in vectors]
        outcome = Outcome.SET
        for first in range(0, len(values), VALUES_MAX):
            part = values[first : first + VALUES_MAX]
            outcome = self.indexing.set_passages(ino, stamp, part, first)
        return outcome

    def keep_passages(self, ino: Inode, stamp: bytes) -> Outcome:
        return self.indexing.set_passages(ino, stamp, [])

    def copy_passages(
        self, ino: Inode, stamp: bytes, source: Inode, source_stamp: bytes
    ) -> Outcome:
        first = 0
        while True:
            outcome, first = self.indexing.copy_passages(ino, stamp, source, source_stamp, first)
            if not first:
                return outcome

    def drop_passages(self, ino: Inode) -> None:
        self.indexing.drop_passages(ino)


class WordEmbedder:
    """Makes of each text the sum of what its words hash to; counts how often it embeds each."""

    name = "words"
    dim = DIM

    def __init__(self, fingerprint: str = "words-1") -> None:
        self.fingerprint = fingerprint
        self.embedded: dict[str, int] = {}

    def embed_documents(self, texts: Sequence[str]) -> Floats:
        for text in texts:
            if "unembeddable" in text:
                raise EmbedderFailed("the text is unembeddable")
            self.embedded[text] = self.embedded.get(text, 0) + 1
        return np.stack([self.embed_query(text) for text in texts])

    def embed_query(self, text: str) -> Floats:
        total = np.ones(DIM)
        for word in text.lower().split():
            total += np.frombuffer(blake2b(word.encode(), digest_size=DIM).digest(), np.int8)
        return (total / np.linalg.norm(total)).astype(np.float32)


class PlainExtractor:
    """Takes UTF-8 for text; what begins with `broken` cannot be read, with `endless` is cut; NUL is no text."""

    def __init__(self) -> None:
        self.extracted = 0

    def extract(self, name: bytes, data: bytes) -> Document | None:
        self.extracted += 1
        if data.startswith(b"broken"):
            raise ExtractionFailed("it is broken")
        if b"\0" in data:
            return None
        text = data.decode(errors="replace")
        is_cut = text.startswith("endless")
        return Document("", text.upper() if name.endswith(b".loud") else text, is_cut)
