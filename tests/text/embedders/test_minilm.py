"""MiniLM: both engines compute the same, and what others computed from the same weights."""

import json
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import pytest

from tests.support.models import published_weights
from vexfs_fuse.errors import EmbedderFailed, ModelMissing
from vexfs_fuse.text.embedders import minilm, model_store, safetensors
from vexfs_fuse.text.embedders.numpy_engine import NumpyEngine
from vexfs_fuse.text.embedders.onnx_engine import OnnxEngine
from vexfs_fuse.text.embedders.onnx_graph import onnx_model
from vexfs_fuse.text.embedders.safetensors import Array
from vexfs_fuse.text.embedders.weights import DIM, LEVELS, TOKENS_MAX, folded, quantised
from vexfs_fuse.text.embedders.wordpiece import WordPiece

WORDNET: Final = Path(__file__).parents[4] / "shared/data/wordnet50k"
TEXTS: Final = [
    "How do I rotate the logs of a service every week?",
    "",
    "a",
    "The quick brown fox jumps over the lazy dog. " * 40,
    "Größe, naïve café — 日本語の文書 🙂",
    "int main(void) { return 0; }  // the least program",
]

Weights = dict[str, Array]


@pytest.fixture(scope="module")
def installed() -> model_store.Model:
    return model_store.find_minilm()


@pytest.fixture(scope="module")
def weights(installed: model_store.Model) -> Weights:
    return safetensors.read((installed.directory / model_store.WEIGHTS).read_bytes())


@pytest.fixture(scope="module")
def exact(weights: Weights) -> Weights:
    """The quantised weights as numbers in float32: what they stand for."""
    made = {name: array for name, array in weights.items() if not name.endswith(".scale")}
    made["words"] = weights["words"] * weights["words.scale"][:, None]
    for name in made:
        if name.endswith(".kernel"):
            made[name] = weights[name] * weights[name.replace(".kernel", ".scale")]
    return made


@pytest.fixture(scope="module")
def tokens(installed: model_store.Model) -> list[list[int]]:
    tokenizer = WordPiece((installed.directory / model_store.VOCABULARY).read_bytes())
    return [tokenizer.encode(text, TOKENS_MAX) for text in TEXTS]


def vectors(engine: minilm.Engine, tokens: list[list[int]]) -> Array:
    return np.stack([engine.vector(each) for each in tokens])


