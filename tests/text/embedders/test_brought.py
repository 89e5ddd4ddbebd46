"""Embedders that users bring: what goes wrong with them is their failure, told and bounded."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.support.embedders import COMMAND, DIM, EmbeddingServer, make_plugin, serving
from vexfs_fuse.errors import EmbedderFailed, InvalidArgument
from vexfs_fuse.text.embedders import command, url
from vexfs_fuse.text.embedders.checked import unit_vectors
from vexfs_fuse.text.embedders.command import CommandEmbedder
from vexfs_fuse.text.embedders.url import UrlEmbedder
from vexfs_fuse.text.providers import open_embedder

# --- settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "mini",
        "minilm:",
        "minilm:x",
        "none:x",
        "entry",
        "entry:",
        "command:",
        "url:",
        ":",
        "x:y",
    ],
)
def test_a_setting_that_names_nothing_is_refused(setting: str) -> None:
    with pytest.raises(InvalidArgument, match="is no embedder; write minilm"):
        open_embedder(setting)


@pytest.mark.parametrize(
    "setting",
    [
        "entry:nobody",
        "command:'unclosed",
        "command: ",
        "url:ftp://host/x",
        "url:http://",
        "url:nonsense",
        "url:http://127.0.0.1:port/",
        "url:http://127.0.0.1:1/#pooling=mean",
    ],
)
def test_a_detail_that_makes_no_sense_is_refused(setting: str) -> None:
    with pytest.raises(InvalidArgument):
        open_embedder(setting)


# --- vectors ----------------------------------------------------------------------------------------


@given(
    arrays.arrays(
        np.float64,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(-1e300, 1e300).filter(lambda x: x == 0 or abs(x) > 1e-300),
    )
)
def test_any_finite_vectors_become_unit_vectors_or_are_refused(
    found: "np.ndarray[tuple[int, int], np.dtype[np.float64]]",
) -> None:
    if not found.any(axis=1).all():
        with pytest.raises(EmbedderFailed, match="zeros"):
            unit_vectors(found, *found.shape)
        return
    made = unit_vectors(found, *found.shape)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-6)
    assert (np.sign(made) * np.sign(found) >= 0).all()


@pytest.mark.parametrize(
    "found",
    [
        None,
        "text",
        [1.0, 2.0],
        [[1.0]],
        [[1.0, 2.0, 3.0]],
        [[1.0, 2.0], [3.0, 4.0]],
        [[1.0, "x"]],
        [[1.0, None]],
        [[1.0, [2.0]]],
        [[float("nan"), 1.0]],
        [[float("inf"), 1.0]],
        [[0.0, 0.0]],
        [{"a": 1}],
        [],
    ],
)
def test_what_is_not_the_vector_that_was_asked_for_is_refused(found: object) -> None:
    with pytest.raises(EmbedderFailed):
        unit_vectors(found, 1, 2)


# --- plug-ins ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("raise RuntimeError('broken')", "RuntimeError: broken"),
        ("x = 1", "AttributeError"),
        ("def make(): raise KeyError('x')", "KeyError"),
        ("def make(): return object()", "AttributeError"),
        ("class E: name, dim, fingerprint = '', 3, 'x'\ndef make(): return E()", "no name"),
        ("class E: name, dim, fingerprint = 'x', 0, 'x'\ndef make(): return E()", "dimensions"),
        ("class E: name, dim, fingerprint = 'x', 3, 'x' * 256\ndef make(): return E()", "too long"),
        ("class E: name, dim, fingerprint = 'x', 3, 'a\\nb'\ndef make(): return E()", "no name"),
        ("class E: name, dim, fingerprint = 'x', 3, 'a b'\ndef make(): return E()", "has blanks"),
    ],
)
def test_a_plugin_that_is_broken_says_how(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    code: str,
    complaint: str,
) -> None:
    name = f"broken{abs(hash(request.node.name))}"
    make_plugin(tmp_path, name, code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EmbedderFailed, match=complaint):
        open_embedder(f"entry:{name}")


def test_two_packages_of_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        place = tmp_path / str(number)
        place.mkdir()
        make_plugin(place, "twice", "")
        (place / "plugin_twice-1.dist-info").rename(place / f"other_{number}-1.dist-info")
        metadata = place / f"other_{number}-1.dist-info/METADATA"
        metadata.write_text(f"Metadata-Version: 2.1\nName: other-{number}\nVersion: 1\n")
        monkeypatch.syspath_prepend(str(place))
    with pytest.raises(InvalidArgument, match="several packages name an embedder 'twice'"):
        open_embedder("entry:twice")


# --- commands ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("/nowhere/at/all", "No such file"),
        ("true", "it has ended"),
        (f"{COMMAND} 'greets badly'", "no JSON: hello"),
        (f"""{COMMAND} 'greets with' '{json.dumps({"dim": "many"})}'""", "dimensions"),
        (f"""{COMMAND} 'greets with' '{json.dumps({"name": None})}'""", "no name"),
        (f"""{COMMAND} 'greets with' '{json.dumps({"fingerprint": 1})}'""", "no name"),
        ("echo 3", "no JSON object"),
    ],
)
def test_a_command_that_does_not_greet_is_refused(line: str, complaint: str) -> None:
    with pytest.raises(EmbedderFailed, match=complaint):
        open_embedder(f"command:{line}")


def test_a_command_that_never_greets_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "START_S", 0.3)
    monkeypatch.setattr(command, "END_S", 0.1)
    with pytest.raises(EmbedderFailed, match=r"no answer within 0\.3 s"):
        open_embedder(f"command:{COMMAND} 'never greets'")


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ({"id": 77}, "not to what was asked"),
        ({"vectors": None}, "not a vector for each text"),
        ({"vectors": []}, "not a vector for each text"),
        ({"vectors": [[1.0]]}, "shape"),
        ({"vectors": [[0.0] * DIM]}, "zeros"),
        ({"error": "no"}, "no"),
    ],
)
def test_a_wrong_answer_of_a_command_is_refused(answer: object, complaint: str) -> None:
    embedder = CommandEmbedder(f"{COMMAND} 'answers with' '{json.dumps(answer)}'")
    try:
        with pytest.raises(EmbedderFailed, match=complaint):
            embedder.embed_query("text")
    finally:
        embedder.close()


def test_a_command_that_dies_is_started_again() -> None:
    embedder = CommandEmbedder(f"{COMMAND} 'dies when told'")
    expected = embedder.embed_query("well").tolist()
    for _ in range(2 * command.STARTS_MAX):  # success in between makes the count start again
        with pytest.raises(EmbedderFailed, match="it has ended"):
            embedder.embed_query("die")
        assert embedder.embed_query("well").tolist() == expected
    embedder.close()


def test_a_command_that_dies_at_everything_is_given_up() -> None:
    embedder = CommandEmbedder(f"{COMMAND} 'dies when told'")
    for _ in range(command.STARTS_MAX):
        with pytest.raises(EmbedderFailed, match="it has ended"):
            embedder.embed_query("die")
    with pytest.raises(EmbedderFailed, match="has failed 5 times"):
        embedder.embed_query("well")


def test_a_command_that_hangs_is_killed_and_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "END_S", 0.1)
    embedder = CommandEmbedder(f"{COMMAND} 'hangs when told'")
    with monkeypatch.context() as patch:
        patch.setattr(command, "ANSWER_S", 0.3)
        with pytest.raises(EmbedderFailed, match=r"no answer within 0\.3 s"):
            embedder.embed_query("hang")
    assert embedder.embed_query("well").shape == (DIM,)
    embedder.close()


def test_a_failure_that_a_command_tells_does_not_end_it() -> None:
    embedder = CommandEmbedder(f"{COMMAND} 'fails when told'")
    for _ in range(2 * command.STARTS_MAX):
        with pytest.raises(EmbedderFailed, match="I do not like it"):
            embedder.embed_query("fail")
    assert embedder.embed_query("well").shape == (DIM,)
    embedder.close()


def test_a_command_that_comes_back_as_another_model_is_refused(tmp_path: Path) -> None:
    manner = "other fingerprint after the first start"
    embedder = CommandEmbedder(f"{COMMAND} '{manner}' {tmp_path / 'mark'}")
    embedder.close()
    with pytest.raises(EmbedderFailed, match="another fingerprint than before"):
        embedder.embed_query("well")


def test_an_answer_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "LINE_BYTES_MAX", 400)
    with pytest.raises(EmbedderFailed, match="too long"):
        CommandEmbedder("yes " + "x" * 10 + " " + "y" * 300)
    embedder = CommandEmbedder(COMMAND)
    with pytest.raises(EmbedderFailed, match="too long"):
        embedder.embed_documents(["a", "b", "c", "d"])
    embedder.close()


def test_a_closed_command_leaves_no_process(tmp_path: Path) -> None:
    """Nor what it had started, even if that ignores the end of its input."""
    child = tmp_path / "child"
    embedder = CommandEmbedder(f"sh -c 'sleep 60 & echo $! > {child}; {COMMAND}'")
    embedder.embed_query("well")
    embedder.close()
    pid = int(child.read_text())
    deadline = time.monotonic() + 5
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # its new parent may take its time to reap it


def test_a_long_batch_and_a_long_answer_do_not_wait_for_each_other() -> None:
    """More than the pipes hold is under way in both directions."""
    embedder = CommandEmbedder(COMMAND)
    vectors = embedder.embed_documents(["word " * 20_000] * command.BATCH_TEXTS)
    assert len(np.unique(vectors, axis=0)) == 1
    embedder.close()


# --- servers ----------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with serving() as server:
        yield server


def opened(server: EmbeddingServer, fragment: str = "bag") -> UrlEmbedder:
    return UrlEmbedder(f"{server.url}#{fragment}", sleep=lambda _: None)


def test_a_server_is_asked_as_openai_s_is(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(url.KEY_VARIABLE, "secret")
    embedder = opened(server)
    embedder.embed_query("text")
    assert server.questions[-1] == {"model": "bag", "input": ["text"], "encoding_format": "float"}
    assert server.keys[-1] == "Bearer secret"
    assert "secret" not in embedder.fingerprint + embedder.name
    embedder.close()


def test_texts_go_in_batches(server: EmbeddingServer) -> None:
    embedder = opened(server)
    embedder.embed_documents([str(number) for number in range(2 * url.BATCH_TEXTS + 1)])
    sizes = [len(question["input"]) for question in server.questions[1:]]
    assert sizes == [url.BATCH_TEXTS, url.BATCH_TEXTS, 1]
    embedder.close()


def test_prefixes_stand_before_texts_and_in_the_fingerprint(server: EmbeddingServer) -> None:
    embedder = opened(server, "model=e5&query_prefix=query:%20&document_prefix=passage:%20")
    embedder.embed_query("a")
    embedder.embed_documents(["b"])
    assert [question["input"] for question in server.questions[1:]] == [
        ["query: a"],
        ["passage: b"],
    ]
    plain, other = opened(server, "e5"), opened(server, "an other")
    assert len({each.fingerprint for each in (embedder, plain, other)}) == 3
    for each in (embedder, plain, other):
        each.close()


def test_a_type_is_sent_beside_texts_where_it_is_asked_for(server: EmbeddingServer) -> None:
    embedder = opened(server, "model=e5&query_type=query&document_type=passage")
    embedder.embed_query("a")
    embedder.embed_documents(["b"])
    assert [question["input_type"] for question in server.questions[1:]] == ["query", "passage"]
    embedder.close()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_failure_is_tried_again(server: EmbeddingServer, status: int) -> None:
    embedder = opened(server)
    server.failures = [status] * len(url.RETRY_PAUSES_S)
    assert embedder.embed_query("text").shape == (DIM,)
    embedder.close()


def test_tries_are_bounded(server: EmbeddingServer) -> None:
    embedder = opened(server)
    server.failures = [503] * 10
    with pytest.raises(EmbedderFailed, match="status 503"):
        embedder.embed_query("text")
    assert len(server.failures) == 10 - 1 - len(url.RETRY_PAUSES_S)
    embedder.close()


def test_a_refusal_is_not_tried_again(server: EmbeddingServer) -> None:
    embedder = opened(server)
    server.failures = [401, 401]
    with pytest.raises(EmbedderFailed, match=r"status 401: .*not now"):
        embedder.embed_query("text")
    assert server.failures == [401]
    embedder.close()


def test_a_connection_that_was_closed_meanwhile_is_made_again() -> None:
    with serving() as server:
        embedder = opened(server)
        embedder._server._connection.sock.close()
        assert embedder.embed_query("text").shape == (DIM,)
        embedder.close()


def test_nobody_there_is_told() -> None:
    with serving() as server:
        address = server.url
    with pytest.raises(EmbedderFailed, match="Connection refused"):
        UrlEmbedder(address, sleep=lambda _: None)


def test_a_server_that_does_not_answer_is_given_up(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(url, "TIMEOUT_S", 0.05)
    monkeypatch.setattr(EmbeddingServer, "finish_request", lambda *_: time.sleep(0.3))
    with pytest.raises(EmbedderFailed, match="TimeoutError"):
        opened(server)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"data": None}, "not an embedding for each text"),
        ({"data": []}, "not an embedding for each text"),
        ({"data": [{"index": 5, "embedding": [1.0]}]}, "not an embedding for each text"),
        ({"data": [{"index": 0}]}, "not an embedding for each text"),
        ({"data": [{"index": 0, "embedding": [1.0]}]}, "shape"),
        ({"data": [{"index": 0, "embedding": "AAAA"}]}, "no vectors"),
        ({"model": "another"}, "answers with the model 'another', before it was 'bag'"),
    ],
)
def test_a_wrong_answer_of_a_server_is_refused(
    server: EmbeddingServer, changes: dict[str, object], complaint: str
) -> None:
    embedder = opened(server)
    server.changes = changes
    with pytest.raises(EmbedderFailed, match=complaint):
        embedder.embed_query("text")
    embedder.close()


def test_an_answer_of_a_server_beyond_the_limit_is_refused(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = opened(server)
    monkeypatch.setattr(url, "ANSWER_BYTES_MAX", 100)
    with pytest.raises(EmbedderFailed, match="too long"):
        embedder.embed_query("text")
    embedder.close()


def test_answers_that_are_no_json_are_refused(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = opened(server)
    for text, complaint in (("<html>", "no JSON"), ("3", "no JSON object")):
        monkeypatch.setattr("tests.support.embedders.dumps", lambda _, text=text: text)
        with pytest.raises(EmbedderFailed, match=complaint):
            embedder.embed_query("text")
    embedder.close()


def test_a_name_and_password_in_the_address_stay_out_of_the_fingerprint(
    server: EmbeddingServer,
) -> None:
    embedder = opened(server)
    address = server.url.replace("//", "//me:secret@")
    other = UrlEmbedder(f"{address}#bag")
    assert other.fingerprint == embedder.fingerprint
    assert os.environ.get(url.KEY_VARIABLE) is None
    embedder.close()
    other.close()
