"""Whatever a parser does, it does no harm, its file is said to have failed, and the next one is read."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import hostile_parser
from tests.support.commands import NOBODY, SOURCE, as_user
from vexfs_fuse.errors import ExtractionFailed
from vexfs_fuse.text.document import Document
from vexfs_fuse.text.sandbox import TITLE_CHARS_MAX, Extractor, Limits
from vexfs_fuse.units import KIB, MIB

ROOT = Path(__file__).parents[2]
LIMITS = Limits(
    file_bytes=MIB, text_chars=64 * KIB, memory_bytes=256 * MIB, cpu_s=1.0, wall_s=30.0, files=50
)
HASTY = LIMITS._replace(wall_s=1.0)
PARSERS = ["tests.support.hostile_parser", "tests.support.hostile_forking_parser"]


@pytest.fixture(scope="module", params=PARSERS, ids=["reused", "forking"])
def parser(request: pytest.FixtureRequest) -> Iterator[str]:
    """The parser's module, which the processes find."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    yield request.param
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def extractor(parser: str) -> Iterator[Extractor]:
    extractor = Extractor(LIMITS)
    yield extractor
    extractor.close()


def do(extractor: Extractor, parser: str, deed: str) -> Document | None:
    return extractor.parse(parser, b"name", deed.encode())


def assert_fails(extractor: Extractor, parser: str, deed: str, reason: str) -> None:
    """The deed fails for that reason, and the next file is read."""
    with pytest.raises(ExtractionFailed, match=reason):
        do(extractor, parser, deed)
    assert do(extractor, parser, "ok") == Document("title", "text")


@pytest.mark.parametrize("breach", hostile_parser.BREACHES)
def test_a_parser_is_refused_what_it_does_not_need(
    extractor: Extractor, parser: str, breach: str
) -> None:
    document = do(extractor, parser, breach)
    assert document is not None
    assert document.text.startswith("refused: "), document.text


def test_no_system_call_but_those_of_the_table_gets_through(
    extractor: Extractor, parser: str
) -> None:
    document = do(extractor, parser, "try all other system calls")
    assert document is not None
    assert document.text == "[]"


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("compute for ever", "more than 1 s of computing"),
        ("allocate for ever", "more than 256 MiB of memory"),
        ("read address zero", "died of SIGSEGV"),
        ("call itself", "RecursionError"),
        ("refuse", "I would rather not"),
        ("fail", r"failed: KeyError: 'a name\\nthat nobody\\x1b\[31m knows'"),
        ("write garbage", "no proper answer"),
        ("answer for another", "no proper answer"),
        ("answer without end", "no proper answer"),
        ("say too much", "no proper answer"),
    ],
)
def test_a_file_that_breaks_its_parser_has_failed(
    extractor: Extractor, parser: str, deed: str, reason: str
) -> None:
    assert_fails(extractor, parser, deed, reason)


@pytest.mark.parametrize("deed", ["leave", "close its output"])
def test_a_parser_that_ends_without_an_answer_has_failed(parser: str, deed: str) -> None:
    extractor = Extractor(HASTY)
    assert_fails(extractor, parser, deed, "the parser failed|longer than|no proper answer")
    extractor.close()


@pytest.mark.parametrize("deed", ["wait for ever", "answer half"])
def test_a_parser_that_hangs_is_not_waited_for(parser: str, deed: str) -> None:
    extractor = Extractor(HASTY)
    assert_fails(extractor, parser, deed, "longer than 1 s")
    extractor.close()


def test_a_parser_that_complains_without_end_is_out_of_time(
    extractor: Extractor, parser: str
) -> None:
    assert_fails(extractor, parser, "complain for ever", "computing|longer|failed")


def test_a_parser_that_cannot_be_loaded_says_why() -> None:
    extractor = Extractor(LIMITS)
    with pytest.raises(ExtractionFailed, match="No module named 'nowhere'"):
        extractor.parse("nowhere", b"name", b"ok")
    extractor.close()


def test_a_file_without_text_is_no_failure(extractor: Extractor, parser: str) -> None:
    assert do(extractor, parser, "none") is None


def test_what_a_parser_says_is_made_text(extractor: Extractor, parser: str) -> None:
    assert do(extractor, parser, "say what no text holds") == Document("a b [31mc", "x y")
    assert do(extractor, parser, "say half a character") == Document("?", "?")


