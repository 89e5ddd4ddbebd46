"""What every embedder promises, wherever its vectors come from."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.embedders import COMMAND, PLUGIN, make_plugin, serving
from vexfs_fuse.errors import NoEmbedder
from vexfs_fuse.text.embedders import model_store
from vexfs_fuse.text.embedders.numpy_engine import NumpyEngine
from vexfs_fuse.text.embedders.onnx_engine import OnnxEngine
from vexfs_fuse.text.providers import OpenEmbedder, open_embedder

TEXTS = [
    "How do I rotate the logs?",
    "",
    "   \n\t ",
    "x" * 10_000,
    "Größe, naïve café — 日本語の文書 🙂",
    "NUL \0, a lone surrogate is none of ours; \u202e and a mark e\u0301",
    '"quoted" \\ back\nslashed\r\nlines',
    "word " * 2_000,
]


@pytest.fixture(params=["minilm", "minilm by numpy", "entry", "command", "url"], scope="module")
def embedder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenEmbedder]:
    kind: str = request.param
    with pytest.MonkeyPatch.context() as patch:
        if kind == "minilm by numpy":
            patch.setattr("vexfs_fuse.text.embedders.minilm.OnnxEngine", _not_installed)
        if kind == "entry":
            directory: Path = tmp_path_factory.mktemp("plugin")
            make_plugin(directory, "contract", PLUGIN)
            patch.syspath_prepend(str(directory))
        if kind == "url":
            with serving() as server:
                yield from _opened(f"url:{server.url}#bag")
            return
        settings = {"entry": "entry:contract", "command": f"command:{COMMAND}"}
        yield from _opened(settings.get(kind, "minilm"))


def _opened(setting: str) -> Iterator[OpenEmbedder]:
    embedder = open_embedder(setting)
    yield embedder
    embedder.close()


def _not_installed(_: object) -> None:
    raise ImportError


def test_it_says_what_it_is(embedder: OpenEmbedder) -> None:
    assert embedder.name
    assert 1 <= embedder.dim <= 16_384
    assert 1 <= len(embedder.fingerprint.encode()) <= 255
    assert embedder.fingerprint.isprintable()


def test_each_text_gets_a_vector_of_unit_length(embedder: OpenEmbedder) -> None:
    vectors = embedder.embed_documents(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), embedder.dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_no_texts_are_no_vectors(embedder: OpenEmbedder) -> None:
    assert embedder.embed_documents([]).shape == (0, embedder.dim)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_question_gets_one_vector_of_unit_length(embedder: OpenEmbedder, text: str) -> None:
    vector = embedder.embed_query(text)
    assert vector.dtype == np.float32
    assert vector.shape == (embedder.dim,)
    np.testing.assert_allclose(np.linalg.norm(vector), 1, atol=1e-5)


def test_a_vector_does_not_depend_on_its_neighbours(embedder: OpenEmbedder) -> None:
    together = embedder.embed_documents(TEXTS)
    alone = [embedder.embed_documents([text])[0] for text in TEXTS]
    assert (together == np.stack(alone)).all()


def test_many_texts_keep_their_order(embedder: OpenEmbedder) -> None:
    texts = [f"text number {number}" for number in range(70)]
    vectors = embedder.embed_documents(texts)
    for number in (0, 31, 32, 33, 64, 69):
        assert (vectors[number] == embedder.embed_documents([texts[number]])[0]).all()
    assert len(np.unique(vectors, axis=0)) == len(texts)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec="utf-8"), max_size=300))
def test_any_text_has_a_vector_and_always_the_same(embedder: OpenEmbedder, text: str) -> None:
    first, second = embedder.embed_documents([text, text])
    assert (first == second).all()
    assert np.isfinite(first).all()


def test_none_is_a_missing_model() -> None:
    with pytest.raises(NoEmbedder, match="embedder=none"):
        open_embedder("none")


def test_both_engines_of_the_model_are_among_these() -> None:
    """The fixture swaps the engine by a name in `minilm`; this fails when that has moved."""
    assert model_store.open_minilm().engine.name == OnnxEngine.name
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vexfs_fuse.text.embedders.minilm.OnnxEngine", _not_installed)
        assert model_store.open_minilm().engine.name == NumpyEngine.name
