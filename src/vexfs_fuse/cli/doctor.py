"""`vexfs doctor`: what this machine lacks, and what to do about it."""

import argparse
import json
import os
import platform
import shutil
import threading
from collections.abc import Callable, Iterator
from enum import StrEnum
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from vexfs_fuse.cli import mounted
from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.cli.options import add_store, effective_options
from vexfs_fuse.config import Config
from vexfs_fuse.errors import ModelMissing
from vexfs_fuse.fuse import mounting
from vexfs_fuse.quantities import approximate_size
from vexfs_fuse.units import GIB

FREE_BYTES_LOW: Final = GIB
ANSWER_S: Final = 2.0
KERNEL_LEAST: Final = (5, 15)
FUSE_CONF: Final = Path("/etc/fuse.conf")
MOUNT_HELPER: Final = Path("/sbin/mount.fuse.vexfs")


class Grade(StrEnum):
    """How a finding is to be taken."""

    GOOD = "good"
    HINT = "hint"
    BAD = "bad"


class Finding(NamedTuple):
    """One thing that was looked at, and what to do if it is not good."""

    subject: str
    grade: Grade
    told: str


def answers_soon(mount_point: Path) -> bool:
    """Return whether a mount answers within `ANSWER_S`; one that hangs would hang us."""
    answer: list[bool] = []
    asking = threading.Thread(
        target=lambda: answer.append(mounting.answers(mount_point)), daemon=True
    )
    asking.start()
    asking.join(ANSWER_S)
    return answer == [True]


Look = Callable[[Config], Finding]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_store(parser)


def run(arguments: argparse.Namespace) -> int:
    """Look at everything; fail if something keeps volumes from being mounted."""
    config = effective_options(arguments).config
    findings = [look(config) for look in LOOKS]
    if arguments.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=1))
    else:
        print("\n".join(_lines(findings)))
    return Exit.FAILED if any(finding.grade is Grade.BAD for finding in findings) else Exit.OK


def _lines(findings: list[Finding]) -> Iterator[str]:
    width = max(len(finding.subject) for finding in findings)
    for subject, grade, told in findings:
        yield f"{grade:<4}  {subject:<{width}}  {told}"


def kernel(_: Config) -> Finding:
    """Look at the kernel's version."""
    release = platform.release()
    version = tuple(int(part) for part in release.split("-")[0].split(".")[:2])
    if version < KERNEL_LEAST:
        return Finding("kernel", Grade.HINT, f"{release} is older than what is tested here")
    return Finding("kernel", Grade.GOOD, release)


def device(_: Config) -> Finding:
    """Look whether /dev/fuse can be opened."""
    if not Path(mounting.DEVICE).exists():
        return Finding(
            "/dev/fuse",
            Grade.BAD,
            "missing: modprobe fuse; in a container start it with --device /dev/fuse",
        )
    if not os.access(mounting.DEVICE, os.R_OK | os.W_OK):
        return Finding("/dev/fuse", Grade.BAD, "not ours to open: chmod 666 /dev/fuse")
    return Finding("/dev/fuse", Grade.GOOD, "can be opened")


def helper(_: Config) -> Finding:
    """Look for the program that mounts for ordinary users."""
    place = shutil.which(mounting.HELPER)
    if os.geteuid() == 0:
        return Finding(mounting.HELPER, Grade.GOOD, "not needed by root")
    if place is None:
        return Finding(mounting.HELPER, Grade.BAD, "missing: apt install fuse3")
    if not Path(place).stat().st_mode & 0o4000:
        return Finding(mounting.HELPER, Grade.BAD, f"not set-user-ID: chmod u+s {place}")
    return Finding(mounting.HELPER, Grade.GOOD, place)


def allow_other(_: Config) -> Finding:
    """Look whether a mount may let others in."""
    if os.geteuid() == 0:
        return Finding("allow_other", Grade.GOOD, "root may always")
    try:
        words = {line.strip() for line in FUSE_CONF.read_text().splitlines()}
    except OSError:
        words = set()
    if "user_allow_other" in words:
        return Finding("allow_other", Grade.GOOD, f"{FUSE_CONF} permits it")
    return Finding("allow_other", Grade.HINT, f"needs the line user_allow_other in {FUSE_CONF}")


def fstab(_: Config) -> Finding:
    """Look whether mount(8) finds its helper."""
    if MOUNT_HELPER.exists():
        return Finding("fstab", Grade.GOOD, str(MOUNT_HELPER))
    return Finding(
        "fstab", Grade.HINT, f"mount(8) does not find us: link mount.fuse.vexfs to {MOUNT_HELPER}"
    )


def store(config: Config) -> Finding:
    """Look for room and permission where the store is to be."""
    place = next(path for path in (config.store, *config.store.parents) if path.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        return Finding("store", Grade.BAD, f"{place} is not ours to write to")
    free_bytes = shutil.disk_usage(place).free
    told = f"{config.store}: {approximate_size(free_bytes)} free"
    return Finding("store", Grade.HINT if free_bytes < FREE_BYTES_LOW else Grade.GOOD, told)


def model(_: Config) -> Finding:
    """Look for the model that makes vectors of text, and whether it is whole."""
    from vexfs_fuse.text.embedders import model_store

    try:
        found = model_store.find_minilm()
    except ModelMissing:
        return Finding(
            "text model",
            Grade.HINT,
            "missing, so that text is searched by its words alone: vexfs model install minilm",
        )
    if not model_store.is_sound(found):
        return Finding(
            "text model", Grade.HINT, f"damaged: {found.directory}; vexfs model install minilm"
        )
    return Finding("text model", Grade.GOOD, f"{found.fingerprint} in {found.directory.parent}")


def onnxruntime(_: Config) -> Finding:
    """Look for what computes the model fastest."""
    if find_spec("onnxruntime") is None:
        return Finding(
            "onnxruntime",
            Grade.HINT,
            "missing, so that numpy computes the text model, several times slower:"
            " pip install onnxruntime",
        )
    return Finding("onnxruntime", Grade.GOOD, version("onnxruntime"))


def mounts(_: Config) -> Finding:
    """Look for mounts that a dead daemon left."""
    points = mounted.mount_points()
    dead = [point for point in points if not answers_soon(point)]
    if dead:
        named = ", ".join(map(str, dead))
        return Finding("mounts", Grade.HINT, f"no daemon answers for {named}; vexfs umount --lazy")
    return Finding("mounts", Grade.GOOD, ", ".join(map(str, points)) or "none")


LOOKS: Final[tuple[Look, ...]] = (
    kernel,
    device,
    helper,
    allow_other,
    fstab,
    store,
    model,
    onnxruntime,
    mounts,
)

COMMAND = Command(
    "doctor",
    "Look at this machine: can volumes be mounted, and what is missing?",
    """
    vexfs doctor
    vexfs doctor --json
    """,
    _add_arguments,
    run,
)