def test_a_parser_sees_nothing_of_our_environment(
    extractor: Extractor, parser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    fresh = Extractor(LIMITS)
    document = do(fresh, parser, "look around")
    fresh.close()
    assert document is not None
    assert "PYTHONPATH" in document.text
    assert "API_KEY" not in document.text


def test_a_process_is_kept_for_many_files_and_then_replaced(parser: str) -> None:
    extractor = Extractor(LIMITS._replace(files=3))
    seen = []
    for _ in range(7):
        do(extractor, parser, "ok")
        seen.append(extractor._processes[parser]._popen.pid)
    extractor.close()
    assert [seen.count(pid) for pid in dict.fromkeys(seen)] == [3, 3, 1]


def test_each_file_has_a_process_of_its_own_where_parsers_fork(
    extractor: Extractor, parser: str
) -> None:
    documents = [do(extractor, parser, "look around") for _ in range(3)]
    pids = {document.text.split()[0] for document in documents if document}
    assert len(pids) == (3 if "forking" in parser else 1)


def test_a_process_that_has_died_between_two_files_costs_none_of_them(parser: str) -> None:
    extractor = Extractor(LIMITS)
    do(extractor, parser, "ok")
    process = extractor._processes[parser]._popen
    process.kill()
    process.wait()
    assert do(extractor, parser, "ok") == Document("title", "text")
    extractor.close()


def test_no_process_outlives_its_extractor(parser: str) -> None:
    extractor = Extractor(LIMITS)
    do(extractor, parser, "ok")
    pid = extractor._processes[parser]._popen.pid
    extractor.close()
    assert not Path(f"/proc/{pid}").exists()


def test_descriptors_are_given_back(parser: str) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    extractor = Extractor(LIMITS)
    for deed in ("ok", "read address zero", "write garbage", "ok"):
        try:
            do(extractor, parser, deed)
        except ExtractionFailed:
            pass
    extractor.close()
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_confinement_is_complete_here(extractor: Extractor, parser: str) -> None:
    do(extractor, parser, "ok")
    assert extractor.confinement == "complete"


def test_confinement_is_not_claimed_before_there_is_any() -> None:
    assert Extractor().confinement == "not started"


def test_a_process_has_no_rights(extractor: Extractor, parser: str) -> None:
    do(extractor, parser, "ok")
    pid = extractor._processes[parser]._popen.pid
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    if os.getuid() == 0:
        assert set(status["Uid"].split() + status["Gid"].split()) == {str(NOBODY)}
        assert status["Groups"].strip() == ""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_s_processes_are_confined_too() -> None:
    program = (
        "from tests.support.hostile_parser import BREACHES\n"
        "from vexfs_fuse.text.sandbox import Extractor\n"
        "extractor = Extractor()\n"
        "for parser in ('hostile_parser', 'hostile_forking_parser'):\n"
        "    for breach in BREACHES:\n"
        "        text = extractor.parse('tests.support.' + parser, b'', breach.encode()).text\n"
        "        assert text.startswith('refused'), (breach, text)\n"
        "print(extractor.confinement)\n"
    )
    result = subprocess.run(
        [*as_user(1_000), sys.executable, "-P", "-c", program],
        env={"PYTHONPATH": f"{SOURCE}:{ROOT}", "PATH": os.environ["PATH"]},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.stdout, result.stderr) == ("complete\n", "")


# --- with the parsers that there are --------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> Iterator[Extractor]:
    extractor = Extractor(LIMITS)
    yield extractor
    extractor.close()


def test_text_is_read_with_its_lines(real: Extractor) -> None:
    assert real.extract(b"a.txt", b"one\r\ntwo\n") == Document("", "one\ntwo\n")


def test_contents_may_come_from_a_descriptor(real: Extractor) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"one\ntwo\n")
        file.flush()
        file.seek(5)
        assert real.extract(b"a.txt", file.fileno()) == Document("", "one\ntwo\n")
        assert file.tell() == 5


def test_a_file_beyond_the_bound_is_not_read(real: Extractor) -> None:
    assert real.extract(b"a", b"x" * LIMITS.file_bytes) is not None
    with pytest.raises(ExtractionFailed, match=r"1\.0 MiB, and 1\.0 MiB are the most"):
        real.extract(b"a", b"x" * (LIMITS.file_bytes + 1))


def test_text_beyond_the_bound_is_cut_and_said_to_be(real: Extractor) -> None:
    whole, longer = "\u00e9" * LIMITS.text_chars, "\u00e9" * (LIMITS.text_chars + 1)
    assert real.extract(b"a", whole.encode()) == Document("", whole)
    assert real.extract(b"a", longer.encode()) == Document("", whole, is_cut=True)


def test_what_is_no_text_is_told_without_a_process() -> None:
    extractor = Extractor(LIMITS)
    assert extractor.extract(b"a.txt", bytes(range(256)) * 10) is None
    assert extractor.confinement == "not started"


def test_an_empty_file_is_an_empty_text(real: Extractor) -> None:
    assert real.extract(b"a", b"") == Document("", "")


def test_a_title_has_a_bound(extractor: Extractor, parser: str) -> None:
    assert TITLE_CHARS_MAX <= 1_000
