"""XML as a stream of elements, for documents whose makers may mean harm: without entities, nothing is fetched."""

from collections.abc import Iterable
from typing import Final
from xml.parsers import expat

from vexfs_fuse.errors import ExtractionFailed

DEPTH_MAX: Final = 2_000
"""Elements within each other; word processors reach some dozens."""


class Enough(Exception):
    """A handler has seen all that it wants."""


class Handler:
    """What is told of a document: names are without their namespaces."""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Begin an element."""

    def end(self, name: str) -> None:
        """End an element."""

    def text(self, text: str) -> None:
        """Take characters between tags."""


def read(chunks: Iterable[bytes], handler: Handler) -> None:
    """Tell `handler` of a document.

    Raises
    ------
    Enough
        The handler did.
    ExtractionFailed
        It is no XML, declares entities, or is nested without end.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEPTH_MAX:
            raise ExtractionFailed("the document is nested too deeply")
        handler.start(_local(name), {_local(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        handler.end(_local(name))

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = handler.text
    parser.EntityDeclHandler = _refuse_entity
    parser.buffer_text = True
    try:
        for chunk in chunks:
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except (expat.ExpatError, ValueError, LookupError):  # the latter two of an encoding
        raise ExtractionFailed("the document is broken") from None


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _refuse_entity(*declaration: object) -> None:
    raise ExtractionFailed("the document declares entities")
