"""The client of the query process: one process, asked when needed, never left behind."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import SOURCE
from tests.support.embedders import COMMAND, DIM, FINGERPRINT
from vexfs_fuse.errors import EmbedderFailed, ModelMissing
from vexfs_fuse.pending import Pending
from vexfs_fuse.text import query_client
from vexfs_fuse.text.embedder import Floats
from vexfs_fuse.text.embedders import model_store
from vexfs_fuse.text.query_client import QueryEmbedder

WELL = f"command:{COMMAND}"


class Clock:
    """Time that stands still until the test moves it, but runs for deadlines."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


@pytest.fixture(autouse=True)
def sources_under_test() -> Iterator[None]:
    """Let the process be of this checkout, as we are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(SOURCE))
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


OTHERS: set[int] = set()
"""Children that were there before a test: those of other tests are not to be judged here."""


@pytest.fixture(autouse=True)
def others() -> None:
    OTHERS.clear()
    OTHERS.update(children())


@pytest.fixture
def opened(clock: Clock) -> Iterator[Callable[[str], QueryEmbedder]]:
    made: list[QueryEmbedder] = []

    def make(setting: str) -> QueryEmbedder:
        made.append(QueryEmbedder(setting, now_s=clock))
        return made[-1]

    yield make
    for embedder in made:
        embedder.close()
    assert children() == []


def children() -> list[int]:
    """Return the child processes of this test that serve questions, zombies too."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            words = (place / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        child = int(place.name)
        if parent == os.getpid() and (b"query_process" in words or not words):
            if child not in OTHERS:
                found.append(child)
    return found


def asked(embedder: QueryEmbedder, text: str) -> Floats:
    answer = embedder.embed(text)
    return answer.resume(answer.work()) if isinstance(answer, Pending) else answer


Opened = Callable[[str], QueryEmbedder]


def test_the_built_in_model_is_known_before_anything_runs(opened: Opened) -> None:
    embedder = opened("minilm")
    assert embedder.fingerprint == model_store.minilm_fingerprint()
    assert embedder.is_available
    assert children() == []


def test_the_vector_is_the_one_that_documents_get(opened: Opened) -> None:
    vector = asked(opened("minilm"), "how do I rotate logs")
    expected = model_store.open_minilm().embed_documents(["how do I rotate logs"])[0]
    assert (vector == expected).all()
    assert vector.dtype == np.float32


def test_the_process_starts_with_the_first_question_and_serves_all(opened: Opened) -> None:
    embedder = opened(WELL)
    assert (embedder.fingerprint, children()) == (None, [])
    assert embedder.is_available
    asked(embedder, "one")
    (pid,) = children()
    asked(embedder, "two")
    assert children() == [pid]
    assert embedder.fingerprint == FINGERPRINT


def test_a_question_asked_before_is_answered_at_once(opened: Opened) -> None:
    embedder = opened(WELL)
    first = asked(embedder, "one")
    again = embedder.embed("one")
    assert not isinstance(again, Pending)
    assert again is first


def test_so_many_questions_are_kept_the_latest_used(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_client, "TEXTS_KEPT", 2)
    embedder = opened(WELL)
    for text in ("one", "two", "one", "three"):
        asked(embedder, text)
    kept = [not isinstance(embedder.embed(text), Pending) for text in ("one", "two", "three")]
    assert kept == [True, False, True]


def test_a_process_that_was_killed_is_started_again(opened: Opened) -> None:
    embedder = opened(WELL)
    asked(embedder, "one")
    (pid,) = children()
    os.kill(pid, signal.SIGKILL)
    assert asked(embedder, "two").shape == (DIM,)
    assert children() != [pid]
    assert len(children()) == 1


def test_one_that_always_dies_is_given_up_for_a_while(
    opened: Opened, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_client, "PROGRAM", ("false",))
    embedder = opened(WELL)
    with pytest.raises(EmbedderFailed, match="it has ended"):
        asked(embedder, "one")
    with pytest.raises(EmbedderFailed, match=r"it has ended|died 3 times"):
        asked(embedder, "one")
    with pytest.raises(EmbedderFailed, match="it has died 3 times within 60 s"):
        asked(embedder, "one")
    monkeypatch.undo()
    clock.ahead_s += query_client.CRASHES_S
    assert asked(embedder, "one").shape == (DIM,)


