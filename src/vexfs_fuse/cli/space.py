"""`vexfs space`: makes, lists, shows and drops vector spaces, of a mounted volume or a store at rest."""

import argparse
import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vexfs_fuse.cli import mounted
from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.cli.options import add_store, effective_options
from vexfs_fuse.cli.status import lines
from vexfs_fuse.errors import Exists, InvalidArgument, NotFound

if TYPE_CHECKING:
    from vexfs_fuse.volume.volume import Volume

ACTIONS: Final = ("create", "list", "show", "drop")
METRICS: Final = ("cosine", "ip", "l2")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="what to do")
    parser.add_argument("name", metavar="NAME", nargs="?", help="which space; not for list")
    parser.add_argument("--dim", metavar="N", type=int, help="dimensions of a new space")
    parser.add_argument(
        "--metric", choices=METRICS, default="cosine", help="how a new space compares"
    )
    parser.add_argument(
        "--model", metavar="NAME", default="", help="what makes the vectors of a new space"
    )
    parser.add_argument("--force", action="store_true", help="drop a space that has vectors")
    parser.add_argument(
        "--mount-point", metavar="DIR", type=Path, help="which volume, if several are mounted"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked with the spaces of one volume."""
    if (arguments.name is None) != (arguments.action == "list"):
        raise InvalidArgument(
            "list takes no name" if arguments.name else f"which space to {arguments.action}?"
        )
    changes = arguments.action in {"create", "drop"}
    if arguments.option_store is None:
        _act(_Mounted(mounted.only_volume(arguments.mount_point)), arguments)
        return Exit.OK
    with opened(arguments, read_only=not changes) as volume:
        _act(_AtRest(volume), arguments)
    return Exit.OK


def _act(spaces: "_Mounted | _AtRest", arguments: argparse.Namespace) -> None:
    told = {space["name"]: space for space in spaces.all()}
    name = arguments.name
    if arguments.action == "create":
        _create(spaces, told, arguments)
    elif arguments.action == "list":
        _print_all(list(told.values()), as_json=arguments.json)
    elif name not in told:
        raise NotFound(f"there is no space {name}")
    elif arguments.action == "show":
        print(json.dumps(told[name], indent=1) if arguments.json else "\n".join(lines(told[name])))
    elif told[name]["vectors"] and not arguments.force:
        raise InvalidArgument(
            f"space {name} holds vectors, {told[name]['vectors']:,} in all: --force drops them"
        )
    else:
        spaces.drop(name)


def _create(
    spaces: "_Mounted | _AtRest", told: dict[str, Any], arguments: argparse.Namespace
) -> None:
    from vexfs_fuse.volume.vector_changes import check_space

    if arguments.dim is None:
        raise InvalidArgument("a space needs its dimension: --dim N")
    if arguments.name in told:
        raise Exists(f"space {arguments.name}")
    check_space(arguments.name, arguments.dim, arguments.metric, arguments.model)
    spaces.create(arguments.name, arguments.dim, arguments.metric, arguments.model)


def _print_all(spaces: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(spaces, indent=1))
    elif spaces:
        print("\n".join(lines({"spaces": spaces})))


class _Mounted:
    """The spaces of a mounted volume."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def all(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = mounted.read_status(self._root)["volume"]["spaces"]
        return found

    def create(self, name: str, dim: int, metric: str, model: str) -> None:
        from vexfs_fuse.volume.vector_changes import specification

        value = specification(dim, metric, model).encode()
        os.setxattr(self._root, f"user.vexfs.space.{name}", value)

    def drop(self, name: str) -> None:
        os.removexattr(self._root, f"user.vexfs.space.{name}")


class _AtRest:
    """The spaces of an open volume that is not mounted."""

    def __init__(self, volume: "Volume") -> None:
        from vexfs_fuse.volume.writer import Actor

        self._volume = volume
        self._who = Actor(os.getuid(), os.getgid(), os.getpid())

    def all(self) -> list[dict[str, Any]]:
        return self._volume.applier.vectors.statistics()

    def create(self, name: str, dim: int, metric: str, model: str) -> None:
        self._volume.vectors.create_space(name, dim, metric, model, self._who)

    def drop(self, name: str) -> None:
        self._volume.vectors.drop_space(name, self._who)


@contextmanager
def opened(arguments: argparse.Namespace, *, read_only: bool) -> Iterator["Volume"]:
    """Open the store that the arguments name.

    Raises
    ------
    NotFound
        There is no volume.
    StoreLocked
        It is mounted.
    """
    from vexfs_fuse.volume.identity import IDENTITY
    from vexfs_fuse.volume.opening import open_volume

    config = effective_options(arguments).config
    if not (config.store / IDENTITY).exists():
        raise NotFound(f"{config.store} holds no volume")
    volume = open_volume(config.store, dataclasses.replace(config, ro=config.ro or read_only))
    try:
        yield volume
    finally:
        volume.close()


COMMAND = Command(
    "space",
    "Make, list, show and drop vector spaces.",
    """
    vexfs space create clip --dim 512 --model clip-vit-b32
    vexfs space list
    vexfs space show clip --json
    vexfs space drop clip --force
    vexfs space list --store /srv/notes
    """,
    _add_arguments,
    run,
)
