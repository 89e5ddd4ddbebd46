"""Where the values of options come from, and who wins.

Later ones win: the defaults, the file `$XDG_CONFIG_HOME/vexfs/config.toml`, `-o` options, flags of
the command line.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from vexfs_fuse.config.table import OPTIONS, SWITCH, Config, default_config_file
from vexfs_fuse.errors import InvalidArgument
from vexfs_fuse.quantities import toml_literal

MOUNT_WORDS: Final = {
    "rw": ("ro", "false"),
    "nosuid": ("suid", "false"),
    "nodev": ("dev", "false"),
    "noexec": ("exec", "false"),
    "relatime": ("atime", "relatime"),
    "noatime": ("atime", "noatime"),
    "strictatime": ("atime", "strictatime"),
    "atime": ("atime", "relatime"),
}
"""What the generic words of mount(8) mean here."""

WORDS_WITHOUT_EFFECT: Final = frozenset(
    {
        "defaults",
        "default_permissions",
        "async",
        "auto",
        "noauto",
        "user",
        "nouser",
        "users",
        "owner",
        "group",
        "nofail",
        "_netdev",
    }
)
"""Words that /etc/fstab may hold and that say what is so anyway, or what others act upon."""


class Effective(NamedTuple):
    """The options in force, and for each that is not at its default, what set it."""

    config: Config
    origins: dict[str, str]

    def toml(self) -> str:
        """Return the TOML text, with origins."""
        return self.config.toml(self.origins)


def load(
    flags: Mapping[str, str] | None = None,
    mount_options: Iterable[str] = (),
    file: Path | None = None,
) -> Effective:
    """Return the effective options.

    Parameters
    ----------
    flags
        option name to text, from the command line.
    mount_options
        arguments of `-o`: comma-separated `name`, `name=value`.
    file
        TOML file; None stands for the default place, which may be missing.

    Raises
    ------
    InvalidArgument
        an unknown option, or a value that its option does not take; says which source has it.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, text, origin in [
        *_from_file(file),
        *_from_mount_options(mount_options),
        *((name, text, f"--{name.replace('_', '-')}") for name, text in (flags or {}).items()),
    ]:
        values[name] = _value(name, text, origin)
        origins[name] = origin
    return Effective(Config(**values), origins)


def _value(name: str, text: str, origin: str) -> Any:
    option = OPTIONS.get(name)
    if option is None:
        close = difflib.get_close_matches(name, OPTIONS, 1)
        hint = f"; did you mean {close[0]}?" if close else "; `vexfs config` lists all"
        raise InvalidArgument(f"{origin}: there is no option {name!r}{hint}")
    try:
        return option.parse(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"{origin}: {name}: {error.args[0]}") from None


def _from_file(file: Path | None) -> Iterable[tuple[str, str, str]]:
    place = file or default_config_file()
    try:
        table = tomllib.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if file is None:
            return
        raise InvalidArgument(f"{file}: no such file") from None
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"{place}: {error}") from None
    for name, value in table.items():
        if isinstance(value, dict | list):
            raise InvalidArgument(f"{place}: {name}: a single value is needed")
        yield name, toml_text(value), str(place)


def toml_text(value: Any) -> str:
    """Return a TOML value as a person would write it after `-o name=`."""
    return toml_literal(value) if isinstance(value, bool) else str(value)


def _from_mount_options(arguments: Iterable[str]) -> Iterable[tuple[str, str, str]]:
    for argument in arguments:
        for word in split_mount_options(argument):
            name, equals, text = word.partition("=")
            if word in MOUNT_WORDS:
                name, text = MOUNT_WORDS[word]
            elif word in WORDS_WITHOUT_EFFECT or word.startswith(("x-", "comment=")):
                continue
            elif not equals:
                text = "true" if name in OPTIONS and OPTIONS[name].kind is SWITCH else ""
            yield name, text, f"-o {word}"


def split_mount_options(argument: str) -> list[str]:
    """Split at commas; after a backslash a comma is part of a word, as in libfuse."""
    words, word, escaped = [], "", False
    for character in argument:
        if escaped or character not in "\\,":
            word += character
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            words.append(word)
            word = ""
    return [word for word in [*words, word] if word]
