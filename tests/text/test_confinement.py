"""Each layer of confinement holds by itself, and the filter means the same on every machine."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import SOURCE
from vexfs_fuse.text import confinement
from vexfs_fuse.text.confinement import ALLOW, KILL, MACHINES, REFUSE, filter_program

HEADERS = {
    "x86_64": (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), "__NR_"),
    "aarch64": (Path("/usr/include/asm-generic/unistd.h"), "__NR(?:3264)?_"),
}
PROT_READ, PROT_EXEC = 1, 4
TABLE = confinement.CALLS | confinement.MAPPINGS

LAYERS = {
    "limits": "confinement._limit(1 << 30, may_fork=False)",
    "Landlock": "confinement._prctl(38, 1); confinement._restrict_paths()",
    "seccomp": "confinement._prctl(38, 1); confinement._filter_calls(may_fork=False)",
}
ATTEMPTS = {
    "a file": "open('/etc/passwd')",
    "a port": "socket.socket().connect(('127.0.0.1', 9))",
}


def verdict(
    program: bytes, architecture: int, number: int, arguments: tuple[int, ...] = (0, 0, 0)
) -> int:
    """Run a filter as the kernel does, over one system call."""
    data = struct.pack("=iIQ", number, architecture, 0) + struct.pack("=3Q", *arguments)
    loaded, place = 0, 0
    instructions = list(struct.iter_unpack("=HBBI", program))
    while True:
        code, if_true, if_false, constant = instructions[place]
        place += 1
        if code == 0x20:
            (loaded,) = struct.unpack_from("=I", data, constant)
        elif code == 0x06:
            return int(constant)
        else:
            holds = {
                0x15: loaded == constant,
                0x35: loaded >= constant,
                0x45: bool(loaded & constant),
            }[code]
            place += if_true if holds else if_false


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("may_fork", [False, True])
def test_the_filter_allows_what_the_table_names_and_nothing_else(
    machine: str, may_fork: bool
) -> None:
    architecture, column = MACHINES[machine]
    program = filter_program(MACHINES[machine], may_fork=may_fork)
    table = TABLE | (confinement.FORKING if may_fork else {})
    named = {numbers[column] for numbers in table.values()}
    for number in range(600):
        assert verdict(program, architecture, number) == (ALLOW if number in named else REFUSE)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_filter_judges_arguments(machine: str) -> None:
    architecture, column = MACHINES[machine]
    for may_fork in (False, True):
        program = filter_program(MACHINES[machine], may_fork=may_fork)
        forks = ALLOW if may_fork else REFUSE
        for numbers in confinement.MAPPINGS.values():
            number = numbers[column]
            assert verdict(program, architecture, number, (0, 0, PROT_READ)) == ALLOW
            assert verdict(program, architecture, number, (0, 0, PROT_READ | PROT_EXEC)) == REFUSE
        clone, prctl = confinement.CLONE[column], confinement.PRCTL[column]
        assert verdict(program, architecture, clone, (0x01200011, 0, 0)) == forks
        assert verdict(program, architecture, clone, (0x003D0F00, 0, 0)) == REFUSE  # a thread
        assert verdict(program, architecture, clone, (0x50000011, 0, 0)) == REFUSE  # namespaces
        assert verdict(program, architecture, prctl, (22, 2, 0)) == forks
        assert verdict(program, architecture, prctl, (8, 1, 0)) == REFUSE


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_another_machine_are_deadly(machine: str) -> None:
    architecture, column = MACHINES[machine]
    program = filter_program(MACHINES[machine], may_fork=True)
    read = confinement.CALLS["read"][column]
    i386 = 0x40000003
    assert verdict(program, i386, read) == KILL
    assert verdict(program, architecture, 0x40000000 | read) == KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_the_table_has_the_kernel_s_numbers(machine: str) -> None:
    header, prefix = HEADERS[machine]
    if not header.exists():
        pytest.skip(f"the kernel's headers for {machine} are not installed")
    text = header.read_text()
    column = MACHINES[machine].column
    table = TABLE | confinement.FORKING | {"clone": confinement.CLONE, "prctl": confinement.PRCTL}
    for name, numbers in table.items():
        found = re.search(rf"#define {prefix}{name} (\d+)$", text, re.MULTILINE)
        assert (int(found[1]) if found else -1) == numbers[column], name


@pytest.mark.parametrize("attempt", ATTEMPTS)
@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_alone_keeps_a_parser_from_files_and_ports(layer: str, attempt: str) -> None:
    program = (
        "import socket\n"
        "from vexfs_fuse.text import confinement\n"
        f"{LAYERS[layer]}\n"
        "try:\n"
        f"    {ATTEMPTS[attempt]}\n"
        "except ConnectionRefusedError:\n"
        "    raise SystemExit('reached')\n"
        "except OSError:\n"
        "    raise SystemExit(0)\n"
        "raise SystemExit('reached')\n"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env={"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    if "Refused" in result.stderr:
        pytest.skip(f"this kernel has no {layer}: {result.stderr.splitlines()[-1]}")
    assert (result.returncode, result.stderr) == (0, "")
