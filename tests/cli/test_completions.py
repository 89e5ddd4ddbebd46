"""`vexfs completions`: scripts that the shells accept and that offer what exists."""

import subprocess

import pytest

from tests.support.commands import Home
from vexfs_fuse.cli.main import COMMANDS


def complete(script: str, *words: str) -> list[str]:
    quoted = " ".join(words)
    asked = f"{script}\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words) - 1}\n_vexfs\n"
    asked += 'printf "%s\\n" "${COMPREPLY[@]}"\n'
    result = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    return result.stdout.split()


def test_bash_offers_commands_and_their_options(home: Home) -> None:
    script = home.succeed("completions", "bash")
    assert complete(script, "vexfs", "u") == ["umount"]
    assert set(complete(script, "vexfs", '""')) == {command.name for command in COMMANDS}
    assert complete(script, "vexfs", "mount", "--pool") == ["--pool-bytes"]
    assert "zsh" in complete(script, "vexfs", "completions", "z")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_every_command(home: Home, shell: str) -> None:
    script = home.succeed("completions", shell)
    assert all(command.name in script for command in COMMANDS)


def test_an_unknown_shell_is_wrong_usage(home: Home) -> None:
    assert "invalid choice: 'tcsh'" in home.fail("completions", "tcsh", code=2)
