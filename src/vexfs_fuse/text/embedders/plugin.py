"""Embedders that Python packages bring, through the entry point group `vexfs.embedders`.

    [project.entry-points."vexfs.embedders"]
    NAME = "package.module:function"

The function takes nothing and returns an `Embedder`.  It runs in the processes that embed, never in the
daemon.  A plug-in is code of others: whatever it raises is its failure, not ours.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any, Final

from vexfs_fuse.errors import EmbedderFailed, InvalidArgument
from vexfs_fuse.text.embedder import Floats
from vexfs_fuse.text.embedders.checked import (
    checked_dim,
    checked_fingerprint,
    checked_name,
    unit_vectors,
)

GROUP: Final = "vexfs.embedders"


class PluginEmbedder:
    """A plug-in's embedder, its vectors checked."""

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self._called = name
        self._inner = self._guarded(make)
        self.name = checked_name(self._attribute("name"))
        self.dim = checked_dim(self._attribute("dim"))
        self.fingerprint = checked_fingerprint(self._attribute("fingerprint"))

    def embed_documents(self, texts: Sequence[str]) -> Floats:
        """Return the plug-in's vectors of passages."""
        found = self._guarded(lambda: self._inner.embed_documents(list(texts)))
        return unit_vectors(found, len(texts), self.dim)

    def embed_query(self, text: str) -> Floats:
        """Return the plug-in's vector of a question."""
        found = self._guarded(lambda: [self._inner.embed_query(text)])
        vector: Floats = unit_vectors(found, 1, self.dim)[0]
        return vector

    def close(self) -> None:
        """Nothing is held."""

    def _attribute(self, name: str) -> Any:
        return self._guarded(lambda: getattr(self._inner, name))

    def _guarded(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            raise EmbedderFailed(f"{self._called}: {type(error).__name__}: {error}") from error


def open_plugin(name: str) -> PluginEmbedder:
    """Return the embedder that a package has registered under `name`.

    Raises
    ------
    InvalidArgument
        No package has, or several have.
    EmbedderFailed
    """
    found = entry_points(group=GROUP, name=name)
    if len(found) != 1:
        known = ", ".join(sorted(each.name for each in entry_points(group=GROUP))) or "none"
        count = "several packages name" if found else "no installed package names"
        raise InvalidArgument(f"{count} an embedder {name!r} (entry points {GROUP}: {known})")
    (entry,) = found
    return PluginEmbedder(f"{name} ({entry.value})", lambda: entry.load()())