def test_one_that_hangs_is_killed_at_the_deadline(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = opened(f"{WELL} 'hangs when told'")
    asked(embedder, "one")
    monkeypatch.setattr(query_client, "ANSWER_S", 0.3)
    with pytest.raises(EmbedderFailed):
        asked(embedder, "hang")
    monkeypatch.undo()
    assert asked(embedder, "two").shape == (DIM,)
    assert len(children()) == 1


def test_who_asks_while_it_starts_waits_no_longer_than_for_an_answer(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_client, "ANSWER_S", 0.2)
    monkeypatch.setattr(query_client, "END_S", 0.1)
    embedder = opened(f"{WELL} 'never greets'")
    for _ in range(2):
        with pytest.raises(EmbedderFailed, match="it is still starting"):
            asked(embedder, "one")
    assert len(children()) == 1


def test_one_that_is_never_there_is_started_again(
    opened: Opened, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_client, "ANSWER_S", 0.2)
    embedder = opened(f"{WELL} 'never greets'")
    with pytest.raises(EmbedderFailed, match="it is still starting"):
        asked(embedder, "one")
    (pid,) = children()
    clock.ahead_s += query_client.START_S
    with pytest.raises(EmbedderFailed):
        asked(embedder, "one")
    assert children() != [pid]


def test_a_failure_that_the_embedder_tells_ends_nothing(opened: Opened) -> None:
    embedder = opened(f"{WELL} 'fails when told'")
    asked(embedder, "one")
    (pid,) = children()
    for _ in range(2 * query_client.CRASHES_MAX):
        with pytest.raises(EmbedderFailed, match="I do not like it"):
            asked(embedder, "fail")
    assert children() == [pid]


@pytest.mark.parametrize("setting", ["none", "minilm"])
def test_a_missing_embedder_is_told_and_looked_for_again(
    opened: Opened,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
) -> None:
    monkeypatch.setattr(
        model_store, "shared_place", lambda: tmp_path
    )  # of this process, which decides whether one is started
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    embedder = opened(setting)
    assert not embedder.is_available
    assert embedder.fingerprint is None
    with pytest.raises(ModelMissing):
        asked(embedder, "one")
    assert children() == []
    monkeypatch.undo()
    assert not embedder.is_available
    clock.ahead_s += query_client.MISSING_S
    assert embedder.is_available == (setting == "minilm")


def test_a_setting_that_cannot_be_is_a_failure(opened: Opened) -> None:
    embedder = opened("entry:nobody")
    with pytest.raises(EmbedderFailed, match="no installed package names"):
        asked(embedder, "one")


def test_an_idle_process_is_ended_without_waiting_for_it(opened: Opened, clock: Clock) -> None:
    embedder = opened(WELL)
    asked(embedder, "one")
    embedder.tend()
    assert len(children()) == 1
    clock.ahead_s += query_client.IDLE_S + 1
    deadline_s = time.monotonic() + 10
    while children() and time.monotonic() < deadline_s:
        embedder.tend()
        time.sleep(0.01)
    assert children() == []
    assert asked(embedder, "two").shape == (DIM,)


def test_questions_from_several_threads_each_get_their_own_answer(opened: Opened) -> None:
    embedder = opened(WELL)
    found: dict[str, Floats] = {}
    texts = [f"question {number}" for number in range(40)]
    pending = {text: embedder.embed(text) for text in texts}

    def work(some: list[str]) -> None:
        for text in some:
            answer = pending[text]
            assert isinstance(answer, Pending)
            found[text] = answer.work()

    threads = [threading.Thread(target=work, args=(texts[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in texts:
        assert (found[text] == asked(embedder, text)).all()


def test_a_hanging_command_does_not_outlive_the_process_that_asked_it(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "pid"
    embedder = opened(f"command:sh -c 'echo $$ > {mark}; exec {COMMAND} \"hangs when told\"'")
    asked(embedder, "one")
    command = Path("/proc", mark.read_text().strip())
    monkeypatch.setattr(query_client, "ANSWER_S", 0.3)
    assert command.exists()
    with pytest.raises(EmbedderFailed):
        asked(embedder, "hang")
    assert not command.exists()


def test_a_very_long_question_is_cut(opened: Opened) -> None:
    assert asked(opened(WELL), "日" * 200_000).shape == (DIM,)


def test_it_is_nice_and_ends_with_its_daemon(opened: Opened) -> None:
    embedder = opened(WELL)
    asked(embedder, "one")
    (pid,) = children()
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) + 5
    embedder.close()
    assert children() == []
