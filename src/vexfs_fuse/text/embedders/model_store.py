"""Where models lie on disk, and which are there.

    PLACE/FINGERPRINT/manifest.json          what it is, and the checksums of the other files
                      weights.safetensors    as they are computed with
                      vocabulary.txt

A place is `$XDG_CACHE_HOME/vexfs/models`, or, for all users of this installation,
`share/vexfs/models` in its prefix.  A model appears whole or not at all, and never changes.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import xxhash

from vexfs_fuse.config.table import xdg_directory
from vexfs_fuse.errors import CorruptData, EmbedderFailed, ModelMissing
from vexfs_fuse.text.embedders import minilm, safetensors
from vexfs_fuse.text.embedders.published import MINILM

MANIFEST: Final = "manifest.json"
WEIGHTS: Final = "weights.safetensors"
VOCABULARY: Final = "vocabulary.txt"


class Model(NamedTuple):
    """An installed model, as its manifest has it."""

    directory: Path
    name: str
    dim: int
    fingerprint: str
    checksums: dict[str, str]

    def size_bytes(self) -> int:
        """Return what it takes on disk."""
        return sum(file.stat().st_size for file in self.directory.iterdir())


def own_place() -> Path:
    """Return where the user's models are."""
    return xdg_directory("XDG_CACHE_HOME", ".cache") / "vexfs" / "models"


def shared_place() -> Path:
    """Return where models for all users of this installation are."""
    return Path(sys.prefix) / "share" / "vexfs" / "models"


def installed() -> Iterator[Model]:
    """Yield the models that can be used, the user's first."""
    for place in (own_place(), shared_place()):
        for name in _names_in(place):
            if (model := read_manifest(place / name / MANIFEST)) is not None:
                yield model


def _names_in(place: Path) -> list[str]:
    """Return what lies in a place, in order: nothing if it is not there, or not for us to see."""
    try:
        return sorted(os.listdir(place))
    except OSError:
        return []


def read_manifest(place: Path) -> Model | None:
    """Return the model, or None if these are not the words of a manifest."""
    try:
        told = json.loads(place.read_bytes())
        model = Model(
            place.parent, told["name"], told["dim"], told["fingerprint"], told["checksums"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return model if model.fingerprint == model.directory.name else None


def minilm_fingerprint() -> str:
    """Return the fingerprint of what `install` makes with this version of vexfs."""
    return minilm.fingerprint(MINILM.weights.sha256, MINILM.vocabulary.sha256)


def find_minilm() -> Model:
    """Return the installed model.  Raises `ModelMissing`, which says what to do."""
    wanted = minilm_fingerprint()
    for model in installed():
        if model.fingerprint == wanted:
            return model
    raise ModelMissing(f"{minilm.NAME}; to install it: vexfs model install minilm")


def is_sound(model: Model) -> bool:
    """Return whether all files of a model are as they were written."""
    try:
        for name in (WEIGHTS, VOCABULARY):
            _verified(model, name)
    except (CorruptData, OSError):
        return False
    return True


def open_minilm() -> minilm.MiniLM:
    """Return the embedder of the installed model.

    Raises
    ------
    ModelMissing
    EmbedderFailed
        Its files are damaged.
    """
    model = find_minilm()
    try:
        weights = safetensors.read(_verified(model, WEIGHTS))
        return minilm.open_minilm(weights, _verified(model, VOCABULARY), model.fingerprint)
    except (CorruptData, OSError) as error:
        raise EmbedderFailed(
            f"{model.directory}: {error}; remove it and install it again"
        ) from None


def _verified(model: Model, name: str) -> bytes:
    data = (model.directory / name).read_bytes()
    if xxhash.xxh3_128_hexdigest(data) != model.checksums.get(name):
        raise CorruptData(name)
    return data


def remove(model: Model) -> None:
    """Remove a model's files; who has it open goes on using it."""
    (
        model.directory / MANIFEST
    ).unlink()  # what has none is no model, should the rest be interrupted
    shutil.rmtree(model.directory)
