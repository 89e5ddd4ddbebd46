"""Sizes, durations, addresses and switches as people write them; knows no option by name."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.units import GIB, KIB, MIB

_SIZE_UNITS: Final = {"": 1, "B": 1, "K": KIB, "M": MIB, "G": GIB, "T": 1024 * GIB}
_DURATION_UNITS_S: Final = {
    "ms": 0.001,
    "": 1.0,
    "s": 1.0,
    "m": 60.0,
    "h": 3_600.0,
    "d": 86_400.0,
}
_SIZE: Final = re.compile(r"(\d+)\s*([BKMGT]?)(?:iB|B)?", re.IGNORECASE)
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


class Address(NamedTuple):
    """Where a server listens; `str` gives `host:port`, brackets around IPv6."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_size(text: str) -> int:
    """Return the bytes meant by `4096`, `64K`, `256M`, `1G` or `2TiB` (powers of 1,024)."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument(f"{text!r} is not a size; write for example 64K, 256M or 1G")
    return int(match[1]) * _SIZE_UNITS[match[2].upper()]


def render_size(size_bytes: int) -> str:
    """Return the shortest exact text that `parse_size` reads back."""
    for unit in "TGMK":
        if size_bytes and size_bytes % _SIZE_UNITS[unit] == 0:
            return f"{size_bytes // _SIZE_UNITS[unit]}{unit}"
    return str(size_bytes)


def approximate_size(size_bytes: int) -> str:
    """Return a size for people: three digits or so, `1.5 GiB`."""
    amount = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return (
                f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
            )
        amount /= 1024
    return f"{amount:.1f} TiB"


def parse_duration(text: str) -> float:
    """Return the seconds meant by `500ms`, `1s`, `5m`, `12h`, `7d` or a bare number of seconds."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument(f"{text!r} is not a duration; write for example 500ms, 1s, 5m or 7d")
    return float(match[1]) * _DURATION_UNITS_S[match[2]]


def render_duration(duration_s: float) -> str:
    """Return a text that `parse_duration` reads back, exact to the millisecond."""
    for unit in ("d", "h", "m", "s"):
        if duration_s and duration_s % _DURATION_UNITS_S[unit] == 0:
            return f"{duration_s / _DURATION_UNITS_S[unit]:.0f}{unit}"
    return f"{duration_s * 1000:.0f}ms" if duration_s else "0s"


def parse_switch(text: str) -> bool:
    """Return what `true`, `yes`, `on`, `1` or their opposites mean."""
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise InvalidArgument(f"{text!r} is neither true nor false")


def parse_count(text: str) -> int:
    """Return a whole number; underscores may group its digits."""
    try:
        return int(text)
    except ValueError:
        raise InvalidArgument(f"{text!r} is not a whole number") from None


def parse_count_or_auto(text: str) -> int | None:
    """Return a whole number; None for `auto`."""
    return None if text.strip().lower() == "auto" else parse_count(text)


def parse_share(text: str) -> float:
    """Return the number meant by `0.97` or `97%`."""
    number, percent, rest = text.strip().partition("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = float("nan")
    if rest or not 0 <= share <= 1:
        raise InvalidArgument(f"{text!r} is no share; write for example 0.97 or 97%")
    return share


def parse_address(text: str) -> Address | None:
    """Return the address written as `host:port`, `[v6]:port` or `:port`; None for `none`."""
    if text.strip().lower() == "none":
        return None
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise InvalidArgument(
            f"{text!r} is not an address; write for example 127.0.0.1:9464 or none"
        )
    return Address(host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port))


def parse_path(text: str) -> Path:
    """Return an absolute path; `~` stands for the home directory."""
    if not text:
        raise InvalidArgument("an empty path")
    return Path(text).expanduser().absolute()


def parse_choice(text: str, choices: Sequence[str]) -> str:
    """Return `text` if it is one of `choices`."""
    if text not in choices:
        raise InvalidArgument(f"{text!r} is none of {', '.join(choices)}")
    return text


def toml_literal(value: Any) -> str:
    """Return a TOML value: booleans and numbers bare, all else as a basic string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
