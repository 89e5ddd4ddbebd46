"""`vexfs status`: the same for people and for programs."""

import json
import urllib.request

import pytest

from tests.support.commands import Home
from tests.support.status import STATUS
from vexfs_fuse.cli.status import lines
from vexfs_fuse.observe.metrics import values
from vexfs_fuse.observe.recorder import Recorder
from vexfs_fuse.observe.table import METRICS


def test_sections_tables_and_units_are_for_people() -> None:
    shown = "\n".join(lines(STATUS))
    assert "  read only    no\n" in shown
    assert "    records         20\n" in shown
    assert "    free   77.5 GiB" in shown
    assert (
        "                slabs  pages used  pages free  hits  misses  fills  evictions\n" in shown
    )
    assert "           count  failed  median us  p99 us\n" in shown
    assert "  getattr  1,200       0          8      65\n" in shown
    assert "  exact default      3        131     524\n" in shown
    assert "default         384  cosine      -   50,000  1,232 " in shown
    assert (
        "      64.0 KiB      1          13           3   100       7      5          2\n" in shown
    )


@pytest.mark.mount
def test_json_holds_everything_that_metrics_read(home: Home) -> None:
    with home.mounted() as volume:
        status = json.loads(home.succeed("status", "--json", volume))
        for metric in METRICS:
            assert list(values(metric, Recorder(), status)) or callable(metric.source)
        assert status["daemon"]["store"] == str(home.store)
        assert str(home.store) in home.succeed("status", volume)


@pytest.mark.mount
def test_status_is_told_from_anywhere_in_the_volume(home: Home) -> None:
    with home.mounted() as volume:
        (volume / "a/b").mkdir(parents=True)
        assert "logged lsn" in home.succeed("status", volume / "a/b")


@pytest.mark.mount
def test_metrics_are_served_where_the_option_says(home: Home) -> None:
    with home.mounted("--metrics", "127.0.0.1:19464") as volume:
        (volume / "a").write_text("b")
        with urllib.request.urlopen("http://127.0.0.1:19464/metrics", timeout=5) as answer:
            scraped = answer.read().decode()
        assert 'vexfs_requests_total{operation="create",errno="OK"} 1' in scraped
        assert "vexfs_requests_total" in (volume / ".vexfs/metrics").read_text()
