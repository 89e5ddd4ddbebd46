"""Writes the pages that the code itself knows best: `python docs/generate.py`.

`tests/documented` fails while a page differs from what this makes.  The computed parts of the pages
that people write are filled along with them, by `docs/blocks.py`.
"""

import argparse
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Final

from vexfs_fuse.cli.command import Command
from vexfs_fuse.cli.main import COMMANDS
from vexfs_fuse.config import OPTIONS
from vexfs_fuse.config.sources import MOUNT_WORDS, WORDS_WITHOUT_EFFECT
from vexfs_fuse.config.table import PATH, Option
from vexfs_fuse.observe.metrics import BITS_SHOWN
from vexfs_fuse.observe.recorder import EVENTS
from vexfs_fuse.observe.table import COUNTER, METRICS

DOCS: Final = Path(__file__).parent
NOTICE: Final = "<!-- Made by docs/generate.py from the code; change it there. -->"


def configuration() -> str:
    """Return the page of all options."""
    rows = [_option_row(option) for option in OPTIONS.values()]
    words = ", ".join(f"`{word}`" for word in MOUNT_WORDS)
    ignored = ", ".join(f"`{word}`" for word in sorted(WORDS_WITHOUT_EFFECT))
    return f"""# Configuration

{NOTICE}

An option is set by, later ones winning:

1. its default;
2. the file `$XDG_CONFIG_HOME/vexfs/config.toml` (`~/.config/vexfs/config.toml`), or another one
   named with `--config`: `pool_bytes = "1G"`;
3. `-o`, on the command line and in `/etc/fstab`: `-o pool_bytes=1G,noatime`;
4. a flag: `--pool-bytes 1G`.

`vexfs config` prints what would be used and what set it, as a file ready to be edited;
`vexfs config MOUNTPOINT` what a mounted volume runs with. A name that does not exist and a value
out of bounds are refused before anything is mounted.

Sizes are written `64K`, `256M`, `1G` (powers of 1,024); durations `500ms`, `1s`, `5m`, `12h`, `7d`;
switches `true` or `false`, and `-o NAME` alone is `true`.

| option | kind | default | bounds | what it does |
|---|---|---|---|---|
{chr(10).join(rows)}

Of the words of mount(8), these set the option of their meaning:
{words}.

These, `x-...` and `comment=...` have no effect here, as they say what is so anyway or speak to others:
{ignored}.
"""


def _option_row(option: Option) -> str:
    is_computed = option.kind is PATH
    default = "$XDG_DATA_HOME/vexfs/default" if is_computed else option.toml(option.default)
    kind = option.kind.name.replace("|", "\\|")
    return f"| `{option.name}` | {kind} | `{default}` | {option.bounds()} | {option.help} |"


def metrics() -> str:
    """Return the page of all metrics."""
    rows = []
    for metric in METRICS:
        name = f"{metric.name}_total" if metric.kind == COUNTER else metric.name
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{name}` | {metric.kind} | {labels} | {metric.help} |")
    events = "\n".join(f"- `{event}`: {meaning}" for event, meaning in EVENTS.items())
    return f"""# Metrics

{NOTICE}

Prometheus finds them at `http://127.0.0.1:9464/metrics` (option `metrics`; `none` turns the server
off), everybody else in `.vexfs/metrics` at the root of the mounted volume. They are read when
somebody asks; `vexfs status` shows the same numbers, and more, for people.

| metric | kind | labels | what it tells |
|---|---|---|---|
{chr(10).join(rows)}

Histograms have the bounds 2^{BITS_SHOWN.start} to 2^{BITS_SHOWN.stop - 1} ns. The events are:

{events}
"""


def commands() -> str:
    """Return the page of all commands: their help as it is printed."""
    parts = [_command_part(command) for command in COMMANDS]
    return f"""# Commands

{NOTICE}

{chr(10).join(parts)}
`mount.fuse.vexfs` is what mount(8) calls for a line in `/etc/fstab`:

    /srv/notes  /mnt/vex  fuse.vexfs  allow_other,nofail  0 0

A source with a slash is the store directory; another one is a mere name, and the default store is
mounted.
"""


def _command_part(command: Command) -> str:
    parser = argparse.ArgumentParser(prog=f"vexfs {command.name}", add_help=False)
    command.add_arguments(parser)
    rows = []
    for action in parser._actions:
        if action.dest.startswith("option_") and action.dest != "option_store":
            continue  # the table of options has them
        names = ", ".join(f"`{name}`" for name in action.option_strings)
        value = f" {action.metavar}" if action.metavar else ""
        shown = f"{names}{value}" if names else f"`{str(action.metavar or action.dest).upper()}`"
        choices = f" ({', '.join(map(str, action.choices))})" if action.choices else ""
        rows.append(f"- {shown}: {action.help}{choices}")
    if command.name in {"mount", "config"}:
        rows.append("- a flag for each option of [configuration](configuration.md)")
    examples = textwrap.indent(inspect.cleandoc(command.examples), "    ")
    codes = f"\nExit codes: {command.exit_codes}.\n" if command.exit_codes else ""
    arguments = "\n" + "\n".join(rows) + "\n" if rows else ""
    return f"## vexfs {command.name}\n\n{command.help}\n{arguments}{codes}\n{examples}\n"


PAGES: Final[dict[str, Callable[[], str]]] = {
    "configuration.md": configuration,
    "metrics.md": metrics,
    "commands.md": commands,
}


def main() -> None:
    """Write all pages."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
    subprocess.run([sys.executable, DOCS / "blocks.py"], check=True)


if __name__ == "__main__":
    main()
