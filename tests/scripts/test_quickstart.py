"""`scripts/quickstart` and what it calls, as far as can be shown without installing anything.

The command `vexfs` is there already, as a small script on the path: what quickstart does from then on
runs for real.  Installing is run with stand-ins for apt-get, pip and sudo that write down what was asked
of them; that the same happens on a fresh machine is tried by hand, as docs/operations.md says.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.commands import NOBODY, Home, Result, as_user
from tests.support.fuse_device import open_to_all
from vexfs_fuse.fuse import mounting

REPOSITORY: Final = Path(__file__).parents[2]
TIMEOUT_S: Final = 300.0

pytestmark = pytest.mark.mount


class Machine:
    """A home directory, and a path whose first place holds what a test puts there."""

    def __init__(self, directory: Path) -> None:
        self.home = Home(directory)
        (directory / ".config/vexfs/config.toml").write_text('metrics = "none"\n')  # and indexes
        self.programs = directory / "bin"
        self.programs.mkdir()
        self.asked = directory / "asked"
        self.asked.touch()

    def have(self, name: str, *lines: str) -> None:
        """Put a program on the path."""
        program = self.programs / name
        program.write_text("\n".join(["#!/bin/bash", *lines, ""]))
        program.chmod(0o755)

    def have_vexfs(self) -> None:
        self.have("vexfs", f'exec {sys.executable} -m vexfs_fuse "$@"')

    def notes(self, name: str, *also: str) -> None:
        """Put a program there that writes down its arguments."""
        self.have(name, f'echo "{name} $*" >> {self.asked}', *also)

    def run(self, script: str, *arguments: str | Path, uid: int | None = None) -> Result:
        path = f"{self.programs}:{os.environ['PATH']}"
        return subprocess.run(
            [*as_user(uid), str(REPOSITORY / "scripts" / script), *map(str, arguments)],
            env=self.home.environment | {"PATH": path, "VEXFS_PREFIX": str(self.home.path / "opt")},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def lines_asked(self) -> list[str]:
        return self.asked.read_text().splitlines()

    def give_to(self, uid: int) -> None:
        """Let another user live here."""
        for path in (self.home.path, *self.home.path.rglob("*")):
            os.chown(path, uid, uid)
        for above in self.home.path.parents:
            if above.is_relative_to("/tmp") and above != Path("/tmp"):
                above.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    for mount in reversed(mounting.mounts()):
        if mount.path.is_relative_to(tmp_path):
            subprocess.run(["fusermount3", "-u", "-z", str(mount.path)], check=False)


def assert_has_started(machine: Machine, *, uid: int | None = None) -> None:
    result = machine.run("quickstart", uid=uid)
    assert result.returncode == 0, result.stdout + result.stderr
    mount_point = machine.home.path / "vex"
    told = result.stdout
    assert "GNU GENERAL PUBLIC LICENSE" in told
    assert ".results.txt" in told
    assert f"vexfs umount {mount_point}" in told
    listing = machine.home.run("status", "--json", mount_point, uid=uid)
    assert listing.returncode == 0, listing.stderr
    again = machine.run("quickstart", uid=uid)
    assert again.returncode == 1
    assert f"{mount_point} is mounted already" in again.stderr
    machine.home.succeed("umount", mount_point, uid=uid)
    assert os.listdir(mount_point) == []
    assert "Traceback" not in machine.home.log


def test_root_gets_a_mounted_volume_with_files(machine: Machine) -> None:
    machine.have_vexfs()
    assert_has_started(machine)


def test_an_ordinary_user_gets_a_mounted_volume_with_files(machine: Machine) -> None:
    machine.have_vexfs()
    machine.give_to(NOBODY)
    with open_to_all():
        assert_has_started(machine, uid=NOBODY)


def test_a_place_to_mount_at_can_be_named(machine: Machine) -> None:
    machine.have("vexfs", f'echo "vexfs $*" >> {machine.asked}', "[[ $1 == version ]]")
    result = machine.run("quickstart", machine.home.path / "elsewhere")
    assert result.returncode == 1  # this vexfs mounts nothing
    assert machine.lines_asked()[-1] == f"vexfs mount {machine.home.path}/elsewhere"


PACKAGES: Final = ("fuse3", "libfuse3-dev", "python3-venv")


def without_packages(machine: Machine) -> None:
    machine.have("dpkg-query", "exit 1")
    machine.notes("apt-get")


def test_root_installs_what_is_missing_without_sudo(machine: Machine) -> None:
    without_packages(machine)
    machine.notes("sudo")
    result = machine.run("system-packages", "run")
    assert result.returncode == 0, result.stderr
    update, install = machine.lines_asked()
    assert update == "apt-get update -qq"
    assert install.startswith("apt-get install -y")
    assert all(package in install.split() for package in PACKAGES)


def test_an_ordinary_user_installs_what_is_missing_through_sudo(machine: Machine) -> None:
    without_packages(machine)
    machine.notes("sudo")
    machine.give_to(NOBODY)
    result = machine.run("system-packages", "run", uid=NOBODY)
    assert result.returncode == 0, result.stderr
    update, install = machine.lines_asked()
    assert update == "sudo apt-get update -qq"
    assert install.startswith("sudo apt-get install -y")


def test_without_sudo_an_ordinary_user_is_told_what_is_missing(machine: Machine) -> None:
    without_packages(machine)
    machine.give_to(NOBODY)
    # No directory of the usual path, which may have a sudo.
    for name in ("bash", "dirname", "env"):
        machine.have(name, f'exec /bin/{name} "$@"')
    result = subprocess.run(
        [
            *as_user(NOBODY),
            "env",
            f"PATH={machine.programs}",
            "bash",
            str(REPOSITORY / "scripts/system-packages"),
            "run",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "there is no sudo to install them" in result.stderr
    assert machine.lines_asked() == []


def test_nothing_is_installed_where_nothing_is_missing(machine: Machine) -> None:
    machine.have("dpkg-query", "echo -n installed")
    machine.notes("apt-get")
    assert machine.run("system-packages", "test").returncode == 0
    assert machine.lines_asked() == []


def test_an_ordinary_user_installs_everything_through_sudo_and_leaves_nothing(
    machine: Machine,
) -> None:
    """What sudo runs is written down; only the copy of the source is removed, as it is root's."""
    machine.have("dpkg-query", "echo -n installed")
    machine.have("vexfs", 'echo "vexfs $*"')
    machine.notes("sudo", '[[ $1 != rm ]] || exec "$@"')
    (machine.home.path / "tmp").mkdir()
    machine.give_to(NOBODY)
    result = subprocess.run(
        [*as_user(NOBODY), str(REPOSITORY / "scripts/install")],
        env=machine.home.environment
        | {
            "PATH": f"{machine.programs}:{os.environ['PATH']}",
            "TMPDIR": str(machine.home.path / "tmp"),
            "VEXFS_PREFIX": "/opt/nowhere",
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    asked = machine.lines_asked()
    assert asked[0] == "sudo python3 -m venv /opt/nowhere"
    assert "--require-hashes -r requirements/run.lock" in asked[1]
    assert "sudo ln -sf /opt/nowhere/bin/mount.fuse.vexfs /sbin/mount.fuse.vexfs" in asked
    assert all(line.startswith("sudo ") for line in asked)
    assert not Path("/opt/nowhere").exists()
    assert list((machine.home.path / "tmp").iterdir()) == []
