"""`vexfs completions`: the words that a shell may offer, made from the parser itself."""

import argparse
from collections.abc import Iterator
from typing import Final

from vexfs_fuse.cli.command import Command, Exit

SHELLS: Final = ("bash", "zsh", "fish")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="which shell")


def run(arguments: argparse.Namespace) -> int:
    """Print a completion script."""
    commands = subparsers(arguments.parser)
    words = {name: sorted(_flags(parser)) for name, parser in commands.items()}
    make = {"bash": _bash, "zsh": _zsh, "fish": _fish}[arguments.shell]
    print("\n".join(make(words)))
    return Exit.OK


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return a parser's commands by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _flags(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if action.choices and not action.option_strings:
            yield from map(str, action.choices)


def _bash(words: dict[str, list[str]]) -> Iterator[str]:
    yield "_vexfs() {"
    yield "    local word=${COMP_WORDS[COMP_CWORD]} words"
    yield "    if [[ $COMP_CWORD -eq 1 ]]; then"
    yield f'        COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$word"))'
    yield "        return"
    yield "    fi"
    yield "    case ${COMP_WORDS[1]} in"
    for name, flags in words.items():
        yield f'        {name}) words="{" ".join(flags)}" ;;'
    yield "    esac"
    yield '    COMPREPLY=($(compgen -W "$words" -- "$word") $(compgen -f -- "$word"))'
    yield "}"
    yield "complete -o filenames -F _vexfs vexfs"


def _zsh(words: dict[str, list[str]]) -> Iterator[str]:
    yield "autoload -U +X bashcompinit && bashcompinit"
    yield from _bash(words)


def _fish(words: dict[str, list[str]]) -> Iterator[str]:
    for name, flags in words.items():
        yield f"complete -c vexfs -n __fish_use_subcommand -f -a {name}"
        for flag in flags:
            kind = f"-l {flag[2:]}" if flag.startswith("--") else f"-o {flag[1:]}"
            shown = kind if flag.startswith("-") else f"-a {flag}"
            yield f"complete -c vexfs -n '__fish_seen_subcommand_from {name}' {shown}"


COMMAND = Command(
    "completions",
    "Print a completion script for a shell.",
    """
    source <(vexfs completions bash)
    vexfs completions fish > ~/.config/fish/completions/vexfs.fish
    """,
    _add_arguments,
    run,
)
