"""`vexfs fsck`: checks every rule and every checksum of a store that is not mounted."""

import argparse
import json
import sys
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

from vexfs_fuse.cli.command import Command
from vexfs_fuse.cli.options import add_store, effective_options
from vexfs_fuse.cli.progress import Progress
from vexfs_fuse.config import Config
from vexfs_fuse.errors import CorruptData, NotFound, StoreDamaged, VexfsError


class Verdict(IntEnum):
    """Exit codes, those of fsck(8)."""

    SOUND = 0
    REPAIRED = 1
    DAMAGED = 4
    NOT_CHECKED = 8


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repair",
        action="store_true",
        help="repair view, journal and volume.json, remove damaged indexes, which the next mount makes"
        " anew; contents that fail their checksum stay lost",
    )
    parser.add_argument("--json", action="store_true", help="print the problems as JSON")
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check one store."""
    config = effective_options(arguments).config
    try:
        problems = problems_of(config)
        done = _repaired(config, problems) if problems and arguments.repair else []
        left = problems_of(config) if done else problems
    except VexfsError as error:
        print(f"vexfs: {error}", file=sys.stderr)
        return Verdict.NOT_CHECKED
    report = {"store": str(config.store), "problems": problems, "done": done, "left": left}
    print(json.dumps(report, indent=1) if arguments.json else "\n".join(_lines(report)))
    if left:
        return Verdict.DAMAGED
    return Verdict.REPAIRED if problems else Verdict.SOUND


def _repaired(config: Config, problems: list[str]) -> list[str]:
    from vexfs_fuse.volume.repair import damaged_parts, remove_derived, repair

    parts = damaged_parts(config.store, config)
    if parts:
        return repair(config.store, config, problems, parts)
    return remove_derived(config.store, problems)


def _lines(report: dict[str, Any]) -> Iterator[str]:
    yield from report["problems"]
    yield from (f"repair: {done}" for done in report["done"])
    if report["left"] and report["done"]:
        yield from (f"left: {problem}" for problem in report["left"])
    elif not report["left"]:
        yield f"{report['store']} is sound"


def problems_of(config: Config) -> list[str]:
    """Return every problem of the store at rest, as sentences.

    Raises
    ------
    NotFound
        There is no volume.
    VexfsError
        It cannot be opened, because it is mounted for example.
    """
    from vexfs_fuse.storage.disk import LocalDisk
    from vexfs_fuse.volume import text_index, vector_indexes
    from vexfs_fuse.volume.check import check
    from vexfs_fuse.volume.identity import holds_volume
    from vexfs_fuse.volume.opening import open_volume

    if not holds_volume(config.store, LocalDisk(config.store)):
        raise NotFound(f"{config.store} holds no volume")
    progress = Progress("checking files")
    try:
        volume = open_volume(config.store, config)
    except (StoreDamaged, CorruptData) as error:
        return [str(error)]
    try:
        damage = [damage.sentence for damage in volume.damaged]
        problems = check(volume, progress=progress.share)
        problems += vector_indexes.damage(volume.disk)
        return damage + problems + text_index.damage(volume, config.store)
    finally:
        progress.done()
        volume.close()


COMMAND = Command(
    "fsck",
    "Check a volume that is not mounted: its records, its names, the checksums of all contents.",
    """
    vexfs fsck --store /srv/notes
    vexfs fsck --store /srv/notes --repair
    """,
    _add_arguments,
    run,
    "0 sound, 1 repaired, 2 wrong usage, 4 damaged, 8 not checked (standard error says why)",
)
