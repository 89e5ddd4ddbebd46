"""`vexfs version`: what a report of a fault should name."""

import json

from tests.support.commands import Home
from vexfs_fuse import __version__


def test_the_version_is_shown_with_what_it_runs_on(home: Home) -> None:
    assert home.succeed("version").startswith(f"vexfs {__version__} (python 3.")


def test_json_has_each_version_by_name(home: Home) -> None:
    versions = json.loads(home.succeed("version", "--json"))
    assert versions["vexfs"] == __version__
    assert versions.keys() >= {"python", "kernel", "pyfuse3", "trio", "numpy"}
