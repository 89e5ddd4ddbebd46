"""Every option in one table: what it is called, its type, default, bounds and help.

Knows nothing of what the options do, nor where their values come from.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from vexfs_fuse import quantities
from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.quantities import Address, toml_literal
from vexfs_fuse.units import GIB, KIB, MIB, NS_PER_S

DAY_S: Final = 86_400.0
YEAR_S: Final = 365 * DAY_S


class Kind(NamedTuple):
    """How one type of value is read from text and written to TOML."""

    name: str
    parse: Callable[[str], Any]
    render: Callable[[Any], Any]


class Option(NamedTuple):
    """One row of the table; `low` and `high` are inclusive."""

    name: str
    kind: Kind
    default: Any
    help: str
    low: float | None
    high: float | None

    def parse(self, text: str) -> Any:
        """Return the value that `text` stands for; `InvalidArgument` if there is none."""
        value = self.kind.parse(text)
        if value is None:
            return None
        if self.low is not None and value < self.low:
            raise InvalidArgument(f"{text!r} is below the least value, {self._literal(self.low)}")
        if self.high is not None and value > self.high:
            raise InvalidArgument(
                f"{text!r} is above the largest value, {self._literal(self.high)}"
            )
        return value

    def toml(self, value: Any) -> str:
        """Return `value` as a TOML literal that loads back to the same value."""
        return toml_literal(self.kind.render(value))

    def bounds(self) -> str:
        """Return the bounds for people, empty when there are none."""
        return (
            "" if self.low is None else f"{self._literal(self.low)} to {self._literal(self.high)}"
        )

    def _literal(self, bound: Any) -> str:
        return str(self.kind.render(bound))


SIZE: Final = Kind("size", quantities.parse_size, quantities.render_size)
DURATION: Final = Kind("duration", quantities.parse_duration, quantities.render_duration)
COUNT: Final = Kind("count", quantities.parse_count, int)
COUNT_OR_AUTO: Final = Kind(
    "count or auto",
    quantities.parse_count_or_auto,
    lambda value: "auto" if value is None else int(value),
)
SHARE: Final = Kind("share", quantities.parse_share, float)
SWITCH: Final = Kind("switch", quantities.parse_switch, bool)
PATH: Final = Kind("path", quantities.parse_path, str)
ADDRESS: Final = Kind(
    "address or none", quantities.parse_address, lambda value: str(value or "none").lower()
)


def choice(*choices: str) -> Kind:
    """Return the kind of an option that is one of a few words."""
    return Kind(" | ".join(choices), lambda text: quantities.parse_choice(text, choices), str)


def default_store() -> Path:
    """Return `$XDG_DATA_HOME/vexfs/default`."""
    return xdg_directory("XDG_DATA_HOME", ".local/share") / "vexfs" / "default"


def default_config_file() -> Path:
    """Return `$XDG_CONFIG_HOME/vexfs/config.toml`."""
    return xdg_directory("XDG_CONFIG_HOME", ".config") / "vexfs" / "config.toml"


def xdg_directory(variable: str, below_home: str) -> Path:
    """Return the directory that the XDG base directory specification gives `variable`.

    A relative path in the variable is invalid and ignored, as the specification demands.
    """
    place = os.environ.get(variable, "")
    return Path(place) if place.startswith("/") else Path.home() / below_home


def _option(
    default: Any, kind: Kind, text: str, low: float | None = None, high: float | None = None
) -> Any:
    made = {"default_factory": default} if callable(default) else {"default": default}
    return dataclasses.field(**made, metadata={"row": (kind, text, low, high)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The effective options: sizes in bytes, durations in seconds.  This class is the table."""

    store: Path = _option(default_store, PATH, "Directory that holds the volume.")
    ro: bool = _option(False, SWITCH, "Take no changes.")
    allow_other: bool = _option(
        False,
        SWITCH,
        "Let every user in, as modes and ACLs permit. Unless root mounts, /etc/fuse.conf must say"
        " user_allow_other.",
    )
    fsname: str = _option(
        "vexfs", Kind("text", str, str), "The source that findmnt and df show for the mount."
    )
    suid: bool = _option(
        False, SWITCH, "Honour set-user-ID and set-group-ID bits; only for mounts made by root."
    )
    dev: bool = _option(False, SWITCH, "Honour device nodes; only for mounts made by root.")
    exec: bool = _option(True, SWITCH, "Let programs on the volume be run.")
    atime: str = _option(
        "relatime",
        choice("relatime", "noatime", "strictatime"),
        "When reading a file moves its access time: when it is older than the last change or a day,"
        " never, or always.",
    )
    durability: str = _option(
        "interval",
        choice("none", "interval", "always"),
        "What a crash may take. interval: what nobody synced, up to commit_interval; always:"
        " nothing that was answered; none: fsync waits for no disk, so up to commit_interval of"
        " anything.",
    )
    commit_interval: float = _option(
        1.0, DURATION, "Longest time that a change waits for the disk without fsync.", 0.01, 3_600
    )
    pool_bytes: int = _option(
        256 * MIB,
        SIZE,
        "Memory for file contents, dirty and clean: a hard limit.",
        16 * MIB,
        1024 * GIB,
    )
    segment_bytes: int = _option(
        256 * MIB,
        SIZE,
        "Size at which a segment file is full and the next begins.",
        16 * MIB,
        4 * GIB,
    )
    journal_file_bytes: int = _option(
        64 * MIB, SIZE, "Size at which a journal file is full and the next begins.", MIB, 4 * GIB
    )
    journal_keep_bytes: int = _option(
        GIB, SIZE, "How much journal is kept for those who follow it.", 0, 1024 * GIB
    )
    journal_keep_age: float = _option(
        30 * DAY_S, DURATION, "Age beyond which journal files are dropped.", 0, 100 * YEAR_S
    )
    cache_inodes: int = _option(
        200_000, COUNT, "Inodes kept in memory (about 600 bytes each).", 1_000, 100_000_000
    )
    cache_names: int = _option(
        400_000,
        COUNT,
        "Directory entries kept in memory (about 250 bytes each).",
        1_000,
        100_000_000,
    )
    max_open_files: int = _option(
        1_000_000, COUNT, "Open files and directories, beyond which open fails.", 16, 100_000_000
    )
    attr_timeout: float = _option(
        3_600.0,
        DURATION,
        "How long the kernel may keep attributes; all changes pass it.",
        0,
        YEAR_S,
    )
    entry_timeout: float = _option(
        3_600.0, DURATION, "How long the kernel may keep names, present and absent.", 0, YEAR_S
    )
    searchdir: str = _option(
        "hidden",
        choice("hidden", "visible"),
        "Whether the root's listing shows .search; in all other directories it is there unlisted.",
    )
    search_journal: str = _option(
        "sampled",
        choice("none", "sampled", "full"),
        "Which searches the journal tells of: none, one in a hundred, or all; never their words.",
    )
    search_recall: float = _option(
        0.97,
        SHARE,
        "The recall that approximate searches are to have: their effort follows from the recall that"
        " samples are found to have.",
        0.5,
        0.999,
    )
    search_ef: int | None = _option(
        None,
        COUNT_OR_AUTO,
        "The effort (ef) of approximate searches, whatever recall follows; auto holds search_recall.",
        1,
        1_000,
    )
    index: bool = _option(
        True,
        SWITCH,
        "Index what files say, in a process beside the daemon; not on a read-only mount.",
    )
    embedder: str = _option(
        "minilm",
        Kind("text", str, str),
        "What makes vectors of texts: minilm, none, entry:NAME, command:LINE or url:ADDRESS.",
    )
    index_file_bytes: int = _option(
        16 * MIB, SIZE, "Larger files are found by their names alone.", 64 * KIB, GIB
    )
    index_memory: int = _option(
        GIB, SIZE, "Memory that the indexer's process may take.", 256 * MIB, 1024 * GIB
    )
    metrics: Address | None = _option(
        Address("127.0.0.1", 9464), ADDRESS, "Where Prometheus finds /metrics."
    )
    log: str = _option(
        "auto",
        choice("auto", "file", "journald"),
        "Where the log goes: auto is journald under systemd, else the file"
        " $XDG_STATE_HOME/vexfs/NAME.log, NAME made from the store's path.",
    )
    log_level: str = _option(
        "info", choice("debug", "info", "warning", "error"), "The least that is logged."
    )

    @property
    def commit_interval_ns(self) -> int:
        """`commit_interval` in nanoseconds."""
        return round(self.commit_interval * NS_PER_S)

    def toml(self, origins: Mapping[str, str] | None = None) -> str:
        """Return the options as a TOML file that loads back to them, each with its help.

        `origins` tells for an option what set it; options without one stand at their default.
        """
        blocks = []
        for option in OPTIONS.values():
            origin = (origins or {}).get(option.name, "default")
            literal = option.toml(getattr(self, option.name))
            blocks.append(f"# {option.help}\n{option.name} = {literal}  # {origin}\n")
        return "\n".join(blocks)


OPTIONS: Final = {
    field.name: Option(
        field.name,
        field.metadata["row"][0],
        field.default if field.default is not dataclasses.MISSING else None,
        *field.metadata["row"][1:],
    )
    for field in dataclasses.fields(Config)
}
