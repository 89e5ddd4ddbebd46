"""Writes results: a JSON file for machines, a table for people."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.commandline import progress
from benchmarks.machine import Business


def document(
    benchmark: str, machine: dict[str, Any], business: Business, settings: dict[str, Any]
) -> dict[str, Any]:
    """Return the frame that every result file has; results are added by the caller."""
    return {
        "benchmark": benchmark,
        "command": " ".join(
            ["python", "-m", f"benchmarks.{benchmark}", *map(_shown, sys.argv[1:])]
        ),
        "machine": machine,
        "business": business.as_json(),
        "settings": settings,
    }


def tell(results: dict[str, Any], found: Any, text: str, path: Path | None) -> None:
    """Add what was found; write all of it if a file is wanted, and print the heading and the text."""
    results["results"] = found
    write_json(path, results)
    progress("")
    print(heading(results))
    print()
    print(text)


def write_json(path: Path | None, results: dict[str, Any]) -> None:
    """Write the results, if a file is wanted."""
    if path is not None:
        path.write_text(json.dumps(results, indent=1) + "\n")


def _shown(argument: str) -> str:
    """Leave out where on this machine something lies."""
    return Path(argument).name if argument.startswith("/") else argument


def heading(results: dict[str, Any]) -> str:
    """Return the lines above a table: what was measured where."""
    machine, business = results["machine"], results["business"]
    hardware = f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gib']} GiB"
    software = (
        f"Linux {machine['kernel']}, libfuse {machine['libfuse']}, pyfuse3 {machine['pyfuse3']},"
        f" Python {machine['python']}, commit {machine['commit']}"
    )
    state = (
        f"CPUs {business['busy_before_percent']:.0f} % busy before,"
        f" load {business['load_after']:.2f} after;"
        f" steal {business['steal_percent']:.1f} %; {business['seconds']:.0f} s"
    )
    lines = [results["command"], hardware, software, state]
    if business["warning"]:
        lines.append(f"NOT FOR PUBLISHING: {business['warning']}")
    return "\n".join(lines)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align columns: the first to the left, the others to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def rate(value: float | None) -> str:
    """Return a rate with three digits that count: 950, 31.2k, 1.05M."""
    if value is None:
        return "-"
    if value >= 999_500:
        return f"{value / 1e6:.2f}M"
    return f"{value / 1e3:.1f}k" if value >= 9_995 else f"{value:,.0f}"


def microseconds(value_ns: float | None) -> str:
    """Return a latency in microseconds."""
    return "-" if value_ns is None else f"{value_ns / 1e3:,.0f} us"
