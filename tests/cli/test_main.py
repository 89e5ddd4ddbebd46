"""What all commands share: usage, help, failures in one line."""

import subprocess

import pytest

from tests.support.commands import Home
from vexfs_fuse.cli.main import COMMANDS, main


def test_wrong_usage_is_2(home: Home) -> None:
    assert "invalid choice: 'mout'" in home.fail("mout", code=2)
    assert "usage: vexfs" in home.fail(code=2)
    assert "unrecognized arguments" in home.fail("version", "--loud", code=2)


def test_options_are_not_guessed_from_their_beginnings(home: Home) -> None:
    assert "unrecognized arguments: --js" in home.fail("version", "--js", code=2)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_shows_examples_and_exit_codes(
    command: object, capsys: pytest.CaptureFixture[str]
) -> None:
    name = getattr(command, "name")  # noqa: B009
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert "examples:\n  " in shown
    assert "exit codes:\n  0 " in shown


def test_a_reader_that_has_seen_enough_is_no_failure(home: Home) -> None:
    command = f"exec {' '.join(home.command('config'))}; echo $? >&2"
    shell = f"({command}) | head -n 1"
    result = subprocess.run(
        ["bash", "-c", shell], env=home.environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("# Directory")
    assert "Traceback" not in result.stderr


def test_a_failure_of_the_system_is_told_with_its_place(home: Home) -> None:
    told = home.fail("restore", "--store", home.store, home.path / "absent.tar")
    assert told == f"vexfs: {home.path}/absent.tar: No such file or directory\n"
