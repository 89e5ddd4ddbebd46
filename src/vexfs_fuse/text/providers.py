"""From the option `embedder` to the embedder that it names.

    minilm          the one that comes with vexfs, if it is installed
    none            no embedder: text is searched by its words alone
    entry:NAME      a Python package's, by the entry point group vexfs.embedders
    command:LINE    a command that speaks JSON lines
    url:ADDRESS     a server that speaks OpenAI's /v1/embeddings

A setting may run programs and tell a server what files say.  It comes from the configuration file or the
command line of who mounts, never from anything inside a volume.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from vexfs_fuse.errors import InvalidArgument, NoEmbedder
from vexfs_fuse.text.embedder import Embedder
from vexfs_fuse.text.embedders import model_store

NONE: Final = "none"
BUILT_IN: Final = "minilm"


class OpenEmbedder(Embedder, Protocol):
    """An embedder that may hold a process or a connection."""

    def close(self) -> None:
        """Let go of it; the embedder is not used any more."""
        ...


class Identity(NamedTuple):
    """Which vectors an embedder makes."""

    name: str
    dim: int
    fingerprint: str


def open_embedder(setting: str) -> OpenEmbedder:
    """Return the embedder that a setting names; it may take seconds to be there.

    Raises
    ------
    ModelMissing
        It is not installed; `NoEmbedder`: there is to be none.
    InvalidArgument
        The setting names nothing that could be.
    EmbedderFailed
    """
    kind, detail = check_setting(setting)
    return _OPENERS[kind](detail)


def check_setting(setting: str) -> tuple[str, str]:
    """Return the kind and the detail of a setting.  Raises `InvalidArgument`."""
    kind, colon, detail = setting.partition(":")
    if kind not in _OPENERS or bool(colon) != (kind in _DETAILED) or bool(colon) != bool(detail):
        raise InvalidArgument(
            f"{setting!r} is no embedder; write minilm, none, entry:NAME, command:LINE or url:ADDRESS"
        )
    return kind, detail


def known_identity(setting: str) -> Identity | None:
    """Return the identity as far as it can be told without opening the embedder.

    Raises
    ------
    ModelMissing
    """
    kind, _ = check_setting(setting)
    if kind in _DETAILED:
        return None
    if kind == NONE:
        raise NoEmbedder("embedder=none")
    model = model_store.find_minilm()
    return Identity(model.name, model.dim, model.fingerprint)


def _open_minilm(_: str) -> OpenEmbedder:
    return model_store.open_minilm()


def _open_none(_: str) -> OpenEmbedder:
    raise NoEmbedder("embedder=none")


def _open_plugin(name: str) -> OpenEmbedder:
    from vexfs_fuse.text.embedders.plugin import open_plugin

    return open_plugin(name)


def _open_command(line: str) -> OpenEmbedder:
    from vexfs_fuse.text.embedders.command import CommandEmbedder

    return CommandEmbedder(line)


def _open_url(address: str) -> OpenEmbedder:
    from vexfs_fuse.text.embedders.url import UrlEmbedder

    return UrlEmbedder(address)


_DETAILED: Final = frozenset({"entry", "command", "url"})
_OPENERS: Final[dict[str, Callable[[str], OpenEmbedder]]] = {
    BUILT_IN: _open_minilm,
    NONE: _open_none,
    "entry": _open_plugin,
    "command": _open_command,
    "url": _open_url,
}