def test_numpy_and_onnxruntime_agree_in_float32(exact: Weights, tokens: list[list[int]]) -> None:
    by_numpy, by_onnx = vectors(NumpyEngine(exact), tokens), vectors(OnnxEngine(exact), tokens)
    np.testing.assert_allclose((by_numpy * by_onnx).sum(axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(by_numpy, by_onnx, atol=1e-4)


def test_numpy_and_onnxruntime_agree_on_quantised_weights(
    weights: Weights, tokens: list[list[int]]
) -> None:
    """But for activations that fall on the edge between two levels: .9990 is the least measured."""
    by_numpy, by_onnx = vectors(NumpyEngine(weights), tokens), vectors(OnnxEngine(weights), tokens)
    assert (by_numpy * by_onnx).sum(axis=1).min() > 0.998


def test_quantised_activations_cost_little(
    weights: Weights, exact: Weights, tokens: list[list[int]]
) -> None:
    quantised_too, in_float = OnnxEngine(weights), OnnxEngine(exact)
    cosines = (vectors(quantised_too, tokens) * vectors(in_float, tokens)).sum(axis=1)
    assert cosines.min() > 0.97


def test_others_vectors_of_the_same_texts_are_near() -> None:
    """Made by somebody else, from the published weights in float32; .9830 is the least measured."""
    if not WORDNET.is_dir():
        pytest.skip("the real vectors wordnet50k are not in ../shared/data")
    with (WORDNET / "base.jsonl").open() as lines:
        entries = [json.loads(line) for line, _ in zip(lines, range(100), strict=False)]
    theirs = np.load(WORDNET / "base_f16.npy", mmap_mode="r")[:100].astype(np.float32)
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    texts = [f"{entry['title']}: {entry['text']}" for entry in entries]
    cosines = (model_store.open_minilm().embed_documents(texts) * theirs).sum(axis=1)
    assert cosines.min() > 0.98
    assert cosines.mean() > 0.99


def test_what_means_the_same_is_nearer_than_what_shares_words() -> None:
    embedder = model_store.open_minilm()
    asked = embedder.embed_query("how can I make old log files go away")
    meant, similar = embedder.embed_documents(
        ["logrotate removes, compresses and mails system logs", "the old man made his way to a log"]
    )
    assert asked @ meant > asked @ similar


@pytest.mark.parametrize("kind", ["quantised", "float32"])
def test_the_graph_is_a_valid_model(weights: Weights, exact: Weights, kind: str) -> None:
    model = onnx_model(weights if kind == "quantised" else exact)
    onnx.checker.check_model(model, full_check=True)
    loaded = onnx.load_from_string(model)
    assert [value.name for value in loaded.graph.input] == ["tokens"]
    (output,) = loaded.graph.output
    assert [dim.dim_value for dim in output.type.tensor_type.shape.dim] == [DIM]


def test_products_of_quantised_numbers_fit_into_sixteen_bits(weights: Weights) -> None:
    """Two of them, as AVX2 without VNNI adds them: it saturates beyond."""
    kernels = [array for name, array in weights.items() if name.endswith(".kernel")]
    assert kernels
    largest = max(int(np.abs(kernel.astype(int)).max()) for kernel in kernels)
    assert largest == LEVELS
    assert 2 * 255 * largest < 2**15


def test_quantising_rounds_by_half_a_step_at_most() -> None:
    weights = folded(published_weights(8))
    made = quantised(weights)
    for name in ("0.qkv", "5.down"):
        scale = made[f"{name}.scale"]
        error = np.abs(made[f"{name}.kernel"] * scale - weights[f"{name}.kernel"])
        assert (error <= scale * 0.5001).all()
    restored = made["words"] * made["words.scale"][:, None]
    assert (np.abs(restored - weights["words"]) <= made["words.scale"][:, None] * 0.5001).all()
    assert made["positions"].shape == (TOKENS_MAX, 8)


def test_a_row_of_zeros_stays_one() -> None:
    made = quantised({"words": np.zeros((2, 3), np.float32)})
    assert not made["words"].any()
    assert np.isfinite(made["words.scale"]).all()


def test_the_fingerprint_covers_what_decides_about_a_vector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = minilm.fingerprint("weights", "vocabulary")
    assert plain == minilm.fingerprint("weights", "vocabulary")
    found = {plain, minilm.fingerprint("other", "vocabulary"), minilm.fingerprint("weights", "o")}
    for place, value in (
        ("minilm.QUANTISATION", "int4"),
        ("minilm.wordpiece.REVISION", "wordpiece-2"),
        ("minilm.TOKENS_MAX", 128),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"vexfs_fuse.text.embedders.{place}", value)
            found.add(minilm.fingerprint("weights", "vocabulary"))
    assert len(found) == 6


def test_without_a_model_it_is_said_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("vexfs_fuse.text.embedders.model_store.sys.prefix", str(tmp_path))
    with pytest.raises(ModelMissing, match="vexfs model install minilm"):
        model_store.open_minilm()


@pytest.mark.parametrize("name", [model_store.WEIGHTS, model_store.VOCABULARY])
@pytest.mark.parametrize("damage", ["flipped", "short", "missing"])
def test_a_damaged_model_is_not_used(
    installed: model_store.Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    damage: str,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    directory = model_store.own_place() / installed.fingerprint
    directory.mkdir(parents=True)
    for file in installed.directory.iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    data = bytearray((directory / name).read_bytes())
    if damage == "missing":
        (directory / name).unlink()
    elif damage == "short":
        (directory / name).write_bytes(data[:-1])
    else:
        data[len(data) // 2] ^= 1
        (directory / name).write_bytes(data)
    with pytest.raises(EmbedderFailed, match="install it again"):
        model_store.open_minilm()


def test_words_that_are_no_manifest_are_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("vexfs_fuse.text.embedders.model_store.sys.prefix", str(tmp_path))
    for number, words in enumerate([b"", b"[]", b"{}", b'{"name": 1}', b"\xff"]):
        directory = model_store.own_place() / str(number)
        directory.mkdir(parents=True)
        (directory / model_store.MANIFEST).write_bytes(words)
    assert list(model_store.installed()) == []
